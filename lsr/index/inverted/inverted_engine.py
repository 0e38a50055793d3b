"""InvertedEngine: posting lists of documents, from which every search is exact."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.errors import IndexFormatError
from lsr.index.filters import Filter
from lsr.index.index_checks import empty_result
from lsr.index.inverted.inverted_kernels import (
    Inverted,
    find_lists,
    read_rows,
    scatter_postings,
    search_queries,
    transpose_lists,
)
from lsr.index.parameters import SearchParams
from lsr.index.rows import GatheredRows
from lsr.storage.arrays import read_only
from lsr.threads import thread_pool
from lsr.vectors.normalize import indptr_of
from lsr.vectors.sparse_vectors import SparseVectors

QUERIES_PER_TASK = 32
DAMAGED_LISTS = "posting lists name rows that are not in them; lsr check INDEX tells which files differ"


class ListsOfRows(NamedTuple):
    """Which posting lists have each row, rising: indptr int64[n + 1], lists uint16 or uint32[postings].

    Its weights stand in the lists, where a binary search finds them: this takes a third of what a copy would.
    """

    indptr: npt.NDArray[np.int64]
    lists: npt.NDArray[Any]


class InvertedEngine:
    """Finds the documents with the largest inner products by adding up posting lists, term at a time.

    Scores are float32: products and partial sums are rounded one by one, in the order of rising components, so that
    they are the same for any number of threads.

    of_rows: worked out when first needed if None. idle: the sums that searches leave to each other. checked:
    uint8[lists], not zero for those that a search has found in order.
    """

    def __init__(self, inverted: Inverted, documents: int, dim: int, of_rows: ListsOfRows | None = None) -> None:
        self.inverted = Inverted(*(read_only(array) for array in inverted))
        self.dim = dim
        self._documents = documents
        if of_rows is not None:
            self.of_rows = ListsOfRows(*(read_only(array) for array in of_rows))
        self.checked = np.zeros(len(inverted.components), np.uint8)
        self.idle: list[npt.NDArray[np.float32]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return InvertedEngine, (self.inverted, self._documents, self.dim, self.__dict__.get("of_rows"))

    @classmethod
    def build(cls, vectors: SparseVectors) -> InvertedEngine:
        """The posting lists of all components that occur."""
        components = np.unique(vectors.indices).astype(np.uint32)
        lists = np.empty(vectors.nnz, list_type(len(components)))
        find_lists(vectors.indices, components, lists)
        starts = indptr_of(np.bincount(lists, minlength=len(components)))
        rows, weights = np.empty(vectors.nnz, np.uint32), np.empty(vectors.nnz, np.float32)
        scatter_postings(vectors.indptr, lists, vectors.values, 0, 0, starts[:-1].copy(), rows, weights)
        of_rows = ListsOfRows(vectors.indptr, lists)
        return cls(Inverted(components, starts, rows, weights), len(vectors), vectors.dim, of_rows)

    @cached_property
    def of_rows(self) -> ListsOfRows:
        """Which lists have each row."""
        indptr = indptr_of(np.bincount(self.inverted.rows, minlength=len(self)))
        lists = np.empty(self.postings, list_type(len(self.inverted.components)))
        transpose_lists(self.inverted, indptr[:-1].copy(), lists)
        return ListsOfRows(read_only(indptr), read_only(lists))

    @property
    def postings(self) -> int:
        """Non-zeros of all documents."""
        return len(self.inverted.rows)

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes of each part: the posting lists, and which of them each row is in."""
        return {
            "inverted lists": sum(array.nbytes for array in self.inverted),
            "lists of rows": sum(array.nbytes for array in self.of_rows),
        }

    def __len__(self) -> int:
        """Number of documents."""
        return self._documents

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All arrays, by the names of their files."""
        return {**self.inverted._asdict(), **self.of_rows._asdict()}

    def gather(self, rows: npt.NDArray[np.int64]) -> GatheredRows:
        """The vectors of documents, int64[n], all of which exist, their components rising.

        Raises IndexFormatError for a damaged file.
        """
        of_rows = self.of_rows
        indptr = indptr_of(np.diff(of_rows.indptr)[rows])
        gathered = GatheredRows(indptr, np.empty(indptr[-1], np.uint32), np.empty(indptr[-1], np.float32))
        if not read_rows(self.inverted, *of_rows, rows, gathered):
            raise IndexFormatError(DAMAGED_LISTS)
        return gathered

    def search(
        self, queries: SparseVectors, k: int, params: SearchParams, threads: int, allowed: Filter | None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Scores float32[queries, k] and rows int64[queries, k] of the best documents, whatever the parameters.

        Raises IndexFormatError for a damaged file.
        """
        scores, rows = empty_result(len(queries), k)
        starts, lists, weights = find_terms(self.inverted, queries)
        may_be_found = np.empty(0, np.float32) if allowed is None else allowed.factors
        filled = min(k, len(self))  # so that the kernel's heap never exceeds the documents

        def search_some(first: int) -> None:
            last = min(first + QUERIES_PER_TASK, len(queries))
            sums = self._borrow()
            if not search_queries(
                starts[first : last + 1],
                lists,
                weights,
                self.inverted,
                may_be_found,
                self.checked,
                sums,
                sums.view(np.int32),
                scores[first:last, :filled],
                rows[first:last, :filled],
            ):
                raise IndexFormatError(DAMAGED_LISTS)
            self.idle.append(sums)

        if filled:
            tasks = range(0, len(queries), QUERIES_PER_TASK)
            if threads == 1 or len(tasks) == 1:  # starting a thread takes longer than a search
                for first in tasks:
                    search_some(first)
            else:
                with thread_pool(threads) as pool:
                    list(pool.map(search_some, tasks))  # to the end, or to the first error
        return scores, rows

    def _borrow(self) -> npt.NDArray[np.float32]:
        """A zero for each document: what a former search has left, if it is done."""
        with suppress(IndexError):  # another thread may take the last one
            return self.idle.pop()
        return np.zeros(len(self), np.float32)


def find_terms(
    inverted: Inverted, queries: SparseVectors
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The queries' rows with lists instead of components, without those that occur in no document."""
    components = inverted.components
    lists = np.searchsorted(components, queries.indices)
    known = np.zeros(queries.nnz, bool)
    inside = lists < len(components)
    known[inside] = components[lists[inside]] == queries.indices[inside]
    starts = np.concatenate([[0], np.cumsum(known)])[queries.indptr]
    return starts, lists[known], queries.values[known]


def list_type(n_lists: int) -> np.dtype[Any]:
    """The type of the numbers of so many lists."""
    return np.dtype(np.uint16 if n_lists <= 1 << 16 else np.uint32)
