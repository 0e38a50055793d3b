"""Why a search returned a document, or which of its stages let the document go, and what would have kept it.

Nothing is guessed: the query is searched for, its block stage is run once more for the numbers that it leaves behind,
and a remedy is one with which a search returned the document.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

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
    block_maximum: the largest weight of the block's documents, as the block's summary, or its superblock's page, has it
    in four bits; 0 if the term is not there.
    estimated: what the term added to the estimate of the block.
    After an exact search, which asks neither heads nor blocks, the last four are False and 0.
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
    """How near a document came to being found by an approximate search, by what the search required at its end.

    estimate: of the document's block, which had to reach both of the following in the end. While a search has room for
    more documents, any estimate does.
    floor: what max_blocks left: so many blocks, about, have this estimate or a higher one. The least positive number if
    there are not so many.
    superblock, superblock_floor: the same of the superblock that the block is in, of which four times as many are
    looked into; None where the collection is too small for superblocks.
    limit: heap_factor x `kept_by_blocks`; it rises during a search.
    visited: whether the document was scored. True for an estimate that reaches both; None if it was scored only in case
    its block was met when less was required.
    head, head_limit: score of the document's heaviest components, by 8-bit weights, and what it had to reach for the
    others to be read.
    kept_by_blocks, kept: the score, by 8-bit weights, of the worst document that the search kept, before and after it
    visited neighbors; 0 if it had room for more. It keeps a few more documents than it returns, and those of other
    segments that it searched before.
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
    """The k and the parameters with which a search did return the document, and the rank that it had there."""

    k: int
    params: SearchParams
    rank: int


@dataclass(frozen=True, slots=True, repr=False)
class Why(HasFacts):
    """Why a document was returned for a query, or was not.

    verdict: the first of these that is true.
        returned        it is among the k
        filtered out    it is not among the documents that may be found
        no shared term  it has no term of the query with a weight that the index keeps
        score too low   k documents with a higher score were returned
        tied            k documents with its score or a higher one were returned
        not estimated   no term that estimates blocks is in the summary of its block, or of its superblock
        out of blocks   max_blocks others have a higher estimate than its block, about, or its superblock is out
        block skipped   its block's estimate is below heap_factor x the worst score kept in the end
        tail not read   its heaviest components alone scored too little for the others to be read
        rounded away    it was scored, but by its 8-bit weights other documents are better
        Where `stages.visited` is None, a block that is out or skipped may have been met early, when less was required;
        if so, the document was lost as the last two are.
    row, k, params: what was asked for; of a document that is split, the row of the passage that was found, or of the
        best one. `params` as an index tuned for a recall understands them.
    rank: from 1, or None. exact_rank: the same of an exact search, for a document that was not returned, but could be.
    score: that of the document in a result. threshold: that of the k-th, or None if fewer than k were returned.
    terms: of the whole query, those that contribute most first.
    exact: why the search was exact, which scores all documents; None if it was not.
        inverted        documents are stored as inverted lists
        asked for       SearchParams(exact=True)
        few allowed     so few documents may be found that each is scored
        too few found   the blocks gave fewer than k documents
    stages: of an approximate search; None after an exact one, or where no document may be found.
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
    exact: Reason | None
    stages: Stages | None
    remedy: Remedy | None

    def _facts(self) -> dict[str, object]:
        names = ("verdict", "row", "k", "rank", "exact_rank", "score", "threshold", "exact")
        return {name: None if (value := getattr(self, name)) is None else str(value) for name in names}


@dataclass(frozen=True, slots=True)
class _Search:
    """One query, and the row of the document that is looked for. allowed: the documents that may be found.

    home: the engine of the document's segment, which is `engine` itself where there is but one; home_row: the row in
    it. number: of the segment. share: that it has of all documents that are searched.
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
        """The same of the document's passage that was found, or otherwise the best one that may be found, if any."""
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
        """How a search begins in the document's blocks: see SegmentedEngine.before."""
        if isinstance(self.engine, SegmentedEngine):
            return self.engine.before(self.number, self.query, k, params, self.allowed)
        assert isinstance(self.home, BlockEngine)
        return self.home.limits(params, k, self.allowed), np.empty(0)

    @property
    def may_be_found(self) -> bool:
        return self.allowed is None or bool(self.allowed.mask[self.row])

    def rank(self, k: int, params: SearchParams) -> int | None:
        """The document's rank in a search, from 1, or None."""
        return _rank_in(self.engine.search(self.query, k, params, 1, self.allowed)[1][0], self.row)


