"""Queries in the terms of an index, beside what NumPy makes of them."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lsr.index.seismic.forward import Components
from lsr.index.seismic.search.queries import LARGEST_PRODUCT, SMALLEST_PRODUCT, prepare
from lsr.vectors.sparse_vectors import SparseVectors

DIM = 40
WEIGHTS = st.floats(2.0**-126, 2.0**127, width=32)


@given(
    st.lists(st.dictionaries(st.integers(0, DIM - 1), WEIGHTS, max_size=12), max_size=5),
    st.lists(st.tuples(st.integers(0, DIM - 1), WEIGHTS), unique_by=lambda pair: pair[0], max_size=DIM),
)
def test_prepare(rows: list[dict[int, float]], index: list[tuple[int, float]]) -> None:
    rows = [dict(sorted(row.items())) for row in rows]
    queries = SparseVectors(
        np.cumsum([0, *map(len, rows)]),
        [c for row in rows for c in row],
        [w for row in rows for w in row.values()],
        DIM,
    )
    external = [component for component, _ in index]
    scale = np.array([each for _, each in index], np.float32)
    prepared, factors, longest = prepare(queries, Components.of(np.array(external, np.uint32)), scale)
    known = [[(external.index(c), w) for c, w in row.items() if c in external] for row in rows]
    assert np.diff(prepared.indptr).tolist() == [len(each) for each in known]
    assert longest == max(map(len, known), default=0)
    for each, factor, begin in zip(known, factors, prepared.indptr, strict=False):
        products = [np.float64(w) * scale[internal] for internal, w in each]
        assert prepared.components[begin : begin + len(each)].tolist() == [internal for internal, _ in each]
        found = prepared.weights[begin : begin + len(each)]
        np.testing.assert_allclose(found, np.array(products) / factor, rtol=1e-6, atol=1e-44)
        assert math.frexp(factor)[0] == 0.5
        largest = max(products, default=1.0)
        if SMALLEST_PRODUCT <= largest <= LARGEST_PRODUCT:
            assert factor == 1
        else:
            assert SMALLEST_PRODUCT <= largest / factor <= LARGEST_PRODUCT
