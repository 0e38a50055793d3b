"""Explains why a search returned a document, or which stage dropped it, and which parameters return it.

Nothing is guessed. The query is searched, and the search of blocks is repeated to record its estimates and limits. A
remedy is reported only after a search with it has returned the document.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lsr.deadline import check_deadline
from lsr.display import HasFacts
from lsr.errors import ParameterError
from lsr.index.filters import Filter
from lsr.index.index_checks import checked_queries
from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.parameters import SearchParams
from lsr.index.rows import checked_row
from lsr.index.segments.segmented_engine import SegmentedEngine
from lsr.index.seismic.block_codes import block_codes
from lsr.index.seismic.engine import BlockEngine, Trail, blocks_asked, heap_size
from lsr.index.seismic.forward import fine_score, table_size
from lsr.index.seismic.search import kernels
from lsr.index.seismic.search.kernels import FAINT, HEAD_REACH, SMALLEST, Limits
from lsr.index.seismic.search.queries import Queries
from lsr.index.tools.tuning import EXACT
from lsr.storage.arrays import Array
from lsr.vectors.sparse_vectors import SparseVectors, VectorsLike

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
Reason = Literal["inverted", "asked for", "few allowed", "too few found"]

# Relative. Searches add up the same products in other orders, so either of two scores this close can be higher.
SAME_SCORE = 1e-5

# Factor by which deeper rankings are searched for the document.
DEEPER = 8

FACTOR_STEPS = 100  # steps per unit of heap_factor


@dataclass(frozen=True, slots=True)
class Term:
    """The contribution of one term of the query to a document.

    component: the number of the term in vectors.
    query_weight, document_weight: the weights in the index, after rounding. The document weight is 0 if the document
        lacks the term.
    contribution: query_weight * document_weight.
    in_head: whether the term is in the document's head, which a visit reads first.
    in_query_cut: whether the term was used for estimates.
    block_maximum: the largest weight among the block's documents, in 4 bits, from the block's summary or the
        superblock's page; 0 if the summary or page lacks the term.
    estimated: the term's part of the estimate of the block.

    After an exact search, which uses neither heads nor blocks, the last four are False and 0.
    """

    component: int
    query_weight: float
    document_weight: float
    contribution: float
    in_head: bool
    in_query_cut: bool
    block_maximum: float
    estimated: float


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of an approximate search for a document, with the requirements at its end.

    estimate: the estimate of the document's block. A block is visited if its estimate is at least `floor` and at least
        the threshold at that time. While the heap is not full, the threshold is 0.
    floor: the lowest estimate among about max_blocks blocks with the highest estimates. The smallest positive number if
        fewer blocks have an estimate.
    superblock, superblock_floor: the estimate of the block's superblock, and the lowest estimate among the superblocks
        whose blocks are estimated. None for collections without superblocks.
    limit: the threshold at the end of the search: heap_factor * `kept_by_blocks`. The threshold rises during a search.
    visited: whether the document was scored. None if this depends on the order of the visits: the estimate reached the
        threshold only early in the search.
    head, head_limit: the score of the document's head, with 8-bit weights, and the score from which the tail is read.
    kept_by_blocks, kept: the worst score in the heap, with 8-bit weights, before and after neighbors were visited; 0 if
        the heap was not full. The heap has a few more documents than the search returns, and can have documents of
        segments that were searched before.
    """

    estimate: float
    floor: float
    superblock: float | None
    superblock_floor: float | None
    limit: float
    visited: bool | None
    head: float
    head_limit: float
    kept_by_blocks: float
    kept: float


@dataclass(frozen=True, slots=True)
class Remedy:
    """The k and the parameters of a search that returned the document, and its rank there."""

    k: int
    params: SearchParams
    rank: int


