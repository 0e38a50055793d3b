"""Twins of lsr/index/seismic/search/kernels.py: the search, on dictionaries.

Queries are {internal component: weight x scale}. Batches and what lets a document's tail be read are the real ones, so
that with arithmetic that rounds nothing the same documents come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lsr.index.seismic.search.kernels import BAND_STEP, BATCH, FEW_OF_STRIPS, HEAD_REACH, LARGEST
from tests.naive.forward import Document, fine_score, split_code
from tests.naive.summarize import Runs

Query = Mapping[int, float]

ZERO = np.float32(0)


class Heap:
    """The best rows so far, at most `size` of them, by score and then by row.

    documents: of each row, if they are passages, of which there is one for each document.
    """

    def __init__(self, size: int, documents: Sequence[int] | None = None) -> None:
        self.size = size
        self.documents = documents
        self.rows: dict[int, np.float32] = {}

    @property
    def threshold(self) -> np.float32:
        """The score to beat: the worst row's, or zero as long as there is room."""
        return ZERO if len(self.rows) < self.size else min(self.rows.values(), default=ZERO)

    def offer(self, score: np.float32, row: int) -> None:
        """Put a row in if it is better than another of its document, or than the worst where there is no room."""
        same = [each for each in self.rows if self.documents and self.documents[each] == self.documents[row]]
        if row in self.rows or (same and (-self.rows[same[0]], same[0]) < (-score, row)):
            return
        if same:
            del self.rows[same[0]]
        elif len(self.rows) == self.size:
            worst = max(self.rows, key=lambda each: (-self.rows[each], each))
            if (-self.rows[worst], worst) < (-score, row):
                return
            del self.rows[max(self.rows, key=lambda each: (-self.rows[each], each))]
        self.rows[row] = score


def score_head(document: Document, query: Query) -> np.float32:
    """Inner product with the head, by high bytes."""
    return _coarse(document.head, query)


def score_tail(document: Document, query: Query) -> np.float32:
    """Inner product with the tail, by high bytes."""
    return _coarse(document.tail, query)


def coarse_score(document: Document, query: Query) -> np.float32:
    """Inner product by high bytes."""
    return _coarse([*document], query)


def _coarse(codes: Sequence[tuple[int, int]], query: Query) -> np.float32:
    return np.float32(sum(query.get(component, 0) * split_code(code16)[0] for component, code16 in codes))


def choose_terms(weights: Sequence[float], query_cut: int) -> list[int]:
    """The positions of the heaviest, equal ones in order."""
    return sorted(range(len(weights)), key=lambda at: -weights[at])[:query_cut]


def estimate_blocks(query: Query, runs: Runs, n_blocks: int) -> list[np.float32]:
    """What the query's terms could contribute in each block."""
    sums = [0.0] * n_blocks
    for term, weight in query.items():
        for block, code in runs.get(term, []):
            sums[block] += weight * code
    return [np.float32(each) for each in sums]


