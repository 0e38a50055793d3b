"""Summaries: block maxima, the energy that is kept of them, and runs of them by component."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.seismic.build.summarize import (
    DENSE,
    ENERGY_BINS,
    SPARSE_SHARE,
    WINDOW,
    block_maxima,
    invert_summaries,
    keep_energy,
    run_elements,
    run_length,
    summarize_blocks,
    summarize_window,
)
from lsr.index.seismic.forward import Forward, tail_of
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import NARROW, WIDE, make_forward, vectors_and_queries
from tests.naive import summarize as naive
from tests.naive.forward import read_documents
from tests.strategies import from_pairs

both_layouts = pytest.mark.parametrize("compact", [False, True], ids=["fast", "compact"])
both_widths = pytest.mark.parametrize("dtype", [NARROW, WIDE])

ALL_FREQUENT = 1 << 32


# Maxima


def check_maxima(forward: Forward, begin: int, end: int) -> None:
    maxima = np.zeros(len(forward.scale), np.uint8)
    touched = np.empty(len(forward.scale), forward.heads.dtype)
    longest = max((int(tail_of(forward, each)[1]) for each in range(begin, end)), default=0) + forward.head_size
    components, codes16 = np.empty((2, longest), np.int64)
    n_touched = block_maxima(begin, end, forward, components, codes16, maxima, touched)
    expected = naive.block_maxima(read_documents(forward)[begin:end])
    assert touched[:n_touched].tolist() == list(expected)
    assert {component: code for component, code in enumerate(maxima.tolist()) if code} == expected


@both_layouts
@both_widths
@given(drawn=vectors_and_queries(max_rows=40), ends=st.tuples(st.integers(0, 40), st.integers(0, 40)))
@settings(max_examples=50)
def test_maxima(
    drawn: tuple[SparseVectors, SparseVectors], ends: tuple[int, int], dtype: type[np.unsignedinteger], compact: bool
) -> None:
    vectors, _ = drawn
    begin, end = sorted(min(each, len(vectors)) for each in ends)
    check_maxima(make_forward(vectors, dtype, compact)[0], begin, end)


@both_layouts
def test_maxima_of_real_vectors(passages: SparseVectors, compact: bool) -> None:
    forward, _ = make_forward(passages[:40], compact=compact)
    for first in range(0, 40, 8):
        check_maxima(forward, first, first + 8)


# Energy


def kept(maxima: dict[int, int], scale: list[float], energy: float, n_frequent: int = ALL_FREQUENT) -> list[int]:
    codes = np.zeros(len(scale), np.uint8)
    codes[list(maxima)] = list(maxima.values())
    out = np.empty(len(scale), NARROW)
    touched = np.array(list(maxima), NARROW)
    bins = np.empty(ENERGY_BINS)
    n_kept = keep_energy(touched, codes, np.array(scale, np.float32), energy, n_frequent, bins, out)
    return out[:n_kept].tolist()


SCALES = st.one_of(st.sampled_from([0.01, 1.0]), st.floats(2.0**-126, 2.0**120, width=32))
ENTRIES = st.lists(st.tuples(st.integers(1, 255), SCALES), min_size=1, max_size=60)
ENERGIES = st.one_of(st.sampled_from([0.5, 1.0]), st.floats(0.001, 1))


@given(entries=ENTRIES, energy=ENERGIES, data=st.data())
@settings(max_examples=300)
def test_energy(entries: list[tuple[int, float]], energy: float, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(entries))))
    maxima = {component: entries[component][0] for component in order}
    scale = [each for _, each in entries]
    chosen = kept(maxima, scale, energy)
    assert chosen == naive.keep_energy(maxima, [np.float32(each) for each in scale], energy, ALL_FREQUENT)

    weights = {component: float(np.float32(scale[component]) * np.float32(maxima[component])) for component in order}
    mass = sum(weights[component] for component in chosen)
    total = sum(weights.values())
    assert mass >= energy * total * (1 - 1e-12)
    # None too many: without the lightest it would not do, up to the width of a bin for each component.
    width = max(weights.values()) / (ENERGY_BINS - 1)
    assert mass - min(weights[component] for component in chosen) <= energy * total + width * (len(chosen) + 1)
    # None too light: what is left out is heavier than nothing that is kept, up to the width of a bin.
    left_out = [weights[component] for component in order if component not in chosen]
    assert max(left_out, default=0) <= min(weights[component] for component in chosen) + width * (1 + 1e-6)


@given(entries=ENTRIES, energy=ENERGIES, n_frequent=st.integers(0, 60))
def test_rare_components_are_all_kept(entries: list[tuple[int, float]], energy: float, n_frequent: int) -> None:
    maxima = {component: code for component, (code, _) in enumerate(entries)}
    scale = [each for _, each in entries]
    chosen = kept(maxima, scale, energy, n_frequent)
    assert chosen == naive.keep_energy(maxima, [np.float32(each) for each in scale], energy, n_frequent)
    without = kept(maxima, scale, energy)
    assert chosen == sorted({*without, *range(n_frequent, len(entries))})


def test_all_energy_keeps_everything() -> None:
    maxima = {component: 1 + component % 255 for component in range(600)}
    assert kept(maxima, [1 / 3] * 600, 1.0) == list(range(600))


@pytest.mark.parametrize("scale", [2.0**-149, 2.0**-126, 1e-36, 1.334e36])
def test_energy_of_weights_of_all_sizes(scale: float) -> None:
    assert kept({0: 255, 1: 128, 2: 1}, [scale] * 3, 0.5) == [0]
    assert kept({0: 255, 1: 128, 2: 1}, [scale] * 3, 0.7) == [0, 1]
    assert kept({0: 255, 1: 128, 2: 1}, [scale] * 3, 0.5, n_frequent=2) == [0, 2]


def test_no_component_with_a_code() -> None:
    assert kept({}, [1.0, 1.0], 0.5) == []


# Runs


@st.composite
def drawn_entries(draw: st.DrawFn) -> list[naive.Entry]:
    """(component, block, code), block after block."""
    block = st.dictionaries(st.one_of(st.integers(0, 5), st.integers(0, 999)), st.integers(1, 255), max_size=20)
    blocks = draw(st.lists(block, max_size=12))
    return [(component, i, code) for i, codes in enumerate(blocks) for component, code in codes.items()]


def columns(entries: list[naive.Entry], dtype: type) -> list[npt.NDArray[np.unsignedinteger]]:
    return [np.array([entry[i] for entry in entries], each) for i, each in enumerate((dtype, np.uint16, np.uint8))]


@both_widths
@given(entries=drawn_entries(), more=st.integers(0, 100))
def test_runs(entries: list[naive.Entry], more: int, dtype: type[np.unsignedinteger]) -> None:
    n_blocks = max((block for _, block, _ in entries), default=0) + 1 + more
    starts, stream = invert_summaries(*columns(entries, dtype), 1000, n_blocks)
    assert (starts.dtype, stream.dtype) == (np.uint32, np.uint16)
    assert len(starts) == 1001
    assert (starts[0], starts[-1]) == (0, len(stream))
    assert naive.read_window(starts, stream, n_blocks) == naive.invert_summaries(entries)


def test_blocks_of_a_full_window() -> None:
    entries = [(component, block, 1 + block % 255) for block in (0, 16_382, 16_383) for component in (0, 2)]
    entries += [(1, block, 1 + block % 255) for block in range(2049)]
    inverted = naive.invert_summaries(entries)
    assert naive.read_window(*invert_summaries(*columns(entries, WIDE), 3, WINDOW), WINDOW) == inverted


@given(st.integers(1, WINDOW).flatmap(lambda n_blocks: st.tuples(st.integers(0, n_blocks), st.just(n_blocks))))
def test_lengths_of_runs(run: tuple[int, int]) -> None:
    length, n_blocks = run
    elements = run_elements(length, n_blocks)
    if length <= n_blocks // SPARSE_SHARE:
        assert 2 * elements >= 2 * length + length  # bytes
        assert run_length(elements, n_blocks) == length  # which is how long it is when it is read
    else:
        assert 2 * elements >= n_blocks
        assert run_length(elements, n_blocks) == DENSE


# Blocks


def check_blocks(forward: Forward, offsets: list[int], energy: float, n_frequent: int) -> None:
    documents = read_documents(forward)
    blocks = [documents[begin:end] for begin, end in pairwise(offsets)]
    expected = naive.summarize_blocks(blocks, list(forward.scale), energy, n_frequent)
    ends = np.array(offsets, np.uint32)
    starts, stream = summarize_window(0, len(blocks), ends, forward, energy, n_frequent)
    assert naive.read_window(starts, stream, len(blocks)) == naive.invert_summaries(expected)
    # In two parts, the second as if its window had begun before.
    half = len(blocks) // 2
    for first, last in ((0, half), (half, len(blocks))):
        components, numbers, codes = summarize_blocks(first, last, 0, ends, forward, energy, n_frequent)
        found = zip(components.tolist(), numbers.tolist(), codes.tolist(), strict=True)
        assert list(found) == [entry for entry in expected if first <= entry[1] < last]


@both_layouts
@both_widths
@given(
    drawn=vectors_and_queries(),
    cuts=st.lists(st.integers(1, 300), max_size=20),
    energy=st.sampled_from([0.1, 0.5, 1.0]),
    n_frequent=st.sampled_from([0, 20, ALL_FREQUENT]),
)
@settings(max_examples=40)
def test_blocks(
    drawn: tuple[SparseVectors, SparseVectors],
    cuts: list[int],
    energy: float,
    n_frequent: int,
    dtype: type[np.unsignedinteger],
    compact: bool,
) -> None:
    vectors, _ = drawn
    offsets = sorted({0, *(cut for cut in cuts if cut < len(vectors)), len(vectors)})
    check_blocks(make_forward(vectors, dtype, compact)[0], offsets, energy, n_frequent)


@pytest.mark.parametrize("n_blocks", [1, 10, 400])
def test_blocks_of_real_vectors(passages: SparseVectors, n_blocks: int) -> None:
    forward, _ = make_forward(passages[:400])
    check_blocks(forward, list(range(0, 401, 400 // n_blocks)), 0.5, 300)


def test_more_entries_than_expected() -> None:
    # Much longer than the 64 components a block for which there is room at first.
    rng = np.random.default_rng(1)
    lengths = [5000, 1, 4000, 3000]
    rows = [np.sort(rng.choice(6000, length, replace=False)) for length in lengths]
    vectors = SparseVectors(np.cumsum([0, *lengths]), np.concatenate(rows), rng.random(12_001) + 0.1, 6000)
    check_blocks(make_forward(vectors)[0], [0, 1, 2, 4], 1.0, ALL_FREQUENT)


@pytest.mark.parametrize("weight", [2.0**-149, 1e-40, 1e-38, 1e-36, float(np.finfo(np.float32).max)])
def test_blocks_of_weights_of_all_sizes(weight: float) -> None:
    rows = [[(row % 3, weight), (5, weight), (6, weight / 2)] for row in range(90)]
    forward, _ = make_forward(from_pairs(rows, 7))
    check_blocks(forward, [0, 30, 60, 90], 0.5, ALL_FREQUENT)
