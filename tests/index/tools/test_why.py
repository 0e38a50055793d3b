"""Explanations of searches: verdicts of constructed indexes, numbers against NumPy, remedies against searches."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lsr.errors import ParameterError
from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.segments.segmented_engine import Segment, SegmentedEngine
from lsr.index.seismic.build import trial
from lsr.index.seismic.engine import BlockEngine
from lsr.index.seismic.forward import Forward, fine_score
from lsr.index.seismic.search import kernels
from lsr.index.seismic.search.estimates import WEIGHTS
from lsr.index.seismic.seismic_files import State
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.index.tools import why as why_module
from lsr.index.tools.tuning import TunedPreset, TuningPoint
from lsr.index.tools.why import FACTOR_STEPS, Why
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import build, configs, graph_of, vectors_and_queries
from tests.index.segments.made_segments import Made, drawn_segmentations
from tests.index.superblocks import always_superblocks
from tests.strategies import from_pairs

DIM = 200
EXACT = SearchParams(exact=True)

# Every document is a block. 400 of them, so that not all are visited before the first are scored.
STRONG: list[dict[int, float]] = [{0: 1.8 - 0.0005 * at} for at in range(400)]
OTHER_TERMS = dict.fromkeys(range(100, 116), 5.0)  # more than what a document says of the query: its head


def index_of(documents: list[dict[int, float]], energy: float = 1.0, **config: Any) -> SeismicIndex:
    """Documents of component -> weight, one a block; no component counts as rare."""
    vectors = from_pairs([list(each.items()) for each in documents], DIM)
    return build(vectors, IndexConfig(block_size=1, summary_energy=energy, **config), rare=0)


def query_of(weights: dict[int, float]) -> SparseVectors:
    return from_pairs([list(weights.items())], DIM)


def check(index: SeismicIndex, query: SparseVectors, why: Why, allowed: Any = None) -> None:
    """What holds of every explanation."""
    found = index.search(query, why.k, why.params, allowed=allowed)
    rows = found.rows[0].tolist()
    assert (why.verdict == "returned") == (why.row in rows)
    assert why.rank == (rows.index(why.row) + 1 if why.row in rows else None)
    assert why.threshold == (found.scores[0, -1] if rows[-1] >= 0 else None)
    assert why.score == pytest.approx(sum(term.contribution for term in why.terms), rel=1e-5)
    assert [term.contribution for term in why.terms] == sorted((t.contribution for t in why.terms), reverse=True)
    assert dict(zip(*map(np.ndarray.tolist, query.row(0)), strict=True)) == {
        term.component: term.query_weight for term in why.terms
    }
    if why.rank is not None:
        assert why.score == found.scores[0, why.rank - 1]
    if why.stages:
        assert why.exact is None
        # A block of which nothing is allowed is not estimated.
        if why.verdict != "filtered out":
            expected = sum(term.estimated for term in why.terms)
            error = 1e-5 * expected if paged(index, why.row) else rounding(index, query, why)
            assert why.stages.estimate == pytest.approx(expected, abs=error)
        assert (why.stages.superblock is None) == (why.stages.superblock_floor is None) == (not paged(index, why.row))
        assert why.stages.limit == pytest.approx(why.params.heap_factor * why.stages.kept_by_blocks, rel=1e-5)
        assert why.stages.kept >= why.stages.kept_by_blocks
        assert why.rank is None or why.stages.visited
    if why.verdict in ("returned", "filtered out", "no shared term"):
        assert why.exact_rank is None
        assert why.remedy is None
        return
    assert why.score > 0
    exact = index.search(query, len(index), EXACT, allowed=allowed)
    assert exact.rows[0, why.exact_rank - 1] == why.row
    assert exact.scores[0, why.exact_rank - 1] == why.score
    assert why.remedy is not None
    saved = index.search(query, why.remedy.k, why.remedy.params, allowed=allowed).rows[0]
    assert saved[why.remedy.rank - 1] == why.row
    assert why.remedy.k in (why.k, why.exact_rank)


def engine_of(index: SeismicIndex, row: int) -> BlockEngine:
    """The engine of the document's segment."""
    engine = index.engine
    if isinstance(engine, SegmentedEngine):
        engine = engine.segments[engine.locate(row)[0]].engine
    assert isinstance(engine, BlockEngine)
    return engine


