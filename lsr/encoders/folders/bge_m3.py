"""Folders of BGE-M3 (Chen et al. 2024): of its three ways to search, the lexical weights."""

from __future__ import annotations

from pathlib import Path

from lsr.encoders.folders.find import LEXICAL_HEAD, PICKLED_WEIGHTS
from lsr.encoders.folders.model_files import AGAIN, NO_LIMIT, WEIGHTS, limit_of, positions_of, shortest
from lsr.encoders.spec import BackboneSpec, EncoderSpec, HeadSpec, TransformerSpec
from lsr.errors import EncoderError


def is_bge_m3(folder: Path) -> bool:
    """Whether the folder is one of BGE-M3's."""
    return (folder / LEXICAL_HEAD).is_file()


def read_bge_m3(name: str, folder: Path, max_length: int | None) -> EncoderSpec:
    """A token weighs relu(v · h_i + b), and the largest counts where it is repeated; special tokens weigh nothing.

    Its authors publish no safetensors: these pickles are read by torch, told to make tensors and nothing else.
    Raises EncoderError.
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
