"""Why a search returned a document, or which of its stages let the document go, and what would have kept it.

Nothing is guessed: the query is searched for, its block stage is run once more for the numbers that it leaves behind,
and a remedy is one with which a search returned the document.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from lsr.errors import ParameterError
from lsr.index.checks import check_search
from lsr.index.filters import Allowed, allowed_rows
from lsr.index.inverted.exact_index import find_terms
from lsr.index.parameters import SearchParams
from lsr.index.seismic.build.summarize import DENSE, WINDOW, Blocks, run_length
from lsr.index.seismic.forward import fine_score, tail_of
from lsr.index.seismic.search import kernels
from lsr.index.seismic.search.kernels import HEAD_REACH, NOTHING, SMALLEST, Scratch
from lsr.index.seismic.search.queries import Queries
from lsr.index.tools.tuning import EXACT
from lsr.storage.arrays import Array
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.index.seismic.seismic_index import SeismicIndex

Verdict = Literal[
    "returned",
    "filtered out",
    "no shared term",
    "score too low",
    "tied",
    "not estimated",
    "out of blocks",
    "block skipped",
    "tail not read",
    "rounded away",
]
Exhaustive = Literal["whole lists", "exact", "few allowed", "too few found"]

# Relative. Searches add up the same products in another order, so that either of two scores this close may be higher.
SAME_SCORE = 1e-5

# Ranks are looked for among so many times more documents, until the document is among them.
DEEPER = 8

FACTOR_STEPS = 100  # of heap_factor, from one that is tried to the next


@dataclass(frozen=True, slots=True)
class Term:
    """What one term of the query did for a document.

    component: external. query_weight; document_weight: as the index scores it, 0 if the document lacks the term.
    contribution: their product. in_head: whether the document's head, which is read first, has the term.
    in_query_cut: whether the term was among those that estimated blocks.
    block_code: of the term in the summary of the document's block, 1 to 255, or 0 if it is not there.
    block_maximum: the weight that this code stands for: the largest of the block's documents.
    estimated: what the term added to the estimate of the block.
    After an exhaustive search, which asks neither heads nor blocks, the last five are False and 0.
    """

    component: int
    query_weight: float
    document_weight: float
    contribution: float
    in_head: bool
    in_query_cut: bool
    block_code: int
    block_maximum: float
    estimated: float


@dataclass(frozen=True, slots=True)
class Stages:
    """How near a document came to being found by an approximate search, by what the search required at its end.

    estimate: of the document's block, which had to reach both of the following in the end. While a search has room for
    more documents, any estimate does.
    floor: what max_blocks left: so many blocks, about, have this estimate or a higher one. The least positive number if
    there are not so many.
    limit: heap_factor x `kept_by_blocks`; it rises during a search.
    visited: whether the document was scored. True for an estimate that reaches both; None if it was scored only in case
    its block was met when less was required.
    head, head_limit: score of the document's heaviest components, by 8-bit weights, and what it had to reach for the
    others to be read.
    kept_by_blocks, kept: the score, by 8-bit weights, of the worst document that the search kept, before and after it
    visited neighbors; 0 if it had room for more. It keeps a few more documents than it returns.
    """

    estimate: float
    floor: float
    limit: float
    visited: bool | None
    head: float
    head_limit: float
    kept_by_blocks: float
    kept: float


@dataclass(frozen=True, slots=True)
class Remedy:
    """The k and the parameters with which a search did return the document, and the rank that it had there."""

    k: int
    params: SearchParams
    rank: int


@dataclass(frozen=True, slots=True)
class Why:
    """Why a document was returned for a query, or was not.

    verdict: the first of these that is true.
        returned        it is among the k
        filtered out    it is not among the documents that may be found
        no shared term  it has no term of the query with a weight that the index keeps
        score too low   k documents with a higher score were returned
        tied            k documents with its score or a higher one were returned
        not estimated   no term that estimates blocks is in the summary of its block
        out of blocks   max_blocks others have a higher estimate than its block, about
        block skipped   its block's estimate is below heap_factor x the worst score kept in the end
        tail not read   its heaviest components alone scored too little for the others to be read
        rounded away    it was scored, but by its 8-bit weights other documents are better
        Where `stages.visited` is None, a block that is out or skipped may have been met early, when less was required;
        if so, the document was lost as the last two are.
    row, k, params: what was asked for, `params` as an index tuned for a recall understands them.
    rank: from 1, or None. exact_rank: the same of an exact search, for a document that was not returned, but could be.
    score: that of the document in a result. threshold: that of the k-th, or None if fewer than k were returned.
    terms: of the whole query, those that contribute most first.
    exhaustive: why all documents were scored, or None.
        whole lists     the index is flat
        exact           SearchParams(exact=True)
        few allowed     so few documents may be found that each is scored
        too few found   the blocks gave fewer than k documents
    stages: of an approximate search; None after an exhaustive one, or where no document may be found.
    remedy: of a document that was not returned: a search that returns it. None if no parameters do.
    """

    verdict: Verdict
    row: int
    k: int
    params: SearchParams
    rank: int | None
    exact_rank: int | None
    score: float
    threshold: float | None
    terms: tuple[Term, ...]
    exhaustive: Exhaustive | None
    stages: Stages | None
    remedy: Remedy | None


@dataclass(frozen=True, slots=True)
class _Search:
    """One query, and the document that is looked for.

    mask: bool[documents] that may be found, or None for all. document: where `row` stands in the order of the blocks.
    prepared, factor: the query as kernels take it, and what their scores are multiplied by.
    """

    index: SeismicIndex
    query: SparseVectors
    row: int
    mask: Array | None
    document: Array
    prepared: Queries
    factor: float

    @property
    def may_be_found(self) -> bool:
        return self.mask is None or bool(self.mask[self.row])

    def rank(self, k: int, params: SearchParams) -> int | None:
        """The document's rank in a search, from 1, or None."""
        return _rank_in(self.index.search(self.query, k, params, allowed=self.mask).rows[0], self.row)