def paged(index: SeismicIndex, row: int) -> bool:
    return len(engine_of(index, row).blocks.pages) > 0


def rounding(index: SeismicIndex, query: SparseVectors, why: Why) -> float:
    """By how much an estimate may be too high, as weights of the query are rounded up to whole numbers."""
    (prepared, factors, _), chosen = (
        engine_of(index, why.row).prepare(query),
        [term for term in why.terms if term.in_query_cut],
    )
    heaviest = np.sort(prepared.weights)[::-1][: len(chosen)].sum(dtype=float) * factors[0]
    return 1.001 * 255 * len(chosen) * heaviest / (WEIGHTS - len(chosen)) + 1e-5 * why.stages.estimate


def changed(why: Why) -> dict[str, Any]:
    """What the remedy changes."""
    assert why.remedy is not None
    before = asdict(why.params).items()
    return {"k": why.remedy.k} | dict(asdict(why.remedy.params).items() - before)


def test_returned() -> None:
    index, query = index_of(STRONG), query_of({0: 2.0})
    why = index.why(query, 1, k=2)
    check(index, query, why)
    assert (why.verdict, why.rank, why.row, why.k, why.params) == ("returned", 2, 1, 2, SearchParams())
    assert why.score == pytest.approx(2 * 1.7995, rel=1e-4)
    [term] = why.terms
    assert (term.component, term.in_head, term.in_query_cut, term.block_maximum > 0) == (0, True, True, True)
    assert term.document_weight == pytest.approx(1.7995, rel=1e-4)
    assert term.block_maximum == pytest.approx(1.8)
    assert term.estimated == pytest.approx(3.6)


def test_score_too_low() -> None:
    index, query = index_of(STRONG), query_of({0: 1.0})
    why = index.why(query, 30, k=2)
    check(index, query, why)
    assert (why.verdict, why.exact_rank) == ("score too low", 31)
    assert why.threshold == pytest.approx(1.7995, rel=1e-4)
    assert changed(why) == {"k": 31}


def test_no_shared_term() -> None:
    index, query = index_of([*STRONG, {5: 9.0}, {}]), query_of({0: 1.0, 7: 1.0})
    for row in (400, 401):
        why = index.why(query, row, k=2)
        check(index, query, why)
        assert (why.verdict, why.score) == ("no shared term", 0)
        assert [(term.component, term.contribution) for term in why.terms] == [(0, 0), (7, 0)]
    assert index.why(query_of({7: 1.0}), 0).verdict == "no shared term"
    assert index.why(query_of({}), 0).terms == ()


@pytest.mark.parametrize("allowed", [[3, 4], [], np.arange(3000) > 5])
def test_filtered_out(allowed: Any) -> None:
    index, query = index_of([{0: 2.0 - 0.0005 * at} for at in range(3000)]), query_of({0: 1.0})
    why = index.why(query, 0, allowed=allowed)
    check(index, query, why, allowed)
    assert why.verdict == "filtered out"
    assert why.score == pytest.approx(2)
    assert why.stages is None or why.stages.visited is False
    assert (why.stages is None) == (len(allowed) < 3000)


def test_filters_hold_for_ranks_and_remedies() -> None:
    index, query = index_of([{0: 2.0 - 0.0005 * at} for at in range(3000)]), query_of({0: 1.0})
    why = index.why(query, 40, k=2, allowed=np.arange(3000) > 5)
    check(index, query, why, np.arange(3000) > 5)
    assert (why.verdict, why.exact_rank, changed(why)) == ("score too low", 35, {"k": 35})


def test_not_estimated_by_terms_within_the_cut() -> None:
    index, query = index_of([*STRONG, {1: 1.7999}]), query_of({0: 1.01, 1: 1.0099, 2: 0.5})
    params = SearchParams(query_cut=1)
    why = index.why(query, 400, k=20, params=params)
    check(index, query, why)
    assert why.verdict == "not estimated"
    assert why.stages is not None
    assert (why.stages.estimate, why.stages.visited) == (0, False)
    assert [(term.component, term.in_query_cut, term.block_maximum > 0) for term in why.terms] == [
        (1, False, True),
        (0, True, False),
        (2, False, False),
    ]
    assert changed(why) == {"k": 20, "query_cut": 2}


