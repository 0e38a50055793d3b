"""Folders of the unified framework (Nguyen et al. 2023; thongnt99/learned-sparse-retrieval on GitHub)."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from lsr.encoders.folders.model_files import (
    AGAIN,
    CONFIG_FILE,
    check_weights,
    chosen,
    limit_of,
    positions_of,
    read_object,
    shortest,
)
from lsr.encoders.spec import (
    Activation,
    BackboneSpec,
    EncoderSpec,
    HeadSpec,
    LookupSpec,
    Pooling,
    SideSpec,
    Task,
    TransformerSpec,
)
from lsr.errors import EncoderError
from lsr.storage.files import DAMAGE

MODEL_TYPE = "DualEncoder"
WEIGHTS_FILE = "model.safetensors"
PREFIX = "model."
FRAMEWORK_LENGTH = 512
FRAMEWORK_HEADS = {each: each for each in ("BINARY", "MLP", "MLM", "CLS_MLM")}
FUNCTIONS = {"identity": "identity", "no": "identity", "relu": "relu", "softplus": "softplus", "log1p": "log1p"}
# Pairs of its activation and norm -> one function here. Other pairs are undefined below zero, or give every component
# a weight.
FRAMEWORK_ACTIVATIONS: dict[tuple[str, str], Activation] = {
    ("identity", "identity"): "identity",
    ("relu", "identity"): "relu",
    ("identity", "relu"): "relu",
    ("relu", "relu"): "relu",
    ("relu", "log1p"): "log1p",
    ("softplus", "identity"): "softplus",
    ("identity", "softplus"): "softplus",
    ("softplus", "log1p"): "log1p-softplus",
}
# abs takes the value farthest from zero, which is the maximum if no value is negative.
FRAMEWORK_POOLINGS: dict[str, Pooling] = {"max": "max", "sum": "sum", "abs": "max"}
PARTS = {"no": "", "allone": "", "epic": "epic"}
NAMES = {"importance": "term_importance", "quality": "doc_quality"}
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def is_framework(folder: Path) -> bool:
    """Whether the folder was written by the framework."""
    path = folder / CONFIG_FILE
    return path.is_file() and read_object(path).get("model_type") == MODEL_TYPE


def read_framework(name: str, folder: Path, max_length: int | None) -> EncoderSpec:
    """The encoder of such a folder. Raises EncoderError.

    Repeated tokens are summed in queries, and their maximum is taken in documents, as in its code (DualSparseEncoder).
    Positions of special tokens are not pooled.
    """
    shared = read_object(folder / CONFIG_FILE).get("shared", False)
    query, document = ("shared_encoder", "shared_encoder") if shared else ("query_encoder", "doc_encoder")
    return EncoderSpec(
        name,
        _side(folder, folder / query, "sum", max_length),
        _side(folder, folder / document, "max", max_length),
        "unified framework",
    )


def _side(root: Path, folder: Path, repeated: Pooling, max_length: int | None) -> SideSpec:
    path, tokenizer = folder / CONFIG_FILE, root / "tokenizer"
    config = read_object(path)
    kind = chosen(path, "model_type", config.get("model_type"), FRAMEWORK_HEADS)
    check_weights(folder)
    if not tokenizer.is_dir():
        raise EncoderError(f"{tokenizer}: is missing; copy the tokenizer of the training to this place")
    longest = shortest(FRAMEWORK_LENGTH if max_length is None else max_length, limit_of(tokenizer))
    if kind == "BINARY":
        components = config.get("vocab_size")
        return LookupSpec(
            tokenizer=str(tokenizer),
            counts=repeated == "sum",
            special_components=True,
            scale=_scale(folder / WEIGHTS_FILE),
            components=components if type(components) is int else None,
            max_length=longest,
        )
    head = _head(path, kind, config, repeated)
    names = [*(["linear"] if head.kind == "mlp" else []), *(each for each in NAMES if getattr(head, each))]
    base, longest = _base(root, path, config.get("tf_base_model_name_or_dir"), longest)
    task: Task = "base" if head.kind == "mlp" else "masked-lm"
    return TransformerSpec(
        BackboneSpec(base, str(folder), str(tokenizer), PREFIX, task),
        head,
        longest,
        head_weights=str(folder / WEIGHTS_FILE) if names else None,
        head_names=tuple(
            (f"{each}.{part}", f"{NAMES[each]}.linear.{part}")
            for each in names
            if each in NAMES
            for part in ("weight", "bias")
        ),
    )


def _head(path: Path, kind: str, config: dict[str, Any], repeated: Pooling) -> HeadSpec:
    activation, norm = (
        chosen(path, what, config.get(what, usual), FUNCTIONS)
        for what, usual in (("activation", "relu"), ("norm", "log1p"))
    )
    if (activation, norm) not in FRAMEWORK_ACTIVATIONS:
        pairs = ", ".join(" and ".join(pair) for pair in FRAMEWORK_ACTIVATIONS)
        raise EncoderError(f"{path}: activation {activation} with norm {norm} is not supported; lsr supports {pairs}")
    function = FRAMEWORK_ACTIVATIONS[activation, norm]
    if kind == "MLP":
        return HeadSpec("mlp", function, repeated, special_positions=False)
    if kind == "CLS_MLM":
        return HeadSpec("mlm", function, "first")
    if config.get("pool") == "abs" and function == "identity":
        raise EncoderError(
            f"{path}: pool 'abs' is not supported for weights that can be negative; lsr supports max and sum"
        )
    return HeadSpec(
        "mlm",
        function,
        chosen(path, "pool", config.get("pool", "max"), FRAMEWORK_POOLINGS),
        special_positions=False,
        importance=bool(chosen(path, "term_importance", config.get("term_importance", "no"), PARTS)),
        quality=bool(chosen(path, "doc_quality", config.get("doc_quality", "no"), PARTS)),
    )


def _base(root: Path, path: Path, base: Any, longest: int) -> tuple[str, int]:
    """The folder of the backbone's config.json, which the framework does not copy, and its maximum number of tokens.

    A folder inside the encoder's folder has precedence over a Hugging Face id; other folders are not used.
    """
    if isinstance(base, str) and _HUB_NAME.fullmatch(base):
        inside = root / base
        if (inside / CONFIG_FILE).is_file():
            return str(inside), shortest(longest, positions_of(inside))
        return base, longest
    raise EncoderError(
        f"{path}: tf_base_model_name_or_dir is {base!r}, which is neither a Hugging Face id nor a folder inside "
        f"{root}; copy {CONFIG_FILE} of the backbone to {root / 'backbone'} and write 'backbone' there"
    )


def _scale(path: Path) -> float:
    try:
        with safe_open(path, "numpy") as tensors:
            scale = float(np.asarray(tensors.get_tensor("scale")).item())
    except DAMAGE as error:
        raise EncoderError(f"{path}: has no number `scale` ({error}); {AGAIN}") from error
    if not (math.isfinite(scale) and scale > 0):
        raise EncoderError(f"{path}: scale is {scale}, so that no token has a weight; train the encoder again")
    return scale
