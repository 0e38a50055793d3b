"""Summaries: block maxima, the energy that is kept of them, and the directory of their runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.forward import Forward
from lsr.index.summarize import (
    ENERGY_BINS,
    LONG_LIST,
    block_maxima,
    directory,
    find_slot,
    free_slot,
    keep_energy,
    slot_of,
    summarize_list,
)
from lsr.vectors import SparseVectors
from tests.index.samples import NARROW, WIDE, make_forward, vectors_and_queries
from tests.naive import summarize as naive
from tests.naive.forward import read_documents
from tests.strategies import from_pairs

Entries = list[tuple[int, int, int]]


# Maxima


def check_maxima(forward: Forward, members: list[int]) -> None:
    maxima = np.zeros(len(forward.scale), np.uint8)
    touched = np.empty(len(forward.scale), forward.heads.dtype)
    n_touched = block_maxima(np.array(members, np.uint32), forward, maxima, touched)
    expected = naive.block_maxima(members, read_documents(forward))
    assert touched[:n_touched].tolist() == list(expected)
    assert {component: code for component, code in enumerate(maxima.tolist()) if code} == expected


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(drawn=vectors_and_queries(max_rows=40), data=st.data())
@settings(max_examples=50)
def test_maxima(drawn: tuple[SparseVectors, SparseVectors], data: st.DataObject, dtype: type) -> None:
    vectors, _ = drawn
    rows = st.integers(0, len(vectors) - 1) if len(vectors) else st.nothing()
    check_maxima(make_forward(vectors, dtype)[0], data.draw(st.lists(rows, unique=True)))


def test_maxima_of_real_vectors(passages: SparseVectors) -> None:
    forward, _ = make_forward(passages[:40])
    for first in range(0, 40, 8):
        check_maxima(forward, list(range(first, first + 8)))


# Energy


def kept(maxima: dict[int, int], scale: list[float], energy: float) -> list[int]:
    codes = np.zeros(len(scale), np.uint8)
    codes[list(maxima)] = list(maxima.values())
    out = np.empty(len(scale), NARROW)
    touched = np.array(list(maxima), NARROW)
    n_kept = keep_energy(touched, codes, np.array(scale, np.float32), energy, np.empty(ENERGY_BINS), out)
    return out[:n_kept].tolist()


SCALES = st.one_of(st.sampled_from([0.01, 1.0]), st.floats(2.0**-126, 2.0**120, width=32))


@given(
    entries=st.lists(st.tuples(st.integers(1, 255), SCALES), min_size=1, max_size=60),
    energy=st.one_of(st.sampled_from([0.5, 1.0]), st.floats(0.001, 1)),
    data=st.data(),
)
@settings(max_examples=300)
def test_energy(entries: list[tuple[int, float]], energy: float, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(entries))))
    maxima = {component: entries[component][0] for component in order}
    scale = [each for _, each in entries]
    chosen = kept(maxima, scale, energy)
    assert chosen == naive.keep_energy(maxima, [np.float32(each) for each in scale], energy)

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


def test_all_energy_keeps_everything() -> None:
    maxima = {component: 1 + component % 255 for component in range(600)}
    assert kept(maxima, [1 / 3] * 600, 1.0) == list(range(600))


@pytest.mark.parametrize("scale", [2.0**-149, 2.0**-126, 1e-36, 1.334e36])
def test_energy_of_weights_of_all_sizes(scale: float) -> None:
    assert kept({0: 255, 1: 128, 2: 1}, [scale] * 3, 0.5) == [0]
    assert kept({0: 255, 1: 128, 2: 1}, [scale] * 3, 0.7) == [0, 1]


def test_no_component_with_a_code() -> None:
    assert kept({}, [1.0, 1.0], 0.5) == []


# Directory


@st.composite
def entries(draw: st.DrawFn) -> Entries:
    """(component, block, code), block after block."""
    block = st.dictionaries(st.one_of(st.integers(0, 5), st.integers(0, 1000)), st.integers(1, 255), max_size=20)
    blocks = draw(st.lists(block, max_size=12))
    return [(component, i, code) for i, codes in enumerate(blocks) for component, code in codes.items()]


def make_directory(entries: Entries, min_run: int, dtype: type) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    counts = np.zeros(2000, np.uint32)
    columns = (
        np.array([entry[i] for entry in entries], column_type)
        for i, column_type in enumerate((dtype, NARROW, np.uint8))
    )
    result = directory(*columns, np.uint32(min_run), counts, free_slot(np.dtype(dtype)))
    assert not counts.any()
    return result


def read_run(stream: np.ndarray, begin: int, end: int) -> list[tuple[int, int]]:
    length = (end - begin) * 2 // 3
    codes = stream[begin + length : end].tobytes()
    return list(zip(stream[begin : begin + length].tolist(), codes[:length], strict=True))


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(entries=entries(), min_run=st.integers(1, 4))
def test_directory(entries: Entries, min_run: int, dtype: type) -> None:
    keys, starts, stream = make_directory(entries, min_run, dtype)
    expected = naive.directory(entries, min_run)
    empty = free_slot(np.dtype(dtype))
    assert (keys.dtype, starts.dtype, stream.dtype) == (dtype, np.uint32, np.uint16)
    assert sorted(keys[keys != empty].tolist()) == sorted(expected)
    assert (keys == empty).any()  # or the search for a component that is not there would not end
    assert len(starts) == len(keys) + 1
    assert (starts[0], starts[-1]) == (0, len(stream))
    for component in range(1001):
        slot = int(find_slot(keys, dtype(component), empty))
        assert slot == naive.find_slot(keys.tolist(), component, int(empty))
        run = read_run(stream, int(starts[slot]), int(starts[slot + 1]))
        assert run == expected.get(component, [])


@given(component=st.integers(0, 2**32 - 1), n_slots=st.integers(1, 2**31))
def test_slot(component: int, n_slots: int) -> None:
    slot = int(slot_of(np.uint32(component), n_slots))
    assert slot == naive.slot_of(component, n_slots)
    assert 0 <= slot < n_slots


def test_slots_are_spread_evenly() -> None:
    # Internal components are dense: the hash must not send neighbours to one place.
    slots = np.array([int(slot_of(np.uint32(component), 1333)) for component in range(1000)])
    assert np.bincount(slots, minlength=1333).max() <= 3


# Lists


def check_list(forward: Forward, blocks: list[list[int]], energy: float) -> None:
    members = np.array([member for block in blocks for member in block], np.uint32)
    offsets = np.cumsum([0] + [len(block) for block in blocks]).astype(np.uint32)
    maxima, counts = np.zeros(len(forward.scale), np.uint8), np.zeros(len(forward.scale), np.uint32)
    empty = free_slot(forward.heads.dtype)
    keys, starts, stream = summarize_list(members, offsets, forward, energy, maxima, counts, empty)
    assert not maxima.any()
    assert not counts.any()
    found = {
        key: read_run(stream, int(starts[slot]), int(starts[slot + 1]))
        for slot, key in enumerate(keys.tolist())
        if key != empty
    }
    assert found == naive.summarize_list(blocks, read_documents(forward), list(forward.scale), energy)


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(drawn=vectors_and_queries(), cuts=st.lists(st.integers(0, 300)), energy=st.sampled_from([0.1, 0.5, 1.0]))
@settings(max_examples=40)
def test_list(drawn: tuple[SparseVectors, SparseVectors], cuts: list[int], energy: float, dtype: type) -> None:
    vectors, _ = drawn
    rows = np.random.default_rng(len(cuts)).permutation(len(vectors))
    blocks = [block.tolist() for block in np.split(rows, sorted(cuts)) if len(block)]
    check_list(make_forward(vectors, dtype)[0], blocks, energy)


@pytest.mark.parametrize("n_blocks", [10, LONG_LIST - 1, LONG_LIST, 200])
def test_list_of_real_vectors(passages: SparseVectors, n_blocks: int) -> None:
    forward, _ = make_forward(passages[:400])
    check_list(forward, [block.tolist() for block in np.array_split(np.arange(400), n_blocks)], 0.5)


@pytest.mark.parametrize("weight", [2.0**-149, 1e-40, 1e-38, 1e-36, float(np.finfo(np.float32).max)])
def test_list_of_weights_of_all_sizes(weight: float) -> None:
    rows = [[(row % 3, weight), (5, weight), (6, weight / 2)] for row in range(90)]
    forward, _ = make_forward(from_pairs(rows, 7))
    check_list(forward, [list(range(30)), list(range(30, 60)), list(range(60, 90))], 0.5)
