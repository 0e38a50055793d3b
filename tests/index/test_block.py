"""Blocking: posting lists cut by sampled centroids."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.block import cut_into_blocks, nearest_centroids, next_random, sample_without_replacement
from lsr.index.config import IndexConfig
from lsr.index.forward import Forward
from lsr.vectors import SparseVectors
from tests.index.samples import NARROW, WIDE, configs, make_forward, vectors_and_queries
from tests.naive import block as naive
from tests.naive.forward import read_documents
from tests.strategies import from_pairs


def cut(members: np.ndarray, forward: Forward, config: IndexConfig, seed: int | None = None) -> list[list[int]]:
    starts, ends = np.zeros((2, len(forward.scale)), np.uint32)
    ordered, offsets = cut_into_blocks(
        members,
        forward,
        config.centroid_fraction,
        config.min_cluster_size,
        config.doc_cut,
        np.uint64(config.seed if seed is None else seed),
        starts,
        ends,
    )
    assert not starts.any()
    assert not ends.any()
    assert (ordered.dtype, offsets.dtype, offsets[0], offsets[-1]) == (np.uint32, np.uint32, 0, len(members))
    return [ordered[begin:end].tolist() for begin, end in pairwise(offsets.tolist())]


def check_blocks(vectors: SparseVectors, config: IndexConfig, members: np.ndarray, dtype: type = NARROW) -> None:
    forward, _ = make_forward(vectors, dtype)
    blocks = cut(members, forward, config)
    assert blocks == naive.cut_into_blocks(
        members.tolist(),
        read_documents(forward),
        list(forward.scale),
        config.centroid_fraction,
        config.min_cluster_size,
        config.doc_cut,
        config.seed,
    )
    assert sorted(member for block in blocks for member in block) == members.tolist()
    for block in blocks:
        assert block == sorted(block)
        assert len(block) > config.min_cluster_size or len(blocks) == 1


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
    sample = sample_without_replacement(n, k, np.array([seed], np.uint64)).tolist()
    assert sample == naive.sample_without_replacement(n, k, seed)
    assert len(set(sample)) == k
    assert set(sample) <= set(range(n))


def test_every_position_is_sampled_as_often() -> None:
    state = np.array([1], np.uint64)
    counts = np.bincount(np.concatenate([sample_without_replacement(50, 5, state) for _ in range(10_000)]))
    # 1,000 each, with a standard deviation of 30.
    assert (abs(counts - 1000) < 150).all()


# Nearest centroids


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(drawn=vectors_and_queries(max_rows=60), doc_cut=st.integers(1, 16), data=st.data())
@settings(max_examples=50)
def test_nearest_centroids(
    drawn: tuple[SparseVectors, SparseVectors], doc_cut: int, data: st.DataObject, dtype: type
) -> None:
    vectors, _ = drawn
    forward, _ = make_forward(vectors, dtype)
    documents = read_documents(forward)
    scale = list(forward.scale)
    rows = np.arange(len(vectors), dtype=np.uint32)
    centroids = [naive.coarse_weights(documents[row], scale, 16) for row in range(0, len(rows), 3)]
    alive = data.draw(st.lists(st.booleans(), min_size=len(centroids), max_size=len(centroids)))

    # The centroids' inverted index, by hand.
    runs = [
        [(slot, weight) for slot, centroid in enumerate(centroids) for c, weight in centroid if c == component]
        for component in range(len(scale))
    ]
    ends = np.cumsum([len(run) for run in runs], dtype=np.uint32)
    starts = (ends - np.array([len(run) for run in runs], np.uint32)).astype(np.uint32)
    slots = np.array([slot for run in runs for slot, _ in run], np.uint32)
    weights = np.array([weight for run in runs for _, weight in run], np.float32)
    todo = np.arange(0, len(rows), 2)
    untouched = 12345
    out = np.full(len(rows), untouched, np.uint32)
    scores = np.empty(len(centroids), np.float32)
    nearest_centroids(rows, todo, np.array(alive, bool), starts, ends, slots, weights, forward, doc_cut, scores, out)
    vectors_cut = [naive.coarse_weights(documents[row], scale, doc_cut) for row in todo]
    expected = naive.nearest_centroids(vectors_cut, centroids, alive)
    nowhere = 2**32 - 1
    assert out[todo].tolist() == [nowhere if slot is None else slot for slot in expected]
    assert (out[1::2] == untouched).all()


# Whole lists


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(drawn=vectors_and_queries(), config=configs())
@settings(max_examples=50)
def test_blocks(drawn: tuple[SparseVectors, SparseVectors], config: IndexConfig, dtype: type) -> None:
    vectors, _ = drawn
    if len(vectors):
        check_blocks(vectors, config, np.arange(0, len(vectors), 2, dtype=np.uint32), dtype)


@pytest.mark.parametrize("min_cluster_size", [0, 2, 20])
def test_blocks_of_real_vectors(packages: SparseVectors, min_cluster_size: int) -> None:
    config = IndexConfig(min_cluster_size=min_cluster_size)
    check_blocks(packages[:1000], config, np.arange(0, 1000, 3, dtype=np.uint32))


def test_blocks_depend_on_the_seed(packages: SparseVectors) -> None:
    forward, _ = make_forward(packages[:300])
    members = np.arange(300, dtype=np.uint32)
    first, again, other = (cut(members, forward, IndexConfig(), seed) for seed in (1, 1, 2**63 + 1))
    assert first == again
    assert first != other


def test_no_cluster_large_enough() -> None:
    vectors = from_pairs([[(row, 1.0)] for row in range(40)], 40)
    forward, _ = make_forward(vectors)
    members = np.arange(40, dtype=np.uint32)
    config = IndexConfig(centroid_fraction=1.0, min_cluster_size=1)
    assert cut(members, forward, config) == [members.tolist()]


def test_documents_near_no_survivor_join_the_first() -> None:
    # Rows of component 0 make the one cluster that is large enough; those of the others share nothing with it.
    vectors = from_pairs([[(0 if row < 10 else row, 1.0)] for row in range(15)], 15)
    forward, _ = make_forward(vectors)
    members = np.arange(15, dtype=np.uint32)
    config = IndexConfig(centroid_fraction=1.0, min_cluster_size=2)
    assert cut(members, forward, config) == [members.tolist()]


def test_clusters_of_equal_documents() -> None:
    vectors = from_pairs([[(row % 3, 1.0), (5, 0.5)] for row in range(90)], 6)
    forward, _ = make_forward(vectors)
    members = np.arange(90, dtype=np.uint32)
    blocks = cut(members, forward, IndexConfig(centroid_fraction=0.5))
    assert sorted(blocks) == [list(range(first, 90, 3)) for first in range(3)]


@pytest.mark.parametrize("weight", [2.0**-149, 1e-38, 1e-20, 1e38])
def test_weights_of_all_sizes(weight: float) -> None:
    vectors = from_pairs([[(row % 3, weight), (5, weight)] for row in range(90)], 6)
    check_blocks(vectors, IndexConfig(), np.arange(90, dtype=np.uint32))
