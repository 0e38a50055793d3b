"""What all indexes can do, and the engines in sparse ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from lsr.index.filters import Allowed, Filter
from lsr.index.parameters import SearchParams
from lsr.index.result import SearchResult
from lsr.index.rows import GatheredRows
from lsr.storage.arrays import Array
from lsr.storage.id_column import Ids
from lsr.vectors.sparse_vectors import SparseVectors


class Index(Protocol):
    """An index of sparse or of dense vectors.

    Queries are SparseVectors or float32[queries, dim]. So are the batches of iter_vectors: SparseVectors, or (ids,
    float32[rows, dim]). vector and gather give (components, weights) and GatheredRows, or float32[dim] and [rows, dim].
    """

    @property
    def dim(self) -> int: ...
    @property
    def ids(self) -> Ids | None: ...
    @property
    def nbytes(self) -> dict[str, int]: ...
    def __len__(self) -> int: ...
    def search(
        self,
        queries: Any,
        k: int = 10,
        params: SearchParams | None = None,
        threads: int | None = 1,
        allowed: Allowed | None = None,
    ) -> SearchResult: ...
    def vector(self, row: int) -> Any: ...
    def gather(self, rows: Array) -> Any: ...
    def iter_vectors(self) -> Iterator[Any]: ...


class Engine(Protocol):
    """The arrays of some documents, and the search in them: one way to store posting lists."""

    @property
    def dim(self) -> int: ...
    @property
    def postings(self) -> int: ...
    @property
    def nbytes(self) -> dict[str, int]: ...
    def __len__(self) -> int: ...
    def gather(self, rows: Array) -> GatheredRows: ...
    def search(
        self,
        queries: SparseVectors,
        k: int,
        params: SearchParams,
        threads: int,
        allowed: Filter | None,
        recall: Array | None = None,
    ) -> tuple[Array, Array]: ...