class _Trail(NamedTuple):
    """What an approximate search left behind, its scores not yet multiplied by the factor of the query.

    chosen: positions of the query's terms that estimated blocks. held: whether the document was among those kept.
    linked: whether it is a neighbor of a document that was. lacks: whether too few were found.
    """

    chosen: Array
    estimate: np.float32
    floor: np.float32
    limit: np.float32
    kept_by_blocks: np.float32
    kept: np.float32
    head: np.float32
    coarse: np.float32
    held: bool
    linked: bool
    lacks: bool


def explain_search(
    index: SeismicIndex,
    query: SparseVectors,
    row: int,
    k: int = 10,
    params: SearchParams | None = None,
    allowed: Allowed | None = None,
) -> Why:
    """Why the document in `row` of the index is, or is not, among the k found for `query`, one row.

    k, params, allowed: as of SeismicIndex.search. Takes one search of a document that is returned, and as many of
    another as the query has terms and some dozens, among them exact ones, which find its rank and a remedy.
    Raises ParameterError for any number of queries but one, a row that does not exist, and as SeismicIndex.search does.
    """
    check_search(query, index.dim, k, threads=1)
    if len(query) != 1:
        raise ParameterError(f"there are {len(query)} queries; give one")
    index.vector(row)  # raises for a row that does not exist
    mask = allowed_rows(allowed, len(index), index.ids)
    prepared, factors, _ = index._prepare(query)
    search = _Search(index, query, int(row), mask, index._blocks.positions[row], prepared, float(factors[0]))
    # A shallow copy has the same arrays, but scratch memory of its own: what this search used is then known.
    probe = copy(index)
    probe._idle = []
    found = probe.search(query, k, params, allowed=mask)
    params = index._resolved(params)
    trail = _follow(search, k, params, probe._idle.pop()) if probe._idle else None
    exhaustive = _exhaustive(search, k, params, trail)
    if exhaustive:
        trail = None
    rank = _rank_in(found.rows[0], search.row)
    score = _score(search)
    threshold = float(found.scores[0, k - 1]) if found.rows[0, k - 1] >= 0 else None
    stages = _stages(search, trail) if trail else None
    verdict = _verdict(search, rank, score, threshold, stages)
    lost = verdict not in ("returned", "filtered out", "no shared term")
    exact_rank = _exact_rank(search, k) if lost else None
    return Why(
        verdict=verdict,
        row=search.row,
        k=int(k),
        params=params,
        rank=rank,
        exact_rank=exact_rank,
        score=score,
        threshold=threshold,
        terms=_terms(search, trail),
        exhaustive=exhaustive,
        stages=stages,
        remedy=None if exact_rank is None else _remedy(search, _depths(verdict, int(k), exact_rank), params),
    )


