"""Clustering: documents in an order, against twins, and what holds of every order."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build.cluster import (
    COARSE,
    DISSOLVED,
    LEAF,
    NOWHERE,
    SKETCH,
    Runs,
    Sketches,
    centroid_runs,
    cluster,
    find_sketches,
    grow_tree,
    nearest_centroids,
    next_random,
    sample_without_replacement,
    split,
)
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import NARROW, WIDE, configs, vectors_and_queries
from tests.index.seismic.build.sketches import sketches_of
from tests.naive import cluster as naive
from tests.strategies import from_pairs, sparse_vectors

Drawn = tuple[SparseVectors, SparseVectors]
LARGEST = float(np.finfo(np.float32).max)


def no_runs(n_components: int) -> Runs:
    return Runs(*np.zeros((2, n_components), np.uint32))


def order_of(vectors: SparseVectors, config: IndexConfig, threads: int = 1, dtype: type = NARROW) -> list[int]:
    """The rows as `cluster` puts them in order; each is there once."""
    sketches, _, n_components = sketches_of(vectors, dtype)
    with ThreadPoolExecutor(threads) as executor:
        rows = cluster(sketches, n_components, config, executor)
    assert rows.dtype == np.uint32
    assert np.array_equal(np.sort(rows), np.arange(len(vectors)))
    return [int(row) for row in rows]


def as_clusters(rows: Sequence[int], offsets: Sequence[int]) -> list[list[int]]:
    return [list(map(int, rows[begin:end])) for begin, end in pairwise(map(int, offsets))]


# Sketches


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(vectors=sparse_vectors())
@settings(max_examples=50)
def test_sketches(vectors: SparseVectors, dtype: type) -> None:
    sketches, expected, _ = sketches_of(vectors, dtype)
    assert sketches.components.dtype == dtype
    check_sketches(sketches, expected)


def test_sketches_of_real_vectors(passages: SparseVectors) -> None:
    sketches, expected, _ = sketches_of(passages[:300])
    assert max(map(len, expected)) == SKETCH
    check_sketches(sketches, expected)


def check_sketches(sketches: Sketches, expected: list[naive.Sketch]) -> None:
    for components, weights, sketch in zip(sketches.components, sketches.weights, expected, strict=True):
        assert list(zip(components.tolist(), weights.tolist(), strict=True))[: len(sketch)] == sketch
        assert not weights[len(sketch) :].any()


def test_only_the_rows_asked_for_get_sketches(packages: SparseVectors) -> None:
    vectors = packages[:30]
    sketches = Sketches(np.full((30, SKETCH), 7, np.uint32), np.full((30, SKETCH), 7, np.float32))
    find_sketches(10, 20, vectors.indptr, vectors.indices, vectors.values, sketches)
    outside = np.r_[:10, 20:30]
    assert (sketches.components[outside] == 7).all()
    assert (sketches.weights[outside] == 7).all()
    assert sketches.weights[10:20, 0].tolist() == [vectors.row(row)[1].max() for row in range(10, 20)]


# Random numbers


def test_random_numbers_are_those_of_splitmix64() -> None:
    # The first five after seed 1234567, as published with the reference implementation.
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert list(islice(naive.next_random(1234567), 5)) == expected
    state = np.array([1234567], np.uint64)
    assert [int(next_random(state)) for _ in expected] == expected


@given(seed=st.integers(0, 2**64 - 1), n=st.integers(1, 100), data=st.data())
def test_sample(seed: int, n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    sample = sample_without_replacement(n, k, np.uint64(seed)).tolist()
    assert sample == naive.sample_without_replacement(n, k, seed)
    assert len(set(sample)) == k
    assert set(sample) <= set(range(n))


def test_every_position_is_sampled_as_often() -> None:
    samples = [sample_without_replacement(50, 5, np.uint64(seed)) for seed in range(10_000)]
    # 1,000 each, with a standard deviation of 30.
    assert (abs(np.bincount(np.concatenate(samples)) - 1000) < 150).all()


# Nearest centroids


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(drawn=vectors_and_queries(max_rows=60, min_rows=1), doc_cut=st.integers(1, SKETCH), data=st.data())
@settings(max_examples=50)
def test_nearest_centroids(drawn: Drawn, doc_cut: int, data: st.DataObject, dtype: type) -> None:
    sketches, twins, n_components = sketches_of(drawn[0], dtype)
    n = len(twins)
    chosen = np.arange(0, n, 3, dtype=np.uint32)
    alive = data.draw(st.lists(st.booleans(), min_size=len(chosen), max_size=len(chosen)))
    runs = no_runs(n_components)
    touched, slots, weights = centroid_runs(chosen, sketches, runs)
    occurring = {component for document in chosen.tolist() for component, _ in twins[document]}
    assert sorted(touched.tolist()) == sorted(occurring)

    documents = np.arange(n, dtype=np.uint32)[::-1].copy()
    todo = np.arange(0, n, 2)
    untouched = 12345
    out = np.full(n, untouched, np.uint32)
    scores = np.empty(len(chosen), np.float32)
    nearest_centroids(documents, todo, np.array(alive, bool), runs, slots, weights, sketches, doc_cut, scores, out)
    expected = naive.nearest_centroids(
        [naive.cut_sketch(twins[documents[i]], doc_cut) for i in todo],
        [naive.of_unit_length(twins[document]) for document in chosen],
        alive,
    )
    assert out[todo].tolist() == [NOWHERE if slot is None else slot for slot in expected]
    assert (out[1::2] == untouched).all()


# One step


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(drawn=vectors_and_queries(min_rows=1), config=configs(), share=st.floats(0.01, 1))
@settings(max_examples=50)
def test_split(drawn: Drawn, config: IndexConfig, share: float, dtype: type) -> None:
    sketches, twins, n_components = sketches_of(drawn[0], dtype)
    documents = np.arange(0, len(twins), 2, dtype=np.uint32)
    k = max(1, int(share * len(documents)))
    runs = no_runs(n_components)
    ordered, offsets = split(documents, k, sketches, config.doc_cut, np.uint64(config.seed), runs)
    clusters = as_clusters(ordered, offsets)
    assert clusters == naive.split(documents.tolist(), k, twins, config.doc_cut, config.seed)
    for members in clusters:
        assert members == sorted(members)
        assert len(members) > DISSOLVED or len(clusters) == 1
    assert not runs.starts.any()
    assert not runs.ends.any()


def split_all(vectors: SparseVectors, k: int) -> list[list[int]]:
    sketches, _, n_components = sketches_of(vectors)
    rows = np.arange(len(vectors), dtype=np.uint32)
    return as_clusters(*split(rows, k, sketches, 16, np.uint64(1), no_runs(n_components)))


def test_no_cluster_large_enough() -> None:
    vectors = from_pairs([[(row, 1.0)] for row in range(40)], 40)
    assert split_all(vectors, 40) == [list(range(40))]


def test_documents_near_no_survivor_join_the_first() -> None:
    # Rows of component 0 make the one cluster that is large enough; those of the others share nothing with it.
    vectors = from_pairs([[(0 if row < 10 else row, 1.0)] for row in range(15)], 15)
    assert split_all(vectors, 15) == [list(range(15))]


def test_clusters_of_equal_documents() -> None:
    vectors = from_pairs([[(row % 3, 1.0), (5, 0.5)] for row in range(90)], 6)
    assert sorted(split_all(vectors, 45)) == [list(range(first, 90, 3)) for first in range(3)]


def test_heavy_centroids_attract_no_more_than_others() -> None:
    rows = [[(0, 1e6), (1, 1e6)], [(1, 1.0)], [(0, 1.0), (1, 1e-3)], [(0, 5.0), (1, 5.0)]]
    # Each is nearest to the centroid of its own direction, of equal ones to the first.
    directions = [[0, 3, 4, 7, 8, 11], [1, 5, 9], [2, 6, 10]]
    assert sorted(split_all(from_pairs(rows * 3, 2), 12)) == directions


# Trees


def test_documents_of_one_leaf_keep_their_order(packages: SparseVectors) -> None:
    assert order_of(packages[:LEAF], IndexConfig()) == list(range(LEAF))
    assert order_of(packages[: LEAF + 1], IndexConfig()) != list(range(LEAF + 1))


@pytest.mark.parametrize("config", [IndexConfig(), IndexConfig(doc_cut=4, seed=7)], ids=["default", "other"])
@pytest.mark.parametrize("dtype", [NARROW, WIDE])
def test_tree_of_several_steps(packages: SparseVectors, config: IndexConfig, dtype: type) -> None:
    vectors = packages[:2700]
    sketches, twins, n_components = sketches_of(vectors, dtype)
    documents = np.arange(1, len(vectors), dtype=np.uint32)
    runs = no_runs(n_components)
    ordered = grow_tree(documents, sketches, config.doc_cut, np.uint64(config.seed), runs)
    assert len(documents) // COARSE > 2
    assert ordered.tolist() == naive.grow_tree(documents.tolist(), twins, config.doc_cut, config.seed)
    assert not runs.starts.any()
    assert not runs.ends.any()


@pytest.mark.parametrize("rows", [LEAF + 1, 2 * LEAF + 400])
@pytest.mark.parametrize("doc_cut", [1, 15])
def test_orders_beyond_a_leaf(packages: SparseVectors, rows: int, doc_cut: int) -> None:
    vectors, config = packages[:rows], IndexConfig(doc_cut=doc_cut)
    _, twins, _ = sketches_of(vectors)
    assert order_of(vectors, config, threads=2) == naive.cluster(twins, config)


# What holds of every order: order_of looks at that


def test_orders_depend_on_the_seed_and_not_on_threads(packages: SparseVectors) -> None:
    first = order_of(packages, IndexConfig(), threads=1)
    assert order_of(packages, IndexConfig(), threads=2) == first
    assert order_of(packages, IndexConfig(seed=2), threads=2) != first


def test_documents_of_a_leaf_have_much_in_common(packages: SparseVectors) -> None:
    # In leaves documents stand in the order of rows, so that neighbors are any two of a cluster.
    order = order_of(packages, IndexConfig())
    assert shared_components(packages, order) > 1.5 * shared_components(packages, range(len(packages)))


def shared_components(vectors: SparseVectors, order: Sequence[int]) -> float:
    """Mean number of the ten heaviest components that neighbors share."""
    heaviest = vectors.top_k(10)
    tops = [set(heaviest.row(row)[0].tolist()) for row in range(len(vectors))]
    return float(np.mean([len(tops[a] & tops[b]) for a, b in pairwise(order)]))


@pytest.mark.parametrize("copies", [LEAF, LEAF + 1, 20_000])
@pytest.mark.parametrize("length", [1, 30])
def test_identical_documents(copies: int, length: int) -> None:
    document = from_pairs([[(component, 1.0 + component) for component in range(length)]], 40)
    assert order_of(document[np.zeros(copies, int)], IndexConfig()) == list(range(copies))


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 3000])
def test_empty_documents(rows: int) -> None:
    assert order_of(SparseVectors(np.zeros(rows + 1, int), [], [], 5), IndexConfig()) == list(range(rows))


def test_empty_documents_among_others(packages: SparseVectors) -> None:
    empty = SparseVectors(np.zeros(1501, int), [], [], packages.dim)
    vectors = SparseVectors.concatenate([empty, packages[:1500], empty])
    _, twins, _ = sketches_of(vectors)
    assert order_of(vectors, IndexConfig(), threads=2) == naive.cluster(twins, IndexConfig())


def test_one_component() -> None:
    assert order_of(from_pairs([[(0, 1.0 + row)] for row in range(3000)], 1), IndexConfig()) == list(range(3000))


@pytest.mark.parametrize("weight", [2.0**-149, 2.0**-126, 1e-20, LARGEST])
def test_weights_of_all_sizes(weight: float) -> None:
    vectors = from_pairs([[(row % 3, weight), (5, weight / 2)] for row in range(8 * COARSE)], 6)
    _, twins, _ = sketches_of(vectors)
    order = order_of(vectors, IndexConfig())
    assert order == naive.cluster(twins, IndexConfig())
    # What is alike stays together, however light or heavy it is: there are eight centroids.
    kinds = [row % 3 for row in order]
    assert sum(a != b for a, b in pairwise(kinds)) <= 7


def test_weights_of_very_different_sizes() -> None:
    sizes = [2.0**-149, 1e-30, 1.0, 1e30, LARGEST]
    rows = [[(row % 7, sizes[row % 5]), (7 + row % 3, sizes[row % 4])] for row in range(LEAF + 100)]
    _, twins, _ = sketches_of(from_pairs(rows, 10))
    assert order_of(from_pairs(rows, 10), IndexConfig()) == naive.cluster(twins, IndexConfig())


def test_70000_components() -> None:
    rng = np.random.default_rng(1)
    rare = SparseVectors(np.arange(0, 70_001, 14), rng.permutation(70_000), rng.random(70_000) + 0.01, 70_000)
    vectors = SparseVectors.concatenate([rare, rare[np.arange(0, 5000, 2)]])
    _, twins, n_components = sketches_of(vectors, WIDE)
    assert n_components == 70_000
    assert order_of(vectors, IndexConfig(), dtype=WIDE) == naive.cluster(twins, IndexConfig())