def test_block_skipped_for_what_its_summary_lacks() -> None:
    index, query = index_of([*STRONG, {0: 1.0, 1: 0.9}], energy=0.5), query_of({0: 1.0, 1: 1.0})
    why = index.why(query, 400, k=2, params=SearchParams(heap_factor=0.8, max_blocks=1000))
    check(index, query, why)
    assert why.verdict == "block skipped"
    assert why.stages is not None
    assert why.stages.visited is False
    assert why.stages.estimate == pytest.approx(1, abs=1 / 15)  # of 1.8, in 15 steps
    assert [(term.component, term.in_query_cut, term.block_maximum > 0) for term in why.terms] == [
        (0, True, True),
        (1, True, False),
    ]
    # It is the largest factor, to two digits, for which the estimate suffices.
    factor = changed(why)["heap_factor"]
    assert changed(why) == {"k": 2, "heap_factor": factor}
    assert factor * why.stages.kept_by_blocks < why.stages.estimate < (factor + 0.011) * why.stages.kept_by_blocks
    assert factor == round(factor * FACTOR_STEPS) / FACTOR_STEPS


def test_out_of_blocks() -> None:
    index, query = index_of([*STRONG, {0: 1.65, 1: 1.6}], energy=0.5), query_of({0: 1.0, 1: 1.0})
    why = index.why(query, 400, k=2, params=SearchParams(max_blocks=5))
    check(index, query, why)
    assert why.verdict == "out of blocks"
    assert why.stages is not None
    assert why.stages.visited is False
    assert why.stages.limit < why.stages.estimate < why.stages.floor < 1.801
    most = changed(why)["max_blocks"]
    assert changed(why) == {"k": 2, "max_blocks": most}
    assert 400 not in index.search(query, 2, SearchParams(max_blocks=most - 1)).rows[0]


def test_out_of_blocks_and_below_the_limit() -> None:
    index, query = index_of([*STRONG, {0: 1.0, 1: 0.9}], energy=0.5), query_of({0: 1.0, 1: 1.0})
    why = index.why(query, 400, k=2, params=SearchParams(max_blocks=5, heap_factor=0.8))
    check(index, query, why)
    assert why.stages is not None
    assert why.stages.estimate < why.stages.limit < why.stages.floor
    assert (why.verdict, set(changed(why))) == ("out of blocks", {"k", "max_blocks", "heap_factor"})


def test_superblocks() -> None:
    """A superblock that is out takes its blocks with it, whatever their estimates would be."""
    with always_superblocks():
        index = index_of([*STRONG, {0: 1.65, 1: 1.6}, {5: 9.0}], energy=0.8)
    query = query_of({0: 1.0, 1: 1.0})
    assert paged(index, 0)
    for row in (0, 400):
        why = index.why(query, row, k=2, params=SearchParams(max_blocks=1000))
        check(index, query, why)
        assert why.stages is not None and why.stages.superblock is not None
        assert why.stages.superblock >= why.stages.superblock_floor > 0
    lost = index.why(query, 399, k=2, params=SearchParams(max_blocks=5))
    check(index, query, lost)
    assert lost.stages is not None and lost.stages.superblock is not None and lost.stages.superblock_floor is not None
    assert 0 < lost.stages.superblock < lost.stages.superblock_floor
    unknown = index.why(query_of({7: 1.0, 5: 1.0, 0: 1.0}), 399, k=1, params=SearchParams(query_cut=1))
    check(index, query_of({7: 1.0, 5: 1.0, 0: 1.0}), unknown)
    assert unknown.stages is not None and unknown.stages.superblock == 0


