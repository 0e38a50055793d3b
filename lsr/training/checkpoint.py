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

from lsr.errors import StorageError
from lsr.storage.files import DAMAGE, replacing_folder

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
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    more: Mapping[str, Tensor],
) -> None:
    """Write all of it in place of the last one, in one step. Raises StorageError."""
    trained = _trained(model)
    moments = {
        f"{name}.{moment}": optimizer.state[parameter][moment].contiguous()
        for name, parameter in trained.items()
        for moment in (*MOMENTS, STEP)
        if parameter in optimizer.state
    }
    with replacing_folder(folder, STATE_FILE) as temporary:
        save_file({name: each.detach().contiguous() for name, each in trained.items()}, temporary / MODEL_FILE)
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
        trained = _trained(model)
        if weights.keys() != trained.keys():
            raise ValueError(f"holds {len(weights)} tensors, the model has {len(trained)}")
        with torch.no_grad():
            for name, parameter in trained.items():
                if weights[name].shape != parameter.shape:
                    raise ValueError(f"{name} is of size {list(weights[name].shape)}")
                parameter.copy_(weights[name])
                if f"{name}.{MOMENTS[0]}" in moments:
                    optimizer.state[parameter] = {
                        key: moments[f"{name}.{key}"].to(parameter.device) for key in (*MOMENTS, STEP)
                    }
    except DAMAGE as error:
        raise StorageError(f"{folder}: is damaged or another model's ({error}); remove it to begin anew") from error
    more = {name.removeprefix("more."): each for name, each in moments.items() if name.startswith("more.")}
    return Checkpoint(more, state)


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> parameter, each once, of those that learn."""
    return {name: each for name, each in model.named_parameters() if each.requires_grad}
