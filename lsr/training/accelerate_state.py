"""Accelerate (Hugging Face) for one training. During the training, accelerate's state from before is set aside."""

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
    """An Accelerator as configured by the launcher. precision: one of MIXED. device: "cpu", or None for its choice.

    Raises ParameterError if these do not match, and for launchers that a training does not support.
    """
    wanted = None if device is None else find_device(device).type
    accelerator = Accelerator(
        mixed_precision=MIXED[precision],
        cpu=wanted == "cpu",
        # Poolers, and other parts of a backbone that no head uses.
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=True),
            # Others wait while the first process reads, scores or evaluates.
            InitProcessGroupKwargs(timeout=timedelta(days=2)),
        ],
    )
    if wanted not in (None, accelerator.device.type):
        raise ParameterError(
            f"device is {device!r}, but the training runs on {accelerator.device}; remove the option, or use cpu"
        )
    if precision == "float16" and accelerator.device.type == "cpu":
        raise ParameterError(
            "precision is float16, which needs a GPU; use bfloat16 or float32 (to change a recipe, copy its file from "
            f"{files('lsr.recipes')}, and train by the copy)"
        )
    if accelerator.distributed_type in (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise ParameterError(
            f"{accelerator.distributed_type.value} is not supported; distribute weights with: {LAUNCH}"
        )
    if accelerator.distributed_type == DistributedType.FSDP:
        check_sharding(accelerator.state.fsdp_plugin, precision)
        # Autocast decides about 16 bits, as on one device: weights and scores stay in float32.
        accelerator.state.fsdp_plugin.mixed_precision_policy = None
    return accelerator


def check_sharding(plugin: FullyShardedDataParallelPlugin, precision: str) -> None:
    """Raises ParameterError for settings that a training does not support, with the settings to use instead."""
    if plugin.fsdp_version != 2:
        raise ParameterError(f"FSDP version 1 is not supported; use version 2: {LAUNCH}")
    if plugin.cpu_ram_efficient_loading:
        raise ParameterError(
            "cpu_ram_efficient_loading of FSDP is not supported, because every process checks the files of the "
            f"networks; use: {LAUNCH}"
        )
    if plugin.activation_checkpointing:
        raise ParameterError(
            "activation_checkpointing of FSDP is not supported; set gradient_checkpointing = true in [optimizer]"
        )
    if precision == "float16":
        raise ParameterError("precision is float16, which is not supported with FSDP; use bfloat16")


@contextmanager
def own_accelerate_state() -> Iterator[None]:
    """Inside, accelerate has no state from before; afterwards, it has only that state.

    Accelerate keeps device, precision and accumulation of the first Accelerator for the whole process, and has no
    public function to reset them. A second training could not have another precision, and the calling program would
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
