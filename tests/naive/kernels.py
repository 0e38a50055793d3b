"""Twins of lsr/index/seismic/search/{estimates,kernels}.py: the search, on dictionaries.

Queries are {internal component: weight x scale}. Batches and what lets a document's tail be read are the real ones, so
that with arithmetic that rounds nothing the same documents come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from lsr.index.seismic.build.summarize import STEP, SUPER
from lsr.index.seismic.build.superblock_pages import UNIT
from lsr.index.seismic.search.estimates import LARGEST_ESTIMATE, WEIGHTS
from lsr.index.seismic.search.kernels import BATCH, BINS, HEAD_REACH, LARGEST, MORE_NODES, SMALLEST
from lsr.index.seismic.search.lanes import LANES
from tests.naive.forward import Document, fine_score, split_code
from tests.naive.summarize import Runs
from tests.naive.superblock_pages import Page, codes_of

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


def whole_weights(weights: Sequence[float]) -> tuple[list[int], np.float32]:
    """(weights of the chosen terms as whole numbers from 1 on, whose sum is WEIGHTS at most, the unit of estimates)."""
    total = 0.0
    for weight in weights:  # one by one, because sum() rounds less from Python 3.12 on
        total += float(weight)
    factor = (WEIGHTS - len(weights)) / total if total else 1.0
    return [1 + int(float(weight) * factor) for weight in weights], np.float32(STEP / factor)


def estimate_nodes(whole: Mapping[int, int], runs: Runs, n_nodes: int, is_open: Sequence[bool] = ()) -> list[int]:
    """What terms of whole weights could contribute in each node, 0 where it is not open; empty: all are."""
    sums = [0] * n_nodes
    for term, weight in whole.items():
        for node, code in runs.get(term, []):
            sums[node] += weight * code
    return [estimate if not is_open or is_open[node] else 0 for node, estimate in enumerate(sums)]


def list_nodes(floor: int, above: int, estimates: Sequence[int]) -> list[int]:
    """The nodes with floor <= estimate < above."""
    return [node for node, estimate in enumerate(estimates) if floor <= estimate < above]


def lists_of(nodes: Sequence[int], n_nodes: int, room: int) -> list[list[int]]:
    """Some of all nodes in lists, each of the next lines of LANES, as many as there is certainly room for."""
    lists: list[list[int]] = [[]]
    for line in range(0, n_nodes, LANES):
        if len(lists[-1]) + LANES > room:
            lists.append([])
        lists[-1] += [node for node in nodes if line <= node < line + LANES]
    return lists


def estimate_blocks(query: Query, page: Page, estimate: int, is_open: Sequence[bool] = ()) -> list[np.float32]:
    """What the query's terms could contribute in each block of a superblock; next to nothing if its page does not say.

    query: the chosen terms, in the order in which they are added up. estimate: of the superblock.
    """
    faint = SMALLEST * np.float32(max(estimate, 1))
    sums = [ZERO] * SUPER
    for term, weight in query.items():
        for block, code in enumerate(codes_of(page, term)):
            sums[block] += np.float32(weight) * np.float32(UNIT) * np.float32(code) * np.float32(code)
    return [max(each, faint) if not is_open or is_open[block] else ZERO for block, each in enumerate(sums)]


def order_blocks(scores: Sequence[np.float32], wanted: int) -> tuple[list[int], float]:
    """(positions of so many of the best, about, by bins of falling score, what they reach); none that scores nothing.

    Bins are equal shares of the largest score; in a bin the order remains.
    """
    largest = min(max(scores, default=ZERO), LARGEST)
    if largest == 0:
        return [], 0.0
    to_bin = (BINS - 1) / float(largest)
    bins: list[list[int]] = [[] for _ in range(BINS)]
    for at, score in enumerate(scores):
        if score > 0:
            bins[int(float(min(score, LARGEST)) * to_bin)].append(at)
    ordered: list[int] = []
    number = BINS
    while number > 0 and len(ordered) < wanted:
        number -= 1
        ordered += bins[number]
    return ordered, max(number / to_bin, float(SMALLEST))


def miss_blocks(estimates: Iterable[np.float32], heap_factor: np.float32, worst: np.float32) -> float:
    """The expected number of the k best in blocks that reach the threshold; more than 0 in any case."""
    reaching = [each for each in estimates if each >= heap_factor * worst]
    return float(SMALLEST) + sum(0.2 / (1 + (1.25 * float(worst) / float(each)) ** 12) for each in reaching)


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

    def visit_blocks(
        self, ordered: Iterable[tuple[int, np.float32]], block_size: int, heap_factor: np.float32, once: bool
    ) -> None:
        """Visit the documents of (block, estimate), as long as the estimate reaches the threshold."""
        for block, estimate in ordered:
            if estimate >= heap_factor * self.heap.threshold:
                for document in range(block * block_size, min((block + 1) * block_size, len(self.documents))):
                    self.visit(document, once)
        self.score_tails(once)

    def search_blocks(
        self,
        estimates: Sequence[int],
        queued: Callable[[int], Iterable[tuple[int, np.float32]]],
        floor_of: Callable[[int, int, Sequence[int]], int],
        nodes: int,
        max_blocks: int,
        room: int,
        block_size: int,
        heap_factor: np.float32,
        by_all_terms: tuple[Sequence[int], Callable[[int], Iterable[tuple[int, np.float32]]]] | None = None,
    ) -> None:
        """Visit the best blocks of the best nodes, and then of the next best, until the heap is full.

        queued: (block, estimate) of the blocks of a node. floor_of: what about so many nodes of some estimates reach,
        below another estimate. room: nodes of a list; blocks are put in order list by list. by_all_terms: of
        superblocks, estimates and `queued` for a second turn, in which all blocks are visited.
        """
        above, all_blocks = LARGEST_ESTIMATE + 1, False
        while above > 1:
            floor = floor_of(nodes, above, estimates)
            for listed in lists_of(list_nodes(floor, above, estimates), len(estimates), room):
                pairs = [pair for node in listed for pair in queued(node)]
                wanted = len(pairs) if all_blocks or not by_all_terms else max_blocks
                ordered, _ = order_blocks([estimate for _, estimate in pairs], wanted)
                self.visit_blocks([pairs[at] for at in ordered], block_size, heap_factor, all_blocks)
            if self.heap.threshold > 0:
                break
            above, nodes, max_blocks = floor, MORE_NODES * nodes, MORE_NODES * max_blocks
            if by_all_terms and not all_blocks:
                above, all_blocks = LARGEST_ESTIMATE + 1, True
                estimates, queued = by_all_terms

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
