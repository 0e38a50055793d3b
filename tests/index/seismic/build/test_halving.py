"""Halving: windows of documents, against twins, and what holds of every order."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build.cluster import SKETCH, Sketches
from lsr.index.seismic.build.halving import (
    WINDOW_BLOCKS,
    add_sketch,
    first_line,
    halve,
    halve_windows,
    normalize,
    part,
    product_with,
)
from lsr.storage.arrays import Array
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import NARROW, WIDE, vectors_and_queries, zipf_vectors
from tests.index.seismic.build.sketches import sketches_of
from tests.naive import cluster as naive_cluster
from tests.naive import halving as naive
from tests.naive.cluster import next_random, of_unit_length
from tests.strategies import from_pairs

Drawn = tuple[SparseVectors, SparseVectors]
LARGEST = float(np.finfo(np.float32).max)

both_widths = pytest.mark.parametrize("dtype", [NARROW, WIDE])
block_sizes = st.sampled_from([1, 3, 4, 6, 255])


def unit_sketches(twins: Sequence[naive_cluster.Sketch]) -> list[naive_cluster.Sketch]:
    return [of_unit_length(sketch) if sketch else [] for sketch in twins]


def normalized(rows: Array, sketches: Sketches) -> tuple[Array, Array]:
    components, weights = np.empty((len(rows), SKETCH), sketches.components.dtype), np.empty((len(rows), SKETCH), "f4")
    normalize(rows, sketches, components, weights)
    return components, weights


def halved(rows: Array, sketches: Sketches, n_components: int, block_size: int, seed: int) -> list[int]:
    """One window in its new order; its line is zero again."""
    order, line = rows.copy(), np.zeros(max(1, n_components), np.float32)
    halve(order, sketches, block_size, np.uint64(seed), line)
    assert not line.any()
    return [int(row) for row in order]


def order_of(vectors: SparseVectors, config: IndexConfig, threads: int = 1, dtype: type = NARROW) -> list[int]:
    """All rows, from their own order."""
    sketches, _, n_components = sketches_of(vectors, dtype)
    rows = np.arange(len(vectors), dtype=np.uint32)
    with ThreadPoolExecutor(threads) as executor:
        halve_windows(rows, sketches, n_components, config, executor)
    return [int(row) for row in rows]


# Lines and sketches


@both_widths
@given(drawn=vectors_and_queries(max_rows=60), data=st.data())
@settings(max_examples=40)
def test_unit_sketches(drawn: Drawn, data: st.DataObject, dtype: type) -> None:
    sketches, twins, _ = sketches_of(drawn[0], dtype)
    rows = data.draw(st.lists(st.integers(0, max(0, len(twins) - 1)), max_size=len(twins)))
    components, weights = normalized(np.array(rows, np.uint32), sketches)
    assert components.tolist() == sketches.components[rows].tolist()
    units = unit_sketches(twins)
    for of_row, row in zip(weights, rows, strict=True):
        assert of_row[: len(units[row])].tolist() == [weight for _, weight in units[row]]
        assert not of_row[len(units[row]) :].any()


@pytest.mark.parametrize("weight", [2.0**-149, 2.0**-126, 1e-20, LARGEST])
def test_sketches_of_all_sizes_have_length_one(weight: float) -> None:
    sketches, _, _ = sketches_of(from_pairs([[(0, weight), (1, weight)], []], 2))
    _, weights = normalized(np.arange(2, dtype=np.uint32), sketches)
    assert weights[0, :2].tolist() == [np.float32(0.5**0.5)] * 2
    assert not weights[1].any()


@both_widths
@given(
    drawn=vectors_and_queries(max_rows=60, min_rows=1), seed=st.integers(0, 2**64 - 1), every=st.sampled_from([1, 3])
)
@settings(max_examples=40)
def test_first_line(drawn: Drawn, seed: int, every: int, dtype: type) -> None:
    sketches, twins, n_components = sketches_of(drawn[0], dtype)
    units, documents = unit_sketches(twins), np.arange(0, len(twins), every)
    components, weights = normalized(np.arange(len(twins), dtype=np.uint32), sketches)
    state, line = np.array([seed], np.uint64), np.zeros(max(1, n_components), np.float32)
    first_line(documents, state, components, weights, line)
    random = next_random(seed)
    expected = naive.first_line([units[document] for document in documents], random)
    assert {component: weight for component, weight in enumerate(line) if weight} == {
        component: weight for component, weight in expected.items() if weight
    }
    # As many random numbers were taken.
    after = np.zeros_like(line)
    first_line(documents, state, components, weights, after)
    again = naive.first_line([units[document] for document in documents], random)
    for document in documents:
        found = product_with(document, components, weights, line), product_with(document, components, weights, after)
        assert found == tuple(naive.product_with(units[document], each) for each in (expected, again))


@given(factor=st.floats(-2, 2, width=32), before=st.floats(-2, 2, width=32))
def test_sketches_add_up(factor: float, before: float) -> None:
    sketches, twins, _ = sketches_of(from_pairs([[(0, 1.0)], [(0, 3.0), (1, 4.0)]], 2))
    components, weights = normalized(np.arange(2, dtype=np.uint32), sketches)
    line = np.full(2, before, np.float32)
    add_sketch(1, np.float32(factor), components, weights, line)
    added = dict(of_unit_length(twins[1]))
    assert line.tolist() == [np.float32(before) + np.float32(factor) * added[component] for component in range(2)]


# Parts


@given(scores=st.lists(st.sampled_from([-1.5, -0.0, 0.0, 1.0, 2.0, 1e30]), min_size=1, max_size=40), data=st.data())
def test_part(scores: list[float], data: st.DataObject) -> None:
    half = data.draw(st.integers(1, len(scores)))
    documents = np.array(data.draw(st.permutations(range(len(scores)))), np.int64)
    left, right = naive.part([np.float32(score) for score in scores], half)
    expected = documents[left + right].tolist()
    part(documents, half, np.array(scores, np.float32))
    assert documents.tolist() == expected


# Windows


@both_widths
@given(drawn=vectors_and_queries(max_rows=120), block_size=block_sizes, seed=st.integers(0, 2**64 - 1))
@settings(max_examples=25, deadline=None)
def test_window(drawn: Drawn, block_size: int, seed: int, dtype: type) -> None:
    sketches, twins, n_components = sketches_of(drawn[0], dtype)
    rows = np.arange(0, len(twins), 2, dtype=np.uint32)[::-1].copy()
    expected = naive.halve(rows.tolist(), unit_sketches(twins), block_size, next_random(seed))
    assert halved(rows, sketches, n_components, block_size, seed) == expected


def test_window_of_long_documents(passages: SparseVectors) -> None:
    vectors = passages[:300]
    sketches, twins, n_components = sketches_of(vectors)
    assert min(map(len, twins)) == SKETCH
    rows = np.arange(300, dtype=np.uint32)
    expected = naive.halve(rows.tolist(), unit_sketches(twins), 4, next_random(9))
    assert halved(rows, sketches, n_components, 4, 9) == expected


@given(n=st.integers(2, 5000), block_size=st.integers(1, 255))
def test_halves_are_whole_blocks(n: int, block_size: int) -> None:
    # Of the twin, whose halves those of the kernel are: all blocks but the last are full, and so are all 2, 4, 8...
    if n > block_size:
        half = naive.size_of_half(n, block_size)
        assert half < n <= 2 * half
        blocks = half / block_size
        assert blocks == int(blocks)
        assert int(blocks) & (int(blocks) - 1) == 0


@pytest.mark.parametrize("block_size", [1, 3, 4])
@pytest.mark.parametrize("kinds", [2, 4, 8])
def test_kinds_of_documents_fill_blocks(kinds: int, block_size: int) -> None:
    # As many of each kind as four blocks hold, in random order: halves are between kinds, and blocks within them.
    of_row = np.random.default_rng(kinds).permutation(np.repeat(np.arange(kinds), 4 * block_size))
    vectors = from_pairs([[(int(kind), 1.0)] for kind in of_row], kinds)
    order = order_of(vectors, IndexConfig(block_size=block_size))
    pure = of_row[order].reshape(-1, block_size)
    assert (pure == pure[:, :1]).all()


def test_windows_are_halved_alone() -> None:
    vectors = zipf_vectors(4, 2 * WINDOW_BLOCKS + 5, 40, 5, 8)
    _, twins, _ = sketches_of(vectors)
    for block_size in (1, 2):
        config = IndexConfig(block_size=block_size, seed=77)
        order, size = order_of(vectors, config, threads=2), WINDOW_BLOCKS * block_size
        assert order == naive.halve_windows(range(len(vectors)), twins, config)
        for begin in range(0, len(vectors), size):
            end = min(begin + size, len(vectors))
            assert sorted(order[begin:end]) == list(range(begin, end))
        assert order != list(range(len(vectors)))


def test_orders_depend_on_the_seed_and_not_on_threads(packages: SparseVectors) -> None:
    # Several jobs of several windows each.
    first = order_of(packages, IndexConfig(), threads=1)
    assert sorted(first) == list(range(len(packages)))
    assert order_of(packages, IndexConfig(), threads=2) == first
    assert order_of(packages, IndexConfig(seed=2), threads=2) != first


def test_documents_of_a_block_have_much_in_common(packages: SparseVectors) -> None:
    vectors = packages[:4000]
    order = order_of(vectors, IndexConfig())
    by_block, in_turn = (shared_components(vectors, each) for each in (order, list(range(4000))))
    assert by_block > 2 * in_turn
    # So have those of four blocks, though less.
    assert shared_components(vectors, order, 16) > 1.3 * in_turn


def shared_components(vectors: SparseVectors, order: Sequence[int], size: int = 4) -> float:
    """Mean number of the ten heaviest components that two documents of a block share."""
    heaviest = vectors.top_k(10)
    tops = [set(heaviest.row(row)[0].tolist()) for row in order]
    pairs = [pair for begin in range(0, len(order), size) for pair in combinations(tops[begin : begin + size], 2)]
    return float(np.mean([len(a & b) for a, b in pairs]))


@pytest.mark.parametrize("rows", [0, 1, 2, 4, 5, 1025])
@pytest.mark.parametrize("length", [0, 2])
def test_equal_documents_stay_in_order(rows: int, length: int) -> None:
    document = [(component, 1.0) for component in range(length)]
    assert order_of(from_pairs([document] * rows, 3), IndexConfig()) == list(range(rows))


@pytest.mark.parametrize("weight", [2.0**-149, 1e-38, LARGEST])
def test_weights_of_all_sizes(weight: float) -> None:
    sizes = [weight, 1e-30, 1.0, 1e30]
    vectors = from_pairs([[(row % 7, sizes[row % 4]), (7 + row % 3, weight)] for row in range(100)], 10)
    _, twins, _ = sketches_of(vectors)
    assert order_of(vectors, IndexConfig()) == naive.halve_windows(range(100), twins, IndexConfig())


def test_70000_components() -> None:
    rng = np.random.default_rng(1)
    rare = SparseVectors(np.arange(0, 70_001, 140), rng.permutation(70_000), rng.random(70_000) + 0.01, 70_000)
    vectors = SparseVectors.concatenate([rare, rare[np.arange(0, 500, 2)]])
    _, twins, _ = sketches_of(vectors, WIDE)
    assert order_of(vectors, IndexConfig(), dtype=WIDE) == naive.halve_windows(range(750), twins, IndexConfig())
