"""Twins of lsr/index/kernels.py: the search, on dictionaries.

Queries are {internal component: weight x scale}. The steps, their thresholds and their batches are the real ones, so
that with arithmetic that rounds nothing the same documents come out, whatever was skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lsr.index.kernels import BATCH, FIRST_BAND, HEAD_REACH, NEXT_BAND
from tests.naive.forward import Document, fine_score, split_code
from tests.naive.summarize import Runs

Query = Mapping[int, float]


@dataclass
class PostingList:
    """The documents of a list, and its blocks with their summaries; no blocks where it is too short for them."""

    documents: list[int]
    blocks: list[list[int]]
    summaries: Runs


class Heap:
    """The best documents so far, at most `size` of them, by score and then by row."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.documents: dict[int, np.float32] = {}

    @property
    def threshold(self) -> np.float32:
        """The score to beat: the worst document's, or zero as long as there is room."""
        return np.float32(0) if len(self.documents) < self.size else min(self.documents.values(), default=np.float32(0))

    def replace_worst(self, score: np.float32, document: int) -> None:
        """Put a document in, and the worst one out if there is no room."""
        if len(self.documents) == self.size:
            del self.documents[max(self.documents, key=lambda row: (-self.documents[row], row))]
        self.documents[document] = score


def score_head(document: Document, query: Query) -> np.float32:
    """Inner product with the head, by high bytes."""
    return _coarse(document.head, query)


def score_tail(document: Document, query: Query) -> np.float32:
    """Inner product with the tail, by high bytes."""
    return _coarse(document.tail, query)


def _coarse(codes: Sequence[tuple[int, int]], query: Query) -> np.float32:
    return np.float32(sum(query.get(component, 0) * split_code(code16)[0] for component, code16 in codes))


def choose_lists(query: Query, query_cut: int) -> list[int]:
    """The heaviest components, equal ones in the order of the query."""
    return sorted(query, key=lambda component: -query[component])[:query_cut]


def estimate_blocks(query: Query, visited: Sequence[int], lists: Sequence[PostingList]) -> list[np.float32]:
    """What the query's terms could contribute in each block of the visited lists, one list after the other."""
    estimates = []
    for component in visited:
        sums = [0.0] * len(lists[component].blocks)
        for term, weight in query.items():
            for block, code in lists[component].summaries.get(term, []):
                sums[block] += weight * code
        estimates += map(np.float32, sums)
    return estimates


class Search:
    """One query on its way: the heap, the documents seen, and those that wait for a full batch to be scored."""

    def __init__(self, query: Query, heap_factor: float, documents: Sequence[Document], heap_size: int) -> None:
        self.query = query
        self.heap_factor = np.float32(heap_factor)
        self.documents = documents
        self.heap = Heap(heap_size)
        self.seen: set[int] = set()
        self.pending: list[int] = []

    @property
    def limit(self) -> np.float32:
        """What the estimate of a block must reach for it to be visited."""
        return self.heap_factor * self.heap.threshold

    def visit(self, members: Sequence[int]) -> None:
        """Queue the documents not met before; score whenever a batch is full."""
        for member in members:
            if member not in self.seen:
                self.seen.add(member)
                self.pending.append(member)
                if len(self.pending) == BATCH:
                    self.score_pending()

    def score_pending(self) -> None:
        """Heads first; the tails only of documents whose heads promise enough."""
        promising = []
        for document in self.pending:
            head = score_head(self.documents[document], self.query)
            if head * HEAD_REACH >= self.limit:
                promising.append((document, head))
        for document, head in promising:
            score = head + score_tail(self.documents[document], self.query)
            if score > self.heap.threshold:
                self.heap.replace_worst(score, document)
        self.pending = []


def search_query(
    query: Query,
    query_cut: int,
    heap_factor: float,
    documents: Sequence[Document],
    lists: Sequence[PostingList],
    heap_size: int,
) -> dict[int, np.float32]:
    """{document: score by high bytes} of the best documents found."""
    visited = choose_lists(query, query_cut)
    estimates = estimate_blocks(query, visited, lists)
    blocks = [block for component in visited for block in lists[component].blocks]

    search = Search(query, heap_factor, documents, heap_size)
    for component in visited:
        if not lists[component].blocks:
            search.visit(lists[component].documents)
    highest = max(estimates, default=np.float32(0))
    above, floor = np.float32(np.inf), FIRST_BAND * highest
    while True:
        search.score_pending()
        last = floor <= search.limit
        floor = max(floor, search.limit)
        band = [i for i, estimate in enumerate(estimates) if floor <= estimate < above]
        for i in band:
            if estimates[i] >= search.limit:
                search.visit(blocks[i])
        if last:
            break
        above = floor
        floor = floor * NEXT_BAND if floor > np.float32(0.01) * highest else np.float32(0)
    search.score_pending()
    return search.heap.documents


def scan_query(query: Query, documents: Sequence[Document], heap_size: int) -> list[int]:
    """The documents of the largest positive 16-bit scores, equal ones by row."""
    scores = {row: fine_score(document, query) for row, document in enumerate(documents)}
    found = [row for row, score in scores.items() if score > 0]
    return sorted(found, key=lambda row: (-scores[row], row))[:heap_size]


def rank(found: Sequence[int], query: Query, documents: Sequence[Document], k: int) -> list[tuple[float, int]]:
    """The k best (16-bit score, row), equal ones by row."""
    scored = [(fine_score(documents[row], query), row) for row in found]
    return sorted(scored, key=lambda hit: (-hit[0], hit[1]))[:k]
