"""Searches that stop when their time is used up: what they return is right, and they say how much they miss."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import LsrWarning
from lsr.index.budget import Budget
from lsr.index.clock import now
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.parameters import SearchParams
from lsr.index.result import SearchResult
from lsr.index.segments.segmented_engine import SegmentedEngine
from lsr.index.seismic.search import kernels
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.searcher import Searcher
from lsr.vectors.sparse_vectors import SparseVectors
from tests.data import load_vectors
from tests.index.samples import EXACT, always_blocks, same
from tests.index.segments.made_segments import make

LONG = 3_600_000_000  # microseconds: kernels may have to be compiled
K = 10


@pytest.fixture(scope="module", params=["blocks", "lists", "segments"])
def index(request: pytest.FixtureRequest, packages: SparseVectors) -> SeismicIndex | ExactIndex:
    if request.param == "blocks":
        index: SeismicIndex = request.getfixturevalue("packages_index")
        return index
    if request.param == "lists":
        return ExactIndex.build(packages)
    made = make(packages[:3000], packages[:1], [1200, 2400, 3000], [True, False, True], np.arange(3000) % 7 == 0)
    assert isinstance(made.engine, SegmentedEngine)
    return ExactIndex(made.engine)  # type: ignore[arg-type]


def test_a_search_that_comes_to_its_end_finds_what_it_would_without_a_limit(
    index: SeismicIndex | ExactIndex, package_queries: SparseVectors
) -> None:
    for params in (SearchParams(), EXACT):
        limited = SearchParams(exact=params.exact, budget_us=LONG)
        result = index.search(package_queries, K, limited, threads=2)
        assert same(result, index.search(package_queries, K, params))
        assert result.complete.all() and (result.estimated_recall == 1).all()


@pytest.mark.parametrize("exact", [False, True])
def test_scores_within_the_budget_are_complete(
    index: SeismicIndex | ExactIndex, package_queries: SparseVectors, exact: bool
) -> None:
    queries = package_queries[:40]
    for microseconds in (1, 30, 60, 100, 300):
        result = index.search(queries, K, SearchParams(exact=exact, budget_us=microseconds))
        for query in range(len(queries)):
            rows = result.rows[query][result.rows[query] >= 0]
            scores = result.scores[query][: len(rows)]
            allowed = index.search(queries[query], K, EXACT, allowed=np.unique(rows)) if len(rows) else None
            expected = [] if allowed is None else allowed.scores[0][: len(rows)]
            np.testing.assert_allclose(scores, expected, rtol=1e-5)
        assert ((result.estimated_recall < 1) == ~result.complete).all()
        assert (result.estimated_recall >= 0).all()
    again = index.search(queries, K)  # what was stopped leaves nothing behind
    assert again.complete.all() and same(again, index.search(queries, K, SearchParams(budget_us=LONG)))


def test_without_time_nothing_is_claimed(index: SeismicIndex | ExactIndex, package_queries: SparseVectors) -> None:
    result = index.search(package_queries[:5], 400, SearchParams(budget_us=1))
    assert not result.complete.any() and (result.estimated_recall < 0.5).all()
    assert (result[1:3].estimated_recall == result.estimated_recall[1:3]).all()


def test_a_run_of_stopped_searches_warns() -> None:
    vectors = SparseVectors.of([{0: 1.0}, {0: 2.0}], dim=1)
    searcher = Searcher(ExactIndex.build(vectors), None)
    with pytest.warns(LsrWarning, match="2 of 2 searches reached budget_us"):
        searcher.run(vectors, params=SearchParams(budget_us=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert searcher.run(vectors, params=SearchParams(budget_us=LONG)) == searcher.run(vectors)


@given(
    estimates=st.lists(st.floats(2**-10, 2**10, width=32), max_size=30),
    more=st.lists(st.floats(2**-10, 2**10, width=32), max_size=30),
    worst=st.floats(2**-10, 2**10, width=32),
)
def test_expected_scores_of_blocks_are_monotone(estimates: list[float], more: list[float], worst: float) -> None:
    def hits(estimates: list[float], worst: float) -> float:
        return sum(kernels.hits_of_block(np.float32(each), np.float32(worst)) for each in estimates)

    assert hits(estimates, worst) <= hits(estimates + more, worst)
    assert hits(estimates, worst) >= hits(estimates, 2 * worst)
    assert hits(estimates, worst) <= hits([2 * each for each in estimates], worst)


def recall(result: SearchResult, exact: SearchResult) -> np.ndarray:
    """Of each query, the share of the exact k best that was found."""
    pairs = zip(result.rows.tolist(), exact.rows.tolist(), strict=True)
    return np.array([len({*rows} & {*best} - {-1}) / max(len({*best} - {-1}), 1) for rows, best in pairs])


@pytest.mark.data
@pytest.mark.parametrize("blocks", [True, False], ids=["blocks", "lists"])
def test_the_estimate_is_near_the_recall_of_real_vectors(blocks: bool) -> None:
    documents, queries = load_vectors("packages-500k")[:8000], load_vectors("packages-queries")[:300]
    with always_blocks():
        index = SeismicIndex.build(documents) if blocks else ExactIndex.build(documents)
    exact = index.search(queries, K, EXACT)
    compared = 0
    for microseconds in (20, 30, 40, 60, 80, 120, 160, 240):
        result = index.search(queries, K, SearchParams(budget_us=microseconds))
        stopped = ~result.complete
        if stopped.sum() < 50:
            continue
        true, estimated = recall(result, exact)[stopped].mean(), result.estimated_recall[stopped].mean()
        assert abs(true - estimated) < 0.2, (microseconds, true, estimated)
        compared += 1
    assert compared


def test_missed_shares_are_added_up() -> None:
    budget = Budget(LONG, 10, 1000)
    assert budget.recall == 1 and not budget.is_over
    budget.miss(100)
    assert budget.recall == pytest.approx(0.9)
    budget.missed = 1e-30  # something was
    assert budget.recall < 1
    budget.missed = 20
    assert budget.recall == 0
    assert now() <= budget.deadline <= now() + LONG * 1000