def test_neighbors() -> None:
    """A block whose summary lacks the query's only term is met by its neighbors alone."""
    index = index_of([*STRONG, {0: 2.0, 1: 9.0}], energy=0.5)
    neighbors = np.full((401, 3), -1)
    neighbors[:, 2] = 400
    index.engine.graph, query = graph_of(neighbors, index), query_of({0: 1.0})
    why = index.why(query, 400, k=2)
    check(index, query, why)
    assert why.stages is not None
    assert (why.verdict, why.stages.estimate, why.stages.visited) == ("not estimated", 0, False)
    assert changed(why) == {"k": 2, "knn": 3}
    met = index.why(query, 400, k=2, params=SearchParams(knn=3))
    check(index, query, met)
    assert met.stages is not None
    assert (met.verdict, met.stages.visited) == ("returned", True)
    assert met.stages.kept >= met.stages.kept_by_blocks
    alone = index_of([*STRONG, {0: 2.0, 1: 9.0}], energy=0.5)
    assert changed(alone.why(query, 400, k=2)) == {"k": 2, "exact": True}


def test_tail_not_read() -> None:
    """What the query asks for is in its tail, and its block is visited after better ones."""
    index = index_of([*STRONG, {**OTHER_TERMS, 0: 1.65, 1: 0.6}])
    query, params = query_of({0: 1.0, 1: 0.5}), SearchParams(query_cut=1, max_blocks=1000)
    why = index.why(query, 400, k=2, params=params)
    check(index, query, why)
    assert why.verdict == "tail not read"
    assert why.stages is not None
    assert (why.stages.visited, why.stages.head) == (True, 0)
    assert why.stages.head_limit == pytest.approx(why.stages.kept / float(kernels.HEAD_REACH))
    assert [term.in_head for term in why.terms] == [False, False]


def test_tied() -> None:
    index, query = index_of([{0: 1.0}] * 20), query_of({0: 1.0})
    result = index.search(query, 2)
    row = next(row for row in range(19, 0, -1) if row not in result.rows[0])
    why = index.why(query, row, k=2)
    check(index, query, why)
    assert (why.verdict, why.exact_rank) == ("tied", row + 1)


def test_rounded_away() -> None:
    """Others are better by half a code, which is rounded up, and worse by what is rounded off."""
    index = index_of([{0: 255.0, 1: 255.0}, *[{0: 100.5}] * 50, {0: 50.45, 1: 50.45}])
    query = query_of({0: 1.0, 1: 1.0})
    why = index.why(query, 51, k=2)
    check(index, query, why)
    assert (why.verdict, why.exact_rank) == ("rounded away", 2)
    assert why.stages is not None
    assert why.stages.visited
    assert why.score > why.threshold  # type: ignore[operator]
    assert changed(why) == {"k": 2, "exact": True}


def test_too_few_found() -> None:
    index = index_of([{0: 2.0}] * 3 + [{1: 1.0 - 0.01 * at} for at in range(20)])
    query, params = query_of({0: 2.0, 1: 1.0}), SearchParams(query_cut=1)
    why = index.why(query, 20, k=5, params=params)
    check(index, query, why)
    assert (why.verdict, why.exact, why.stages) == ("score too low", "too few found", None)
    assert {(term.in_query_cut, term.block_maximum, term.estimated) for term in why.terms} == {(False, 0, 0)}
    assert index.why(query, 20, k=2, params=params).exact is None


def test_exact_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_trace(*_: object) -> None:
        raise AssertionError("blocks were searched for an exact search")

    monkeypatch.setattr(BlockEngine, "trace", no_trace)
    index, query = index_of(STRONG), query_of({0: 1.0, 9: 1.0})
    for params, allowed, reason in ((EXACT, None, "asked for"), (None, np.arange(400) != 1, "few allowed")):
        why = index.why(query, 30, k=2, params=params, allowed=allowed)
        check(index, query, why, allowed)
        assert (why.verdict, why.exact, why.stages) == ("score too low", reason, None)
    monkeypatch.setattr(trial, "INVERTED_BELOW", 1 << 30)
    whole = index_of(STRONG)
    why = whole.why(query, 30, k=2)
    check(whole, query, why)
    assert (why.verdict, why.exact, why.stages, changed(why)) == ("score too low", "inverted", None, {"k": 31})
    assert [(term.component, term.document_weight) for term in why.terms] == [(0, pytest.approx(1.785)), (9, 0)]
    assert whole.why(query, 0, k=2).rank == 1


