"""Folders of the unified framework (Nguyen et al. 2023; thongnt99/learned-sparse-retrieval on GitHub)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from lsr.encoders.folders.files import check_weights, longest_of, read_object
from lsr.encoders.spec import BackboneSpec, EncoderSpec, HeadSpec, LookupSpec, SideSpec, TransformerSpec
from lsr.errors import EncoderError
from lsr.files import DAMAGE

MODEL_TYPE = "DualEncoder"
WEIGHTS_FILE = "model.safetensors"
PREFIX = "model."
UNSTATED_LENGTH = 512
# Its activation and norm, one after the other, are one function here.
ACTIVATIONS = {
    ("identity", "identity"): "identity",
    ("relu", "identity"): "relu",
    ("identity", "relu"): "relu",
    ("relu", "log1p"): "log1p",
    ("softplus", "identity"): "softplus",
    ("softplus", "log1p"): "log1p-softplus",
}
NAMES = (
    ("importance.weight", "term_importance.linear.weight"),
    ("importance.bias", "term_importance.linear.bias"),
    ("quality.weight", "doc_quality.linear.weight"),
    ("quality.bias", "doc_quality.linear.bias"),
)


def is_framework(folder: Path) -> bool:
    """Whether the folder is one of the framework's."""
    path = folder / "config.json"
    return path.is_file() and read_object(path).get("model_type") == MODEL_TYPE


def read_framework(name: str, folder: Path, max_length: int | None) -> EncoderSpec:
    """The encoder of such a folder. Repeated tokens are summed in queries and their maximum taken in documents, by its
    code (DualSparseEncoder); positions of special tokens do not count. Raises EncoderError.
    """
    shared = read_object(folder / "config.json").get("shared", False)
    folders = ("shared_encoder", "shared_encoder") if shared else ("query_encoder", "doc_encoder")
    sides = [
        _side(folder / place, folder / "tokenizer", pooling, max_length)
        for place, pooling in zip(folders, ("sum", "max"), strict=True)
    ]
    return EncoderSpec(name, sides[0], sides[1], "unified framework")


def _side(folder: Path, tokenizer: Path, repeated: str, max_length: int | None) -> SideSpec:
    path = folder / "config.json"
    config = read_object(path)
    kind = config.get("model_type")
    check_weights(folder)
    if not tokenizer.is_dir():
        raise EncoderError(f"{tokenizer}: is missing; copy the tokeniser that the encoder was trained with there")
    if kind == "BINARY":
        components = config.get("vocab_size")
        return LookupSpec(
            tokenizer=str(tokenizer),
            counts=repeated == "sum",
            special_components=True,
            scale=_scale(folder / WEIGHTS_FILE),
            components=components if isinstance(components, int) else None,
            max_length=max_length or UNSTATED_LENGTH,
        )
    activation = config.get("activation", "relu"), config.get("norm", "log1p")
    if activation not in ACTIVATIONS:
        raise EncoderError(
            f"{path}: activation and norm are {activation}; lsr knows {', '.join(map(str, ACTIVATIONS))}"
        )
    settings: dict[str, Any] = {"activation": ACTIVATIONS[activation], "special_positions": False}
    task = "masked-lm"
    names: tuple[tuple[str, str], ...] = NAMES
    if kind == "MLP":
        settings |= {"kind": "mlp", "pooling": repeated}
        task, names = "base", ()
    elif kind == "CLS_MLM":
        settings |= {"pooling": "first", "special_positions": True}
    elif kind == "MLM":
        settings |= {
            "pooling": _pool(path, config.get("pool", "max")),
            "importance": _epic(path, "term_importance", config),
            "quality": _epic(path, "doc_quality", config),
        }
    else:
        raise EncoderError(f"{path}: model_type is {kind!r}; lsr knows BINARY, MLP, MLM and CLS_MLM")
    base = config.get("tf_base_model_name_or_dir")
    if not isinstance(base, str):
        raise EncoderError(f"{path}: tf_base_model_name_or_dir, the name of its backbone, is missing; save it again")
    head = HeadSpec(**settings)
    has_weights = head.kind == "mlp" or head.importance or head.quality
    asked = max_length or UNSTATED_LENGTH
    return TransformerSpec(
        BackboneSpec(base, str(folder), str(tokenizer), PREFIX, task),
        head,
        longest_of(Path(base), asked, asked) if (Path(base) / "config.json").is_file() else asked,
        head_weights=str(folder / WEIGHTS_FILE) if has_weights else None,
        head_names=names if has_weights else (),
    )


def _scale(path: Path) -> float:
    try:
        with safe_open(path, "numpy") as tensors:
            return float(np.asarray(tensors.get_tensor("scale")))
    except DAMAGE as error:
        raise EncoderError(f"{path}: has no number `scale` ({error}); copy or save the model again") from error


def _pool(path: Path, pool: Any) -> str:
    if pool not in ("max", "sum"):
        raise EncoderError(f"{path}: pool is {pool!r}; lsr knows max and sum")
    return str(pool)


def _epic(path: Path, part: str, config: dict[str, Any]) -> bool:
    value = config.get(part, "no")
    if value not in ("no", "allone", "epic"):
        raise EncoderError(f"{path}: {part} is {value!r}; lsr knows no and epic")
    return bool(value == "epic")
