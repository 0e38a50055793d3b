"""The kNN graph: what it links, in which form it comes and goes, and what a search gains by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import ParameterError
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.seismic.build.graph import rows_of
from lsr.index.seismic.search.kernels import NOTHING
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import EXACT, LAYOUTS, dequantized, graph_of, recall, same
from tests.strategies import from_pairs

# Form


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 12), knn=st.integers(0, 4))
def test_rows_of_a_graph(seed: int, n: int, knn: int) -> None:
    rng = np.random.default_rng(seed)
    graph = rng.integers(0, n + 1, (n, knn)).astype(np.uint32)
    graph[graph == n] = NOTHING
    rows = rng.permutation(n).astype(np.uint32)
    positions = np.argsort(rows).astype(np.uint32)
    found = rows_of(graph, rows, positions)
    assert (found.dtype, found.shape) == (np.int64, (n, knn))
    for document in range(n):
        linked = [-1 if each == NOTHING else int(rows[each]) for each in graph[document].tolist()]
        assert found[rows[document]].tolist() == linked


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
    with pytest.raises(
        ParameterError, match=r"knn is 1, but the graph of the index has 0 neighbors per document; build it with "
    ):
        packages_index.search(query, params=SearchParams(knn=1))
    with pytest.raises(ParameterError, match="knn is 9, but the graph of the index has 8 neighbors"):
        linked.search(query, params=SearchParams(knn=9))


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
    index.engine.graph = graph_of(neighbors, index)
    query = from_pairs([[(0, 1.0), (1, 1.2)]], 3)
    assert index.search(query, 2, EXACT).rows.tolist() == [[0, 1]]
    for knn, best in ((0, [0, 4]), (1, [0, 4]), (2, [0, 1])):
        found = index.search(query, 2, SearchParams(query_cut=1, knn=knn)).rows[0].tolist()
        assert found[0] == best[0]
        assert (found[1] == 1) == (best[1] == 1)


def test_neighbors_that_are_not_allowed(linked: SeismicIndex, package_queries: SparseVectors) -> None:
    mask = np.random.default_rng(1).random(len(linked)) < 0.8
    result = linked.search(package_queries, 10, SearchParams(4, 0.9, knn=8), allowed=mask)
    assert mask[result.rows].all()


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