@dataclass(frozen=True, slots=True, repr=False)
class Why(HasFacts):
    """Why a document was or was not returned for a query.

    verdict: the first of these that applies.
        returned        it is among the k documents
        filtered out    the filter excludes it
        no shared term  it has no term of the query with a stored weight
        score too low   k documents with a higher score were returned
        tied            k documents with its score or a higher one were returned
        not estimated   no term in the query cut is in the summary of its block, or of its superblock
        out of blocks   about max_blocks other blocks have higher estimates than its block, or its superblock is out
        block skipped   the estimate of its block is below heap_factor x the worst score in the heap at the end
        tail not read   its head scored too little for its tail to be read
        rounded away    it was scored, but with 8-bit weights other documents are better
        If `stages.visited` is None, the block may have been visited early, while the threshold was lower. The document
        was then lost as in the last two cases.
    row: the row of the document. If documents are split, the row of the returned passage, or of the best one.
    k: the number of documents that were requested.
    params: the parameters of the search. In place of a recall, they are the tuned parameters.
    rank: the document's rank in the result, from 1; None if it was not returned.
    exact_rank: the document's rank in an exact search; None if the document was returned, or no search can return it.
    score: the document's score.
    threshold: the score of the k-th document; None if fewer than k were returned.
    terms: the terms of the whole query, largest contribution first.
    exact: the reason for an exact search, which scores all documents; None if the search was not exact.
        inverted        documents are stored as posting lists
        asked for       SearchParams(exact=True)
        few allowed     so few documents are allowed that each is scored
        too few found   the blocks returned fewer than k documents
    stages: the stages of an approximate search; None after an exact one, or if no document is allowed.
    remedy: a search that returns a document that was not returned; None if no parameters do.
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
    exact: Reason | None
    stages: Stages | None
    remedy: Remedy | None

    def _facts(self) -> dict[str, object]:
        names = ("verdict", "row", "k", "rank", "exact_rank", "score", "threshold", "exact")
        return {name: None if (value := getattr(self, name)) is None else str(value) for name in names}


@dataclass(frozen=True, slots=True)
class _Search:
    """One query, and the row of the document in question. allowed: the documents that can be returned.

    engine: the engine of the whole index. row: the document's row in `engine`.
    home, home_row: the engine of the document's segment, and the document's row there; else engine and row.
    number: the number of the segment. share: the segment's share of all rows.
    """

    engine: BlockEngine | InvertedEngine | SegmentedEngine
    query: SparseVectors
    row: int
    allowed: Filter | None
    home: BlockEngine | InvertedEngine
    home_row: int
    number: int = 0
    share: float = 1.0

    @classmethod
    def of(
        cls,
        engine: BlockEngine | InvertedEngine | SegmentedEngine,
        query: SparseVectors,
        row: int,
        allowed: Filter | None,
    ) -> _Search:
        if not isinstance(engine, SegmentedEngine):
            return cls(engine, query, row, allowed, engine, row)
        number, inside = engine.locate(row)
        share = float(np.diff(engine.rows.starts)[number]) / len(engine)
        return cls(engine, query, row, allowed, engine.segments[number].engine, inside, number, share)

    def of_passage(self, found: Array) -> _Search:
        """The same search for the returned passage of the document, or else its best allowed passage."""
        if not isinstance(self.engine, SegmentedEngine):
            return self
        rows = self.engine.passages(self.row)
        best = found[np.isin(found, rows)]
        if not len(best) and len(rows) > 1:
            mask = np.zeros(len(self.engine), bool)
            mask[rows] = True if self.allowed is None else self.allowed.mask[rows]
            best = self.engine.search(self.query, 1, EXACT, 1, Filter(mask))[1][0]
        if not len(best) or best[0] in (self.row, -1):
            return self
        return _Search.of(self.engine, self.query, int(best[0]), self.allowed)

    def begin(self, k: int, params: SearchParams) -> tuple[Limits | None, Array]:
        """The state in which a search starts in the document's blocks: see SegmentedEngine.before."""
        if isinstance(self.engine, SegmentedEngine):
            return self.engine.before(self.number, self.query, k, params, self.allowed)
        assert isinstance(self.home, BlockEngine)
        return self.home.limits(params, k, self.allowed), np.empty(0)

    @property
    def may_be_found(self) -> bool:
        return self.allowed is None or bool(self.allowed.mask[self.row])

    def rank(self, k: int, params: SearchParams) -> int | None:
        """The rank of the document in a search, from 1, or None. Raises DeadlineError: there may be many searches."""
        check_deadline()
        return _rank_in(self.engine.search(self.query, k, params, 1, self.allowed)[1][0], self.row)


