"""Indexes of unusual shapes, and weights at the ends of what a 32-bit float can hold."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.result import SearchResult
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import (
    EVERYTHING,
    EXACT,
    LAYOUTS,
    WHOLE,
    build,
    dequantized,
    finish,
    same,
    unrounded,
    whole_numbers,
)
from tests.naive.seismic import NaiveIndex
from tests.strategies import from_pairs

LARGEST = float(np.finfo(np.float32).max)


def same_scores(first: SearchResult, second: SearchResult, rel: float = 1e-3) -> bool:
    return np.allclose(first.scores.astype(float), second.scores.astype(float), rtol=rel, atol=0)


# Many components: 16 bits do not hold their numbers


def wide_vectors(rows: int, n_components: int, dim: int, seed: int) -> SparseVectors:
    """Each of `n_components` occurs once, spread over `dim`; three more, among them 0, occur in most rows."""
    rng = np.random.default_rng(seed)
    common = np.array([0, 5, dim - 1])
    rare = np.linspace(6, dim - 2, n_components - len(common)).astype(np.int64)
    assert len(np.unique(rare)) == len(rare)
    parts = [np.r_[part, common[rng.random(3) < 0.8]] for part in np.array_split(rng.permutation(rare), rows)]
    lengths = [len(part) for part in parts]
    return SparseVectors(np.r_[0, np.cumsum(lengths)], np.concatenate(parts), rng.random(sum(lengths)) + 0.01, dim)


@pytest.mark.parametrize(
    ("n_components", "itemsize"),
    [(65_536, 2), (65_537, 4), (250_000, 4)],
    ids=["narrow", "first wide", "wide"],
)
@pytest.mark.parametrize("dim", [1 << 18, 1 << 32])
def test_many_components(n_components: int, itemsize: int, dim: int) -> None:
    vectors = unrounded(wide_vectors(400, n_components, dim, seed=1))
    queries = whole_numbers(vectors[:20].top_k(20))
    expected = ExactIndex.build(vectors).search(queries)
    for layout, superblocks in product(LAYOUTS, (False, True)):
        index = build(vectors, IndexConfig(layout=layout), superblocks=superblocks)
        assert index.engine.forward.heads.itemsize == itemsize
        assert len(index.engine.components.external) == n_components
        assert index.engine.blocks.n_frequent == 3
        assert index.search(queries, 10).rows[:, 0].tolist() == list(range(20))
        if layout == "fast":
            assert same(index.search(queries, 10, EXACT), expected)
            assert dequantized(index) == vectors


def test_wide_and_narrow_components_find_the_same(packages: SparseVectors, package_queries: SparseVectors) -> None:
    # The same documents, and 66,000 components that no query asks for.
    vectors, queries = unrounded(packages[:2000]), whole_numbers(package_queries[:50])
    dim = vectors.dim + 66_000
    more = SparseVectors([0, 66_000], np.arange(vectors.dim, dim), np.ones(66_000), dim)
    widened = SparseVectors(vectors.indptr, vectors.indices, vectors.values, dim)
    wide = SeismicIndex.build(SparseVectors.concatenate([widened, more]))
    narrow = SeismicIndex.build(widened)
    assert (narrow.engine.forward.heads.itemsize, wide.engine.forward.heads.itemsize) == (2, 4)
    asked = SparseVectors(queries.indptr, queries.indices, queries.values, dim)
    for params in (EVERYTHING, EXACT):
        first, second = narrow.search(asked, 2001, params), wide.search(asked, 2001, params)
        assert np.array_equal(first.scores, second.scores)
        assert np.array_equal(first.rows, second.rows)


# Long documents


@pytest.mark.parametrize("length", [65, 1000, 10_000, 70_000])
@pytest.mark.parametrize("rare", [0, 128])
def test_long_documents_among_short_ones(length: int, rare: int) -> None:
    rng = np.random.default_rng(length)
    dim = 2 * length
    lengths = [length, 1, length, 3, length, 0, length, 1]
    rows = [np.sort(rng.choice(dim, each, replace=False)) for each in lengths]
    vectors = unrounded(
        SparseVectors(
            np.cumsum([0, *lengths]),
            np.concatenate(rows),
            rng.random(sum(lengths)) + 0.01,
            dim,
        )
    )
    queries = whole_numbers(SparseVectors.concatenate([vectors.top_k(20), vectors.top_k(1)]))
    index = build(vectors, WHOLE, rare)
    expected = ExactIndex.build(vectors).search(queries, 8)
    for params in (EVERYTHING, EXACT):
        assert same(index.search(queries, 8, params), expected)
    assert dequantized(index) == vectors


@pytest.mark.parametrize("terms", [1, 1000, None])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_queries_of_one_term_and_of_many(passages: SparseVectors, terms: int | None, layout: str) -> None:
    vectors = unrounded(passages[:200])
    used = np.unique(vectors.indices)
    chosen = np.sort(np.random.default_rng(1).permutation(used)[:terms])
    query = SparseVectors([0, len(chosen)], chosen, np.ones(len(chosen)), vectors.dim)
    index = build(vectors, IndexConfig(layout=layout), rare=5)
    expected = ExactIndex.build(dequantized(index)).search(query, 200)
    assert same_scores(index.search(query, 200, EXACT), expected, 1e-5)
    scores = dict(zip(expected.rows[0].tolist(), expected.scores[0].tolist(), strict=True))
    for params in (SearchParams(), EVERYTHING):
        found = index.search(query, 10, params)
        assert (found.rows >= 0).sum() == min(10, (expected.rows >= 0).sum())
        assert found.scores[0].tolist() == pytest.approx([scores[row] for row in found.rows[0].tolist()], rel=1e-5)


def test_a_query_of_a_hundred_thousand_terms() -> None:
    length = 100_000
    components, weights = np.append(np.arange(length), [1, 2]), np.append(np.ones(length), [3, 3])
    vectors = SparseVectors([0, length, length + 2], components, weights, 1 << 20)
    index = SeismicIndex.build(vectors)
    for params in (SearchParams(), EVERYTHING, EXACT):
        result = finish(lambda params=params: index.search(vectors, 2, params))
        assert result.rows[1].tolist() == [1, 0]
        assert result.rows[0, 0] == 0


# Equal documents


@pytest.mark.parametrize("params", [SearchParams(), EVERYTHING, EXACT], ids=["default", "everything", "exact"])
@pytest.mark.parametrize("length", [2, 40])
@pytest.mark.parametrize("superblocks", [False, True])
def test_a_thousand_times_the_same_document(length: int, params: SearchParams, superblocks: bool) -> None:
    pairs = [(component, 1.0 + component) for component in range(length)]
    vectors = from_pairs([[(41, 9.0)], *([pairs] * 1000), [(0, 0.5)]], 42)
    index = build(vectors, superblocks=superblocks)
    query = from_pairs([[(0, 1.0), (1, 2.0)]], 42)
    result = index.search(query, 10, params)
    rows = result.rows[0].tolist()
    # Those that tie are in order; which of them there are, an approximate search leaves open.
    assert rows == (list(range(1, 11)) if params.exact else sorted(set(rows)))
    assert rows[0] >= 1
    assert rows[-1] <= 1000
    assert len(rows) == 10
    assert result.scores[0].tolist() == pytest.approx([5.0] * 10, rel=1e-4)
    assert len(set(result.scores[0].tolist())) == 1
    everything = index.search(query, 2000, params)
    assert everything.rows[0, :1002].tolist() == [*range(1, 1002), -1]


# Weights of all sizes


@pytest.mark.parametrize("scale", [2.0**-149, 1e-42, 1e-38, 1e-36, 1e-20, 1e20, 1e37])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rare", [0, 1000])
def test_weights_of_all_sizes(scale: float, layout: str, rare: int) -> None:
    rng = np.random.default_rng(3)
    rows = [
        [(component, scale * float(rng.integers(1, 9))) for component in rng.choice(8, 4, replace=False).tolist()]
        for _ in range(300)
    ]
    config = IndexConfig(layout=layout)
    index = build(from_pairs(rows, 8), config, rare)
    assert NaiveIndex.read(index) == NaiveIndex.build(from_pairs(rows, 8), config, rare)
    queries = from_pairs([[(0, 1.0), (3, 0.5)], [(1, 0.25)], [(2, 1.0), (5, 1.0), (7, 1.0)]], 8)
    expected = ExactIndex.build(dequantized(index)).search(queries, 10)
    # Subnormal scores have few digits.
    tolerance = max(1e-5, 2.0**-140 / scale)
    if scale >= 1e-38:
        assert same_scores(index.search(queries, 10, EXACT), expected, tolerance)
        found = finish(lambda: index.search(queries, 10))
        assert same_scores(found, expected, 0.5)
    else:
        finish(lambda: index.search(queries, 10))
        finish(lambda: index.search(queries, 10, EXACT))


def test_weights_of_very_different_sizes() -> None:
    # Component 0 makes all the others vanish beside it.
    rows = [[(0, 1e38), (1 + row % 3, 1.0)] for row in range(200)] + [[(1 + row % 3, 1e-30)] for row in range(200)]
    index = SeismicIndex.build(from_pairs(rows, 4))
    queries = from_pairs([[(2, 1.0)], [(0, 1e-38), (2, 1.0)]], 4)
    for params in (SearchParams(), EXACT):
        result = finish(lambda params=params: index.search(queries, 10, params))
        assert result.rows[0].tolist() == [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]
        assert result.scores[0].tolist() == pytest.approx([1.0] * 10, rel=1e-4)
        assert result.scores[1].tolist() == pytest.approx([2.0] * 10, rel=1e-4)


def test_the_largest_weight() -> None:
    rows = [[(0, LARGEST), (1, LARGEST)], [(0, LARGEST / 2)], [(1, 1.0)]] * 50
    index = SeismicIndex.build(from_pairs(rows, 2))
    assert index.vector(0)[1].tolist() == pytest.approx([LARGEST, LARGEST])
    result = index.search(from_pairs([[(0, 0.125)], [(1, 1e-38)]], 2), 50)
    assert result.rows[0].tolist() == list(range(0, 150, 3))
    assert result.scores[0].tolist() == pytest.approx([LARGEST / 8] * 50)
    assert result.rows[1].tolist() == list(range(0, 150, 3))


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("heap_factor", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("huge", [100, 300], ids=["rare", "frequent"])
@pytest.mark.parametrize("superblocks", [False, True])
def test_scores_that_no_float_can_hold(huge: int, heap_factor: float, superblocks: bool) -> None:
    # 1e38 x 1e5 is infinite, as ExactIndex has it. Such documents come first; the search ends, and others are found.
    rows = [[(0, 1e38 * (1 - row / 1000)), (1, 1.0), (3 + row % 20, 1e37)] for row in range(huge)]
    rows += [[(1, 1.0), (2, 1.0)] for _ in range(300)]
    vectors = from_pairs(rows, 23)
    index = build(vectors, superblocks=superblocks)
    queries = from_pairs([[(0, 1e5), (1, 1.0)], [(0, 1e5), (2, 2.0)], [(2, 1.0)]], 23)
    expected = ExactIndex.build(vectors).search(queries, 5)
    params = SearchParams(heap_factor=heap_factor)
    assert np.array_equal(index.search(queries, 5, EXACT).rows, expected.rows)
    result = finish(lambda: index.search(queries, 5, params))
    assert result.scores.tolist() == expected.scores.tolist()
    assert (result.rows[:2] < huge).all()


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("params", [EVERYTHING, EXACT], ids=["everything", "exact"])
def test_an_infinite_score_hides_no_other_document(params: SearchParams) -> None:
    # Component 0 is the most frequent: its number is also what fills up short documents. Equal scores are ordered by
    # row, also if only their size makes them equal.
    vectors = from_pairs([[(0, 1e37)], [(1, 1.0)], [(1, 2.0)], [(0, 2e37)], [(0, 1e38), (2, 1.0)]], 3)
    query = from_pairs([[(0, 1e5), (1, 1.0)]], 3)
    expected = ExactIndex.build(vectors).search(query, 6)
    result = finish(lambda: SeismicIndex.build(vectors).search(query, 6, params))
    assert result.rows.tolist() == expected.rows.tolist() == [[0, 3, 4, 2, 1, -1]]
    assert result.scores[0].tolist() == pytest.approx([np.inf] * 3 + [2.0, 1.0, -np.inf])


@pytest.mark.parametrize("params", [EVERYTHING, EXACT], ids=["everything", "exact"])
def test_scores_too_small_for_a_float_are_no_hits(params: SearchParams) -> None:
    vectors = from_pairs([[(0, 1e-30)], [(0, 1e-30), (1, 1e-8)], [(2, 1.0)]], 3)
    queries = from_pairs([[(0, 1e-30)], [(0, 1e-30), (1, 1e-30)]], 3)
    expected = ExactIndex.build(vectors).search(queries, 2)
    result = SeismicIndex.build(vectors).search(queries, 2, params)
    assert result.rows.tolist() == expected.rows.tolist() == [[-1, -1], [1, -1]]
    assert np.isneginf(result.scores[expected.rows < 0]).all()
