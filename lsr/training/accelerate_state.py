"""Accelerate (Hugging Face) for one training, and what it keeps for the whole process set aside meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.resources import files

from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    FullyShardedDataParallelPlugin,
    InitProcessGroupKwargs,
)

from lsr.encoders.batches import find_device
from lsr.errors import ParameterError

MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
LAUNCH = "accelerate launch --use_fsdp --fsdp_version 2 --fsdp_cpu_ram_efficient_loading false"


def start_accelerator(precision: str, device: str | None) -> Accelerator:
    """An Accelerator as the launcher has set it up. precision: one of MIXED. device: "cpu", or None for what it finds.

    Raises ParameterError where these do not go together, and for launchers that a training cannot do with.
    """
    wanted = None if device is None else find_device(device).type
    accelerator = Accelerator(
        mixed_precision=MIXED[precision],
        cpu=wanted == "cpu",
        # Poolers, and whatever else a backbone has that no head looks at.
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=True),
            # Others wait while the first process reads, scores or evaluates.
            InitProcessGroupKwargs(timeout=timedelta(days=2)),
        ],
    )
    if wanted not in (None, accelerator.device.type):
        raise ParameterError(
            f"device is {device!r}, but training takes {accelerator.device}; leave it out, or give cpu"
        )
    if precision == "float16" and accelerator.device.type == "cpu":
        raise ParameterError(
            "precision is float16, which needs a GPU; use bfloat16 or float32 (to change a recipe, copy its file from "
            f"{files('lsr.recipes')}, and train by the copy)"
        )
    if accelerator.distributed_type in (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise ParameterError(f"{accelerator.distributed_type.value} is not supported; share weights out by: {LAUNCH}")
    if accelerator.distributed_type == DistributedType.FSDP:
        check_sharding(accelerator.state.fsdp_plugin, precision)
        # Autocast decides what is computed in 16 bits, as on one device: weights and scores stay in float32.
        accelerator.state.fsdp_plugin.mixed_precision_policy = None
    return accelerator


def check_sharding(plugin: FullyShardedDataParallelPlugin, precision: str) -> None:
    """Raises ParameterError for what a training cannot do with, and the words that do instead."""
    if plugin.fsdp_version != 2:
        raise ParameterError(f"FSDP's version 1 is not supported; take version 2: {LAUNCH}")
    if plugin.cpu_ram_efficient_loading:
        raise ParameterError(f"every process must load the networks' files, to check them: {LAUNCH}")
    if plugin.activation_checkpointing:
        raise ParameterError(
            "FSDP's activation_checkpointing is gradient_checkpointing = true in [optimizer]; take that"
        )
    if precision == "float16":
        raise ParameterError("precision is float16, which is not supported with FSDP; take bfloat16")


@contextmanager
def own_accelerate_state() -> Iterator[None]:
    """Within, accelerate knows nothing of what the process did with it before; afterwards it knows that alone.

    It keeps device, precision and accumulation for the whole process, as its first Accelerator settles them, and has no
    public way to begin anew. A second training could not have another precision, and the program that calls us would
    find our settings in place of its own. Nothing else touches these private dictionaries.
    """
    states = [kind._shared_state for kind in (PartialState, AcceleratorState, GradientState)]
    kept = [dict(state) for state in states]
    for state in states:
        state.clear()
    try:
        yield
    finally:
        for state, before in zip(states, kept, strict=True):
            state.clear()
            state.update(before)