def test_few_documents_are_found() -> None:
    index = index_of([{0: 1.0}, {0: 2.0}])
    why = index.why(query_of({0: 1.0}), 0, k=5)
    assert (why.verdict, why.rank, why.threshold) == ("returned", 2, None)
    check(index, query_of({0: 1.0}), why)


def test_extreme_weights() -> None:
    """Kernels see such a query divided by a power of two; what is explained does not show it."""
    index = index_of([*STRONG, {0: 1.0, 1: 0.9}], energy=0.5)
    params = SearchParams(heap_factor=0.8)
    usual = index.why(query_of({0: 1.0, 1: 1.0}), 400, k=2, params=params)
    for exponent in (-110, 110):
        scale = 2.0**exponent
        query = query_of({0: scale, 1: scale})
        why = index.why(query, 400, k=2, params=params)
        check(index, query, why)
        assert (why.verdict, changed(why)) == (usual.verdict, changed(usual))
        assert why.score / scale == usual.score
        assert why.stages is not None and usual.stages is not None
        for name in ("estimate", "limit", "head", "head_limit", "kept_by_blocks", "kept"):
            assert getattr(why.stages, name) / scale == pytest.approx(getattr(usual.stages, name), rel=1e-6)


def test_recall_stands_for_what_was_tuned() -> None:
    index, query = index_of([*STRONG, {1: 1.7999}]), query_of({0: 1.01, 1: 1.0099})
    tuned = SearchParams(query_cut=1)
    index.presets = {0.9: TunedPreset(0.9, 10, 20, TuningPoint(tuned, 0.9, 1.0, 0.9))}
    why = index.why(query, 400, k=20, params=SearchParams.at_recall(0.9))
    assert (why.params, why.verdict, changed(why)) == (tuned, "not estimated", {"k": 20, "query_cut": 2})
    with pytest.raises(ParameterError, match=r"recall is 0\.95"):
        index.why(query, 400, params=SearchParams.at_recall(0.95))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": from_pairs([[(0, 1.0)], [(0, 1.0)]], DIM)}, "there are 2 queries; give one"),
        ({"query": from_pairs([], DIM)}, "there are 0 queries; give one"),
        ({"query": from_pairs([[(0, 1.0)]], 3)}, "queries have 3 components"),
        ({"row": 400}, "row 400 does not exist"),
        ({"row": -1}, "row -1 does not exist"),
        ({"k": 0}, "k is 0"),
        ({"params": 7}, "settings are of type int"),
        ({"params": SearchParams(knn=1)}, "knn is 1"),
        ({"allowed": [400]}, "allowed has rows 400 to 400"),
    ],
)
def test_bad_arguments(strong: SeismicIndex, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        strong.why(**{"query": query_of({0: 1.0}), "row": 0, **change})


@pytest.fixture(scope="module")
def strong() -> SeismicIndex:
    return index_of(STRONG)


@settings(max_examples=40)
@given(vectors_and_queries(), configs(), st.sampled_from([0, 20, 128]), st.data())
def test_any_search(
    drawn: tuple[SparseVectors, SparseVectors], config: IndexConfig, rare: int, data: st.DataObject
) -> None:
    vectors, queries = drawn
    assume(len(vectors))
    with always_superblocks() if data.draw(st.booleans()) else nullcontext():
        index = build(vectors, config, rare)
    params = SearchParams(
        query_cut=data.draw(st.integers(1, 6)),
        heap_factor=data.draw(st.sampled_from([0.0, 0.7, 1.0, 2.0, 30.0])),
        max_blocks=data.draw(st.sampled_from([None, 1, 3])),
    )
    k = data.draw(st.sampled_from([1, 3, 10]))
    allowed = data.draw(st.sampled_from([None, np.arange(len(vectors)) % 3 > 0]))
    for query in queries[:4]:
        for row in data.draw(st.lists(st.integers(0, len(vectors) - 1), max_size=6, unique=True)):
            check(index, query, index.why(query, row, k, params, allowed), allowed)


def of_segments(parts: list[SparseVectors], deleted: np.ndarray, config: IndexConfig, lists: int = 0) -> SeismicIndex:
    """An index of several segments, the last `lists` of them of posting lists. deleted: bool, of all rows."""
    engines = [build(each, config, rare=0).engine for each in parts[: len(parts) - lists]]
    engines += [InvertedEngine.build(each) for each in parts[len(parts) - lists :]]
    ends = np.cumsum([len(each) for each in parts])
    gone = [np.flatnonzero(each).astype(np.uint32) for each in np.split(deleted, ends[:-1])]
    segments = [Segment(engine, each, None) for engine, each in zip(engines, gone, strict=True)]
    return SeismicIndex(State(SegmentedEngine(segments, parts[0].dim), config, None, {}), None)


@settings(max_examples=30)
@given(drawn_segmentations(), st.data())
def test_passages(made: Made, data: st.DataObject) -> None:
    """A document is told of by the passage that it is found by, or its best one."""
    engine, n = made.engine, len(made.live)
    assume(n)
    params = SearchParams(heap_factor=data.draw(st.sampled_from([0.0, 1.0, 30.0])), max_blocks=1)
    allowed = data.draw(st.sampled_from([None, np.arange(n) % 3 > 0]))
    k, row = data.draw(st.sampled_from([1, 3])), data.draw(st.integers(0, n - 1))
    index = SeismicIndex(State(engine, IndexConfig(), None, {}), None)
    for query in made.queries[:3]:
        why = index.why(query, row, k, params, allowed)
        check(index, query, why, allowed)
        document = np.flatnonzero(made.documents == made.documents[row])
        assert why.row in document
        found = index.search(query, k, params, allowed=allowed).rows[0]
        assert (why.verdict == "returned") == bool(np.isin(document, found).any())
        if why.exact_rank is not None:
            every = index.search(query, n, EXACT, allowed=allowed).rows[0]
            assert [each for each in every.tolist() if each in document] == [why.row]


def test_skipped_for_what_another_segment_has() -> None:
    few = [{0: 0.5}] * 40 + [{0: 1.0, 1: 0.9}]
    query, params = query_of({0: 1.0, 1: 1.0}), SearchParams(heap_factor=0.8, max_blocks=1000)
    assert index_of(few, energy=0.5).why(query, 40, k=2, params=params).verdict == "returned"
    parts = [from_pairs([list(each.items()) for each in part], DIM) for part in (STRONG, few)]
    config = IndexConfig(block_size=1, summary_energy=0.5)
    index = of_segments(parts, np.zeros(441, bool), config)
    why = index.why(query, 440, k=2, params=params)
    check(index, query, why)
    assert (why.verdict, set(changed(why))) == ("block skipped", {"k", "heap_factor"})
    assert why.stages is not None
    assert why.stages.kept_by_blocks == pytest.approx(1.8, rel=0.01)
    # Where these are deleted, nothing is in its way.
    alone = of_segments(parts, np.arange(441) < 390, config)
    assert alone.why(query, 50, k=2, params=params).verdict == "returned"


@settings(max_examples=30)
@given(vectors_and_queries(max_rows=120), configs(), st.data())
def test_any_search_of_segments(
    drawn: tuple[SparseVectors, SparseVectors], config: IndexConfig, data: st.DataObject
) -> None:
    vectors, queries = drawn
    assume(len(vectors))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(vectors)), max_size=3)))
    parts = [vectors[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(vectors)], strict=True)]
    deleted = np.random.default_rng(data.draw(st.integers(0, 99))).random(len(vectors)) < 0.2
    index = of_segments(parts, deleted, config, data.draw(st.integers(0, 1)))
    assume(len(index))
    params = SearchParams(
        query_cut=data.draw(st.integers(1, 6)),
        heap_factor=data.draw(st.sampled_from([0.0, 1.0, 30.0])),
        max_blocks=data.draw(st.sampled_from([None, 1, 3])),
    )
    allowed = data.draw(st.sampled_from([None, np.arange(len(index)) % 3 > 0]))
    for query in queries[:3]:
        for row in data.draw(st.lists(st.integers(0, len(index) - 1), max_size=6, unique=True)):
            check(index, query, index.why(query, row, data.draw(st.sampled_from([1, 3, 10])), params, allowed), allowed)