def _rank_in(rows: Array, row: int) -> int | None:
    at = np.flatnonzero(rows == row)
    return int(at[0]) + 1 if len(at) else None


def _follow(search: _Search, k: int, params: SearchParams, scratch: Scratch) -> _Trail:
    """Run the stages of a search in `scratch`, which a search with the same k and parameters has left."""
    index = search.index
    limits = index._limits(params, k, search.mask)._replace(query_cut=len(scratch.chosen))
    components, weights, table = search.prepared.components, search.prepared.weights, scratch.table
    forward, blocks, graph = index._forward, index._blocks, index._graph
    document = search.document
    table[components] = weights
    kernels.clear_heap(scratch)
    kernels.search_blocks(components, weights, limits, forward, blocks, scratch)
    kept_by_blocks = scratch.heap_scores[0]
    limit = np.float32(kernels.threshold(limits.heap_factor, scratch.heap_scores))
    highest = np.float32(kernels.largest_of(scratch.strips))
    floor = np.float32(kernels.band_floor(highest, SMALLEST, limits.max_blocks, scratch.strips, scratch.estimates))
    linked = False
    if limits.knn:
        kernels.visit_neighbors(limits, graph, forward, blocks, scratch)
        known = scratch.snapshot[scratch.snapshot != NOTHING]
        linked = bool((graph[blocks.positions[known], : limits.knn] == document).any())
    kept = scratch.heap_scores[0]
    head = np.float32(kernels.score_head(document, table, forward))
    return _Trail(
        chosen=scratch.chosen[: kernels.choose_terms(weights, limits.query_cut, scratch.chosen)].copy(),
        estimate=scratch.estimates[_block_of(document, blocks)],
        floor=floor,
        limit=limit,
        kept_by_blocks=kept_by_blocks,
        kept=kept,
        head=head,
        coarse=head + np.float32(kernels.score_tail(*tail_of(forward, document), table, forward)),
        held=bool((scratch.heap_rows == search.row).any()),
        linked=linked,
        lacks=bool(kept == 0 and kernels.may_lack(components, limits, blocks, scratch)),
    )


def _exhaustive(search: _Search, k: int, params: SearchParams, trail: _Trail | None) -> Exhaustive | None:
    if search.index.flat:
        return "whole lists"
    if params.exact:
        return "exact"
    if search.index._limits(params, k, search.mask).exact:
        return "few allowed"
    return "too few found" if trail and trail.lacks else None


def _block_of(document: Array, blocks: Blocks) -> int:
    return int(np.searchsorted(blocks.offsets, document, side="right")) - 1


def _score(search: _Search) -> float:
    """The score that a result would have, 0 if nothing is shared."""
    if search.index.flat:
        _, query_weights, document_weights = _listed(search)
        return float(np.add.accumulate(np.append(np.float32(0), query_weights * document_weights))[-1])
    # Empty places of a head name component 0, which an index of empty documents does not have.
    table = np.zeros(max(1, len(search.index._components.external)), np.float32)
    table[search.prepared.components] = search.prepared.weights
    fine = float(fine_score(search.document, table, search.index._forward))
    with np.errstate(over="ignore"):
        return float(np.float32(fine * search.factor))


def _listed(search: _Search) -> tuple[Array, Array, Array]:
    """(components, query weights, weights of the document, 0 where it has none) of the lists of a flat index."""
    inverted = search.index._inverted
    assert inverted is not None
    _, lists, query_weights = find_terms(inverted, search.query)
    document_weights = np.zeros(len(lists), np.float32)
    for at, which in enumerate(lists):
        start, stop = inverted.starts[which : which + 2]
        place = start + np.searchsorted(inverted.rows[start:stop], search.row)
        if place < stop and inverted.rows[place] == search.row:
            document_weights[at] = inverted.weights[place]
    return inverted.components[lists], query_weights, document_weights