@dataclass(frozen=True, slots=True)
class _InBlocks:
    """The search in the blocks of the document's segment.

    engine, row: the segment, and the document's row there. prepared: the query in the format of kernels.
    factor: scores of kernels times `factor` are scores of results.
    """

    engine: BlockEngine
    row: int
    prepared: Queries
    factor: float

    @property
    def document(self) -> Array:
        document: Array = self.engine.blocks.positions[self.row]
        return document


def explain_search(
    engine: BlockEngine | InvertedEngine | SegmentedEngine,
    query: VectorsLike,
    row: int,
    k: int,
    params: SearchParams,
    allowed: Filter | None,
) -> Why:
    """Why the document in `row` is, or is not, among the k results for `query`, one row.

    With several segments, the stages are those of the search of its segment, which starts with the scores that earlier
    segments kept. With passages, the returned passage is explained, or else the best one, for any `row` of the
    document.
    params: the parameters of the search. A recall must have been replaced by the tuned parameters.

    If the document is returned, this takes one search. Otherwise, finding the exact rank and a remedy takes some dozens
    of searches, some of them exact, and one more for each term of the query.

    Raises ParameterError unless there is exactly one query, and for a row that does not exist; the errors of
    SeismicIndex.search; and DeadlineError between two searches.
    """
    query = checked_queries(query, engine.dim, k)
    k = int(k)
    if len(query) != 1:
        raise ParameterError(f"there are {len(query)} queries; give one")
    found_scores, found_rows = (each[0] for each in engine.search(query, k, params, 1, allowed))
    search = _Search.of(engine, query, checked_row(row, len(engine)), allowed).of_passage(found_rows)
    home = search.home
    exact: Reason | None = "inverted"
    inside, trail = None, None
    if isinstance(home, BlockEngine):
        prepared, factors, _ = home.prepare(query)
        inside = _InBlocks(home, search.home_row, prepared, float(factors[0]))
        limits, kept = search.begin(k, params)
        exact = _why_exact(params, limits)
        if limits and exact is None:
            trail = home.trace(query, search.home_row, limits, heap_size(k, len(engine)), kept)
            if trail.lacks:
                exact, trail = "too few found", None
    rank = _rank_in(found_rows, search.row)
    document = _weights(search)
    score = _score(search, document) if inside is None else _block_score(inside)
    threshold = float(found_scores[k - 1]) if found_rows[k - 1] >= 0 else None
    stages = _stages(inside, trail, _visited(search, trail)) if inside and trail else None
    verdict = _verdict(search, rank, score, threshold, stages)
    lost = verdict not in ("returned", "filtered out", "no shared term")
    exact_rank = _exact_rank(search, k) if lost else None
    return Why(
        verdict=verdict,
        row=search.row,
        k=k,
        params=params,
        rank=rank,
        exact_rank=exact_rank,
        score=score,
        threshold=threshold,
        terms=_terms(search, document, _term_stages(inside, trail) if inside and trail else {}),
        exact=exact,
        stages=stages,
        remedy=None if exact_rank is None else _remedy(search, _depths(verdict, k, exact_rank), params),
    )


def _rank_in(rows: Array, row: int) -> int | None:
    at = np.flatnonzero(rows == row)
    return int(at[0]) + 1 if len(at) else None


def _why_exact(params: SearchParams, limits: Limits | None) -> Reason | None:
    """The reason why a search of blocks is exact from the start; None if it is not."""
    if params.exact:
        return "asked for"
    return "few allowed" if limits is None or limits.exact else None


