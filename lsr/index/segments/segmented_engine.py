"""SegmentedEngine: one search over several engines, without their deleted rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lsr.index.filters import Filter
from lsr.index.index_checks import empty_result
from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.parameters import SearchParams
from lsr.index.rows import GatheredRows
from lsr.index.segments.row_map import RowMap
from lsr.index.seismic.engine import BlockEngine
from lsr.storage.arrays import Array
from lsr.vectors.normalize import indptr_of
from lsr.vectors.sparse_vectors import SparseVectors


class Segment(NamedTuple):
    """An engine and what is to be known of its rows.

    deleted: uint32[m], rising. starts: where documents are split into passages, int64[documents + 1]: rows
    starts[i]:starts[i + 1] are passages of the same document; None where each row is a document.
    """

    engine: BlockEngine | InvertedEngine
    deleted: Array
    starts: Array | None


class SegmentedEngine:
    """The live rows of several segments as one engine; `rows` says how they are numbered.

    Where documents are split into passages, results have k different documents, each as the row of its best passage.
    """

    def __init__(self, segments: Sequence[Segment], dim: int) -> None:
        self.segments = tuple(segments)
        self.dim = dim
        self.rows = RowMap([len(each.engine) for each in segments], [each.deleted for each in segments])

    def __reduce__(self) -> tuple[type[SegmentedEngine], tuple[object, ...]]:
        return SegmentedEngine, (self.segments, self.dim)

    def __len__(self) -> int:
        """Number of live rows."""
        return len(self.rows)

    @property
    def postings(self) -> int:
        """Non-zeros of all rows that are stored, the deleted ones among them."""
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
        """Neighbors of each document in the largest kNN graph of a segment; 0 if there is none."""
        return max((each.engine.knn for each in self.segments if isinstance(each.engine, BlockEngine)), default=0)

    def locate(self, row: int) -> tuple[Segment, int]:
        """The segment that a live row is in, and its row there."""
        segments, rows = self.rows.locate(np.array([row], np.int64))
        return self.segments[int(segments[0])], int(rows[0])

    def gather(self, rows: Array) -> GatheredRows:
        """The vectors of live rows, int64[n], all of which exist, as a search scores them; unsorted within a row."""
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
        self, queries: SparseVectors, k: int, params: SearchParams, threads: int, allowed: Filter | None
    ) -> tuple[Array, Array]:
        """Scores float32[queries, k] and rows int64[queries, k] of the best documents. Raises ParameterError."""
        scores, rows = empty_result(len(queries), k)
        for number, segment in enumerate(self.segments):
            mask = np.zeros(len(segment.engine), bool)
            live = np.delete(np.arange(len(mask)), segment.deleted)
            mine = slice(self.rows.starts[number], self.rows.starts[number + 1])
            mask[live] = True if allowed is None else allowed.mask[mine]
            wanted = min(k if segment.starts is None else max(k, len(mask)), len(mask))
            if not wanted:
                continue
            found, local = segment.engine.search(queries, wanted, params, threads, Filter(mask))
            if segment.starts is not None:
                found, local = best_of_documents(found, local, segment.starts)
            numbers = np.where(
                local < 0, -1, self.rows.numbers(number, np.maximum(local, 0).ravel()).reshape(local.shape)
            )
            scores, rows = np.hstack([scores, found]), np.hstack([rows, numbers])
            order = np.lexsort((rows, -scores), axis=1)[:, :k]
            scores, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
        return scores, rows


def best_of_documents(scores: Array, rows: Array, starts: Array) -> tuple[Array, Array]:
    """The same hits, of each document only the first; others become -inf and -1."""
    scores, rows = scores.copy(), rows.copy()
    for query in range(len(rows)):
        documents = np.where(rows[query] < 0, -1, np.searchsorted(starts, rows[query], side="right") - 1)
        first = np.zeros(len(documents), bool)
        first[np.unique(documents, return_index=True)[1]] = True
        scores[query, ~first], rows[query, ~first] = -np.inf, -1
    return scores, rows