def _stages(search: _Search, trail: _Trail) -> Stages:
    kept = trail.kept if trail.linked else trail.kept_by_blocks
    factor = search.factor
    return Stages(
        estimate=float(trail.estimate) * factor,
        floor=float(trail.floor) * factor,
        limit=float(trail.limit) * factor,
        visited=_visited(search, trail),
        head=float(trail.head) * factor,
        head_limit=float(kept) / float(HEAD_REACH) * factor,
        kept_by_blocks=float(trail.kept_by_blocks) * factor,
        kept=float(trail.kept) * factor,
    )


def _visited(search: _Search, trail: _Trail) -> bool | None:
    if not search.may_be_found:
        return False
    if trail.held or trail.linked or trail.estimate >= max(trail.floor, trail.limit):
        return True
    # A search that scores the document keeps it if it passes both what is required of heads and what of scores.
    passes = trail.head * HEAD_REACH >= trail.kept_by_blocks and trail.coarse > trail.kept * (1 + SAME_SCORE)
    return False if passes or trail.estimate < SMALLEST else None


def _verdict(
    search: _Search, rank: int | None, score: float, threshold: float | None, stages: Stages | None
) -> Verdict:
    verdict: Verdict = "rounded away"
    if rank is not None:
        verdict = "returned"
    elif not search.may_be_found:
        verdict = "filtered out"
    elif score <= 0:
        verdict = "no shared term"
    elif threshold is not None and score <= threshold:
        verdict = "score too low" if score < threshold else "tied"
    elif stages and not stages.visited:
        verdict = _block_verdict(stages)
    elif stages and stages.head < stages.head_limit:
        verdict = "tail not read"
    return verdict


def _block_verdict(stages: Stages) -> Verdict:
    if stages.estimate == 0:
        return "not estimated"
    return "out of blocks" if stages.estimate < stages.floor else "block skipped"


def _terms(search: _Search, trail: _Trail | None) -> tuple[Term, ...]:
    index = search.index
    if index.flat:
        components, _, weights = _listed(search)
    else:
        components, weights = index.vector(search.row)
    of_document = dict(zip(components.tolist(), weights.tolist(), strict=True))
    stages = _term_stages(search, trail) if trail else {}
    terms = []
    for component, query_weight in zip(*(array.tolist() for array in search.query.row(0)), strict=True):
        weight = of_document.get(component, 0.0)
        known = stages.get(component, (False, False, 0, 0.0, 0.0))
        terms.append(Term(component, query_weight, weight, query_weight * weight, *known))
    return tuple(sorted(terms, key=lambda term: (-term.contribution, -term.query_weight, term.component)))


def _term_stages(search: _Search, trail: _Trail) -> dict[int, tuple[bool, bool, int, float, float]]:
    """External component -> (in_head, in_query_cut, block_code, block_maximum, estimated), where it is indexed."""
    index, prepared = search.index, search.prepared
    block = _block_of(search.document, index._blocks)
    codes = _block_codes(index._blocks, block, prepared.components, index._forward.scale)
    alone = np.zeros(len(index._components.external), np.float32)
    chosen = set(trail.chosen.tolist())
    known = {}
    for at, (component, weight, code) in enumerate(zip(prepared.components, prepared.weights, codes, strict=True)):
        alone[component] = weight
        in_head = kernels.score_head(search.document, alone, index._forward) > 0
        alone[component] = 0
        maximum = float(index._forward.scale[component]) * code
        estimated = float(weight * np.float32(code)) * search.factor if at in chosen else 0.0
        external = int(index._components.external[component])
        known[external] = (bool(in_head), at in chosen, code, maximum, estimated)
    return known