def strips_of(estimates: Sequence[np.float32], strip: int, window: int) -> list[np.float32]:
    """Of each window in turn the largest of every n-th block from its first, second, ..., n-th: n strips."""
    strips = []
    for begin in range(0, len(estimates), window):
        mine = estimates[begin : begin + window]
        n_strips = -(-len(mine) // strip)
        strips += [max(mine[first::n_strips], default=ZERO) for first in range(n_strips)]
    return strips


def largest_of(strips: Sequence[np.float32]) -> np.float32:
    """The largest, or what is largest of all finite numbers."""
    return min(max(strips, default=ZERO), LARGEST)


def count_reaching(estimate: np.float32, strips: Sequence[np.float32]) -> int:
    """How many strips reach an estimate."""
    return sum(strip >= estimate for strip in strips)


def band_floor(
    floor: np.float32, limit: np.float32, wanted: int, strips: Sequence[np.float32], estimates: Sequence[np.float32]
) -> np.float32:
    """The first of floor x step, floor x step x step, ..., that so many reach; `limit` if none above it is.

    Strips are counted, or blocks where many are wanted; `limit`, too, where no more reach it than are wanted.
    """
    counted = strips if wanted * FEW_OF_STRIPS <= len(strips) else estimates
    if count_reaching(limit, counted) <= wanted:
        return limit
    while floor > limit:
        floor = floor * BAND_STEP
        if count_reaching(floor, counted) >= wanted:
            break
    return max(floor, limit)


def queue_band(floor: np.float32, above: np.float32, estimates: Sequence[np.float32]) -> list[int]:
    """The blocks with estimates in a band; a band of which `above` is no number has no upper end."""
    return [block for block, estimate in enumerate(estimates) if floor <= estimate and not estimate >= above]


class Search:
    """One query on its way: the heap, and the documents that wait for a full batch of tails to be scored.

    rows: the row of each document. allowed: of each document whether it may be found.
    """

    def __init__(
        self,
        query: Query,
        documents: Sequence[Document],
        rows: Sequence[int],
        heap_size: int,
        allowed: Sequence[bool] | None = None,
    ) -> None:
        self.query = query
        self.documents = documents
        self.rows = rows
        self.heap = Heap(heap_size)
        self.allowed = [True] * len(documents) if allowed is None else allowed
        self.pending: list[int] = []

    def visit(self, document: int, once: bool) -> None:
        """Keep a document that may be found and whose head promises enough; score whenever a batch is full."""
        head = score_head(self.documents[document], self.query)
        if self.allowed[document] and head * HEAD_REACH >= self.heap.threshold:
            self.pending.append(document)
            if len(self.pending) == BATCH:
                self.score_tails(once)

    def score_tails(self, once: bool) -> None:
        """Heads and tails of the pending documents. once: some may be in the heap."""
        for document in self.pending:
            score = coarse_score(self.documents[document], self.query)
            if score == 0 == self.heap.threshold:
                score = fine_score(self.documents[document], self.query)
            row = self.rows[document]
            if score > self.heap.threshold:
                self.heap.offer(score, row)
        self.pending = []

    def visit_queue(
        self, queue: Iterable[int], blocks: Sequence[Sequence[int]], estimates: Sequence[float], heap_factor: np.float32
    ) -> None:
        """Visit the documents of queued blocks, as long as their estimate reaches the threshold."""
        for block in queue:
            if estimates[block] >= heap_factor * self.heap.threshold:
                for document in blocks[block]:
                    self.visit(document, once=False)
        self.score_tails(once=False)

    def visit_neighbors(self, starts: Iterable[int], graph: Mapping[int, Sequence[int]]) -> None:
        """Visit the neighbors of each of the rows `starts`, by row; graph: of documents by document."""
        for row in starts:
            for neighbor in graph[self.rows.index(row)]:
                self.visit(neighbor, once=True)
        self.score_tails(once=True)


def may_lack(query: Query, found: int, k: int, candidates: int, query_cut: int, n_frequent: int) -> bool:
    """Whether too few were found and a term is not estimated, or its summaries may be incomplete."""
    complete = len(query) <= query_cut and all(component >= n_frequent for component in query)
    return found < min(k, candidates) and not complete


def scan(query: Query, documents: Sequence[Document], rows: Sequence[int], allowed: Iterable[int]) -> list[int]:
    """The allowed documents' rows with positive scores, best first, equal ones by row."""
    scores = {rows[document]: fine_score(documents[document], query) for document in allowed}
    return sorted((row for row in scores if scores[row] > 0), key=lambda row: (-scores[row], row))


def rank(
    found: Iterable[int], query: Query, documents: Sequence[Document], rows: Sequence[int], k: int
) -> list[tuple[float, int]]:
    """The k best (score, row) of these rows, equal ones by row, without those that score nothing."""
    scored = [(fine_score(documents[rows.index(row)], query), row) for row in found]
    return sorted((hit for hit in scored if hit[0] > 0), key=lambda hit: (-hit[0], hit[1]))[:k]
