"""Folders of BGE-M3 (Chen et al. 2024). Only its lexical weights are used."""

from __future__ import annotations

from pathlib import Path

from lsr.encoders.folders.find import LEXICAL_HEAD, PICKLED_WEIGHTS
from lsr.encoders.folders.model_files import AGAIN, NO_LIMIT, WEIGHTS, limit_of, positions_of, shortest
from lsr.encoders.spec import BackboneSpec, EncoderSpec, HeadSpec, TransformerSpec
from lsr.errors import EncoderError


def is_bge_m3(folder: Path) -> bool:
    """Whether the folder is a BGE-M3 model."""
    return (folder / LEXICAL_HEAD).is_file()


def read_bge_m3(name: str, folder: Path, max_length: int | None) -> EncoderSpec:
    """The weight of a token is relu(v · h_i + b), the largest one of repeated tokens; special tokens have no weight.

    Its authors publish no safetensors. torch reads these pickles with weights_only, which creates only tensors. Raises
    EncoderError.
    """
    safe = any((folder / file).is_file() for file in WEIGHTS)
    if not safe and not (folder / PICKLED_WEIGHTS).is_file():
        raise EncoderError(f"{folder}: has neither {WEIGHTS[0]} nor {PICKLED_WEIGHTS}; {AGAIN}")
    place = str(folder)
    side = TransformerSpec(
        BackboneSpec(place, place, place, task="base", pickled=not safe),
        HeadSpec("mlp", "relu", "max", special_positions=False, special_components=False),
        shortest(NO_LIMIT if max_length is None else max_length, positions_of(folder), limit_of(folder)),
        head_weights=str(folder / LEXICAL_HEAD),
        head_names=(("linear.weight", "weight"), ("linear.bias", "bias")),
    )
    return EncoderSpec(name, side, side, "BGE-M3")
