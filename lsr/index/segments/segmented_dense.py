"""SegmentedDense: the dense vectors of a generation, in segments, without deleted rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from lsr.errors import IndexFormatError
from lsr.index.dense.dense_index import DenseIndex, Vectors
from lsr.index.dense_config import DenseConfig
from lsr.index.filters import Allowed, Filter
from lsr.index.index_checks import empty_result
from lsr.index.parameters import SearchParams
from lsr.index.result import SearchResult
from lsr.index.rows import checked_row, checked_rows
from lsr.index.segments.generation import Generation
from lsr.index.segments.row_map import RowMap
from lsr.storage.arrays import Array
from lsr.storage.id_column import Ids
from lsr.storage.manifest import manifest_stamp

ROWS_AT_ONCE = 4096
_DEEPER = 2  # factor by which more passages are searched, if they belong to too few documents


@dataclass(frozen=True, eq=False)
class DenseSegment:
    """The dense vectors of one segment. deleted: uint32[m], ascending. starts: see Segment."""

    index: DenseIndex
    deleted: Array
    starts: Array | None
    live: npt.NDArray[np.int64] = field(init=False)
    _filter: Filter | None = field(init=False)

    def __post_init__(self) -> None:
        mask = np.ones(len(self.index), bool)
        mask[self.deleted] = False
        object.__setattr__(self, "live", np.flatnonzero(mask))
        object.__setattr__(self, "_filter", Filter(mask) if len(self.deleted) else None)

    def allowed(self, mask: npt.NDArray[np.bool_] | None) -> Filter | None:
        """The filter of its rows. mask: bool[live rows]; None for all."""
        if mask is None:
            return self._filter
        every = np.zeros(len(self.index), bool)
        every[self.live[mask]] = True
        return Filter(every)


class SegmentedDense:
    """The interface of DenseIndex over the live rows of several segments.

    With passages, results have k different documents, each as the row of its best passage.

    segments: at least one, all with the same number of components and configuration.
    rows: the numbering of live rows. ids: the id of each row's document.
    """

    def __init__(self, segments: Sequence[DenseSegment], rows: RowMap, ids: Ids | None) -> None:
        self.segments, self.rows, self.ids = tuple(segments), rows, ids

    _opened: Mapping[tuple[object, ...], DenseIndex] = MappingProxyType({})

    @classmethod
    def of_generation(cls, generation: Generation, before: SegmentedDense | None = None) -> SegmentedDense:
        """The dense vectors of a generation. Raises IndexFormatError if some are damaged or missing.

        before: the dense vectors of an earlier generation. Segments that did not change are reused.
        """
        segments, opened = [], {}
        known = {} if before is None else before._opened
        for segment in generation.segments:
            folder = segment.dense
            if folder is None:
                raise IndexFormatError(
                    f"{segment.folder}: dense vectors are missing that other segments have; build the index again"
                )
            key = _file_of(folder)
            index = opened[key] = known[key] if key in known else DenseIndex.open(folder)
            if len(index) != len(segment):
                raise IndexFormatError(
                    f"{folder}: {len(index)} dense vectors for {len(segment)} sparse vectors; build the index again"
                )
            segments.append(DenseSegment(index, segment.deleted, segment.starts))
        if len({(each.index.dim, each.index.config.metric) for each in segments}) > 1:
            raise IndexFormatError(
                f"{generation.folder}: its segments have different kinds of dense vectors; build the index again"
            )
        dense = cls(segments, generation.rows, generation.ids)
        dense._opened = opened
        return dense

    @property
    def dim(self) -> int:
        """Number of components of documents and queries."""
        return self.segments[0].index.dim

    @property
    def config(self) -> DenseConfig:
        """The configuration of its vectors."""
        return self.segments[0].index.config

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes of each part, for all segments together."""
        total: Counter[str] = Counter()
        for each in self.segments:
            total.update(each.index.nbytes)
        return dict(total)

    def __len__(self) -> int:
        """Number of live rows."""
        return len(self.rows)

    def vector(self, row: int) -> Vectors:
        """float32[dim]: the vector of one row. Raises ParameterError."""
        found: Vectors = self._gathered(np.array([checked_row(row, len(self))], np.int64))[0]
        return found

    def gather(self, rows: npt.NDArray[np.int64]) -> Vectors:
        """float32[n, dim]: the vectors of rows, int64[n], normalized if the metric is cosine. Raises ParameterError."""
        return self._gathered(checked_rows(rows, len(self)))

    def iter_vectors(self) -> Iterator[tuple[list[str] | None, Vectors]]:
        """(ids of documents, float32[n, dim]) of all rows, in their order, in batches of a few thousand."""
        for begin in range(0, len(self), ROWS_AT_ONCE):
            rows = np.arange(begin, min(begin + ROWS_AT_ONCE, len(self)))
            yield None if self.ids is None else [self.ids[row] for row in rows.tolist()], self._gathered(rows)

    def comparable(self, queries: Vectors) -> Vectors:
        """Queries as they are compared with vectors; see DenseIndex."""
        return self.segments[0].index.comparable(queries)

    def search(
        self,
        queries: Vectors,
        k: int = 10,
        params: SearchParams | None = None,
        threads: int | None = 1,
        allowed: Allowed | None = None,
    ) -> SearchResult:
        """The best passages of the k best documents for each query, best first, equal scores by row.

        allowed: rows that can be returned. See DenseIndex.search, which searches each segment.
        """
        checked = self.comparable(queries)
        scores, rows = empty_result(len(checked), k)
        chosen = Filter.of(allowed, len(self), self.ids)
        for number, segment in enumerate(self.segments):
            mine = slice(self.rows.starts[number], self.rows.starts[number + 1])
            may = segment.allowed(None if chosen is None else chosen.mask[mine])
            found, local = _best(segment, checked, k, params, threads, may)
            numbers = self.rows.numbers(number, np.maximum(local, 0).ravel()).reshape(local.shape)
            scores, rows = np.hstack([scores, found]), np.hstack([rows, np.where(local < 0, -1, numbers)])
            order = np.lexsort((rows, -scores), axis=1)[:, :k]
            scores, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
        return SearchResult(scores, rows, self.ids)

    def _gathered(self, rows: npt.NDArray[np.int64]) -> Vectors:
        segments, inside = self.rows.locate(rows)
        vectors = np.empty((len(rows), self.dim), np.float32)
        for number in np.unique(segments).tolist():
            vectors[segments == number] = self.segments[number].index.gather(inside[segments == number])
        return vectors


