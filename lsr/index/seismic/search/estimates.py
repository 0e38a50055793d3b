"""The first stage of a search: estimates of every node by the query terms that can contribute most, and the best nodes.

A node is a block or, in a large collection, a superblock. Estimates are 16-bit integers, so that 32 are added at once
and a window's estimates stay in the L2 cache: weights are scaled to integers whose sum, times the largest code,
fits. `unit` is the score of one unit of an estimate.

Timings: 1,000,000 SPLADE rows of 46 non-zeros, queries of 21 terms, of which 12 estimate 250,000 blocks, one core of an
AMD EPYC (Zen 5).
"""

from __future__ import annotations

import numpy as np

from lsr.index.jit import inlined_kernel, kernel
from lsr.index.prefetch import prefetch
from lsr.index.seismic.build.summarize import DENSE, MAX_CODE, STEP, SUPER, WINDOW, Blocks, run_length
from lsr.index.seismic.forward import CACHE_LINE
from lsr.index.seismic.search.lanes import LANES, count_bits, lowest_bit, reaching_lanes
from lsr.storage.arrays import Array, Scalar

LARGEST_ESTIMATE = (1 << 16) - 1

# Weights of a query add up to this at most.
WEIGHTS = LARGEST_ESTIMATE // MAX_CODE

# Terms that estimate, at most: each has a weight of at least 1.
MOST_TERMS = WEIGHTS // 2

# Lines of LANES estimates in which nodes are counted to find the estimate of the best ones; this takes 4 us, and the
# number has an error of a tenth.
COUNTED_LINES = 512


