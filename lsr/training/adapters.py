"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv 2106.09685): W + (alpha / rank) B A. Only A and B are trained.

peft puts them into the networks. Saved networks have no adapters: they are added to the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lsr.encoders.sparse.backbone import Backbone, seeded
from lsr.errors import ParameterError
from lsr.extras import need
from lsr.training.model import TrainableEncoder
from lsr.training.training_config import AdapterConfig


def add_adapters(model: TrainableEncoder, config: AdapterConfig, seed: int) -> None:
    """Put adapters into the linear layers of the networks. Only adapters, heads and tables are then trained.

    Output layers over the vocabulary have no adapters. A is random, and B is zero, so that the encoder first computes
    the same weights as without adapters. seed: the seed of A. Raises ParameterError if no layer has one of the names.
    """
    need("low-rank adapters", "peft")
    from peft import LoraConfig, inject_adapter_in_model

    how = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.modules) or "all-linear",
    )
    for backbone in model.backbones():
        backbone.requires_grad_(False)
        try:
            with seeded(seed):
                inject_adapter_in_model(how, backbone.model)  # adapters are trained, the rest of the network is fixed
        except ValueError as error:
            linear = sorted({n.rpartition(".")[2] for n, m in backbone.model.named_modules() if _is_linear(m)})
            raise ParameterError(
                f"lora.modules is {list(config.modules)}, but the linear layers of {type(backbone.model).__name__} are "
                f"{', '.join(linear)}; name some of these, or remove modules to use all"
            ) from error


@contextmanager
def merged(model: TrainableEncoder) -> Iterator[None]:
    """Inside, the networks have plain layers with the adapters added to their weights, in main memory, for saving.

    Afterwards, they have their own weights again, bit for bit: adding and subtracting would change them.
    """
    replaced: list[tuple[nn.Module, str, nn.Module]] = []
    try:
        for backbone in model.backbones():
            for parent, name, layer in _adapted(backbone):
                replaced.append((parent, name, layer))
                setattr(parent, name, _plain(layer))
        yield
    finally:
        for parent, name, layer in replaced:
            setattr(parent, name, layer)


def _adapted(backbone: Backbone) -> list[tuple[nn.Module, str, nn.Module]]:
    return [
        (parent, name, layer)
        for parent in backbone.modules()
        for name, layer in parent.named_children()
        if hasattr(layer, "lora_A") and hasattr(layer, "base_layer")
    ]


@torch.no_grad()
def _plain(layer: Any) -> nn.Module:
    (name,) = layer.lora_A
    plain: nn.Module = copy.copy(layer.base_layer)
    whole = layer.base_layer.weight.float() + layer.get_delta_weight(name).float()
    plain._parameters = {**plain._parameters, "weight": nn.Parameter(whole.cpu(), requires_grad=False)}
    return plain


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear)
