"""Weights that processes share out among them, as FSDP does it: each holds a part of every tensor that learns.

What is whole is asked of all processes at once, in the same order, or they wait for each other forever.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from lsr.training.model import TrainableEncoder, TrainableSide


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> parameter, each once, of those that learn."""
    return {name: each for name, each in model.named_parameters() if each.requires_grad}


def whole(tensor: Tensor) -> Tensor:
    """The tensor of which each process may hold a part."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shared_as(tensor: Tensor, example: Tensor) -> Tensor:
    """A whole tensor, which every process has, as `example` is shared out, and on its device."""
    tensor = tensor.to(example.device)
    if not isinstance(example, DTensor):
        return tensor
    return distribute_tensor(tensor, example.device_mesh, example.placements, src_data_rank=None)


@torch.no_grad()
def copy_learned(source: TrainableEncoder, target: TrainableEncoder | None) -> None:
    """Give a second model what one that is shared out has learned. None for a process that only gives its parts."""
    into = None if target is None else trained(target)
    for name, parameter in trained(source).items():
        value = whole(parameter)
        if into is not None:
            into[name].copy_(value)
    for side in ("query", "document"):
        ours, theirs = getattr(source, side), getattr(target, side, None)
        if isinstance(ours, TrainableSide) and isinstance(theirs, TrainableSide):
            theirs.window = ours.window
