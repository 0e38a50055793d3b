"""The search for encoded queries: search, feedback, second search; interpolation before or after feedback, or both.

The steps are those of Li et al., SIGIR 2022 (arXiv 2205.00235), for either side:

    before    interpolate the sparse and the dense list; use the best documents of that ranking for feedback
    after     interpolate the list of the second search with the first list of the other side
    both      one, then the other
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.retrieval.fusion import Ranking, interpolate
from lsr.retrieval.request import DENSE, SIDES, SPARSE, Feedback, Fusion, SearchRequest, SideName

if TYPE_CHECKING:
    from lsr.encoders.bm25 import BM25Encoder
    from lsr.index.dense.dense_index import DenseIndex
    from lsr.index.segments.segmented_dense import SegmentedDense
    from lsr.index.sparse_index import SparseIndex

RowNumbers = npt.NDArray[np.int64]
# Rows -> for each row, the first row of its document. -1 stays -1.
Firsts = Callable[[RowNumbers], RowNumbers]


class Lists(NamedTuple):
    """rows int64[queries, k] and scores float[queries, k], best first; -1 and -inf for missing results.

    k is the requested k, or the number of documents if that is smaller.
    """

    rows: RowNumbers
    scores: npt.NDArray[np.floating]


class Found(NamedTuple):
    """The result of a pipeline.

    lists: the final ranking. If documents are split, a row is the best passage of a document. If the passages of the
        two sides differ, it is that of the sparse side.
    parts: side -> the scores of the ranked documents in the last list of that side; NaN for a document that the list
        lacks.
    queries: side -> its last queries. After feedback, these are the changed queries.
    recall: float32[queries], the least SearchResult.estimated_recall of all searches; None if no search had a time
        limit.
    """

    lists: Lists
    parts: Mapping[SideName, npt.NDArray[np.floating]]
    queries: Mapping[str, Any]
    recall: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Sides:
    """The indexes of both sides, with one interface.

    sparse: the sparse index; its queries are SparseVectors.
    dense: the dense index; its queries are float32[queries, dim]. None if no dense side is searched.
    dropped: int64[queries], a row that is never returned, or -1. None to drop no rows.
    firsts: the first row of a document stands for the document, because the two sides can return different passages
        of it. None if documents are not split.
    bm25: the encoder, if the sparse side is BM25.
    recalls: float32[queries] for each search with a time limit, its SearchResult.estimated_recall.
    """

    sparse: SparseIndex[Any]
    dense: DenseIndex | SegmentedDense | None
    request: SearchRequest
    threads: int = 1
    dropped: RowNumbers | None = None
    firsts: Firsts | None = None
    bm25: BM25Encoder | None = None
    recalls: list[npt.NDArray[np.float32]] = field(default_factory=list)

    def documents(self, rows: RowNumbers) -> RowNumbers:
        """The rows that stand for the documents of `rows`."""
        return rows if self.firsts is None else self.firsts(rows)

    def search(self, side: SideName, queries: Any, k: int) -> Lists:
        """A search without the dropped rows."""
        index: Any = self._index(side)
        dropped = self.dropped
        k = min(k, max(len(index), 1))  # so that a large k takes no memory for missing documents
        depth = k + (dropped is not None)
        params = self.request.params
        if params.budget_us and self.request.feedback is not None:  # the budget is for both searches together
            params = replace(params, budget_us=max(params.budget_us // 2, 1))
        result = index.search(queries, depth, params, self.threads, self.request.allowed)
        if params.budget_us:
            self.recalls.append(result.estimated_recall)
        if dropped is None:
            return Lists(result.rows, result.scores)
        rows, scores = result.rows.copy(), result.scores.copy()
        unwanted = (self.documents(rows) == dropped[:, None]) & (rows >= 0)
        for query, place in zip(*np.nonzero(unwanted), strict=True):
            for array, nothing in ((rows, -1), (scores, -np.inf)):
                array[query, place:-1] = array[query, place + 1 :]
                array[query, -1] = nothing
        return Lists(rows[:, :k], scores[:, :k])

    def feed_back(
        self, side: SideName, queries: Any, relevant: Lists, not_relevant: RowNumbers, feedback: Feedback
    ) -> Any:
        """The changed queries. relevant, not_relevant int64[queries, m]: documents of the first list; -1 for none."""
        from lsr.retrieval.feedback import dense_feedback, rm3, sparse_rocchio

        index: Any = self._index(side)
        if feedback.method == "rm3":
            found = relevant.rows >= 0
            gathered = index.gather(relevant.rows[found])
            return rm3(queries, gathered, relevant.scores[found], found.sum(1), feedback, self.bm25)
        if side == SPARSE:
            both = relevant.rows, not_relevant
            counts = np.stack([(rows >= 0).sum(1) for rows in both], axis=1)
            up, down = (index.gather(rows[rows >= 0]) for rows in both)
            return sparse_rocchio(queries, up, down, counts, feedback)
        up, down = ([index.gather(row[row >= 0]) for row in rows] for rows in (relevant.rows, not_relevant))
        return dense_feedback(index.comparable(queries), up, down, feedback)

    def _index(self, side: SideName) -> SparseIndex[Any] | DenseIndex | SegmentedDense:
        if side == SPARSE:
            return self.sparse
        assert self.dense is not None
        return self.dense


def search_pipeline(sides: Sides, encoded: Mapping[str, Any]) -> Found:
    """The k best documents of each query. encoded: side -> queries, for each of the request's sides."""
    request = sides.request
    k, main, fusion = request.k, request.main, request.fusion
    feedback = None if request.feedback is None else request.feedback.on_side(main)
    other: SideName = DENSE if main == SPARSE else SPARSE
    before, after = request.interpolate in ("before", "both"), request.interpolate in ("after", "both")
    last_depth = max(k, fusion.depth) if after else k
    queries = dict(encoded)
    lists: dict[SideName, Lists] = {}
    first_depth = 0
    if feedback is not None:
        top = int(feedback.depth or 0)
        whole = before or feedback.negatives  # the whole list is needed
        first_depth = max(top + feedback.negatives, fusion.depth) if whole else top
    if before or after:
        depth = max(last_depth if after else 0, first_depth if before else 0)
        lists[other] = sides.search(other, queries[other], depth)
    if feedback is not None:
        source = lists[main] = sides.search(main, queries[main], first_depth)
        if before:
            whole_lists = {side: _cut(each, first_depth) for side, each in lists.items()}
            source = _fused(whole_lists, fusion, first_depth, sides, main).lists
        negatives = _last(source.rows[:, top:], feedback.negatives)
        queries[main] = sides.feed_back(main, queries[main], _cut(source, top), negatives, feedback)
    lists[main] = sides.search(main, queries[main], last_depth)
    recall = np.minimum.reduce(sides.recalls) if sides.recalls else None
    if after:
        lists[other] = _cut(lists[other], last_depth)
        return _fused(lists, fusion, k, sides, SPARSE)._replace(queries=queries, recall=recall)
    return Found(lists[main], {main: lists[main].scores}, queries, recall)


