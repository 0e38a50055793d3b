"""The kNN graph: what it links, in which form it comes and goes, and what a search gains by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import ParameterError, VectorsError
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.seismic.build.graph import graph_of, rows_of
from lsr.index.seismic.search.kernels import NOTHING
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import EXACT, LAYOUTS, dequantized, recall, same
from tests.strategies import from_pairs

# Form


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 12), knn=st.integers(0, 4))
def test_rows_and_back(seed: int, n: int, knn: int) -> None:
    rng = np.random.default_rng(seed)
    neighbors = rng.integers(-1, n, (n, knn))
    rows = rng.permutation(n).astype(np.uint32)
    positions = np.argsort(rows).astype(np.uint32)
    graph = graph_of(neighbors, rows, positions)
    assert (graph.dtype, graph.shape) == (np.uint32, (n, knn))
    for document in range(n):
        linked = [None if each == NOTHING else int(rows[each]) for each in graph[document].tolist()]
        assert linked == [None if each < 0 else each for each in neighbors[rows[document]].tolist()]
    assert np.array_equal(rows_of(graph, rows, positions), neighbors)


@pytest.mark.parametrize(
    ("neighbors", "message"),
    [
        (np.zeros((3, 2), np.int64), r"neighbors are int64 of shape \(3, 2\); give row numbers, .* 4 documents"),
        (np.zeros(4, np.int64), r"of shape \(4,\)"),
        (np.zeros((4, 2)), "neighbors are float64"),
        (np.zeros((4, 2), bool), "neighbors are bool"),
        (np.full((4, 1), 4), "rows 4 to 4; there are 4 documents, and -1 for none"),
        (np.full((4, 1), -2), "rows -2 to -2"),
        (np.full((4, 1), 2**64 - 1, np.uint64), "neighbors are rows"),
    ],
)
def test_neighbors_that_do_not_fit(neighbors: np.ndarray[Any, Any], message: str) -> None:
    index = SeismicIndex.build(from_pairs([[(0, 1.0)]] * 4, 1))
    with pytest.raises(VectorsError, match=message):
        index.with_neighbors(neighbors)


# Built


@pytest.fixture(scope="module")
def linked(packages: SparseVectors) -> SeismicIndex:
    return SeismicIndex.build(packages[:3000], IndexConfig(knn=8))


def test_neighbors_are_the_most_similar(linked: SeismicIndex) -> None:
    neighbors = linked.neighbors
    assert (linked.knn, linked.config.knn) == (8, 8)
    assert (neighbors.dtype, neighbors.shape) == (np.int64, (3000, 8))
    documents = dequantized(linked)
    exact = linked.search(documents, 9, EXACT, threads=2)
    found = wanted = 0
    for row, (hits, each) in enumerate(zip(exact.rows.tolist(), neighbors.tolist(), strict=True)):
        assert row not in each
        best = [hit for hit in hits if hit != row and hit >= 0][:8]
        found += len(set(best) & set(each))
        wanted += len(best)
    assert found / wanted > 0.87


def test_best_neighbors_come_first(linked: SeismicIndex) -> None:
    rows = np.arange(0, 3000, 50)
    documents = dequantized(linked)
    products = (documents[rows].to_scipy() @ documents.to_scipy().T).toarray()
    scores = np.take_along_axis(products, np.maximum(linked.neighbors[rows], 0), axis=1)
    assert (np.diff(np.where(linked.neighbors[rows] < 0, 0, scores), axis=1) < 1e-3).all()


def test_fewer_neighbors_than_asked_for() -> None:
    index = SeismicIndex.build(from_pairs([[(0, 1.0)], [(0, 2.0)], [(1, 1.0)], []], 2), IndexConfig(knn=3))
    assert index.neighbors.tolist() == [[1, -1, -1], [0, -1, -1], [-1, -1, -1], [-1, -1, -1]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_graph_does_not_depend_on_threads(packages: SparseVectors, layout: str) -> None:
    config = IndexConfig(knn=3, layout=layout)
    first, second = (SeismicIndex.build(packages[:2500], config, threads=threads).neighbors for threads in (1, 3))
    assert np.array_equal(first, second)


# Searched


def test_a_search_needs_the_graph(packages_index: SeismicIndex, linked: SeismicIndex) -> None:
    query = SparseVectors([0, 1], [7], [1.0], packages_index.dim)
    with pytest.raises(ParameterError, match=r"knn is 1, the index has a graph of 0 neighbors; build it with "):
        packages_index.search(query, params=SearchParams(knn=1))
    with pytest.raises(ParameterError, match="knn is 9, the index has a graph of 8 neighbors"):
        linked.search(query, params=SearchParams(knn=9))
    # An exact search ignores it.
    exact = SearchParams(knn=9, exact=True)
    assert same(linked.search(query, params=exact), linked.search(query, params=EXACT))


def test_neighbors_raise_recall(linked: SeismicIndex, package_queries: SparseVectors) -> None:
    expected = linked.search(package_queries, 10, EXACT)
    found = [
        recall(linked.search(package_queries, 10, SearchParams(4, 0.9, knn=knn)), expected) for knn in (0, 1, 3, 8)
    ]
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.02


def test_neighbors_of_what_was_found_are_found() -> None:
    # By its one heaviest term the query finds the hundred rows of component 0. Row 1, better than nearly all of them
    # by the other term, is linked to the best.
    rows = [[(0, 9.0)], [(1, 8.0)], [(2, 1.0)], [(1, 0.1)]] * 100
    rows[0] = [(0, 10.0)]
    index = SeismicIndex.build(from_pairs(rows, 3), IndexConfig(block_size=1))
    neighbors = np.full((400, 2), -1)
    neighbors[0] = [2, 1]
    linked = index.with_neighbors(neighbors)
    query = from_pairs([[(0, 1.0), (1, 1.2)]], 3)
    assert linked.search(query, 2, EXACT).rows.tolist() == [[0, 1]]
    for knn, best in ((0, [0, 4]), (1, [0, 4]), (2, [0, 1])):
        found = linked.search(query, 2, SearchParams(query_cut=1, knn=knn)).rows[0].tolist()
        assert found[0] == best[0]
        assert (found[1] == 1) == (best[1] == 1)


def test_neighbors_that_are_not_allowed(linked: SeismicIndex, package_queries: SparseVectors) -> None:
    mask = np.random.default_rng(1).random(len(linked)) < 0.8
    result = linked.search(package_queries, 10, SearchParams(4, 0.9, knn=8), allowed=mask)
    assert mask[result.rows].all()


def test_with_neighbors_shares_all_else(packages_index: SeismicIndex, package_queries: SparseVectors) -> None:
    neighbors = np.full((len(packages_index), 2), -1)
    linked = packages_index.with_neighbors(neighbors)
    assert (linked.knn, packages_index.knn) == (2, 0)
    assert linked.config == IndexConfig(knn=2)
    assert np.array_equal(linked.neighbors, neighbors)
    assert linked.nbytes == {**packages_index.nbytes, "kNN graph": neighbors.size * 4}
    # Neighbors that are none change nothing.
    result = linked.search(package_queries, 10, SearchParams(knn=2))
    assert same(result, packages_index.search(package_queries, 10))


@pytest.mark.parametrize("threads", [2, 3])
def test_results_do_not_depend_on_threads(linked: SeismicIndex, package_queries: SparseVectors, threads: int) -> None:
    params = SearchParams(knn=4)
    whole = linked.search(package_queries, 10, params)
    assert same(linked.search(package_queries, 10, params, threads), whole)
    for i in (0, 7, 199):
        assert np.array_equal(linked.search(package_queries[i], 10, params).rows[0], whole.rows[i])


def test_no_document_is_found_twice(linked: SeismicIndex, package_queries: SparseVectors) -> None:
    rows = linked.search(package_queries, 50, SearchParams(knn=8)).rows
    for found in rows.tolist():
        present = [row for row in found if row >= 0]
        assert len(set(present)) == len(present)
