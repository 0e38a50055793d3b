"""InvertedEngine: posting lists of documents. Every search is exact."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.errors import IndexFormatError
from lsr.index.budget import Budget, Search, searched
from lsr.index.clock import NEVER
from lsr.index.filters import Filter
from lsr.index.inverted.inverted_kernels import (
    ALLOWED,
    COLUMNS,
    COMPONENTS,
    DELETED,
    DOCUMENTS,
    FIRST,
    MAXIMA,
    N_ALLOWED,
    N_DELETED,
    N_LISTS,
    N_PASSAGES,
    N_POSTINGS,
    NOTHING,
    PASSAGES,
    ROWS,
    STARTS,
    WEIGHTS,
    Inverted,
    Terms,
    find_lists,
    read_rows,
    scatter_postings,
    search_lists,
    transpose_lists,
)
from lsr.index.numbered_rows import ALL_ROWS, NumberedRows
from lsr.index.parameters import SearchParams
from lsr.index.rows import GatheredRows
from lsr.storage.arrays import Array, read_only
from lsr.vectors.normalize import indptr_of
from lsr.vectors.sparse_vectors import SparseVectors

JOB_QUERIES = 32  # queries between two chances to stop a search
DAMAGED_LISTS = "posting lists have invalid row numbers; lsr check INDEX tells which files are damaged"

NO_LISTS = Inverted(*(read_only(np.empty(0, kind)) for kind in (np.uint32, np.int64, np.uint32, np.float32)))


class Lines(NamedTuple):
    """Lines of a ListTable, int64[engines, columns], and the arrays to whose addresses they refer.

    Searches with the lines must hold the arrays: two threads that use a filter for the first time can create its arrays
    twice, and the filter itself keeps only one of them.
    """

    table: npt.NDArray[np.int64]
    held: Sequence[Array] = ()


class ListsOfRows(NamedTuple):
    """The posting lists of each row, ascending: indptr int64[n + 1], lists uint16 or uint32[postings].

    The weights are found in the posting lists by binary search; a copy would take three times the memory.
    """

    indptr: npt.NDArray[np.int64]
    lists: npt.NDArray[Any]


class InvertedEngine:
    """Searches exactly by adding up posting lists, term at a time.

    Scores are float32: products and partial sums are rounded one by one, in ascending order of components, so they are
    the same for any number of threads.

    of_rows: computed on first use if None. maxima: float32[lists], the largest weight of each list that a search has
        used and checked; -1 for others.
    """

    def __init__(self, inverted: Inverted, documents: int, dim: int, of_rows: ListsOfRows | None = None) -> None:
        self.inverted = Inverted(*(read_only(array) for array in inverted))
        self.dim = dim
        self._documents = documents
        if of_rows is not None:
            self.of_rows = ListsOfRows(*(read_only(array) for array in of_rows))
        self.maxima = np.full(len(inverted.components), -1, np.float32)

    def __reduce__(self) -> tuple[Any, ...]:
        return InvertedEngine, (self.inverted, self._documents, self.dim, self.__dict__.get("of_rows"))

    @classmethod
    def build(cls, vectors: SparseVectors) -> InvertedEngine:
        """An engine with posting lists of all components that occur."""
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
        """The lists of each row."""
        indptr = indptr_of(np.bincount(self.inverted.rows, minlength=len(self)))
        lists = np.empty(self.postings, list_type(len(self.inverted.components)))
        transpose_lists(self.inverted, indptr[:-1].copy(), lists)
        return ListsOfRows(read_only(indptr), read_only(lists))

    @property
    def postings(self) -> int:
        """The number of non-zeros of all documents."""
        return len(self.inverted.rows)

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes of each part: the posting lists, and the lists of each row."""
        return {
            "inverted lists": sum(array.nbytes for array in self.inverted),
            "lists of rows": sum(array.nbytes for array in self.of_rows),
        }

    def __len__(self) -> int:
        """Number of documents."""
        return self._documents

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All arrays by the names of their files."""
        return {**self.inverted._asdict(), **self.of_rows._asdict()}

    def gather(self, rows: npt.NDArray[np.int64]) -> GatheredRows:
        """The vectors of documents, int64[n], which must exist, with ascending components.

        Raises IndexFormatError for a damaged file.
        """
        of_rows = self.of_rows
        indptr = indptr_of(np.diff(of_rows.indptr)[rows])
        gathered = GatheredRows(indptr, np.empty(indptr[-1], np.uint32), np.empty(indptr[-1], np.float32))
        if not read_rows(self.inverted, *of_rows, rows, gathered):
            raise IndexFormatError(DAMAGED_LISTS)
        return gathered

    def search(
        self,
        queries: SparseVectors,
        k: int,
        params: SearchParams,
        threads: int,
        allowed: Filter | None,
        recall: Array | None = None,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Scores float32[queries, k] and rows int64[queries, k] of the best documents, for any parameters.

        Raises IndexFormatError for a damaged file.
        """
        lists = self.lists
        lines = lists.lines if allowed is None else lists.lines_of([allowed])
        search = lists.search_with(queries, min(k, len(self)), lines, share=1.0)
        return searched(search, len(queries), k, len(self), params.budget_us, recall, JOB_QUERIES, threads)

    @cached_property
    def lists(self) -> ListTable:
        """The table of this engine alone."""
        return ListTable([self], [ALL_ROWS])


