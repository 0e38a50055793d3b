"""Where a training stands, in a folder that is complete or absent: goes on exactly after a kill.

model.safetensors       what is trained
optimizer.safetensors   of each of it AdamW's moments and steps, NAME.exp_avg, .exp_avg_sq and .step; more tensors
state.json              the step, and all else that is not a tensor; written last

Random numbers are not kept: they are drawn anew from the seed for every step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from lsr.errors import StorageError
from lsr.storage.files import DAMAGE, replacing_folder
from lsr.training.sharding import shared_as, trained, whole

STATE_FILE = "state.json"
MODEL_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")
STEP = "step"  # fewer than those of the training where float16 had to leave some out


class Checkpoint(NamedTuple):
    """tensors: name -> tensor, those of save_checkpoint's `more`. state: JSON."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(
    folder: Path | None,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    more: Mapping[str, Tensor],
) -> None:
    """Write all of it in place of the last one, in one step. Raises StorageError.

    folder: None for a process that only gives its parts of what is shared out (lsr.training.sharding).
    """
    learning = trained(model)
    weights: dict[str, Tensor] = {}
    moments: dict[str, Tensor] = {}
    for name, parameter in learning.items():
        _keep(weights, name, parameter, folder)
        for moment in (*MOMENTS, STEP) if parameter in optimizer.state else ():
            _keep(moments, f"{name}.{moment}", optimizer.state[parameter][moment], folder)
    if folder is None:
        return
    with replacing_folder(folder, STATE_FILE) as temporary:
        save_file(weights, temporary / MODEL_FILE)
        save_file({**moments, **{f"more.{name}": each for name, each in more.items()}}, temporary / OPTIMIZER_FILE)
        (temporary / STATE_FILE).write_text(json.dumps(state))


def load_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Checkpoint | None:
    """Fill model and optimizer with what was saved; None if nothing was.

    Raises StorageError for a checkpoint that is damaged or another model's.
    """
    if not (folder / STATE_FILE).exists():
        return None
    try:
        state = json.loads((folder / STATE_FILE).read_bytes())
        weights, moments = load_file(folder / MODEL_FILE), load_file(folder / OPTIMIZER_FILE)
        learning = trained(model)
        if weights.keys() != learning.keys():
            raise ValueError(f"holds {len(weights)} tensors, the model has {len(learning)}")
        with torch.no_grad():
            for name, parameter in learning.items():
                if weights[name].shape != parameter.shape:
                    raise ValueError(f"{name} is of size {list(weights[name].shape)}")
                parameter.copy_(shared_as(weights[name], parameter))
                if f"{name}.{MOMENTS[0]}" in moments:
                    state_of = {key: shared_as(moments[f"{name}.{key}"], parameter) for key in MOMENTS}
                    state_of[STEP] = moments[f"{name}.{STEP}"].to(parameter.device)
                    optimizer.state[parameter] = state_of
    except DAMAGE as error:
        raise StorageError(f"{folder}: is damaged or another model's ({error}); remove it to begin anew") from error
    more = {name.removeprefix("more."): each for name, each in moments.items() if name.startswith("more.")}
    return Checkpoint(more, state)


def _keep(tensors: dict[str, Tensor], name: str, tensor: Tensor, folder: Path | None) -> None:
    """Gather a tensor that is shared out, in main memory, where one after the other there is room for all of them."""
    gathered = whole(tensor.detach())
    if folder is not None:
        tensors[name] = (gathered.cpu() if isinstance(tensor, DTensor) else gathered).contiguous()