def _weights(search: _Search) -> dict[int, float]:
    """Component -> weight of the document, as the engine scores it."""
    gathered = search.engine.gather(np.array([search.row], np.int64))
    return dict(zip(gathered.indices.tolist(), gathered.values.tolist(), strict=True))


def _score(search: _Search, document: dict[int, float]) -> float:
    """The score of posting lists: products and sums in float32, by ascending component; 0 if nothing is shared."""
    components, query_weights = search.query.row(0)
    weights = np.array([document.get(component, 0.0) for component in components.tolist()], np.float32)
    with np.errstate(over="ignore"):
        return float(np.add.accumulate(np.append(np.float32(0), query_weights * weights))[-1])


def _block_score(inside: _InBlocks) -> float:
    """The score in a result; 0 if nothing is shared."""
    table = _empty_table(inside.engine)
    table[inside.prepared.components] = inside.prepared.weights
    fine = float(fine_score(inside.document, table, inside.engine.forward))
    with np.errstate(over="ignore"):
        return float(np.float32(fine * inside.factor))


def _empty_table(engine: BlockEngine) -> Array:
    """An empty table of query weights for kernels."""
    return np.zeros(table_size(len(engine.forward.scale), engine.forward.heads.itemsize), np.float32)


def _stages(inside: _InBlocks, trail: Trail, visited: bool | None) -> Stages:
    kept = trail.kept if trail.linked else trail.kept_by_blocks
    factor, paged = inside.factor, bool(inside.engine.blocks.pages.size)
    return Stages(
        estimate=float(trail.estimate) * factor if trail.estimate >= FAINT else 0.0,
        floor=float(trail.floor) * factor,
        superblock=float(trail.listed) * factor if paged else None,
        superblock_floor=float(trail.listed_floor) * factor if paged else None,
        limit=float(trail.limit) * factor,
        visited=visited,
        head=float(trail.head) * factor,
        head_limit=float(kept) / float(HEAD_REACH) * factor,
        kept_by_blocks=float(trail.kept_by_blocks) * factor,
        kept=float(trail.kept) * factor,
    )


def _visited(search: _Search, trail: Trail) -> bool | None:
    if not search.may_be_found:
        return False
    listed = trail.listed >= trail.listed_floor
    if trail.held or trail.linked or (listed and trail.estimate >= max(trail.floor, trail.limit)):
        return True
    # A search that visits the document keeps it if it reaches the requirements of heads and of scores.
    passes = trail.head * HEAD_REACH >= trail.kept_by_blocks and trail.coarse > trail.kept * (1 + SAME_SCORE)
    return False if passes or not listed or trail.estimate < SMALLEST else None


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
    if 0 in (stages.estimate, stages.superblock):
        return "not estimated"
    out = stages.estimate < stages.floor or (stages.superblock or 0) < (stages.superblock_floor or 0)
    return "out of blocks" if out else "block skipped"


def _terms(
    search: _Search, document: dict[int, float], stages: dict[int, tuple[bool, bool, float, float]]
) -> tuple[Term, ...]:
    terms = []
    for component, query_weight in zip(*(array.tolist() for array in search.query.row(0)), strict=True):
        weight = document.get(component, 0.0)
        known = stages.get(component, (False, False, 0.0, 0.0))
        terms.append(Term(component, query_weight, weight, query_weight * weight, *known))
    return tuple(sorted(terms, key=lambda term: (-term.contribution, -term.query_weight, term.component)))


