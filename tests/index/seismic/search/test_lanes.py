"""What kernels ask of the processor, against Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from lsr.index.prefetch import prefetch
from lsr.index.seismic.search.lanes import LANES, count_bits, equal_lanes, lowest_bit, reaching_lanes
from lsr.storage.arrays import Array, Scalar, read_only

BYTES = st.one_of(st.sampled_from([0, 1, 127, 128, 255]), st.integers(0, 255))
NUMBERS = st.one_of(st.sampled_from([0, 1, 32_767, 32_768, 65_535]), st.integers(0, 65_535))
BITS = st.one_of(st.sampled_from([0, 1, 1 << 31, (1 << 32) - 1]), st.integers(0, (1 << 32) - 1))


@njit
def equal(array: Array, index: Scalar, value: Scalar) -> Scalar:
    return equal_lanes(array, index, np.uint8(value))


@njit
def reaching(array: Array, index: Scalar, value: Scalar) -> Scalar:
    return reaching_lanes(array, index, np.uint16(value))


@njit
def number_of_bits(bits: Scalar) -> Scalar:
    return count_bits(np.uint32(bits))


@njit
def first_bit(bits: Scalar) -> Scalar:
    return lowest_bit(np.uint32(bits))


@njit
def fetch(array: Array, index: Scalar) -> None:
    prefetch(array, index)


def as_bits(truths: list[bool]) -> int:
    return sum(1 << at for at, true in enumerate(truths) if true)


@given(elements=st.lists(BYTES, min_size=LANES, max_size=LANES + 40), value=BYTES, data=st.data())
def test_equal_lanes(elements: list[int], value: int, data: st.DataObject) -> None:
    # From any place on, not only from where a line begins.
    index = data.draw(st.integers(0, len(elements) - LANES))
    array = read_only(np.array(elements, np.uint8))
    assert equal(array, index, value) == as_bits([each == value for each in elements[index : index + LANES]])


@given(elements=st.lists(NUMBERS, min_size=LANES, max_size=LANES + 40), value=NUMBERS, data=st.data())
def test_reaching_lanes(elements: list[int], value: int, data: st.DataObject) -> None:
    # Without signs: 65,535 is the largest.
    index = data.draw(st.integers(0, len(elements) - LANES))
    array = np.array(elements, np.uint16)
    assert reaching(array, index, value) == as_bits([each >= value for each in elements[index : index + LANES]])


@given(bits=BITS)
def test_bits(bits: int) -> None:
    assert number_of_bits(bits) == bits.bit_count()
    assert first_bit(bits) == (f"{bits:032b}"[::-1].index("1") if bits else 32)


def test_a_prefetch_changes_no_result() -> None:
    array = np.arange(100, dtype=np.uint16)
    for index in (0, 99, 100, -1, 1 << 40, -(1 << 40)):
        fetch(array, index)
    assert array.tolist() == list(range(100))
