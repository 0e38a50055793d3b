"""SegmentedEngine: a search over several engines, without their deleted rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lsr.index.budget import Budget, Search, searched
from lsr.index.filters import Filter
from lsr.index.index_checks import empty_result
from lsr.index.inverted.inverted_engine import InvertedEngine, Lines, ListTable
from lsr.index.numbered_rows import NO_PASSAGES, NumberedRows
from lsr.index.parameters import SearchParams
from lsr.index.rows import GatheredRows
from lsr.index.segments.row_map import RowMap
from lsr.index.seismic.engine import BlockEngine, check_knn, heap_size, job_size
from lsr.index.seismic.search.kernels import Limits
from lsr.storage.arrays import Array
from lsr.vectors.normalize import indptr_of
from lsr.vectors.sparse_vectors import SparseVectors

# A search of inverted segments skips posting lists. If it assumes that they add less to a score than they could, it
# skips more, but can miss documents, which is accepted only beside approximate searches of blocks. This is the assumed
# share of their largest possible contribution. With nine inverted segments of 10,000 documents beside blocks of
# 410,000, it saved 6 % of the time; recall@10 was .9958, not .9963.
SHARE = 0.65


class Segment(NamedTuple):
    """An engine and its rows.

    deleted: uint32[m], ascending. starts: int64[documents + 1], if documents are split into passages: rows
        starts[i]:starts[i + 1] are passages of one document; None if each row is a document.
    """

    engine: BlockEngine | InvertedEngine
    deleted: Array
    starts: Array | None


class _Parts(NamedTuple):
    """A filter, by segment. filters: a filter of each segment's rows. lines: see Lines, for inverted segments."""

    filters: Sequence[Filter]
    lines: Lines


# The plan of a search: segments of blocks, in order, with their limits, and the lines of segments of posting lists.
_Prepared = tuple[Sequence[tuple[int, Limits]], Lines]


