"""The forward index: its numbering, its layout byte by byte, and what quantization costs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.seismic.forward import (
    Components,
    Forward,
    count_components,
    distance_bytes,
    document_rows,
    fine_score,
    head_layout,
    head_width,
    read_distance,
    write_distance,
)
from lsr.storage.arrays import Array
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import NARROW, WIDE, make_forward, sample_table, vectors_and_queries, zipf_vectors
from tests.naive import forward as naive
from tests.strategies import from_pairs, sparse_vectors

both_layouts = pytest.mark.parametrize("compact", [False, True], ids=["fast", "compact"])
both_widths = pytest.mark.parametrize("dtype", [NARROW, WIDE])


def document_vector(forward: Forward, document: int, components: Components) -> tuple[Array, Array]:
    """(external components, rising, their weights) of one document."""
    rows = document_rows(forward, np.array([document], np.int64), components)
    order = np.argsort(rows.indices)
    return rows.indices[order], rows.values[order]


def check_layout(vectors: SparseVectors, dtype: type[np.unsignedinteger], compact: bool) -> None:
    order = np.random.default_rng(len(vectors)).permutation(len(vectors)).astype(np.uint32)
    forward, components = make_forward(vectors, dtype, compact, order)
    external = naive.count_components(vectors)
    assert components.external.tolist() == external
    in_order = naive.internal_rows(vectors, external)
    rows = [in_order[row] for row in order]
    scale = naive.scales(rows, len(external))
    assert forward.scale.tolist() == scale
    heads, tails = naive.lay_out(rows, scale, forward.head_size, np.dtype(dtype).itemsize, compact)
    assert [row.tobytes() for row in forward.heads] == heads
    assert forward.tails.tobytes() == tails
    documents = naive.fill_forward(rows, scale, forward.head_size, compact)
    assert naive.read_documents(forward) == documents
    for at, document in enumerate(documents):
        found, weights = document_vector(forward, at, components)
        assert found.dtype == np.uint32
        assert weights.dtype == np.float32
        expected = naive.document_vector(document, scale, external)
        assert dict(zip(found.tolist(), weights.tolist(), strict=True)) == expected
        assert found.tolist() == list(expected)


@both_layouts
@both_widths
@given(vectors=sparse_vectors())
@settings(max_examples=50)
def test_layout_of_drawn_vectors(vectors: SparseVectors, dtype: type[np.unsignedinteger], compact: bool) -> None:
    check_layout(vectors, dtype, compact)


@both_layouts
@both_widths
@pytest.mark.parametrize("length", [15, 16, 17, 64, 65, 1000])
def test_layout_around_the_ends_of_heads(length: int, dtype: type[np.unsignedinteger], compact: bool) -> None:
    weights = np.random.default_rng(length).random(length).astype(np.float32)
    rows = [list(zip(range(length), weights.tolist(), strict=True)), [], [(0, 1.0)], [(length - 1, 0.3)]]
    check_layout(from_pairs(rows, 2000), dtype, compact)


@both_layouts
@both_widths
def test_layout_of_real_vectors(passages: SparseVectors, dtype: type[np.unsignedinteger], compact: bool) -> None:
    check_layout(passages[:300], dtype, compact)


@both_layouts
def test_many_documents_at_once(passages: SparseVectors, compact: bool) -> None:
    forward, components = make_forward(passages[:50], compact=compact)
    asked = np.array([3, 49, 3, 0], np.int64)
    read = document_rows(forward, asked, components)
    assert read.indptr[0] == 0
    for at, document in enumerate(asked.tolist()):
        begin, end = read.indptr[at : at + 2]
        found, weights = document_vector(forward, document, components)
        pairs = zip(read.indices[begin:end].tolist(), read.values[begin:end].tolist(), strict=True)
        assert sorted(pairs) == list(zip(found.tolist(), weights.tolist(), strict=True))


@given(
    distances=st.lists(
        st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 127, 128, 2**14 - 1, 2**14, 2**28])), max_size=20
    )
)
def test_distances(distances: list[int]) -> None:
    out = np.zeros(5 * len(distances) + 1, np.uint8)
    at = 0
    for distance in distances:
        written = write_distance(distance, at, out)
        assert written - at == distance_bytes(distance)
        at = written
    text = out[:at].tobytes()
    assert text == b"".join(naive.write_distance(distance) for distance in distances)
    at = 0
    for distance in distances:
        found, at = read_distance(at, out)
        assert found == distance
        assert naive.read_distance(text) == (distance, text := text[len(naive.write_distance(distance)) :])


@both_layouts
@pytest.mark.parametrize("dim", [1 << 17, 1 << 32])
def test_tails_of_far_apart_components(dim: int, compact: bool) -> None:
    n = (1 << 16) + 1
    common = SparseVectors([0, n], np.linspace(0, dim - 2, n).astype(np.int64), np.ones(n), dim)
    rng = np.random.default_rng(3)
    chosen = [np.sort(rng.choice(common.indices, 100, replace=False)) for _ in range(20)]
    # The last one's tail is the component that has the largest number of all.
    chosen.append(np.append(common.indices[:64], dim - 1))
    weights = np.append(rng.random(2064) + 0.1, 0.01)
    others = SparseVectors(np.cumsum([0, *map(len, chosen)]), np.concatenate(chosen), weights, dim)
    forward, components = make_forward(SparseVectors.concatenate([common, others]), WIDE, compact)
    assert components.external[-1] == dim - 1
    for row in range(21):
        found, kept = document_vector(forward, row + 1, components)
        assert found.tolist() == others.row(row)[0].tolist()
        assert np.allclose(kept, others.row(row)[1], atol=1.1 / 255 / 2 * (1 + 1 / 128))


def test_70000_non_zeros() -> None:
    weights = np.random.default_rng(1).random(70_000, np.float32) + np.float32(0.1)
    vectors = SparseVectors([0, 0, 70_000, 70_001], np.append(np.arange(70_000), 3), np.append(weights, 2), 1 << 20)
    forward, components = make_forward(vectors, WIDE)
    found, kept = document_vector(forward, 1, components)
    assert np.array_equal(found, np.arange(70_000))
    # Every component but one has its largest weight here.
    others = found != 3
    assert np.allclose(kept[others], weights[others], rtol=1e-6)
    assert abs(kept[3] - weights[3]) <= 2 / 65280
    assert document_vector(forward, 2, components)[1] == pytest.approx([2])


# What quantization costs


def half_steps(vectors: SparseVectors, compact: bool) -> npt.NDArray[np.float64]:
    """Half a step of each weight's component, with a little for the rounding of 32-bit floats."""
    steps = 255 if compact else 255 * 256
    used, at = np.unique(vectors.indices, return_inverse=True)
    maxima = np.zeros(len(used), np.float64)
    np.maximum.at(maxima, at, vectors.values)
    # Steps never get smaller than those of the smallest normal number.
    smallest = np.finfo(np.float32).tiny * (255 / steps)
    # Of the compact layout, weights are rounded twice.
    twice = 1 + 1 / 128 if compact else 1 + 1e-6
    return np.maximum(maxima[at] / steps, smallest) / 2 * twice + vectors.values * 2e-7