@pytest.mark.parametrize("layout", ["fast", "compact"])
def test_nothing_but_empty_documents(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []

    def scored(document: int, table: np.ndarray, forward: Forward) -> float:
        tables.append(len(table))
        return float(fine_score(document, table, forward))

    monkeypatch.setattr(why_module, "fine_score", scored)
    index, query = index_of([{}] * 300, layout=layout), query_of({3: 1.0})
    why = index.why(query, 7)
    check(index, query, why)
    assert why.score == 0
    assert tables == [1 << 16]  # all that a component of two bytes can name


@pytest.fixture(scope="module", params=["fast", "compact", "superblocks"])
def small_index(request: pytest.FixtureRequest, packages: SparseVectors) -> SeismicIndex:
    with always_superblocks() if request.param == "superblocks" else nullcontext():
        layout = "compact" if request.param == "compact" else "fast"
        return SeismicIndex.build(packages[:4000], IndexConfig(knn=6, layout=layout))


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Documents that are visited where a search is followed, which is then done by Python."""
    documents: list[int] = []
    # Kernels that are compiled meanwhile must not see what stands in for others here.
    scope = {**vars(kernels), "prefetch": lambda *_: None}

    def in_python(name: str) -> Any:
        return FunctionType(getattr(kernels, name).py_func.__code__, scope)

    visit = in_python("visit")

    def record(document: Any, *others: Any) -> Any:
        documents.append(int(document))
        return visit(document, *others)

    scope["visit"] = record
    for name in ("visit_blocks", "search_blocks", "visit_neighbors"):
        scope[name] = in_python(name)
        monkeypatch.setattr(kernels, name, scope[name])
    return documents


def block_rows(index: SeismicIndex, row: int) -> list[int]:
    """The rows of a document's block."""
    blocks = index.engine.blocks
    begin = int(blocks.positions[row]) // blocks.block_size * blocks.block_size
    rows: list[int] = blocks.rows[begin : begin + blocks.block_size].tolist()
    return rows


def four_bits(code: int, paged: bool) -> float:
    """What a summary makes of a code of 1 to 255, or a page."""
    if paged:
        return max(round(15 * (min(code, 255) / 255) ** 0.5), 1) ** 2 * 255 / 225
    return 17 * max((min(code, 255) + 8) // 17, 1)


def shares_tag(index: SeismicIndex, row: int, component: int) -> bool:
    """Whether the page of the document may take another component for this one."""
    engine = engine_of(index, row)
    if not paged(index, row):
        return False
    begin = int(engine.blocks.positions[row]) // engine.blocks.span * engine.blocks.span
    near = engine.gather(engine.blocks.rows[begin : begin + engine.blocks.span].astype(np.int64))
    numbers = {each: int(np.flatnonzero(engine.components.external == each)[0]) for each in {*near.indices.tolist()}}
    own = int(np.flatnonzero(engine.components.external == component)[0])
    return any(number != own and number % 4096 == own % 4096 for number in numbers.values())


def check_terms(index: SeismicIndex, why: Why, largest: dict[int, float]) -> None:
    """Terms against the vectors that the index gives. largest: component -> its largest weight of all."""
    in_block = [dict(zip(*index.vector(row), strict=True)) for row in block_rows(index, why.row)]
    own = dict(zip(*index.vector(why.row), strict=True))
    worth = {term.component: term.query_weight * largest.get(term.component, 0) for term in why.terms}
    cut = sorted(filter(None, worth.values()), reverse=True)[: why.params.query_cut]
    for term in why.terms:
        assert term.document_weight == own.get(term.component, 0)
        code = largest.get(term.component, 0) / 255
        if term.block_maximum and not shares_tag(index, why.row, term.component):
            most = max(each.get(term.component, 0) for each in in_block)
            # Rounded to a byte, then to four bits; what is there counts as one unit at least.
            near = [four_bits(max(round(most / code) + by, 1), paged(index, why.row)) for by in (-1, 0, 1)]
            assert any(term.block_maximum == pytest.approx(each * code, rel=1e-5) for each in near)
        assert term.in_query_cut == (bool(worth[term.component]) and worth[term.component] >= cut[-1])
        in_estimate = term.block_maximum if term.in_query_cut else 0
        assert term.estimated == pytest.approx(term.query_weight * in_estimate, rel=1e-5)
    assert why.stages is not None
    in_head = sum(term.contribution for term in why.terms if term.in_head)
    assert why.stages.head == pytest.approx(in_head, abs=0.5 * sum(worth.values()) / 255)


def test_real_searches(
    small_index: SeismicIndex, package_queries: SparseVectors, packages: SparseVectors, visited: list[int]
) -> None:
    maxima = np.zeros(packages.dim)
    documents = packages[:4000]
    np.maximum.at(maxima, documents.indices, documents.values)
    largest = {component: maxima[component] for component in np.flatnonzero(maxima).tolist()}
    rng = np.random.default_rng(5)
    verdicts, states = Counter[str](), Counter[bool | None]()
    for number in range(24):
        query, k = package_queries[number], (1, 10, 40)[number % 3]
        params = SearchParams(
            query_cut=(2, 4, 10)[number // 3 % 3],
            heap_factor=(0.6, 1.0, 1.2, 1.4)[number % 4],
            max_blocks=(None, 10)[number // 2 % 2],
            knn=(0, 0, 0, 6)[number // 6],
        )
        exact = small_index.search(query, k, EXACT).rows[0]
        found = small_index.search(query, k, params).rows[0]
        lost = exact[~np.isin(exact, found)][:4]
        for row in {int(found[0]), *lost.tolist(), *rng.integers(0, 4000, 2).tolist()}:
            visited.clear()
            why = small_index.why(query, row, k, params)
            check(small_index, query, why)
            assert why.stages is not None
            was_visited = int(small_index.engine.blocks.positions[row]) in visited
            assert why.stages.visited in (None, was_visited)
            check_terms(small_index, why, largest)
            verdicts[why.verdict] += 1
            states[why.stages.visited] += 1
    assert {"returned", "score too low", "block skipped", "out of blocks"} <= set(verdicts)
    assert set(states) == {True, False, None}


def test_explaining_leaves_the_index_alone(strong: SeismicIndex) -> None:
    query = query_of({0: 1.0})
    before = strong.search(query, 5)
    idle = [*strong.engine.scratch.idle]
    strong.why(query, 0, k=5)
    assert [id(each.table) for each in strong.engine.scratch.idle] == [id(each.table) for each in idle]
    assert np.array_equal(strong.search(query, 5).rows, before.rows)


def test_real_searches_of_segments(packages: SparseVectors, package_queries: SparseVectors, visited: list[int]) -> None:
    """What is told of a segment is what the search did in it: the heap that it left to the next one says so."""
    deleted = np.random.default_rng(3).random(7000) < 0.2
    parts = [packages[:3000], packages[3000:6000], packages[6000:7000]]
    index = of_segments(parts, deleted, IndexConfig(), lists=1)
    engine = index.engine
    rng, verdicts = np.random.default_rng(5), Counter[str]()
    order = [0, 1, 2] if engine.rows.starts[1] * 2 >= engine.rows.starts[2] else [1, 0, 2]  # the largest first
    for turn in range(24):
        query, k = package_queries[turn], (1, 10, 40)[turn % 3]
        params = SearchParams(
            query_cut=(2, 4, 10)[turn // 3 % 3], heap_factor=(0.6, 1.0, 1.3)[turn % 3], max_blocks=(None, 20)[turn % 2]
        )
        exact, found = (index.search(query, k, each).rows[0] for each in (EXACT, params))
        lost = exact[~np.isin(exact, found)][:6]
        for row in {int(found[0]), *lost.tolist(), *rng.integers(0, len(index), 2).tolist()}:
            visited.clear()
            why = index.why(query, row, k, params)
            check(index, query, why)
            verdicts[why.verdict] += 1
            number, inside = engine.locate(row)
            if why.stages:
                _, kept = engine.before(order[order.index(number) + 1], query, k, params, None)
                assert why.stages.kept == pytest.approx(kept[0], rel=1e-6)
                was_visited = int(engine.segments[number].engine.blocks.positions[inside]) in visited
                assert why.stages.visited in (None, was_visited)
    assert {"returned", "score too low", "block skipped", "out of blocks"} <= set(verdicts)
