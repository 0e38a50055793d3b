"""SeismicIndex: what a build guarantees, and what a search guarantees whatever it skips."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from itertools import chain
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.errors import ParameterError, VectorsError
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.result import SearchResult
from lsr.index.seismic import forward
from lsr.index.seismic.build import cluster, halving, node_plan, trial
from lsr.index.seismic.build import in_memory as building
from lsr.index.seismic.build.in_memory import Parts
from lsr.index.seismic.engine import BlockEngine
from lsr.index.seismic.seismic_files import State
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import (
    EVERYTHING,
    EXACT,
    LAYOUTS,
    WHOLE,
    build,
    configs,
    dequantized,
    recall,
    same,
    unrounded,
    vectors_and_queries,
    whole_numbers,
    zipf_vectors,
)
from tests.index.superblocks import always_superblocks
from tests.strategies import from_pairs

Drawn = tuple[SparseVectors, SparseVectors]

all_params = pytest.mark.parametrize(
    "params", [SearchParams(), EVERYTHING, EXACT], ids=["default", "everything", "exact"]
)


def arrays_of(index: SeismicIndex) -> list[bytes]:
    parts = chain(index.engine.components, index.engine.forward[:6], index.engine.blocks[:7])
    return [part.tobytes() for part in parts]


def check_result(index: SeismicIndex, queries: SparseVectors, result: SearchResult) -> None:
    """Best first, equal scores by row, padded, positive, no row twice; scores are inner products with index.vector."""
    scores, rows = result.scores, result.rows
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)
    assert scores.shape == rows.shape
    assert len(scores) == len(queries)
    found = rows >= 0
    assert (found[:, :-1] >= found[:, 1:]).all()
    assert (rows[found] < len(index)).all()
    assert (rows[~found] == -1).all()
    assert np.isneginf(scores[~found]).all()
    assert (scores[found] > 0).all()
    better = scores[:, :-1] > scores[:, 1:]
    tied = (scores[:, :-1] == scores[:, 1:]) & (rows[:, :-1] < rows[:, 1:])
    assert (better | tied | ~found[:, 1:]).all()
    for i in range(len(queries)):
        query = dict(zip(*(array.tolist() for array in queries.row(i)), strict=True))
        for row, score in zip(rows[i][found[i]].tolist(), scores[i][found[i]].tolist(), strict=True):
            vector = zip(*(array.tolist() for array in index.vector(row)), strict=True)
            assert score == pytest.approx(sum(query.get(c, 0) * w for c, w in vector), rel=1e-5)


def check_same_up_to_ties(result: SearchResult, expected: SearchResult) -> None:
    """The same scores, but for rounding, and the same rows, but for those whose scores are so close."""
    assert np.allclose(result.scores, expected.scores, rtol=1e-5)
    for rows, scores, other_rows, other_scores in zip(
        result.rows, result.scores, expected.rows, expected.scores, strict=True
    ):
        differ = rows != other_rows
        # A row that stands elsewhere, or not at all, ties with its neighbors.
        known = dict(zip(other_rows.tolist(), other_scores.tolist(), strict=True))
        for row, score in zip(rows[differ].tolist(), scores[differ].tolist(), strict=True):
            assert known.get(row, other_scores[-1]) == pytest.approx(score, rel=1e-5)


# Build


@pytest.mark.parametrize("superblocks", [False, True], ids=["blocks", "superblocks"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_builds_do_not_depend_on_threads_or_jobs(packages: SparseVectors, layout: str, superblocks: bool) -> None:
    with always_superblocks() if superblocks else nullcontext():
        check_builds(packages[:3000], layout)


def check_builds(vectors: SparseVectors, layout: str) -> None:
    config = IndexConfig(layout=layout)
    first = arrays_of(SeismicIndex.build(vectors, config, threads=1))
    assert arrays_of(SeismicIndex.build(vectors, config, threads=1)) == first
    for threads, rows in ((2, 100), (7, 1000), (None, 5)):
        with ExitStack() as patches:
            for module in (building, cluster, forward, halving):
                patches.enter_context(patch.object(module, "JOB_ROWS", rows))
            patches.enter_context(patch.object(node_plan, "PAGES_AT_ONCE", max(1, rows // 10)))
            assert arrays_of(SeismicIndex.build(vectors, config, threads=threads)) == first
    assert arrays_of(SeismicIndex.build(vectors, IndexConfig(seed=1, layout=layout))) != first


def test_builds_of_several_threads_of_the_caller(packages: SparseVectors) -> None:
    parts = [packages[begin : begin + 1000] for begin in range(0, 4000, 1000)]
    expected = [arrays_of(SeismicIndex.build(part, threads=1)) for part in parts]
    with ThreadPoolExecutor(4) as executor:
        built = list(executor.map(lambda part: SeismicIndex.build(part, threads=2), parts))
    assert [arrays_of(index) for index in built] == expected


def test_input_is_left_as_it_was(packages: SparseVectors, package_queries: SparseVectors) -> None:
    vectors = packages[:500]
    copies = [vectors[np.arange(500)], package_queries[np.arange(200)]]
    index = SeismicIndex.build(vectors)
    index.search(package_queries)
    assert [vectors, package_queries] == copies


@pytest.mark.parametrize("superblocks", [False, True])
def test_attributes(packages: SparseVectors, superblocks: bool) -> None:
    with always_superblocks() if superblocks else nullcontext():
        index = SeismicIndex.build(packages[:500], IndexConfig(seed=3))
    assert ("pages" in index.nbytes) == superblocks
    assert (len(index), index.dim, index.config, index.ids) == (500, packages.dim, IndexConfig(seed=3), None)
    assert (index.postings, index.inverted, index.knn) == (packages[:500].nnz, False, 0)
    parts = [
        *index.engine.components,
        *index.engine.forward[:4:3],
        index.engine.forward.scale,
        *index.engine.blocks[:5],
        index.engine.blocks.pages,
    ]
    assert sum(index.nbytes.values()) == sum(part.nbytes for part in parts)


def test_compact_indexes_are_smaller(packages_index: SeismicIndex, compact_index: SeismicIndex) -> None:
    assert compact_index.nbytes["forward index"] < 0.8 * packages_index.nbytes["forward index"]
    assert compact_index.nbytes["rows"] == packages_index.nbytes["rows"]
    assert compact_index.nbytes["summaries"] == pytest.approx(packages_index.nbytes["summaries"], rel=1e-3)


@pytest.mark.parametrize("threads", [0, -1])
def test_build_refuses_threads(threads: int) -> None:
    with pytest.raises(ParameterError, match=r"threads is .*at least 1"):
        SeismicIndex.build(SparseVectors.empty(3), threads=threads)


# Ids


def test_ids() -> None:
    vectors = from_pairs([[(0, 1.0)], [(0, 2.0)]], 3, ["a", "b"])
    query = from_pairs([[(0, 1.0)]], 3)
    assert SeismicIndex.build(vectors).search(query, 3).ids.tolist() == [["b", "a", None]]
    assert SeismicIndex.build(vectors, ids=["x", "y"]).search(query, 3).ids.tolist() == [["y", "x", None]]
    vectors = vectors.with_ids(None)
    assert SeismicIndex.build(vectors).search(query, 3).ids.tolist() == [["1", "0", None]]


@pytest.mark.parametrize("ids", [["a", "a"], ["a"], ["a", "b", "c"]])
def test_ids_that_do_not_fit(ids: list[str]) -> None:
    with pytest.raises(VectorsError):
        SeismicIndex.build(from_pairs([[(0, 1.0)], [(0, 2.0)]], 3), ids=ids)


# Results


@given(drawn=vectors_and_queries(), config=configs(), k=st.sampled_from([1, 3, 10, 400]), data=st.data())
@settings(max_examples=50)
def test_results_of_drawn_vectors(drawn: Drawn, config: IndexConfig, k: int, data: st.DataObject) -> None:
    vectors, queries = drawn
    with always_superblocks() if data.draw(st.booleans()) else nullcontext():
        index = build(vectors, config, rare=data.draw(st.sampled_from([0, 5, 128])))
    drawn_params = SearchParams(
        data.draw(st.integers(1, 6)), data.draw(st.floats(0, 2)), data.draw(st.sampled_from([1, 3, None]))
    )
    for params in (drawn_params, EVERYTHING, EXACT):
        check_result(index, queries, index.search(queries, k, params))


def test_results_of_real_vectors(
    packages_index: SeismicIndex,
    package_queries: SparseVectors,
    compact_index: SeismicIndex,
    passages_index: SeismicIndex,
    passage_queries: SparseVectors,
) -> None:
    some = passage_queries[:100]
    for index, queries in ((packages_index, package_queries), (compact_index, package_queries), (passages_index, some)):
        for params in (SearchParams(), EXACT):
            check_result(index, queries, index.search(queries, 10, params))


@given(drawn=vectors_and_queries(), config=configs(), k=st.sampled_from([1, 10, 400]))
@settings(max_examples=50)
def test_exact_search_is_exact(drawn: Drawn, config: IndexConfig, k: int) -> None:
    vectors, queries = drawn
    index = build(vectors, config)
    expected = ExactIndex.build(dequantized(index)).search(queries, k)
    check_same_up_to_ties(index.search(queries, k, EXACT), expected)


@given(drawn=vectors_and_queries(), k=st.sampled_from([1, 10, 400]))
@settings(max_examples=50)
def test_exact_search_breaks_ties_by_row(drawn: Drawn, k: int) -> None:
    vectors, queries = unrounded(drawn[0]), whole_numbers(drawn[1])
    assert same(build(vectors).search(queries, k, EXACT), ExactIndex.build(vectors).search(queries, k))


def test_exact_search_of_real_vectors(
    packages_index: SeismicIndex,
    package_queries: SparseVectors,
    compact_index: SeismicIndex,
    passages_index: SeismicIndex,
    passage_queries: SparseVectors,
) -> None:
    some = passage_queries[:300]
    for index, queries in ((packages_index, package_queries), (compact_index, package_queries), (passages_index, some)):
        expected = ExactIndex.build(dequantized(index)).search(queries, 10)
        check_same_up_to_ties(index.search(queries, 10, EXACT), expected)


def with_codes(vectors: SparseVectors) -> SparseVectors:
    """Whole weights from 1 to 255: none is lost when it is rounded to a byte, and sums are not rounded."""
    vectors = unrounded(vectors)
    return SparseVectors(vectors.indptr, vectors.indices, np.ceil(vectors.values), vectors.dim)


@given(drawn=vectors_and_queries(), layout=st.sampled_from(LAYOUTS), k=st.sampled_from([1, 10]))
@settings(max_examples=50)
def test_search_that_skips_nothing_finds_the_best(drawn: Drawn, layout: str, k: int) -> None:
    # Short documents have no tails, which alone could still be skipped. Pages leave out what their lines have no room
    # for, and so cannot promise as much.
    vectors, queries = with_codes(drawn[0].top_k(16)), whole_numbers(drawn[1])
    index = build(vectors, IndexConfig(summary_energy=WHOLE.summary_energy, layout=layout), rare=0)
    result, expected = index.search(queries, k, EVERYTHING), ExactIndex.build(vectors).search(queries, k)
    assert np.array_equal(result.scores, expected.scores)
    # Of the documents that tie for the last place, any may be found.
    above = expected.scores > expected.scores[:, -1:]
    assert np.array_equal(result.rows[above], expected.rows[above])


@given(
    drawn=vectors_and_queries(),
    config=configs(),
    rare=st.sampled_from([0, 5, 128]),
    k=st.sampled_from([1, 3, 10, 400]),
    query_cut=st.integers(1, 6),
    heap_factor=st.floats(0, 2),
    max_blocks=st.sampled_from([1, 5, None]),
    superblocks=st.booleans(),
)
@settings(max_examples=100)
def test_as_many_are_found_as_there_are(
    drawn: Drawn,
    config: IndexConfig,
    rare: int,
    k: int,
    query_cut: int,
    heap_factor: float,
    max_blocks: int | None,
    superblocks: bool,
) -> None:
    vectors, queries = with_codes(drawn[0]), whole_numbers(drawn[1])
    with always_superblocks() if superblocks else nullcontext():
        index = build(vectors, config, rare)
    params = SearchParams(query_cut, heap_factor, max_blocks)
    assert count(index.search(queries, k, params)) == count(ExactIndex.build(vectors).search(queries, k))


def count(result: SearchResult) -> list[int]:
    found: list[int] = (result.rows >= 0).sum(axis=1).tolist()
    return found


@pytest.mark.parametrize("block_size", [1, 4])
@pytest.mark.parametrize("max_blocks", [1, 20, None])
def test_components_without_room_in_pages_are_found(block_size: int, max_blocks: int | None) -> None:
    """A rare component beside many heavier ones, and in every thirtieth document; in one it is heavy."""
    rng = np.random.default_rng(1)
    rows = [[(component, 5 + rng.random()) for component in 1 + rng.choice(2000, 60, False)] for _ in range(3000)]
    for row in range(0, 3000, 30):
        rows[row].append((0, 0.1 + rng.random()))
    rows[5].append((0, 5.0))
    vectors, query = from_pairs(rows, 2001), from_pairs([[(0, 1.0)]], 2001)
    with always_superblocks():
        index = build(vectors, IndexConfig(block_size=block_size))
    assert (index.search(query, 200, SearchParams(max_blocks=max_blocks)).rows >= 0).sum() == 101
    best = ExactIndex.build(vectors).search(query, 1).rows.tolist()
    assert index.search(query, 1, SearchParams(max_blocks=max_blocks)).rows.tolist() == best


def test_a_weight_too_light_for_a_byte_is_found_where_too_few_are() -> None:
    # Its 16 bits have it: an exact search finds it.
    index = SeismicIndex.build(from_pairs([[(0, 255.0)], [(0, 0.3)]], 1))
    query = from_pairs([[(0, 1.0)]], 1)
    assert index.search(query, 2, EXACT).rows.tolist() == [[0, 1]]
    assert index.search(query, 2).rows.tolist() == [[0, 1]]


def test_search_that_skips_nothing_finds_the_best_of_real_vectors(
    passages: SparseVectors, passage_queries: SparseVectors
) -> None:
    index, queries = build(passages[:2000], WHOLE, rare=0), passage_queries[:100]
    # With room for all documents no tail is skipped, and it does not matter how the heap ranks them, but for those it
    # takes for zero.
    result, expected = index.search(queries, 2000, EVERYTHING), index.search(queries, 2000, EXACT)
    sure = expected.scores > _score_of_one_unit(index, queries)[:, None] / 2
    assert sure.sum() > 0.9 * (expected.rows >= 0).sum()
    assert np.array_equal(result.rows[sure], expected.rows[sure])
    assert np.array_equal(result.scores[sure], expected.scores[sure])
    assert recall(index.search(queries, 10, EVERYTHING), index.search(queries, 10, EXACT)) > 0.985


def _score_of_one_unit(index: SeismicIndex, queries: SparseVectors) -> npt.NDArray[np.float64]:
    """What each query scores with a document that holds one unit of code of every component."""
    scale = dict(zip(index.engine.components.external.tolist(), index.engine.forward.scale.tolist(), strict=True))
    rows = [zip(*(array.tolist() for array in queries.row(i)), strict=True) for i in range(len(queries))]
    return np.array([sum(weight * scale.get(component, 0) for component, weight in row) for row in rows])


# Recall. The floors are .02 below what was measured.


def test_recall(
    packages: SparseVectors,
    packages_index: SeismicIndex,
    compact_index: SeismicIndex,
    package_queries: SparseVectors,
    passages: SparseVectors,
    passages_index: SeismicIndex,
    passage_queries: SparseVectors,
) -> None:
    expected = ExactIndex.build(packages).search(package_queries)
    assert recall(packages_index.search(package_queries), expected) > 0.975
    assert recall(packages_index.search(package_queries, 10, EXACT), expected) > 0.999
    assert recall(compact_index.search(package_queries), expected) > 0.971
    assert recall(compact_index.search(package_queries, 10, EXACT), expected) > 0.99
    some = passage_queries[:1000]
    expected = ExactIndex.build(passages).search(some)
    assert recall(passages_index.search(some), expected) > 0.974
    assert recall(passages_index.search(some, 10, EXACT), expected) > 0.999


def recalls(index: SeismicIndex, queries: SparseVectors, all_params: list[SearchParams]) -> list[float]:
    expected = index.search(queries, 10, EXACT)
    return [recall(index.search(queries, 10, params), expected) for params in all_params]


def test_recall_falls_as_the_heap_factor_rises(packages_index: SeismicIndex, package_queries: SparseVectors) -> None:
    factors = (0, 0.6, 0.9, 1.1, 1.5, 3.0)
    found = recalls(packages_index, package_queries, [SearchParams(heap_factor=factor) for factor in factors])
    assert found == sorted(found, reverse=True)
    assert found[0] - found[-1] > 0.25


def test_recall_rises_with_the_query_cut(packages_index: SeismicIndex, package_queries: SparseVectors) -> None:
    found = recalls(packages_index, package_queries, [SearchParams(query_cut) for query_cut in (1, 2, 4, 8, 16)])
    assert found == sorted(found)
    assert found[-1] - found[0] > 0.3


def test_recall_rises_with_the_blocks(packages_index: SeismicIndex, package_queries: SparseVectors) -> None:
    found = recalls(packages_index, package_queries, [SearchParams(max_blocks=most) for most in (4, 16, 64, 10_000)])
    assert found == sorted(found)
    assert found[-1] - found[0] > 0.09


# Small collections, searched exactly


@given(drawn=vectors_and_queries(), k=st.sampled_from([1, 10, 400]))
@settings(max_examples=30)
def test_flat_searches_are_exact(drawn: Drawn, k: int) -> None:
    vectors, queries = drawn
    with patch.object(trial, "INVERTED_BELOW", len(vectors) + 1):
        index = SeismicIndex.build(vectors)
    assert index.inverted
    expected = ExactIndex.build(vectors).search(queries, k)
    for params in (SearchParams(), SearchParams(1, 5.0), EXACT):
        assert same(index.search(queries, k, params, threads=2), expected)


# One query at a time, many at once


@given(drawn=vectors_and_queries(), config=configs(), k=st.sampled_from([1, 10]))
@settings(max_examples=20)
def test_batches_of_drawn_vectors(drawn: Drawn, config: IndexConfig, k: int) -> None:
    vectors, queries = drawn
    index = build(vectors, config, rare=5)
    for params in (SearchParams(query_cut=3), EXACT):
        whole = index.search(queries, k, params)
        for threads in (2, 5, 50):
            assert same(index.search(queries, k, params, threads), whole)
        alone = [index.search(query, k, params) for query in queries]
        assert np.array_equal(np.concatenate([each.rows for each in alone]), whole.rows)
        assert np.array_equal(np.concatenate([each.scores for each in alone]), whole.scores)


def test_batches_of_real_vectors(passages_index: SeismicIndex, passage_queries: SparseVectors) -> None:
    queries = passage_queries[:1500]  # of several jobs
    whole = passages_index.search(queries)
    for threads in (2, 3):
        assert same(passages_index.search(queries, threads=threads), whole)
    order = np.random.default_rng(1).permutation(len(queries))
    shuffled = passages_index.search(queries[order], threads=2)
    assert np.array_equal(shuffled.rows, whole.rows[order])
    assert np.array_equal(shuffled.scores, whole.scores[order])
    assert same(passages_index.search(queries), whole)


Request = tuple[SparseVectors, int, SearchParams, int]


def test_threads_of_the_caller_share_an_index(
    packages: SparseVectors, package_queries: SparseVectors, passage_queries: SparseVectors
) -> None:
    # Requests of many shapes at once: the memory that searches leave to each other must fit, and be clean.
    index = SeismicIndex.build(packages[:5000])
    rng = np.random.default_rng(5)
    requests: list[Request] = []
    for _ in range(150):
        source = package_queries if rng.random() < 0.5 else passage_queries
        begin = int(rng.integers(0, 150))
        params = SearchParams(int(rng.choice([1, 3, 10, 100])), float(rng.choice([0.5, 0.8])))
        params = EXACT if rng.random() < 0.2 else params
        queries = source[begin : begin + int(rng.integers(0, 40))]
        requests.append((queries, int(rng.choice([1, 10, 100, 6000])), params, int(rng.choice([1, 3]))))
    # Each on an index that nobody has searched before.
    expected = [_fresh(index).search(*request) for request in requests]
    with ThreadPoolExecutor(8) as executor:
        results = list(executor.map(lambda request: index.search(*request), requests))
    assert all(same(result, wanted) for result, wanted in zip(results, expected, strict=True))
    in_turn = (index.search(*request) for request in requests)
    assert all(same(result, wanted) for result, wanted in zip(in_turn, expected, strict=True))


def test_results_do_not_depend_on_earlier_searches() -> None:
    # More nodes are listed than there is room for, so that they are visited in several parts.
    index, queries = build(zipf_vectors(5, 8000, 30, 8, 1), IndexConfig(block_size=1)), zipf_vectors(6, 40, 30, 5, 1)
    params = SearchParams(heap_factor=1, max_blocks=1)
    first = index.search(queries, 1000, params)
    index.search(queries[:1], 1000, SearchParams(max_blocks=8000))
    assert same(index.search(queries, 1000, params), first)


def test_queries_of_any_length_share_one_scratch(packages: SparseVectors, package_queries: SparseVectors) -> None:
    index = SeismicIndex.build(packages[:5000])
    index.search(package_queries[0].top_k(9), 10)
    (first,) = index.engine.scratch.idle
    for terms, k in ((7, 10), (5, 3), (9, 10), (1, 1)):
        found = index.search(package_queries[0].top_k(terms), k)
        assert same(found, _fresh(index).search(package_queries[0].top_k(terms), k))
        (left,) = index.engine.scratch.idle
        assert all(after is before for after, before in zip(left, first, strict=True))
    # Longer queries and more documents need more of what depends on them, and of nothing else.
    index.search(package_queries[0].top_k(16), 500)
    (grown,) = index.engine.scratch.idle
    assert grown.estimates is first.estimates and grown.table is first.table and grown.bins is first.bins
    assert len(grown.chosen) > len(first.chosen)
    assert len(grown.heap_scores) == index.engine.heap_size(500)
    index.search(package_queries[0].top_k(5), 10)
    assert index.engine.scratch.idle[0].chosen is grown.chosen


def test_inverted_lists_share_their_sums(packages: SparseVectors, package_queries: SparseVectors) -> None:
    index = ExactIndex.build(packages[:500])
    expected = index.search(package_queries, 10)
    for at in range(20):
        assert np.array_equal(index.search(package_queries[at], 10).scores[0], expected.scores[at])
    assert len(index.engine.lists.idle) == 1


def _fresh(index: SeismicIndex) -> SeismicIndex:
    engine = index.engine
    parts = Parts(engine.components, engine.forward, engine.blocks)
    return SeismicIndex(State(BlockEngine(parts, engine.dim, engine.postings), index.config, None, {}), None)


# Few documents, few components


@given(drawn=vectors_and_queries(max_rows=20), config=configs())
@settings(max_examples=30)
def test_more_asked_for_than_there_is(drawn: Drawn, config: IndexConfig) -> None:
    vectors, queries = with_codes(drawn[0]), drawn[1]
    index = build(vectors, config, rare=5)
    for params in (SearchParams(), EVERYTHING, EXACT):
        result = index.search(queries, len(vectors) + 7, params)
        check_result(index, queries, result)
        overlaps = [sum(bool(query & document) for document in _components(vectors)) for query in _components(queries)]
        assert count(result) == overlaps


def _components(vectors: SparseVectors) -> list[set[int]]:
    return [set(vectors.row(i)[0].tolist()) for i in range(len(vectors))]


@all_params
@pytest.mark.parametrize("vectors", [SparseVectors.empty(5), from_pairs([[], [], []], 5)], ids=["none", "empty"])
def test_nothing_to_find(vectors: SparseVectors, params: SearchParams) -> None:
    index = SeismicIndex.build(vectors)
    assert len(index) == len(vectors)
    for threads in (1, 2):
        result = index.search(from_pairs([[(0, 1.0), (3, 1.0)], []], 5), 4, params, threads)
        assert result.rows.tolist() == [[-1] * 4] * 2
        assert result.scores.tolist() == [[-np.inf] * 4] * 2
        assert result.ids.tolist() == [[None] * 4] * 2
    for row in range(len(index)):
        components, weights = index.vector(row)
        assert (components.dtype, weights.dtype, len(components), len(weights)) == (np.uint32, np.float32, 0, 0)


@all_params
def test_queries_with_nothing_to_match(params: SearchParams) -> None:
    index = SeismicIndex.build(from_pairs([[(0, 1.0)], [], [(0, 2.0), (2, 1.0)]], 10))
    queries = from_pairs([[], [(1, 1.0), (9, 1.0)], [(2, 1.0), (5, 4.0)], [(0, 1.0)]], 10)
    assert index.search(queries, 2, params).rows.tolist() == [[-1, -1], [-1, -1], [2, -1], [2, 0]]
    assert index.search(queries[:0], 2, params).rows.shape == (0, 2)
    assert index.search(queries[:2], 2, params).rows.tolist() == [[-1, -1]] * 2


def test_the_last_component_of_the_widest_range() -> None:
    vectors = from_pairs([[(2**32 - 1, 1.0)], [(0, 3.0)], [(2**32 - 1, 2.0), (0, 1.0)]], 2**32)
    index = SeismicIndex.build(vectors)
    queries = from_pairs([[(2**32 - 1, 1.0)], [(2**32 - 2, 1.0)], [(0, 1.0), (7, 1.0)]], 2**32)
    assert index.search(queries, 2).rows.tolist() == [[2, 0], [-1, -1], [1, 2]]
    assert index.vector(2)[0].tolist() == [0, 2**32 - 1]


# What a search refuses


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k is 0; it must be a whole number of at least 1"),
        ({"k": -3}, "k is -3"),
        ({"k": 2.5}, "k is 2.5"),
        ({"k": True}, "k is True"),
        ({"threads": 0}, "threads is 0; it must be a whole number of at least 1"),
        ({"k": 1 << 60}, "do not fit in memory"),
        ({"queries": SparseVectors.empty(4)}, "queries have 4 components, but the index has 3"),
        ({"queries": 5}, "queries are of type int"),
        ({"queries": [[1.0, 0.0]]}, "queries have 2 components, but the index has 3"),
        ({"params": {"exact": True}}, "settings are of type dict; give SearchParams"),
    ],
)
def test_refused(arguments: dict[str, Any], message: str) -> None:
    index = SeismicIndex.build(from_pairs([[(0, 1.0)]], 3))
    with pytest.raises(ParameterError, match=message):
        index.search(**{"queries": from_pairs([[(0, 1.0)]] * 4, 3), **arguments})


def test_k_of_a_narrow_type() -> None:
    """250 and the few documents more that a search keeps are beyond uint8."""
    index = SeismicIndex.build(from_pairs([[(0, 1.0 + row)] for row in range(300)], 3))
    found = index.search(from_pairs([[(0, 1.0)]], 3), np.uint8(250))  # type: ignore[arg-type]
    assert found.rows.tolist() == [list(range(299, 49, -1))]


@pytest.mark.parametrize("rows", [[True, False], [0.5], ["0"], [1 << 70], [-1], [2]])
def test_rows_that_are_none(rows: list[Any]) -> None:
    index = SeismicIndex.build(from_pairs([[(0, 1.0)], []], 3))
    with pytest.raises(ParameterError, match=r"give row numbers|, but the index has 2 documents"):
        index.gather(np.array(rows))


@pytest.mark.parametrize("row", [-1, 2, 1 << 70])
def test_no_such_row(row: int) -> None:
    index = SeismicIndex.build(from_pairs([[(0, 1.0)], []], 3))
    with pytest.raises(ParameterError, match="does not exist; the index has 2 documents"):
        index.vector(row)