class SegmentedEngine:
    """The live rows of several segments as one engine. rows: the numbering of the live rows.

    With passages, results have k different documents, each as the row of its best passage.

    Segments of blocks are searched one by one, the largest first, then all inverted segments together. Each search
    starts with the heap of the searches before, so that it can skip documents with lower scores.
    """

    def __init__(self, segments: Sequence[Segment], dim: int) -> None:
        self.segments = tuple(segments)
        self.dim = dim
        self.rows = RowMap([len(each.engine) for each in segments], [each.deleted for each in segments])
        sizes = np.diff(self.rows.starts)
        self._live = [
            NumberedRows(
                int(first), each.deleted, NO_PASSAGES if each.starts is None else each.starts, size / max(1, len(self))
            )
            for each, first, size in zip(segments, self.rows.starts, sizes.tolist(), strict=False)
        ]
        largest = [number for number in np.argsort(-sizes, kind="stable").tolist() if sizes[number]]
        self._blocks = [number for number in largest if isinstance(segments[number].engine, BlockEngine)]
        self._inverted = [number for number in largest if number not in self._blocks]
        # The plan of the last search without a filter, with its k and parameters.
        self._known: tuple[int, SearchParams, _Prepared] | None = None

    def __reduce__(self) -> tuple[type[SegmentedEngine], tuple[object, ...]]:
        return SegmentedEngine, (self.segments, self.dim)

    def __len__(self) -> int:
        """Number of live rows."""
        return len(self.rows)

    @property
    def postings(self) -> int:
        """The number of non-zeros of all stored rows, with deleted ones."""
        return sum(each.engine.postings for each in self.segments)

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes of each part, of all segments together."""
        total: Counter[str] = Counter()
        for each in self.segments:
            total.update(each.engine.nbytes)
        return dict(total)

    @property
    def knn(self) -> int:
        """The number of neighbors per document in the largest kNN graph of a segment; 0 if there is none."""
        return max((each.engine.knn for each in self.segments if isinstance(each.engine, BlockEngine)), default=0)

    def locate(self, row: int) -> tuple[int, int]:
        """The segment of a live row, and its row there."""
        segments, rows = self.rows.locate(np.array([row], np.int64))
        return int(segments[0]), int(rows[0])

    def passages(self, row: int) -> Array:
        """The live rows of the document of a live row, int64[m], ascending."""
        number, inside = self.locate(row)
        starts = self.segments[number].starts
        if starts is None:
            return np.array([row])
        document = int(np.searchsorted(starts, inside, side="right"))
        numbers = self.rows.numbers(number, np.arange(starts[document - 1], starts[document]))
        live: Array = numbers[numbers >= 0]
        return live

    def gather(self, rows: Array) -> GatheredRows:
        """The vectors of existing live rows, int64[n], as a search scores them; unsorted within a row."""
        segments, inside = self.rows.locate(rows)
        lengths, parts = np.zeros(len(rows), np.int64), []
        for number in np.unique(segments).tolist():
            places = np.flatnonzero(segments == number)
            part = self.segments[number].engine.gather(inside[places])
            lengths[places] = np.diff(part.indptr)
            parts.append((places, part))
        indptr = indptr_of(lengths)
        gathered = GatheredRows(indptr, np.empty(indptr[-1], np.uint32), np.empty(indptr[-1], np.float32))
        for places, part in parts:
            to = np.repeat(indptr[places] - part.indptr[:-1], lengths[places]) + np.arange(part.indptr[-1])
            gathered.indices[to], gathered.values[to] = part.indices, part.values
        return gathered

    def search(
        self,
        queries: SparseVectors,
        k: int,
        params: SearchParams,
        threads: int,
        allowed: Filter | None,
        recall: Array | None = None,
    ) -> tuple[Array, Array]:
        """Scores float32[queries, k] and rows int64[queries, k] of the best documents. Raises ParameterError."""
        budget_us, params = params.budget_us, params.without_budget()
        searches = [each for _, each in self._searches(queries, k, params, allowed)]

        def search(begin: int, end: int, kept: Array, scores: Array, rows: Array, budget: Budget | None) -> None:
            kept = np.zeros((end - begin, heap_size(k, len(self))))
            for each in searches:
                each(begin, end, kept, scores, rows, budget)

        size = job_size(len(queries), threads)
        return searched(search if searches else None, len(queries), k, len(self), budget_us, recall, size, threads)

    def before(
        self, number: int, query: SparseVectors, k: int, params: SearchParams, allowed: Filter | None
    ) -> tuple[Limits | None, Array]:
        """The state in which a search for one query starts in a segment of blocks.

        Returns the limits of the search in this segment, None if no row is allowed; and the heap after the segments
        that are searched before, float64[heap size].
        """
        scores, rows = empty_result(1, k)
        kept = np.zeros((1, heap_size(k, len(self))))
        for numbers, search in self._searches(query, k, params, allowed):
            if number in numbers:
                break
            search(0, 1, kept, scores, rows, None)
        limits, _ = self._prepared(k, params, allowed)
        return dict(limits).get(number), kept[0]

    def _searches(
        self, queries: SparseVectors, k: int, params: SearchParams, allowed: Filter | None
    ) -> Iterator[tuple[Sequence[int], Search]]:
        """The searches in order, each with its segments."""
        limits, lines = self._prepared(k, params, allowed)
        for number, each in limits:
            engine = self.segments[number].engine
            assert isinstance(engine, BlockEngine)
            search = engine.search_with(queries, each, heap_size(k, len(self)))
            if search:
                yield [number], search
        share = SHARE if self._blocks and not params.exact else 1.0
        search = self._lists.search_with(queries, min(k, len(self)), lines, share)
        if search:
            yield self._inverted, search

    def _prepared(self, k: int, params: SearchParams, allowed: Filter | None) -> _Prepared:
        if allowed is not None:
            parts = allowed.prepared(self.rows, lambda: self._parts_of(allowed))
            return self._limits(k, params, parts.filters), parts.lines
        known = self._known
        if known is None or known[:2] != (
            k,
            params,
        ):  # most searches have the same k and parameters as the search before
            limits = self._limits(k, params, [None] * len(self.segments))
            self._known = known = k, params, (limits, self._lists.lines)
        return known[2]

    def _limits(self, k: int, params: SearchParams, filters: Sequence[Filter | None]) -> list[tuple[int, Limits]]:
        check_knn(params.knn, self.knn)
        limits = []
        for number in self._blocks:
            engine, chosen = self.segments[number].engine, filters[number]
            assert isinstance(engine, BlockEngine)
            if chosen is None or chosen.count:
                mine = replace(params, knn=engine.knn) if params.knn > engine.knn else params
                limits.append((number, engine.limits(mine, k, chosen, self._live[number])))
        return limits

    @cached_property
    def _lists(self) -> ListTable:
        ordered = [self.segments[number].engine for number in self._inverted]
        engines = [each for each in ordered if isinstance(each, InvertedEngine)]
        return ListTable(engines, [self._live[number] for number in self._inverted])

    def _parts_of(self, allowed: Filter) -> _Parts:
        filters = []
        for number, segment in enumerate(self.segments):
            mask = allowed.mask[self.rows.starts[number] : self.rows.starts[number + 1]]
            # The places of deleted rows between live ones, as np.insert counts.
            gone = segment.deleted - np.arange(len(segment.deleted))
            filters.append(Filter(np.insert(mask, gone, False) if len(gone) else mask))
        return _Parts(filters, self._lists.lines_of([filters[number] for number in self._inverted]))
