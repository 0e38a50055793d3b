"""Clustering: documents in an order, cut into blocks, against twins, and what holds of all blocks."""

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
from lsr.index.seismic.build.in_memory import all_sketches
from lsr.index.seismic.forward import count_components
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import NARROW, WIDE, configs, vectors_and_queries
from tests.naive import cluster as naive
from tests.naive.forward import internal_rows
from tests.strategies import from_pairs, sparse_vectors

Drawn = tuple[SparseVectors, SparseVectors]
LARGEST = float(np.finfo(np.float32).max)


def sketches_of(vectors: SparseVectors, dtype: type = NARROW) -> tuple[Sketches, list[naive.Sketch], int]:
    """The sketches of documents with internal components, the twin's, and the number of components."""
    components = count_components(vectors)
    internal = components.renumber(vectors.indices, np.dtype(dtype))
    with ThreadPoolExecutor(2) as executor:
        sketches = all_sketches(vectors.indptr, internal, vectors.values, executor)
    external = components.external.tolist()
    return sketches, naive.find_sketches(internal_rows(vectors, external)), len(external)


def no_runs(n_components: int) -> Runs:
    return Runs(*np.zeros((2, n_components), np.uint32))


def blocks_of(vectors: SparseVectors, config: IndexConfig, threads: int = 1, dtype: type = NARROW) -> list[list[int]]:
    """The blocks that `cluster` makes, after a look at what holds of all blocks."""
    sketches, _, n_components = sketches_of(vectors, dtype)
    with ThreadPoolExecutor(threads) as executor:
        rows, offsets = cluster(sketches, n_components, config, executor)
    assert (rows.dtype, offsets.dtype) == (np.uint32, np.uint32)
    assert np.array_equal(np.sort(rows), np.arange(len(vectors)))
    assert (offsets[0], offsets[-1]) == (0, len(vectors))
    sizes = np.diff(offsets.astype(np.int64))
    assert sizes.min(initial=1) >= 1
    assert sizes.max(initial=1) <= config.block_size
    return as_blocks(rows, offsets)


def as_blocks(rows: Sequence[int], offsets: Sequence[int]) -> list[list[int]]:
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
    smallest, doc_cut = config.min_cluster_size, config.doc_cut
    ordered, offsets = split(documents, k, sketches, smallest, doc_cut, np.uint64(config.seed), runs)
    clusters = as_blocks(ordered, offsets)
    assert clusters == naive.split(documents.tolist(), k, twins, smallest, doc_cut, config.seed)
    for members in clusters:
        assert members == sorted(members)
        assert len(members) > smallest or len(clusters) == 1
    assert not runs.starts.any()
    assert not runs.ends.any()


def split_all(vectors: SparseVectors, k: int, min_cluster_size: int) -> list[list[int]]:
    sketches, _, n_components = sketches_of(vectors)
    rows = np.arange(len(vectors), dtype=np.uint32)
    return as_blocks(*split(rows, k, sketches, min_cluster_size, 16, np.uint64(1), no_runs(n_components)))


def test_no_cluster_large_enough() -> None:
    vectors = from_pairs([[(row, 1.0)] for row in range(40)], 40)
    assert split_all(vectors, 40, 1) == [list(range(40))]


def test_documents_near_no_survivor_join_the_first() -> None:
    # Rows of component 0 make the one cluster that is large enough; those of the others share nothing with it.
    vectors = from_pairs([[(0 if row < 10 else row, 1.0)] for row in range(15)], 15)
    assert split_all(vectors, 15, 2) == [list(range(15))]


def test_clusters_of_equal_documents() -> None:
    vectors = from_pairs([[(row % 3, 1.0), (5, 0.5)] for row in range(90)], 6)
    assert sorted(split_all(vectors, 45, 2)) == [list(range(first, 90, 3)) for first in range(3)]


def test_heavy_centroids_attract_no_more_than_others() -> None:
    vectors = from_pairs([[(0, 1e6), (1, 1e6)], [(1, 1.0)], [(0, 1.0), (1, 1e-3)], [(0, 5.0), (1, 5.0)]], 2)
    # Each is nearest to the centroid of its own direction, of equal ones to the first.
    assert sorted(split_all(vectors, 4, 0)) == [[0, 3], [1], [2]]


# Trees


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(drawn=vectors_and_queries(min_rows=1), config=configs())
@settings(max_examples=40)
def test_small_trees(drawn: Drawn, config: IndexConfig, dtype: type) -> None:
    vectors, _ = drawn
    _, twins, _ = sketches_of(vectors, dtype)
    assert blocks_of(vectors, config, dtype=dtype) == naive.cluster(twins, config)


@pytest.mark.parametrize(
    "config",
    [IndexConfig(), IndexConfig(block_size=255, min_cluster_size=20, doc_cut=4, seed=7)],
    ids=["default", "other"],
)
def test_tree_of_several_steps(packages: SparseVectors, config: IndexConfig) -> None:
    vectors = packages[:2700]
    sketches, twins, n_components = sketches_of(vectors)
    documents = np.arange(1, len(vectors), dtype=np.uint32)
    runs = no_runs(n_components)
    ordered, sizes = grow_tree(
        documents,
        sketches,
        config.centroid_fraction,
        config.min_cluster_size,
        config.doc_cut,
        config.block_size,
        np.uint64(config.seed),
        runs,
    )
    expected = naive.grow_tree(documents.tolist(), twins, config, config.seed)
    assert len(documents) // COARSE > 2
    assert as_blocks(ordered, np.r_[0, np.cumsum(sizes, dtype=np.int64)]) == expected
    assert not runs.starts.any()
    assert not runs.ends.any()


