"""The checkpoint of a training, a folder that is complete or absent. A killed training resumes exactly.

model.safetensors       the trained parameters
optimizer.safetensors   their moments and steps of AdamW, NAME.exp_avg, .exp_avg_sq and .step; more tensors
state.json              the step, and everything that is not a tensor; written last

Random states are not stored: random numbers are drawn from the seed for every step.
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
STEP = "step"  # AdamW's own count; smaller than the training's if float16 skipped steps


class Checkpoint(NamedTuple):
    """A loaded checkpoint. tensors: name -> tensor, from `more` of save_checkpoint. state: JSON."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(
    folder: Path | None,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    more: Mapping[str, Tensor],
) -> None:
    """Write a checkpoint in one step. Replaces the last one. Raises StorageError.

    folder: None for a process that only sends its parts of distributed tensors (lsr.training.sharding).
    state: everything else that is JSON. more: name -> tensor, other tensors to restore.
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
    """Restore model and optimizer from a checkpoint; returns None if there is none.

    Raises StorageError for a checkpoint that is damaged or belongs to another model.
    """
    if not (folder / STATE_FILE).exists():
        return None
    try:
        state = json.loads((folder / STATE_FILE).read_bytes())
        weights, moments = load_file(folder / MODEL_FILE), load_file(folder / OPTIMIZER_FILE)
        learning = trained(model)
        if weights.keys() != learning.keys():
            raise ValueError(f"it has {len(weights)} tensors, the model has {len(learning)}")
        with torch.no_grad():
            for name, parameter in learning.items():
                if weights[name].shape != parameter.shape:
                    raise ValueError(f"{name} has shape {list(weights[name].shape)}")
                parameter.copy_(shared_as(weights[name], parameter))
                if f"{name}.{MOMENTS[0]}" in moments:
                    state_of = {key: shared_as(moments[f"{name}.{key}"], parameter) for key in MOMENTS}
                    state_of[STEP] = moments[f"{name}.{STEP}"].to(parameter.device)
                    optimizer.state[parameter] = state_of
    except DAMAGE as error:
        raise StorageError(
            f"{folder}: is damaged or belongs to another model ({error}); delete it to start over"
        ) from error
    more = {name.removeprefix("more."): each for name, each in moments.items() if name.startswith("more.")}
    return Checkpoint(more, state)


def _keep(tensors: dict[str, Tensor], name: str, tensor: Tensor, folder: Path | None) -> None:
    """Gather a distributed tensor, in main memory, which has room for all of them one by one."""
    gathered = whole(tensor.detach())
    if folder is not None:
        tensors[name] = (gathered.cpu() if isinstance(tensor, DTensor) else gathered).contiguous()
