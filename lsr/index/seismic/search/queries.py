"""Queries in the format of an index: internal components, and weights multiplied by their scales."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lsr.index.jit import kernel
from lsr.index.seismic.forward import Components
from lsr.storage.arrays import Array
from lsr.vectors.sparse_vectors import SparseVectors

# A query whose largest product of weight and scale is outside of these is divided by a power of two, and its scores are
# multiplied by it: kernels add float32 numbers, and must meet neither infinity nor zero for a product that is not.
SMALLEST_PRODUCT, LARGEST_PRODUCT = 2.0**-60, 2.0**100
DIVIDED_TO = 100  # the exponent of large queries


class Queries(NamedTuple):
    """CSR rows with internal components. Each weight is already multiplied by its component's scale."""

    indptr: Array  # int64[n + 1]
    components: Array  # uint32[nnz]
    weights: Array  # float32[nnz]


class Prepared(NamedTuple):
    """Prepared queries. factors: float64[n], powers of two by which scores are multiplied, nearly always 1. longest:
    the most components.
    """

    queries: Queries
    factors: Array
    longest: int


def prepare(queries: SparseVectors, components: Components, scale: Array) -> Prepared:
    """Prepare queries; components that the index lacks are dropped. scale: float32 per internal component."""
    nnz = len(queries.indices)
    prepared = Queries(np.empty(len(queries) + 1, np.int64), np.empty(nnz, np.uint32), np.empty(nnz, np.float32))
    factors = np.ones(len(queries))
    # Arrays of one type for all queries, so that Numba compiles once. A dozen calls of NumPy would take 17 us.
    rows = queries.indptr.astype(np.int64), queries.indices.astype(np.uint32), queries.values.astype(np.float32)
    longest = _fill(*rows, components.sorted_external, components.sorted_internal, scale, *prepared, factors)
    kept = int(prepared.indptr[-1])
    return Prepared(Queries(prepared.indptr, prepared.components[:kept], prepared.weights[:kept]), factors, longest)


@kernel
def _fill(
    indptr: Array,
    indices: Array,
    values: Array,
    external: Array,
    internal: Array,
    scale: Array,
    out_indptr: Array,
    out_components: Array,
    out_weights: Array,
    factors: Array,
) -> int:
    """Fill the arrays out_*, and the factors that are not 1; returns the components of the longest query."""
    longest = at = out_indptr[0] = 0
    for query in range(indptr.size - 1):
        begin, largest = at, 0.0
        for place in range(indptr[query], indptr[query + 1]):
            found = np.searchsorted(external, indices[place])
            if found < external.size and external[found] == indices[place]:
                out_components[at], out_weights[at] = internal[found], values[place]
                largest = max(largest, np.float64(values[place]) * scale[internal[found]])
                at += 1
        out_indptr[query + 1] = at
        longest = max(longest, at - begin)
        if 0 < largest < SMALLEST_PRODUCT or largest > LARGEST_PRODUCT:
            exponent = math.frexp(largest)[1]
            factors[query] = math.ldexp(1.0, exponent - 1 if largest < 1 else exponent - DIVIDED_TO)
        for place in range(begin, at):
            product = np.float64(out_weights[place]) * scale[out_components[place]]
            out_weights[place] = np.float32(product / factors[query])
    return longest
