"""Learned sparse retrieval: encode, index, search, explain and evaluate.

The names below are the public ones. Each is loaded when it is first used, so that importing lsr costs nothing: neither
torch nor numba comes in before an encoder or an index asks for it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lsr.encoders import load_encoder
    from lsr.errors import LsrError
    from lsr.index.inverted.exact_index import ExactIndex
    from lsr.index.parameters import IndexConfig, SearchParams
    from lsr.index.seismic.seismic_index import SeismicIndex
    from lsr.retrieval.searcher import Searcher
    from lsr.vectors.sparse_vectors import SparseVectors

_HOMES = {
    "ExactIndex": "lsr.index.inverted.exact_index",
    "IndexConfig": "lsr.index.parameters",
    "LsrError": "lsr.errors",
    "SearchParams": "lsr.index.parameters",
    "Searcher": "lsr.retrieval.searcher",
    "SeismicIndex": "lsr.index.seismic.seismic_index",
    "SparseVectors": "lsr.vectors.sparse_vectors",
    "load_encoder": "lsr.encoders",
}

__all__ = [
    "ExactIndex",
    "IndexConfig",
    "LsrError",
    "SearchParams",
    "Searcher",
    "SeismicIndex",
    "SparseVectors",
    "load_encoder",
]

try:
    __version__ = version("lsr-engine")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lsr' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
