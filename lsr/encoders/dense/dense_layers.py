"""Layers of sentence-transformers after pooling: Dense and LayerNorm, as in ANCE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from lsr.encoders.base import first_line
from lsr.encoders.folders.model_files import AGAIN, CONFIG_FILE, WEIGHTS, check_weights, read_object
from lsr.encoders.folders.sentence_transformers import Module
from lsr.errors import EncoderError

ROW = "sentence_embedding"  # name of a row in the modules
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")  # of torch.nn


def read_layers(modules: Sequence[Module], width: int) -> tuple[torch.nn.Sequential, int]:
    """The layers, in float32 on the CPU, and the number of components that the last one returns.

    modules: of the kinds Dense, act(W x + b), and LayerNorm. width: number of components of the input.
    Raises EncoderError for unsupported settings, and weights of other shapes.
    """
    layers = []
    for kind, folder in modules:
        settings = read_object(folder / CONFIG_FILE)
        layer, activation = (_dense if kind == "Dense" else _norm)(folder, settings, width)
        check_weights(folder)
        prefix = "linear." if kind == "Dense" else "norm."
        try:
            stored = load_file(folder / WEIGHTS[0])
            layer.load_state_dict({name.removeprefix(prefix): weight.float() for name, weight in stored.items()})
        except Exception as error:  # errors of two libraries for damaged files have no common class
            raise EncoderError(f"{folder / WEIGHTS[0]}: does not fit ({first_line(error)}); {AGAIN}") from error
        width = int(layer.weight.shape[0])
        layers += [layer, activation]
    return torch.nn.Sequential(*layers).eval().requires_grad_(False), width


def _dense(folder: Path, settings: dict[str, Any], width: int) -> tuple[torch.nn.Linear, torch.nn.Module]:
    named = str(settings.get("activation_function", "torch.nn.modules.activation.Tanh")).rsplit(".", 1)[-1]
    if named not in ACTIVATIONS:
        raise EncoderError(f"{folder}: the activation {named} is not supported; lsr supports {', '.join(ACTIVATIONS)}")
    places = {settings.get(key) or ROW for key in ("module_input_name", "module_output_name")}
    if settings.get("use_residual") or places != {ROW}:
        raise EncoderError(
            f"{folder}: a Dense layer that adds its input, or with another input than {ROW}, is not supported; lsr "
            "supports act(W x + b)"
        )
    _check_width(folder, settings.get("in_features"), width)
    out, bias = _whole(folder, "out_features", settings.get("out_features")), settings.get("bias", True)
    return torch.nn.Linear(width, out, bias=bool(bias)), getattr(torch.nn, named)()


def _norm(folder: Path, settings: dict[str, Any], width: int) -> tuple[torch.nn.LayerNorm, torch.nn.Module]:
    _check_width(folder, settings.get("dimension"), width)
    return torch.nn.LayerNorm(width), torch.nn.Identity()


def _check_width(folder: Path, stated: Any, width: int) -> None:
    if stated != width:
        raise EncoderError(f"{folder}: expects rows of {stated} components, but gets {width}; {AGAIN}")


def _whole(folder: Path, name: str, value: Any) -> int:
    if type(value) is not int or not 0 < value <= 1 << 20:
        raise EncoderError(f"{folder}: {name} is {value!r}; it must be a positive integer; {AGAIN}")
    return value
