"""Pruning against the obvious way, row by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.encoders.pruning import Pruning
from lsr.errors import ParameterError
from lsr.vectors.sparse_vectors import SparseVectors

ROWS = st.lists(st.lists(st.integers(0, 9), min_size=8, max_size=8), max_size=7)
PRUNINGS = st.builds(
    Pruning,
    top_k=st.none() | st.integers(1, 9),
    ratio=st.none() | st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]),
    mass=st.none() | st.sampled_from([0.01, 0.3, 0.5, 0.75, 1.0]),
)


def make(rows: list[list[int]]) -> SparseVectors:
    dense = np.array(rows, np.float32).reshape(-1, 8)
    indptr = np.concatenate([[0], np.cumsum((dense > 0).sum(1))])
    return SparseVectors(indptr, dense.nonzero()[1], dense[dense > 0], 8, [f"d{i}" for i in range(len(rows))])


def pruned(row: np.ndarray, pruning: Pruning) -> np.ndarray:
    """Heaviest first, lower components before higher ones of the same weight."""
    order = sorted(np.flatnonzero(row), key=lambda j: (-row[j], j))
    if pruning.top_k is not None:
        order = order[: pruning.top_k]
    if pruning.ratio is not None and order:
        order = [j for j in order if row[j] > np.float32(pruning.ratio) * row[order[0]]]
    if pruning.mass is not None and order:
        total, kept, sum_ = sum(row[j] for j in order), [], 0.0
        for j in order:
            if kept and sum_ >= pruning.mass * total - 1e-9:
                break
            kept.append(j)
            sum_ += row[j]
        order = kept
    result = np.zeros_like(row)
    result[order] = row[order]
    return result


@given(ROWS, PRUNINGS)
def test_equals_the_obvious_way(rows: list[list[int]], pruning: Pruning) -> None:
    vectors = make(rows)
    found = pruning.apply(vectors)
    expected = np.array([pruned(np.array(row, np.float32), pruning) for row in rows]).reshape(-1, 8)
    np.testing.assert_array_equal(found.to_dense(), expected)
    assert found == SparseVectors(found.indptr, found.indices, found.values, 8, vectors.ids)
    assert pruning or found is vectors


@given(PRUNINGS)
def test_text_and_back(pruning: Pruning) -> None:
    assert Pruning.parse(str(pruning)) == pruning
    assert bool(pruning) == bool(str(pruning))


def test_a_light_row_after_heavy_ones_keeps_its_mass() -> None:
    heavy = [1e6, 9e5, 8e5, 7e5] * 50_000
    vectors = SparseVectors(
        [0, len(heavy), len(heavy) + 4], [*range(len(heavy)), 0, 1, 2, 3], [*heavy, 4e-3, 3e-3, 2e-3, 1e-3], len(heavy)
    )
    assert Pruning(mass=0.65).apply(vectors)[1].indices.tolist() == [0, 1]
    assert Pruning(mass=1.0).apply(vectors)[1].nnz == 4


@pytest.mark.parametrize(
    "text",
    ["top-k", "top-k:", "top-k:0", "top-k:1.5", "topk:3", "ratio:1", "ratio:-0.1", "ratio:nan", "mass:0", "mass:1.1",
     "mass:x", "top-k:3,top-k:4", "top-k=3", "ratio:0.1;mass:0.5"],
)  # fmt: skip
def test_text_that_makes_no_sense(text: str) -> None:
    with pytest.raises(ParameterError):
        Pruning.parse(text)