@dataclass(frozen=True, slots=True)
class _InBlocks:
    """What blocks make of the query: as kernels take it, what their scores are multiplied by, and the document."""

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
    """Why the document in `row` is, or is not, among the k found for `query`, one row.

    Of several segments, what happened to the document's block is told of the search of its segment, which begins with
    the scores that those before it kept. Where documents are split into passages, the passage that was found is
    told of, or else the best one, whichever passage `row` is.
    params: what was tuned for a recall, not the recall. Takes one search of a document that is returned, and as many of
    another as the query has terms and some dozens, among them exact ones, which find its rank and a remedy.
    Raises ParameterError for any number of queries but one, a row that does not exist, and as SeismicIndex.search does.
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
    """Why a search of blocks is exact from the start."""
    if params.exact:
        return "asked for"
    return "few allowed" if limits is None or limits.exact else None


def _weights(search: _Search) -> dict[int, float]:
    """Component -> weight of the document, as the engine scores it."""
    gathered = search.engine.gather(np.array([search.row], np.int64))
    return dict(zip(gathered.indices.tolist(), gathered.values.tolist(), strict=True))


def _score(search: _Search, document: dict[int, float]) -> float:
    """The score that inverted lists give: products and sums of float32, by rising component; 0 if nothing is shared."""
    components, query_weights = search.query.row(0)
    weights = np.array([document.get(component, 0.0) for component in components.tolist()], np.float32)
    return float(np.add.accumulate(np.append(np.float32(0), query_weights * weights))[-1])


def _block_score(inside: _InBlocks) -> float:
    """The score that a result would have, 0 if nothing is shared."""
    table = _empty_table(inside.engine)
    table[inside.prepared.components] = inside.prepared.weights
    fine = float(fine_score(inside.document, table, inside.engine.forward))
    with np.errstate(over="ignore"):
        return float(np.float32(fine * inside.factor))


def _empty_table(engine: BlockEngine) -> Array:
    """Where kernels look up a query's weights."""
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
    # A search that scores the document keeps it if it passes both what is required of heads and what of scores.
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
    """External component -> (in_head, in_query_cut, block_maximum, estimated), where it is indexed."""
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
    """The rank in an exact search, of a document with a positive score."""
    depth, rank = min(k, len(search.engine)), None
    while rank is None:
        rank = search.rank(depth, EXACT)
        if depth == len(search.engine):
            break
        depth = min(DEEPER * depth, len(search.engine))
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
        yield at(_halve(0, steps, lambda step: search.rank(k, at(step)) is not None))


def _more_blocks(search: _Search, k: int, all_blocks: SearchParams, most: int) -> Iterator[SearchParams]:
    """The lowest max_blocks above `most` that returns the document, if all of the blocks do."""

    def at(max_blocks: int) -> SearchParams:
        return replace(all_blocks, max_blocks=max_blocks)

    if all_blocks.max_blocks and all_blocks.max_blocks > most and search.rank(k, all_blocks):
        yield at(_halve(all_blocks.max_blocks, most, lambda number: search.rank(k, at(number)) is not None))


def _more_neighbors(search: _Search, k: int, params: SearchParams, all_neighbors: int) -> Iterator[SearchParams]:
    """The lowest knn that returns the document, if the whole graph does."""

    def at(knn: int) -> SearchParams:
        return replace(params, knn=knn)

    if all_neighbors > params.knn and search.rank(k, at(all_neighbors)):
        yield at(_halve(all_neighbors, params.knn, lambda knn: search.rank(k, at(knn)) is not None))


def _halve(good: int, bad: int, works: Callable[[int], bool]) -> int:
    """The number nearest to `bad` that halving finds to work, as `good` does and `bad` does not."""
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        if works(middle):
            good = middle
        else:
            bad = middle
    return good
