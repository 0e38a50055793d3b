"""The interfaces of indexes, and of engines in sparse indexes."""

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
    """An index of sparse or dense vectors."""

    @property
    def dim(self) -> int:
        """Number of components of documents and queries."""

    @property
    def ids(self) -> Ids | None:
        """The ids of the documents by row; None if the index has none."""

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes in memory (or memory-mapped) of each part."""

    def __len__(self) -> int:
        """Number of documents; with passages, number of rows."""

    def search(
        self,
        queries: Any,
        k: int = 10,
        params: SearchParams | None = None,
        threads: int | None = 1,
        allowed: Allowed | None = None,
    ) -> SearchResult:
        """The k best documents of each query; see SeismicIndex.search.

        queries: SparseVectors, or float32[queries, dim].
        """

    def vector(self, row: int) -> Any:
        """The vector of a document: (components, weights), or float32[dim]. Raises ParameterError."""

    def gather(self, rows: Array) -> Any:
        """The vectors of documents, int64[n]: GatheredRows, or float32[n, dim]. Raises ParameterError."""

    def iter_vectors(self) -> Iterator[Any]:
        """All vectors in the order of rows, in batches: SparseVectors with ids, or (ids, float32[rows, dim])."""


class Engine(Protocol):
    """The arrays of some documents and the search in them: one way to store posting lists."""

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
