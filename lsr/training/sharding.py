"""Weights that are distributed over processes, as by FSDP: each process has a part of every trained tensor.

All processes must ask for whole tensors at the same time and in the same order, or they wait for each other forever.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from lsr.training.model import TrainableEncoder, TrainableSide


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> parameter of all trained parameters, without duplicates."""
    return {name: each for name, each in model.named_parameters() if each.requires_grad}


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor of which each process can have a part."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shared_as(tensor: Tensor, example: Tensor) -> Tensor:
    """A whole tensor, which every process has, distributed like `example` and on its device."""
    tensor = tensor.to(example.device)
    if not isinstance(example, DTensor):
        return tensor
    return distribute_tensor(tensor, example.device_mesh, example.placements, src_data_rank=None)


@torch.no_grad()
def copy_learned(source: TrainableEncoder, target: TrainableEncoder | None) -> None:
    """Copy the trained weights of a distributed model to another one. None: this process only sends its parts."""
    into = None if target is None else trained(target)
    for name, parameter in trained(source).items():
        value = whole(parameter)
        if into is not None:
            into[name].copy_(value)
    for side in ("query", "document"):
        ours, theirs = getattr(source, side), getattr(target, side, None)
        if isinstance(ours, TrainableSide) and isinstance(theirs, TrainableSide):
            theirs.window = ours.window