class ListTable:
    """Addresses of the arrays of several engines, so that one call of a kernel searches all of them.

    lines: one per engine, in the kernel's format. idle: unused arrays of sums, shared by searches.
    """

    def __init__(self, engines: Sequence[InvertedEngine], live: Sequence[NumberedRows]) -> None:
        # Holds the arrays, which must not move, but not the engines: an engine with a table would live until a garbage
        # collection.
        self._held = [(each.inverted, each.maxima) for each in engines], tuple(live)
        self._largest = max(map(len, engines), default=0)
        self.idle: list[npt.NDArray[np.float32]] = []
        self.lines = Lines(np.zeros((len(engines), COLUMNS), np.int64))
        for line, engine, rows in zip(self.lines.table, engines, live, strict=True):
            inverted = engine.inverted
            for at, array in ((COMPONENTS, inverted.components), (STARTS, inverted.starts), (ROWS, inverted.rows)):
                line[at] = address_of(array)
            line[WEIGHTS], line[N_LISTS] = address_of(inverted.weights), len(inverted.components)
            line[N_POSTINGS], line[DOCUMENTS], line[FIRST] = engine.postings, len(engine), rows.first
            line[MAXIMA] = address_of(engine.maxima)
            line[DELETED : N_DELETED + 1] = address_of(rows.deleted), len(rows.deleted)
            line[PASSAGES : N_PASSAGES + 1] = address_of(rows.starts), len(rows.starts)

    def lines_of(self, filters: Sequence[Filter]) -> Lines:
        """The lines for a filter of each engine, without engines that have no allowed rows.

        Filters are for rows that are not deleted.
        """
        table, factors = self.lines.table.copy(), [chosen.factors for chosen in filters]
        for line, allowed in zip(table, factors, strict=True):
            line[ALLOWED : N_ALLOWED + 1] = address_of(allowed), len(allowed)
        return Lines(table[[chosen.count > 0 for chosen in filters]], factors)

    def search_with(self, queries: SparseVectors, most: int, lines: Lines, share: float) -> Search | None:
        """A function that searches queries begin..end in any thread; None if no row is allowed.

        most: maximum number of hits per query. lines: all lines of this table, or those of lines_of.
        share: see search_lists; below 1, the search may miss a document if others have left scores.
        The returned function takes the arguments of search_lists: begin, end, kept, scores, rows; and a Budget of one
        query.
        """
        if not most or not len(lines.table):
            return None
        # Arrays of one type for all queries, so that Numba compiles once.
        rows_of = (
            queries.indptr.astype(np.int64, copy=False),
            queries.indices.astype(np.uint32, copy=False),
            queries.values.astype(np.float32, copy=False),
        )
        # Of one query without a call of NumPy, which would take 4 µs.
        longest = len(queries.indices) if len(queries) == 1 else int(np.diff(rows_of[0]).max(initial=0))

        def search(begin: int, end: int, kept: Array, scores: Array, rows: Array, budget: Budget | None) -> None:
            deadline = NEVER if budget is None else budget.deadline
            missed = np.zeros(1)
            sums = self._borrow()
            nothing = np.full(kept.shape[1], NOTHING)
            best = np.empty(most, np.float32)
            terms = Terms(
                *(np.empty(longest, kind) for kind in (np.int64, np.float32, np.float64, np.float64, np.int64))
            )
            work = sums, sums.view(np.int32), best, best.view(np.int32), np.empty(most, np.int64)
            table = lines.table, NO_LISTS, share, deadline, missed
            if not search_lists(*rows_of, begin, end, *table, kept, nothing, terms, *work, scores, rows):
                raise IndexFormatError(DAMAGED_LISTS)
            self.idle.append(sums)
            if budget is not None and missed[0]:
                budget.miss(float(missed[0]))

        return search

    def _borrow(self) -> npt.NDArray[np.float32]:
        """A zero per document: an array of a finished search, or a new one."""
        with suppress(IndexError):  # another thread can take the last one
            return self.idle.pop()
        return np.zeros(self._largest, np.float32)


def address_of(array: npt.NDArray[Any]) -> int:
    """The address of the first byte."""
    address: int = array.__array_interface__["data"][0]
    return address


def list_type(n_lists: int) -> np.dtype[Any]:
    """The type of list numbers for this number of lists."""
    return np.dtype(np.uint16 if n_lists <= 1 << 16 else np.uint32)
