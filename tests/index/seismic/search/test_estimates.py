"""The first stage of a search: estimates of nodes, and the best of them, against twins."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build.summarize import DENSE, MAX_CODE, WINDOW, Blocks, invert_summaries
from lsr.index.seismic.build.superblock_pages import PAGE
from lsr.index.seismic.search import estimates as real
from lsr.index.seismic.search.estimates import COUNTED_LINES, LARGEST_ESTIMATE, MOST_TERMS, WEIGHTS, new_estimates
from lsr.index.seismic.search.lanes import LANES
from lsr.index.seismic.search.queries import LARGEST_PRODUCT, SMALLEST_PRODUCT
from lsr.storage.arrays import Array
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import build, configs, vectors_and_queries
from tests.naive import kernels as naive
from tests.naive.seismic import NaiveIndex
from tests.naive.summarize import Runs, read_runs

Drawn = tuple[SparseVectors, SparseVectors]

NONE_CLOSED = np.empty(0, np.uint8)


# Terms


@given(weights=st.lists(st.integers(0, 5), max_size=12), query_cut=st.integers(1, 15))
def test_chosen_terms(weights: list[int], query_cut: int) -> None:
    chosen = np.empty(query_cut, np.uint32)
    n_chosen = real.choose_terms(np.array(weights, np.float32), query_cut, chosen)
    assert chosen[:n_chosen].tolist() == naive.choose_terms(weights, query_cut)


# What prepared queries may weigh (queries.py), products that are far below the largest among it.
PRODUCTS = st.one_of(
    st.integers(1, 5).map(float),
    st.floats(SMALLEST_PRODUCT, LARGEST_PRODUCT, width=32),
    st.floats(0, 2.0**-126, width=32),
)


@given(weights=st.lists(PRODUCTS, max_size=40), data=st.data())
def test_whole_weights(weights: list[float], data: st.DataObject) -> None:
    chosen = data.draw(st.permutations(range(len(weights))))[: data.draw(st.integers(0, len(weights)))]
    check_whole_weights(np.array(weights, np.float32), chosen)


def check_whole_weights(weights: Array, chosen: Sequence[int]) -> None:
    whole = np.full(len(chosen) + 1, 7, np.uint16)
    unit = real.whole_weights(weights, np.array(chosen, np.uint32), whole)
    assert (whole[:-1].tolist(), unit) == naive.whole_weights([weights[at] for at in chosen])
    assert whole[-1] == 7
    # No sum of products with codes is too large for 16 bits, and no term is left out.
    assert whole[:-1].sum(dtype=int) <= WEIGHTS
    assert whole[:-1].min(initial=1) >= 1
    largest = float(weights[list(chosen)].max(initial=0))
    if largest >= SMALLEST_PRODUCT:
        # What estimates are multiplied by is a number, however large or small the weights are.
        assert 0 < unit * np.float32(1) <= unit * np.float32(LARGEST_ESTIMATE) < np.inf
        # A score, but for rounding: each weight may be one too large.
        scores = whole[:-1] * (unit / 17)
        np.testing.assert_allclose(scores, weights[list(chosen)], atol=1.001 * float(unit) / 17, rtol=1e-5)


@pytest.mark.parametrize("weight", [SMALLEST_PRODUCT, 1.0, LARGEST_PRODUCT])
@pytest.mark.parametrize("terms", [1, 2, 100, MOST_TERMS])
def test_whole_weights_of_many_terms(terms: int, weight: float) -> None:
    check_whole_weights(np.full(terms, weight, np.float32), range(terms))
    check_whole_weights(np.r_[weight, np.zeros(terms - 1)].astype(np.float32), range(terms))


# Estimates


def estimates_of(blocks: Blocks, whole: dict[int, int], opened: Array, estimates: Array) -> list[int]:
    """Of all nodes, by terms of whole weights; `estimates` is what a search works in."""
    pairs = (len(blocks.windows) - 1) * len(whole)
    # The terms chosen are the last, in the opposite order.
    components = np.array([0, *reversed(whole)], np.uint32)
    chosen = np.arange(len(whole), 0, -1, dtype=np.uint32)
    weights = np.array(list(whole.values()), np.uint16)
    runs = np.empty(pairs, np.int64), np.empty(pairs, np.int64)
    real.estimate_nodes(components, chosen, weights, opened, blocks, *runs, estimates)
    assert not estimates[blocks.nodes :].any()
    return [int(each) for each in estimates[: blocks.nodes]]


def check_estimates(blocks: Blocks, runs: Runs, whole: dict[int, int], estimates: Array) -> None:
    n_nodes = blocks.nodes
    bits = np.random.default_rng(n_nodes).choice([0, 1, 2, 15], n_nodes).astype(np.uint8)
    for opened in (NONE_CLOSED, bits):
        expected = naive.estimate_nodes(whole, runs, n_nodes, opened.astype(bool).tolist())
        assert estimates_of(blocks, whole, opened, estimates) == expected


@given(drawn=vectors_and_queries(), config=configs(), superblocks=st.booleans())
@settings(max_examples=30)
def test_estimates(drawn: Drawn, config: IndexConfig, superblocks: bool) -> None:
    index = build(drawn[0], config, superblocks=superblocks)
    twin, blocks = NaiveIndex.read(index), index.engine.blocks
    assert real.node_count(blocks) == blocks.nodes == twin.n_nodes
    # What a former query left is in the way.
    estimates = new_estimates(blocks.nodes)
    estimates[: blocks.nodes] = 9
    for query in twin.prepare(drawn[1]):
        check_estimates(blocks, twin.runs, {term: 1 + 7 * at for at, term in enumerate(query)}, estimates)


def random_blocks(n_nodes: int, shares: Sequence[float], pages: bool = False) -> Blocks:
    """Of one document each, with random summaries; shares: of the nodes that each component is in."""
    rng = np.random.default_rng(n_nodes)
    starts, streams = [np.empty(0, np.uint32)], [np.empty(0, np.uint16)]
    for first in range(0, n_nodes, WINDOW):
        size = min(WINDOW, n_nodes - first)
        numbers, components = np.nonzero(rng.random((size, len(shares))) < shares)
        codes = rng.integers(1, 256, len(components)).astype(np.uint8)
        window = invert_summaries(components.astype(np.uint16), numbers.astype(np.uint16), codes, len(shares), size)
        starts.append(window[0])
        streams.append(window[1])
    rows = np.arange(n_nodes * (4 if pages else 1), dtype=np.uint32)
    windows = np.cumsum([len(stream) for stream in streams], dtype=np.int64)
    arrays = rows, rows, windows, np.concatenate(starts), np.concatenate(streams)
    return Blocks.of([*arrays, np.zeros(n_nodes * PAGE if pages else 0, np.uint8)], 1, 0)


# In nearly all nodes, in half of them, ..., in few, in hardly any, and in none.
SHARES = [0.97, 0.5, 0.3, 0.2, 0.05, 0.001, 0.0]


@cache
def several_windows(n_nodes: int) -> tuple[Blocks, Runs]:
    blocks = random_blocks(n_nodes, SHARES)
    return blocks, read_runs(blocks)


@pytest.mark.parametrize("n_nodes", [1, 2, 7, 8, 9, 31, 32, 33, WINDOW - 1, WINDOW, WINDOW + 1, WINDOW + 8])
@pytest.mark.parametrize(
    "terms",
    [[], [0], [4], [5, 6], [1, 0], [2, 1, 0], [3, 4, 1, 5, 0, 2]],
    ids=lambda terms: f"terms {terms}",
)
def test_estimates_of_windows(n_nodes: int, terms: list[int]) -> None:
    # One run with a code for every node waits for another, and there may be an odd number of them, and of nodes.
    blocks, runs = several_windows(n_nodes)
    check_estimates(blocks, runs, {term: 3 + 11 * term for term in terms}, new_estimates(n_nodes))


def test_estimates_of_three_windows() -> None:
    blocks, runs = several_windows(2 * WINDOW + 77)
    assert len(blocks.windows) == 4
    check_estimates(blocks, runs, {5: 1, 1: 100, 0: 50, 4: 7}, new_estimates(blocks.nodes))


@pytest.mark.parametrize("n_nodes", [1, 33, 1000])
def test_the_largest_estimate(n_nodes: int) -> None:
    # All weights there are, in a run of numbers or of codes for all nodes.
    node = np.zeros(1, np.uint16)
    full = np.full(n_nodes, 255, np.uint8), np.arange(n_nodes, dtype=np.uint16)
    components = np.r_[np.zeros(n_nodes), 1].astype(np.uint16)
    order = np.argsort(np.r_[full[1], node], kind="stable")
    numbers, codes = np.r_[full[1], node][order], np.r_[full[0], np.uint8(255)][order]
    starts, stream = invert_summaries(components[order], numbers, codes, 2, n_nodes)
    rows = np.arange(n_nodes, dtype=np.uint32)
    blocks = Blocks.of([rows, rows, np.array([0, len(stream)]), starts, stream, np.empty(0, np.uint8)], 1, 0)
    found = estimates_of(blocks, {0: WEIGHTS - 1000, 1: 1000}, NONE_CLOSED, new_estimates(n_nodes))
    assert found == [MAX_CODE * WEIGHTS] + [MAX_CODE * (WEIGHTS - 1000)] * (n_nodes - 1)
    assert found[0] == LARGEST_ESTIMATE


def test_estimates_of_superblocks() -> None:
    blocks = random_blocks(500, SHARES, pages=True)
    assert (blocks.nodes, blocks.span) == (500, 4)
    check_estimates(blocks, read_runs(blocks), {0: 4, 4: 5, 1: 6}, new_estimates(500))


def test_runs_are_of_both_kinds() -> None:
    # What makes the cases above different: of 33 nodes, a component in few of them has their numbers.
    blocks, runs = several_windows(33)
    starts = blocks.starts.astype(np.int64)
    lengths = [real.run_length(elements, 33) for elements in np.diff(starts)]
    assert lengths.count(DENSE) >= 3
    assert lengths[4:] == [len(runs.get(component, [])) for component in (4, 5, 6)]


@pytest.mark.parametrize("n_nodes", [0, 1, 31, 32, 33, WINDOW])
def test_room_for_estimates(n_nodes: int) -> None:
    estimates = new_estimates(n_nodes)
    assert not estimates.any()
    assert estimates.dtype == np.uint16
    assert len(estimates) % LANES == 0
    assert n_nodes <= len(estimates) < n_nodes + LANES
    # Whatever a damaged index says, from the last window on: a node's number of 16 bits.
    assert len(estimates.base) >= len(estimates) + WINDOW


# The best of them


def lines_of(values: Sequence[int]) -> Array:
    estimates = new_estimates(len(values))
    estimates[:] = [*values, *[0] * (len(estimates) - len(values))]
    return estimates


VALUES = st.one_of(st.integers(0, 6), st.integers(0, LARGEST_ESTIMATE), st.just(LARGEST_ESTIMATE))


def check_floor(floor: int, wanted: int, above: int, counted: Array, lines: int) -> None:
    """Counted in some of the lines, of which so many share the number wanted."""
    assert 1 <= floor < above
    wanted_here = max(1, wanted * (len(counted) // LANES) // max(lines, 1))
    reach = int((counted >= floor).sum())
    if reach < wanted_here:
        assert floor == 1  # which is all there are
    elif reach > wanted_here + wanted_here // 8:
        # As near as it gets: with one more, they are too few.
        assert floor == above - 1 or (counted >= floor + 1).sum() < wanted_here


@given(
    values=st.lists(VALUES, max_size=300),
    wanted=st.integers(1, 400),
    above=st.one_of(st.just(LARGEST_ESTIMATE + 1), st.integers(2, 10), st.integers(2, LARGEST_ESTIMATE)),
)
@settings(max_examples=200)
def test_floor(values: list[int], wanted: int, above: int) -> None:
    estimates = lines_of(values)
    floor = real.floor_of(wanted, above, estimates)
    check_floor(floor, wanted, above, estimates, len(estimates) // LANES)


@pytest.mark.parametrize("lines", [COUNTED_LINES - 1, COUNTED_LINES, 2 * COUNTED_LINES - 1, 5 * COUNTED_LINES + 3])
@pytest.mark.parametrize("wanted", [1, 100, 3000])
def test_floor_of_many(lines: int, wanted: int) -> None:
    estimates = lines_of(np.random.default_rng(lines).integers(0, 60_000, lines * LANES).tolist())
    floor = real.floor_of(wanted, LARGEST_ESTIMATE + 1, estimates)
    step = max(1, lines // COUNTED_LINES)
    check_floor(floor, wanted, LARGEST_ESTIMATE + 1, estimates.reshape(-1, LANES)[::step].ravel(), lines)
    reach = int((estimates >= floor).sum())
    assert abs(reach - wanted) <= wanted // 8 if step == 1 else wanted / 2 < reach + 20 < 2 * wanted + 60


def test_equal_estimates_are_all_listed() -> None:
    estimates = lines_of([7] * 100)
    assert real.floor_of(3, LARGEST_ESTIMATE + 1, estimates) == 7
    assert real.floor_of(3, 7, estimates) == 6
    assert real.floor_of(200, LARGEST_ESTIMATE + 1, estimates) == 1
    assert real.floor_of(3, LARGEST_ESTIMATE + 1, lines_of([0] * 100)) == 1


@given(
    values=st.lists(VALUES, max_size=200),
    floor=st.one_of(st.integers(1, 6), st.integers(1, LARGEST_ESTIMATE)),
    above=st.one_of(st.just(LARGEST_ESTIMATE + 1), st.integers(2, 7), st.integers(2, LARGEST_ESTIMATE)),
    room=st.integers(LANES, 260),
)
def test_listed_nodes(values: list[int], floor: int, above: int, room: int) -> None:
    estimates, nodes = lines_of(values), np.empty(room, np.uint32)
    found: list[int] = []
    line, lists = 0, 0
    while line < len(estimates) // LANES:
        n, line_after = real.list_nodes(line, floor, above, estimates, nodes)
        assert line < line_after  # it goes on
        # As long as there is room for a line's.
        assert n + LANES > room or line_after == len(estimates) // LANES
        found += nodes[:n].tolist()
        line, lists = line_after, lists + 1
    assert found == naive.list_nodes(floor, above, values)
    assert lists <= 1 or len(values) > room - LANES