def _cut(lists: Lists, k: int) -> Lists:
    """The first k documents, so that both interpolated lists have the same depth."""
    return Lists(lists.rows[:, :k], lists.scores[:, :k])


def _last(rows: RowNumbers, count: int) -> RowNumbers:
    """The last `count` documents of each list, padded with -1: int64[queries, at most count]."""
    found = (rows >= 0).sum(1)
    places: RowNumbers = found[:, None] - 1 - np.arange(min(count, rows.shape[1]))
    if not places.shape[1]:
        return places
    last: RowNumbers = np.where(places >= 0, np.take_along_axis(rows, np.maximum(places, 0), 1), -1)
    return last


def _fused(lists: Mapping[SideName, Lists], fusion: Fusion, k: int, sides: Sides, first: SideName) -> Found:
    """The fused list of both sides, k documents per query. Rows are those of side `first`, if it has the document."""
    n = len(lists[SPARSE].rows)
    k = min(k, sum(each.rows.shape[1] for each in lists.values()))
    rows, scores = np.full((n, k), -1, np.int64), np.full((n, k), -np.inf)
    parts = {side: np.full((n, k), np.nan) for side in SIDES}
    documents = {side: sides.documents(each.rows) for side, each in lists.items()}
    for query in range(n):
        rankings = {side: _ranking(documents[side][query], lists[side].scores[query]) for side in SIDES}
        fused = interpolate(rankings[SPARSE], rankings[DENSE], fusion)
        m = min(k, len(fused.documents))
        scores[query, :m] = fused.scores[:m]
        for side in sorted(SIDES, key=lambda side: side == first):  # so that its rows replace those of the other side
            places = fused.places[:m, SIDES.index(side)]
            there = places >= 0
            rows[query, :m][there] = lists[side].rows[query, places[there]]
            parts[side][query, :m][there] = lists[side].scores[query, places[there]]
    return Found(Lists(rows, scores), parts, {})


def _ranking(documents: RowNumbers, scores: npt.NDArray[np.floating]) -> Ranking:
    found = documents >= 0
    return Ranking(documents[found], scores[found])