def new_estimates(n_nodes: int) -> Array:
    """Scratch.estimates: zero beyond the nodes, up to a whole line.

    The memory after them takes additions for any 16-bit node number.
    """
    size = -(-n_nodes // LANES) * LANES
    return np.zeros(size + (1 << 16), np.uint16)[:size]


@kernel
def choose_terms(weights: Array, query_cut: Scalar, chosen: Array) -> Scalar:
    """The positions of the query_cut heaviest terms, heaviest first, into `chosen`; returns their number."""
    n_chosen = 0
    for i in range(weights.size):
        at = min(n_chosen, query_cut - 1)
        if n_chosen == query_cut:
            if weights[i] <= weights[chosen[at]]:
                continue
        else:
            n_chosen += 1
        while at > 0 and weights[chosen[at - 1]] < weights[i]:
            chosen[at] = chosen[at - 1]
            at -= 1
        chosen[at] = i
    return n_chosen


@kernel
def whole_weights(weights: Array, chosen: Array, whole: Array) -> Scalar:
    """Weights of the chosen terms, at most MOST_TERMS, as whole numbers into uint16[terms]; returns the unit."""
    total = np.float64(0)
    for term in chosen:
        total += weights[term]
    factor = np.float64(WEIGHTS - chosen.size) / total if total > 0 else 1.0
    for i in range(chosen.size):
        whole[i] = np.uint16(np.int64(weights[chosen[i]] * factor) + 1)
    return np.float32(STEP / factor)


@inlined_kernel
def add_run(
    estimates: Array, base: Scalar, stream: Array, stream_bytes: Array, start: Scalar, length: Scalar, weight: Scalar
) -> None:
    """estimates[base + node] += weight x code, over one run of few nodes."""
    codes_at = 2 * (start + length)
    for i in range(length):
        node = np.uint64(base + stream[np.uint64(start + i)])
        estimates[node] += weight * np.uint16(stream_bytes[np.uint64(codes_at + i)])


@kernel
def add_two(low: Array, high: Array, codes: Array, weight: Scalar, more_codes: Array, more_weight: Scalar) -> None:
    """Add weight x code of two runs with codes for every node; low and high: the estimates of both halves of a window.

    Two at a time take two thirds of the time. A separate kernel, so that 32 are added at once.
    """
    for i in range(min(codes.size, more_codes.size)):
        at = np.uint64(i)
        one, other = np.uint16(codes[at]), np.uint16(more_codes[at])
        low[at] += weight * (one & np.uint16(15)) + more_weight * (other & np.uint16(15))
        high[at] += weight * (one >> np.uint16(4)) + more_weight * (other >> np.uint16(4))


@kernel
def estimate_nodes(
    components: Array,
    chosen: Array,
    whole: Array,
    opened: Array,
    blocks: Blocks,
    run_starts: Array,
    run_lengths: Array,
    estimates: Array,
) -> None:
    """Estimates of all nodes by the chosen terms; opened: Limits.open.

    Three passes over all pairs of window and term, so that none waits for memory: prefetch the place of the run; read
    it and prefetch the run; add the run. A window is finished while it is in the first caches.
    """
    n_windows, n_nodes = blocks.windows.size - 1, node_count(blocks)
    stride = blocks.starts.size // max(n_windows, 1)
    for window in range(n_windows):
        for term in chosen:
            prefetch(blocks.starts, window * stride + components[term])
    pair = 0
    for window in range(n_windows):
        size = min(n_nodes - window * WINDOW, WINDOW)
        for term in chosen:
            at = np.uint64(window * stride + components[term])
            start = blocks.starts[at]
            run_starts[pair] = blocks.windows[window] + start
            run_lengths[pair] = run_length(np.int64(blocks.starts[at + np.uint64(1)] - start), size)
            prefetch(blocks.stream, run_starts[pair])
            prefetch(blocks.stream, run_starts[pair] + CACHE_LINE // 2)
            pair += 1
    pair = 0
    for window in range(n_windows):
        base, end = window * WINDOW, min((window + 1) * WINDOW, estimates.size)
        size = min(n_nodes - base, WINDOW)
        half = (size + 1) // 2
        estimates[base:end] = 0
        low, high = estimates[base : base + half], estimates[base + half : base + 2 * half]
        waiting = -1  # the term whose dense run waits for another one
        for i in range(chosen.size):
            start, length = run_starts[pair + i], run_lengths[pair + i]
            if length != DENSE:
                add_run(estimates, base, blocks.stream, blocks.stream_bytes, start, length, whole[i])
            elif waiting < 0:
                waiting = i
            else:
                before = run_starts[pair + waiting]
                codes = blocks.stream_bytes[2 * before : 2 * before + half]
                more_codes = blocks.stream_bytes[2 * start : 2 * start + half]
                add_two(low, high, codes, whole[waiting], more_codes, whole[i])
                waiting = -1
        if waiting >= 0:
            start = run_starts[pair + waiting]
            codes = blocks.stream_bytes[2 * start : 2 * start + half]
            add_two(low, high, codes, whole[waiting], codes, np.uint16(0))
        pair += chosen.size
        for node in range(min(n_nodes, end), end):
            estimates[node] = 0  # no run of an intact index adds to these
        for node in range(base, min(end, opened.size)):
            estimates[np.uint64(node)] *= np.uint16(opened[np.uint64(node)] != 0)


@inlined_kernel
def node_count(blocks: Blocks) -> Scalar:
    """Blocks.nodes."""
    span = blocks.block_size * (SUPER if blocks.pages.size > 0 else 1)
    return (blocks.rows.size + span - 1) // span


@kernel
def floor_of(wanted: Scalar, above: Scalar, estimates: Array) -> Scalar:
    """An estimate below `above` and above zero that about `wanted` nodes reach, or all if they are fewer.

    Counted in some lines, evenly apart.
    """
    lines = estimates.size // LANES
    step = max(1, lines // COUNTED_LINES)
    counted = (lines + step - 1) // step
    least = max(1, wanted * counted // max(lines, 1))
    low, high = 1, above - 1
    while low < high:
        middle = (low + high + 1) // 2
        n = np.uint32(0)
        for line in range(0, lines, step):
            n += count_bits(reaching_lanes(estimates, line * LANES, np.uint16(middle)))
        if n < least:
            high = middle - 1
        else:
            low = middle
            if n <= least + least // 8:
                break
    return low


@kernel
def list_nodes(line: Scalar, floor: Scalar, above: Scalar, estimates: Array, nodes: Array) -> tuple[Scalar, Scalar]:
    """List the nodes with floor <= estimate < above, from a line of LANES, as long as there is room for a line.

    Returns (their number, the line from which to continue).
    """
    n, lines = 0, estimates.size // LANES
    while line < lines and n + LANES <= nodes.size:
        reaching = reaching_lanes(estimates, line * LANES, np.uint16(floor))
        if reaching != 0 and above <= LARGEST_ESTIMATE:
            reaching &= ~reaching_lanes(estimates, line * LANES, np.uint16(above))
        while reaching != 0:
            nodes[n] = line * LANES + lowest_bit(reaching)
            n += 1
            reaching &= reaching - np.uint32(1)
        line += 1
    return n, line
