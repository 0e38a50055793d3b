"""The forward index: its numbering, its layout byte by byte, and what quantisation costs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.forward import (
    count_components,
    document_vector,
    fine_score,
    head_layout,
)
from lsr.vectors import SparseVectors
from tests.index.samples import NARROW, WIDE, make_forward, vectors_and_queries, zipf_vectors
from tests.naive import forward as naive
from tests.strategies import from_pairs, sparse_vectors

STEPS = 65280  # of a component's largest weight


def check_layout(vectors: SparseVectors, dtype: type[np.unsignedinteger]) -> None:
    forward, components = make_forward(vectors, dtype)
    external = naive.count_components(vectors)
    assert components.external.tolist() == external
    rows = naive.internal_rows(vectors, external)
    scale = naive.scales(rows, len(external))
    assert forward.scale.tolist() == scale
    heads, tails = naive.lay_out(rows, scale, forward.head_size, np.dtype(dtype).itemsize)
    assert [row.tobytes() for row in forward.heads] == heads
    assert forward.tails.tobytes() == tails
    documents = naive.fill_forward(rows, scale, forward.head_size)
    assert naive.read_documents(forward) == documents
    for row, document in enumerate(documents):
        found, weights = document_vector(forward, row, components)
        assert found.dtype == np.uint32
        assert weights.dtype == np.float32
        expected = naive.document_vector(document, scale, external)
        assert dict(zip(found.tolist(), weights.tolist(), strict=True)) == expected
        assert found.tolist() == list(expected)


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(vectors=sparse_vectors())
@settings(max_examples=50)
def test_layout_of_drawn_vectors(vectors: SparseVectors, dtype: type[np.unsignedinteger]) -> None:
    check_layout(vectors, dtype)


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@pytest.mark.parametrize("length", [15, 16, 17, 64, 65, 1000])
def test_layout_around_the_ends_of_heads(length: int, dtype: type[np.unsignedinteger]) -> None:
    weights = np.random.default_rng(length).random(length).astype(np.float32)
    rows = [list(zip(range(length), weights.tolist(), strict=True)), [], [(0, 1.0)], [(length - 1, 0.3)]]
    check_layout(from_pairs(rows, 2000), dtype)


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
def test_layout_of_real_vectors(passages: SparseVectors, dtype: type[np.unsignedinteger]) -> None:
    check_layout(passages[:300], dtype)


def test_70000_non_zeros() -> None:
    weights = np.random.default_rng(1).random(70_000, np.float32) + np.float32(0.1)
    vectors = SparseVectors([0, 0, 70_000, 70_001], np.append(np.arange(70_000), 3), np.append(weights, 2), 1 << 20)
    forward, components = make_forward(vectors, WIDE)
    found, kept = document_vector(forward, 1, components)
    assert np.array_equal(found, np.arange(70_000))
    # Every component but one has its largest weight here.
    others = found != 3
    assert np.allclose(kept[others], weights[others], rtol=1e-6)
    assert abs(kept[3] - weights[3]) <= 2 / STEPS
    assert document_vector(forward, 2, components)[1] == pytest.approx([2])


# What quantisation costs


def half_steps(vectors: SparseVectors) -> npt.NDArray[np.float64]:
    """Half a step of each weight's component, with a little for the rounding of 32-bit floats."""
    used, at = np.unique(vectors.indices, return_inverse=True)
    maxima = np.zeros(len(used), np.float64)
    np.maximum.at(maxima, at, vectors.values)
    # Steps never get smaller than those of the smallest normal number.
    return np.maximum(maxima[at] / STEPS, np.finfo(np.float32).tiny / 256) / 2 * (1 + 1e-6) + vectors.values * 2e-7


def check_errors(vectors: SparseVectors) -> None:
    forward, components = make_forward(vectors)
    limits = half_steps(vectors)
    for row in range(len(vectors)):
        wanted, weights = vectors.row(row)
        kept = dict(zip(*(array.tolist() for array in document_vector(forward, row, components)), strict=True))
        limit = limits[vectors.indptr[row] : vectors.indptr[row + 1]]
        assert set(kept) <= set(wanted.tolist())
        assert min(kept.values(), default=1) > 0
        for component, weight, most in zip(wanted.tolist(), weights.tolist(), limit, strict=True):
            assert abs(kept.get(component, 0) - weight) <= most


