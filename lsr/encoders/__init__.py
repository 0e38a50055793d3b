"""Encoders: text -> sparse vectors. Importing this loads no torch; loading an encoder that runs a network does."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lsr.encoders.base import Encoder
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.load import load_encoder
from lsr.encoders.pruning import Pruning
from lsr.encoders.sparse.sparse_encoder import SparseEncoder

if TYPE_CHECKING:
    from lsr.encoders.build import build_encoder
    from lsr.encoders.dense.dense_encoder import DenseEncoder, load_dense_encoder

__all__ = [
    "BM25Encoder",
    "DenseEncoder",
    "Encoder",
    "Pruning",
    "SparseEncoder",
    "build_encoder",
    "load_dense_encoder",
    "load_encoder",
]


# Loaded when first used: a search server neither builds encoders nor, where queries are looked up, needs torch.
_HOMES = {
    "DenseEncoder": "lsr.encoders.dense.dense_encoder",
    "build_encoder": "lsr.encoders.build",
    "load_dense_encoder": "lsr.encoders.dense.dense_encoder",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