def _file_of(folder: Path) -> tuple[object, ...]:
    """An identity of dense vectors, different from older ones with the same name."""
    with suppress(OSError):
        return folder, *manifest_stamp(folder)
    return (folder,)


def _best(
    segment: DenseSegment,
    queries: Vectors,
    k: int,
    params: SearchParams | None,
    threads: int | None,
    allowed: Filter | None,
) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """Scores and rows, [queries, k], of the best passages of k documents of a segment.

    faiss does not know documents: more and more passages are searched, until they belong to k documents, or there are
        no more.
    """
    index, starts = segment.index, segment.starts
    candidates = len(index) if allowed is None else len(allowed.rows)
    k = min(k, candidates)
    if starts is None or not k:
        result = index.search(queries, max(k, 1), params, threads, allowed)
        return result.scores[:, :k], result.rows[:, :k]
    scores, rows = empty_result(len(queries), k)
    lacking, depth = np.arange(len(queries)), k
    while len(lacking):
        depth = min(depth * _DEEPER, candidates)
        result = index.search(queries[lacking], depth, params, threads, allowed)
        for query, found, local in zip(lacking.tolist(), result.scores, result.rows, strict=True):
            local = local[local >= 0]
            _, first = np.unique(np.searchsorted(starts, local, side="right"), return_index=True)
            best = np.sort(first)[:k]  # the places of the best passage of each document
            scores[query, : len(best)], rows[query, : len(best)] = found[best], local[best]
        enough = (rows[lacking] >= 0).all(axis=1)
        lacking = lacking[~enough] if depth < candidates else lacking[:0]
    return scores, rows