def _term_stages(inside: _InBlocks, trail: Trail) -> dict[int, tuple[bool, bool, float, float]]:
    """Component -> (in_head, in_query_cut, block_maximum, estimated) of Term, for components that the segment has."""
    engine, prepared = inside.engine, inside.prepared
    external, scale = engine.components.external, engine.forward.scale
    codes = block_codes(engine.blocks, int(inside.document) // engine.blocks.block_size, prepared.components)
    alone = _empty_table(engine)
    chosen = set(trail.chosen.tolist())
    known = {}
    for at, (component, weight, code) in enumerate(zip(prepared.components, prepared.weights, codes, strict=True)):
        alone[component] = weight
        in_head = kernels.score_head(inside.document, alone, engine.forward) > 0
        alone[component] = 0
        maximum = float(scale[component]) * code
        estimated = float(weight * np.float32(code)) * inside.factor if at in chosen else 0.0
        known[int(external[component])] = (bool(in_head), at in chosen, maximum, estimated)
    return known


def _exact_rank(search: _Search, k: int) -> int | None:
    """The rank in an exact search of a document with a positive score."""
    depth, rank = min(k, len(search.engine)), None
    while rank is None:
        rank = search.rank(depth, EXACT)
        if depth == len(search.engine):
            break
        depth = min(DEEPER * depth, len(search.engine))
    return rank


def _depths(verdict: Verdict, k: int, exact_rank: int) -> list[int]:
    """The values of k to try for a remedy: while k documents are better, no parameters return the document."""
    return sorted({max(k, exact_rank)} if verdict in ("score too low", "tied") else {k, max(k, exact_rank)})


def _remedy(search: _Search, depths: Iterable[int], params: SearchParams) -> Remedy | None:
    """The first search that returns the document. Small changes are tried first."""
    for k in depths:
        for changed in _changes(search, k, params):
            rank = search.rank(k, changed)
            if rank is not None:
                return Remedy(k, changed, rank)
    return None


def _changes(search: _Search, k: int, params: SearchParams) -> Iterator[SearchParams]:
    """Parameters that may return the document: the same, more terms, more blocks, more neighbors, exact search."""
    yield params
    engine = search.home
    if params.exact or isinstance(engine, InvertedEngine):
        return
    for query_cut in range(params.query_cut + 1, search.query.nnz + 1):
        yield replace(params, query_cut=query_cut)
    most, n_blocks = blocks_asked(params, k), -(-len(engine) // engine.blocks.block_size)
    all_blocks = replace(params, max_blocks=max(most, math.ceil(n_blocks / search.share)))
    yield from _lower_factor(search, k, params)
    yield from _more_blocks(search, k, all_blocks, most)
    for lower in _lower_factor(search, k, all_blocks):
        yield from _more_blocks(search, k, lower, most)
    yield from _more_neighbors(search, k, params, engine.knn)
    yield EXACT


def _lower_factor(search: _Search, k: int, params: SearchParams) -> Iterator[SearchParams]:
    """The highest heap_factor that returns the document, to two digits, if any does."""

    def at(step: int) -> SearchParams:
        return replace(params, heap_factor=step / FACTOR_STEPS)

    steps = math.ceil(params.heap_factor * FACTOR_STEPS)
    if steps and search.rank(k, at(0)):
        yield at(_bisect(0, steps, lambda step: search.rank(k, at(step)) is not None))


def _more_blocks(search: _Search, k: int, all_blocks: SearchParams, most: int) -> Iterator[SearchParams]:
    """The lowest max_blocks above `most` that returns the document, if all of the blocks do."""

    def at(max_blocks: int) -> SearchParams:
        return replace(all_blocks, max_blocks=max_blocks)

    if all_blocks.max_blocks and all_blocks.max_blocks > most and search.rank(k, all_blocks):
        yield at(_bisect(all_blocks.max_blocks, most, lambda number: search.rank(k, at(number)) is not None))


def _more_neighbors(search: _Search, k: int, params: SearchParams, all_neighbors: int) -> Iterator[SearchParams]:
    """The lowest knn that returns the document, if the whole graph does."""

    def at(knn: int) -> SearchParams:
        return replace(params, knn=knn)

    if all_neighbors > params.knn and search.rank(k, at(all_neighbors)):
        yield at(_bisect(all_neighbors, params.knn, lambda knn: search.rank(k, at(knn)) is not None))


def _bisect(good: int, bad: int, works: Callable[[int], bool]) -> int:
    """The number nearest to `bad` that works, if all numbers between it and `good` work. `bad` does not work."""
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        if works(middle):
            good = middle
        else:
            bad = middle
    return good