def check_errors(vectors: SparseVectors, compact: bool) -> None:
    forward, components = make_forward(vectors, compact=compact)
    limits = half_steps(vectors, compact)
    for row in range(len(vectors)):
        wanted, weights = vectors.row(row)
        kept = dict(zip(*(array.tolist() for array in document_vector(forward, row, components)), strict=True))
        limit = limits[vectors.indptr[row] : vectors.indptr[row + 1]]
        assert set(kept) <= set(wanted.tolist())
        assert min(kept.values(), default=1) > 0
        for component, weight, most in zip(wanted.tolist(), weights.tolist(), limit, strict=True):
            assert abs(kept.get(component, 0) - weight) <= most


@both_layouts
@given(vectors=sparse_vectors())
def test_errors_of_drawn_vectors(vectors: SparseVectors, compact: bool) -> None:
    check_errors(vectors, compact)


@both_layouts
@given(
    weights=st.lists(st.floats(2.0**-149, float(np.finfo(np.float32).max), width=32, allow_subnormal=True), max_size=40)
)
def test_errors_of_all_sizes_of_weights(weights: list[float], compact: bool) -> None:
    check_errors(from_pairs([[(0, weight)] for weight in weights], 1), compact)


@both_layouts
def test_errors_of_real_vectors(passages: SparseVectors, compact: bool) -> None:
    check_errors(passages[:1000], compact)


@pytest.mark.parametrize(("compact", "rel"), [(False, 1e-6), (True, 3e-4)], ids=["fast", "compact"])
def test_errors_do_not_add_up(passages: SparseVectors, compact: bool, rel: float) -> None:
    forward, components = make_forward(passages, compact=compact)
    kept = sum(document_vector(forward, row, components)[1].sum(dtype=np.float64) for row in range(len(passages)))
    # Errors of up to 1 in 100,000, or in 500, that all went the same way would show.
    assert kept == pytest.approx(passages.values.sum(dtype=np.float64), rel=rel)


# Scores


@both_layouts
@both_widths
@given(drawn=vectors_and_queries(max_rows=60))
@settings(max_examples=30)
def test_fine_score(drawn: tuple[SparseVectors, SparseVectors], dtype: type[np.unsignedinteger], compact: bool) -> None:
    vectors, _ = drawn
    forward, components = make_forward(vectors, dtype, compact)
    documents = naive.read_documents(forward)
    # Heads are padded with component 0, whether or not there is one.
    table = sample_table(len(components.external))
    for row, document in enumerate(documents):
        assert fine_score(row, table, forward) == pytest.approx(naive.fine_score(document, dict(enumerate(table))))


# Numbering


@given(vectors=sparse_vectors())
def test_numbering(vectors: SparseVectors) -> None:
    components = count_components(vectors)
    external = naive.count_components(vectors)
    assert components.external.tolist() == external
    internal = components.renumber(vectors.indices, np.dtype(np.uint32))
    assert components.external[internal].tolist() == vectors.indices.tolist()


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
    assert head_layout(1000 * mean_length, 1000) == head_size
    assert head_width(head_size, itemsize) == width
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