@given(vectors=sparse_vectors())
def test_errors_of_drawn_vectors(vectors: SparseVectors) -> None:
    check_errors(vectors)


@given(
    weights=st.lists(st.floats(2.0**-149, float(np.finfo(np.float32).max), width=32, allow_subnormal=True), max_size=40)
)
def test_errors_of_all_sizes_of_weights(weights: list[float]) -> None:
    check_errors(from_pairs([[(0, weight)] for weight in weights], 1))


def test_errors_of_real_vectors(passages: SparseVectors) -> None:
    check_errors(passages[:1000])


def test_errors_do_not_add_up(passages: SparseVectors) -> None:
    forward, components = make_forward(passages)
    kept = sum(document_vector(forward, row, components)[1].sum(dtype=np.float64) for row in range(len(passages)))
    # Errors of up to 1 in 100,000 that all went the same way would show.
    assert kept == pytest.approx(passages.values.sum(dtype=np.float64), rel=1e-6)


# Scores


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(drawn=vectors_and_queries(max_rows=60))
@settings(max_examples=30)
def test_fine_score(drawn: tuple[SparseVectors, SparseVectors], dtype: type[np.unsignedinteger]) -> None:
    vectors, _ = drawn
    forward, components = make_forward(vectors, dtype)
    documents = naive.read_documents(forward)
    table = np.random.default_rng(7).integers(0, 5, len(components.external)).astype(np.float32)
    for row, document in enumerate(documents):
        assert fine_score(row, table, forward) == pytest.approx(naive.fine_score(document, dict(enumerate(table))))


# Numbering


@given(vectors=sparse_vectors())
def test_numbering(vectors: SparseVectors) -> None:
    components = count_components(vectors)
    external = naive.count_components(vectors)
    assert components.external.tolist() == external
    internal, known = components.to_internal(vectors.indices)
    assert known.all()
    assert components.external[internal].tolist() == vectors.indices.tolist()
    assert components.renumber(vectors.indices, np.dtype(np.uint32)).tolist() == internal.tolist()
    asked = np.array([0, 1, 5, 100, vectors.dim - 1], np.uint32)
    assert components.to_internal(asked)[1].tolist() == [component in external for component in asked.tolist()]


def test_ranges_too_wide_for_a_table() -> None:
    pairs = [[(2**32 - 1, 1.0), (7, 1.0)], [(2**32 - 1, 2.0)], [(2**26, 1.0)]]
    components = count_components(from_pairs(pairs, 2**32))
    assert components.external.tolist() == [2**32 - 1, 7, 2**26]
    assert components.renumber(np.array([2**26, 7, 2**32 - 1], np.uint32), np.dtype(np.uint16)).tolist() == [2, 1, 0]


# Layout


@pytest.mark.parametrize(
    ("mean_length", "itemsize", "head_size", "width"),
    [(0, 2, 16, 32), (46, 2, 16, 32), (46, 4, 16, 32), (100, 2, 32, 64), (180, 2, 64, 128), (10_000, 4, 64, 96)],
)
def test_heads_are_whole_cache_lines(mean_length: int, itemsize: int, head_size: int, width: int) -> None:
    assert head_layout(1000 * mean_length, 1000, itemsize) == (head_size, width)
    assert width * itemsize % 64 == 0


def test_heads_start_cache_lines() -> None:
    for seed in range(5):
        forward, _ = make_forward(zipf_vectors(seed, 3 + seed, 40, 5, 10))
        assert forward.heads.ctypes.data % 64 == 0


@pytest.mark.parametrize("vectors", [SparseVectors.empty(5), from_pairs([[], []], 5)], ids=["none", "empty"])
def test_no_weights(vectors: SparseVectors) -> None:
    forward, components = make_forward(vectors)
    assert len(forward.heads) == len(vectors)
    for row in range(len(vectors)):
        assert [len(array) for array in document_vector(forward, row, components)] == [0, 0]