def _block_codes(blocks: Blocks, block: int, components: Array, scale: Array) -> list[int]:
    """The codes of components, internal, in the summary of a block; 0 for those that it lacks."""
    window, number = divmod(block, WINDOW)
    size = min(len(blocks.offsets) - 1 - window * WINDOW, WINDOW)
    codes = []
    for component in components.tolist():
        at = window * (len(scale) + 1) + component
        start, stop = (int(blocks.windows[window]) + int(each) for each in blocks.starts[at : at + 2])
        length = run_length(stop - start, size)
        if length == DENSE:
            codes.append(int(blocks.stream_bytes[2 * start + number]))
            continue
        place = int(np.searchsorted(blocks.stream[start : start + length], number))
        there = place < length and blocks.stream[start + place] == number
        codes.append(int(blocks.stream_bytes[2 * (start + length) + place]) if there else 0)
    return codes


def _exact_rank(search: _Search, k: int) -> int | None:
    """The rank in an exact search, of a document with a positive score."""
    depth, rank = min(k, len(search.index)), None
    while rank is None:
        rank = search.rank(depth, EXACT)
        if depth == len(search.index):
            break
        depth = min(DEEPER * depth, len(search.index))
    return rank


def _depths(verdict: Verdict, k: int, exact_rank: int) -> list[int]:
    """The k with which to search for a remedy: while k documents are better, no parameters return the document."""
    return sorted({max(k, exact_rank)} if verdict in ("score too low", "tied") else {k, max(k, exact_rank)})


def _remedy(search: _Search, depths: Iterable[int], params: SearchParams) -> Remedy | None:
    """The first search that returns the document, of those that change little first."""
    for k in depths:
        for changed in _changes(search, k, params):
            rank = search.rank(k, changed)
            if rank is not None:
                return Remedy(k, changed, rank)
    return None


def _changes(search: _Search, k: int, params: SearchParams) -> Iterator[SearchParams]:
    """Parameters that may return the document: the same, more terms, more blocks, more neighbors, exact search."""
    yield params
    for query_cut in range(params.query_cut + 1, search.query.nnz + 1):
        yield replace(params, query_cut=query_cut)
    most, n_blocks = search.index._limits(params, k, search.mask).max_blocks, len(search.index._blocks.offsets) - 1
    all_blocks = replace(params, max_blocks=max(most, n_blocks))
    yield from _lower_factor(search, k, params)
    yield from _more_blocks(search, k, all_blocks, most)
    for lower in _lower_factor(search, k, all_blocks):
        yield from _more_blocks(search, k, lower, most)
    yield from _more_neighbors(search, k, params)
    yield replace(params, exact=True)


def _lower_factor(search: _Search, k: int, params: SearchParams) -> Iterator[SearchParams]:
    """The highest heap_factor that returns the document, to two digits, if any does."""

    def at(step: int) -> SearchParams:
        return replace(params, heap_factor=step / FACTOR_STEPS)

    steps = math.ceil(params.heap_factor * FACTOR_STEPS)
    if steps and search.rank(k, at(0)):
        yield at(_halve(0, steps, lambda step: search.rank(k, at(step)) is not None))


def _more_blocks(search: _Search, k: int, all_blocks: SearchParams, most: int) -> Iterator[SearchParams]:
    """The lowest max_blocks above `most` that returns the document, if all of the blocks do."""

    def at(max_blocks: int) -> SearchParams:
        return replace(all_blocks, max_blocks=max_blocks)

    if all_blocks.max_blocks and all_blocks.max_blocks > most and search.rank(k, all_blocks):
        yield at(_halve(all_blocks.max_blocks, most, lambda number: search.rank(k, at(number)) is not None))


def _more_neighbors(search: _Search, k: int, params: SearchParams) -> Iterator[SearchParams]:
    """The lowest knn that returns the document, if the whole graph does."""

    def at(knn: int) -> SearchParams:
        return replace(params, knn=knn)

    if search.index.knn > params.knn and search.rank(k, at(search.index.knn)):
        yield at(_halve(search.index.knn, params.knn, lambda knn: search.rank(k, at(knn)) is not None))


def _halve(good: int, bad: int, works: Callable[[int], bool]) -> int:
    """The number nearest to `bad` that halving finds to work, as `good` does and `bad` does not."""
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        if works(middle):
            good = middle
        else:
            bad = middle
    return good
