"""The Numba kernels of sparse feedback."""

from __future__ import annotations

import numpy as np

from lsr.index.jit import allocating, kernel
from lsr.index.rows import GatheredRows
from lsr.storage.arrays import Array, Scalar

EMPTY = np.int64(-1)
MULTIPLIER = np.uint64(11400714819323198485)  # Fibonacci hashing: spreads neighboring components over the table


@kernel
def add_to(table: Array, sums: Array, component: Scalar, weight: Scalar) -> None:
    """sums[slot of component] += weight; table: int64[2^n] of components, EMPTY for none."""
    mask = table.size - 1
    slot = np.int64((np.uint64(component) * MULTIPLIER) >> np.uint64(32)) & mask
    while table[slot] != component and table[slot] != EMPTY:
        slot = (slot + 1) & mask
    table[slot] = component
    sums[slot] += weight


@kernel
def top_of_mean(
    rows: GatheredRows,
    first: Scalar,
    last: Scalar,
    shortest: Scalar,
    table: Array,
    sums: Array,
    top: Array,
    weights: Array,
) -> Scalar:
    """The heaviest components of the mean of the documents first..last, each normalized, normalized to length 1.

    Into top int64[terms] and weights float32[terms], heaviest first, equal ones by component; returns their number.
    """
    table[:] = EMPTY
    sums[:] = 0
    for row in range(first, last):
        begin, end = rows.indptr[row], rows.indptr[row + 1]
        square = 0.0
        for entry in range(begin, end):
            square += np.float64(rows.values[entry]) ** 2
        length = np.sqrt(square)
        if length > shortest:
            for entry in range(begin, end):
                add_to(table, sums, np.int64(rows.indices[entry]), rows.values[entry] / length)
    count = 0
    for slot in range(table.size):
        component, weight = table[slot], sums[slot]
        if component == EMPTY:
            continue
        if count == top.size:
            if weight < weights[count - 1] or (weight == weights[count - 1] and component > top[count - 1]):
                continue
        else:
            count += 1
        at = count - 1
        while at and (weight > weights[at - 1] or (weight == weights[at - 1] and component < top[at - 1])):
            top[at], weights[at] = top[at - 1], weights[at - 1]
            at -= 1
        top[at], weights[at] = component, weight
    square = 0.0
    for at in range(count):
        square += weights[at] ** 2
    for at in range(count):
        weights[at] /= np.sqrt(square)
    return count


@allocating
def rocchio_rows(
    indptr: Array,
    indices: Array,
    values: Array,
    relevant: GatheredRows,
    not_relevant: GatheredRows,
    starts: Array,
    factors: Array,
    terms: Scalar,
    shortest: Scalar,
    table_size: Scalar,
    lengths: Array,
    out_indices: Array,
    out_values: Array,
) -> None:
    """One Rocchio query for each CSR row of (indptr, indices, values); see lsr.retrieval.feedback.sparse_rocchio.

    relevant, not_relevant: rows. starts int64[queries + 1, 2]: the begin of each query's documents in them. factors
        float64[3]: alpha, beta, gamma. Row q is out_indices[q, :lengths[q]], ascending, with the weights in out_values.
    """
    table, sums = np.empty(table_size, np.int64), np.empty(table_size, np.float64)
    top, weights = np.empty(terms, np.int64), np.empty(terms, np.float64)
    most = out_indices.shape[1]
    components, summed = np.empty(most, np.int64), np.empty(most, np.float64)
    for query in range(lengths.size):
        begin, end = indptr[query], indptr[query + 1]
        if starts[query, 0] == starts[query + 1, 0]:
            lengths[query] = end - begin
            out_indices[query, : end - begin] = indices[begin:end]
            out_values[query, : end - begin] = values[begin:end]
            continue
        square = 0.0
        for entry in range(begin, end):
            square += np.float64(values[entry]) ** 2
        count = end - begin
        for entry in range(begin, end):
            components[entry - begin] = indices[entry]
            summed[entry - begin] = factors[0] * values[entry] / np.sqrt(square)
        for side in range(2):
            if side == 0:
                found = top_of_mean(
                    relevant, starts[query, 0], starts[query + 1, 0], shortest, table, sums, top, weights
                )
                factor = factors[1]
            else:
                found = top_of_mean(
                    not_relevant, starts[query, 1], starts[query + 1, 1], shortest, table, sums, top, weights
                )
                factor = -factors[2]
            for at in range(found):
                place = 0
                while place < count and components[place] != top[at]:
                    place += 1
                if place == count:
                    components[count], summed[count] = top[at], 0.0
                    count += 1
                summed[place] += factor * weights[at]
        length = 0
        for place in np.argsort(components[:count]):
            weight = np.float32(summed[place])
            if weight > 0:
                out_indices[query, length], out_values[query, length] = components[place], weight
                length += 1
        lengths[query] = length