def test_clustering_beyond_a_leaf(packages: SparseVectors) -> None:
    vectors = packages[: LEAF + 400]
    _, twins, _ = sketches_of(vectors)
    assert blocks_of(vectors, IndexConfig()) == naive.cluster(twins, IndexConfig())


# What holds of all blocks: blocks_of looks at that


@given(drawn=vectors_and_queries(min_rows=1), config=configs(), threads=st.sampled_from([1, 2]))
@settings(max_examples=30)
def test_blocks_of_drawn_vectors(drawn: Drawn, config: IndexConfig, threads: int) -> None:
    blocks_of(drawn[0], config, threads)


@pytest.mark.parametrize("block_size", [1, 2, 6, 255])
def test_blocks_of_real_vectors(packages: SparseVectors, block_size: int) -> None:
    blocks_of(packages, IndexConfig(block_size=block_size))


def test_blocks_depend_on_the_seed_and_not_on_threads(packages: SparseVectors) -> None:
    first = blocks_of(packages, IndexConfig(), threads=1)
    assert blocks_of(packages, IndexConfig(), threads=2) == first
    assert blocks_of(packages, IndexConfig(seed=2), threads=2) != first


def test_documents_of_a_block_have_much_in_common(packages: SparseVectors) -> None:
    vectors = packages[:4000]
    by_block = shared_components(vectors, blocks_of(vectors, IndexConfig()))
    in_turn = shared_components(vectors, [list(range(begin, begin + 6)) for begin in range(0, 3996, 6)])
    assert by_block > 3 * in_turn


def shared_components(vectors: SparseVectors, blocks: list[list[int]]) -> float:
    """Mean number of the ten heaviest components that neighbors in a block share."""
    heaviest = vectors.top_k(10)
    tops = [set(heaviest.row(row)[0].tolist()) for row in range(len(vectors))]
    return float(np.mean([len(tops[a] & tops[b]) for block in blocks for a, b in pairwise(block)]))


@pytest.mark.parametrize("copies", [LEAF, LEAF + 1, 20_000])
@pytest.mark.parametrize("length", [1, 30])
def test_identical_documents(copies: int, length: int) -> None:
    document = from_pairs([[(component, 1.0 + component) for component in range(length)]], 40)
    blocks = blocks_of(document[np.zeros(copies, int)], IndexConfig(block_size=6))
    assert {len(block) for block in blocks} <= {5, 6}


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 3000])
def test_empty_documents(rows: int) -> None:
    blocks_of(SparseVectors(np.zeros(rows + 1, int), [], [], 5), IndexConfig())


def test_empty_documents_among_others(packages: SparseVectors) -> None:
    empty = SparseVectors(np.zeros(1501, int), [], [], packages.dim)
    vectors = SparseVectors.concatenate([empty, packages[:1500], empty])
    assert blocks_of(vectors, IndexConfig()) == blocks_of(vectors, IndexConfig(), threads=2)


@pytest.mark.parametrize("rows", [100, 3000])
def test_one_component(rows: int) -> None:
    blocks_of(from_pairs([[(0, 1.0 + row)] for row in range(rows)], 1), IndexConfig())


@pytest.mark.parametrize("weight", [2.0**-149, 2.0**-126, 1e-20, LARGEST])
def test_weights_of_all_sizes(weight: float) -> None:
    vectors = from_pairs([[(row % 3, weight), (5, weight / 2)] for row in range(90)], 6)
    _, twins, _ = sketches_of(vectors)
    blocks = blocks_of(vectors, IndexConfig())
    assert blocks == naive.cluster(twins, IndexConfig())
    # What is alike stays together, however light or heavy it is.
    assert all(len({row % 3 for row in block}) == 1 for block in blocks)


def test_weights_of_very_different_sizes() -> None:
    sizes = [2.0**-149, 1e-30, 1.0, 1e30, LARGEST]
    rows = [[(row % 7, sizes[row % 5]), (7 + row % 3, sizes[row % 4])] for row in range(400)]
    _, twins, _ = sketches_of(from_pairs(rows, 10))
    assert blocks_of(from_pairs(rows, 10), IndexConfig()) == naive.cluster(twins, IndexConfig())


@pytest.mark.parametrize("weight", [2.0**-149, LARGEST])
def test_extreme_weights_beyond_a_leaf(weight: float) -> None:
    blocks_of(from_pairs([[(row % 30, weight), (30 + row % 7, weight)] for row in range(2 * LEAF)], 40), IndexConfig())


def test_70000_components() -> None:
    rng = np.random.default_rng(1)
    rare = SparseVectors(np.arange(0, 70_001, 14), rng.permutation(70_000), rng.random(70_000) + 0.01, 70_000)
    vectors = SparseVectors.concatenate([rare, rare[np.arange(0, 5000, 2)]])
    _, twins, n_components = sketches_of(vectors, WIDE)
    assert n_components == 70_000
    assert blocks_of(vectors, IndexConfig(min_cluster_size=0), dtype=WIDE) == naive.cluster(
        twins, IndexConfig(min_cluster_size=0)
    )
