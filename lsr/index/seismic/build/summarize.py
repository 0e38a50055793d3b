"""Summaries: the largest possible contribution of a query term in a block, per component (Seismic, section 4.3).

Summaries are stored as an inverted index, like Seismic's posting lists: for each component, the blocks whose summary
has it, with a code of 1 to 15 for its maximum there. A large collection has summaries of superblocks of four blocks
instead, and pages (superblock_pages.py) that distinguish the blocks of each. A `node` is what has a summary. Nodes are
in windows of 65,536. Each window has its own index, so that the estimates to which its runs are added stay in the
L2 cache, and a node's number fits in 16 bits. Windows of 16,384, whose estimates fit in the L1 cache, take 1.3
times as long, because four times as many runs wait for memory.

A run with few nodes of a window has their numbers, ascending, and then their codes, a byte each. A run with many nodes
has a 4-bit code for every node of the window, 0 for missing ones, so that many are added at once: byte i has the codes
of nodes i (its low bits) and half + i, where half is half of the window's nodes, rounded up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lsr.index.jit import allocating, inlined_kernel, kernel
from lsr.index.seismic.forward import CODE_STEPS, Forward, count_occurrences, longest_document, read_document
from lsr.storage.arrays import Array, Scalar, read_only

WINDOW = 1 << 16

# Blocks of a superblock.
SUPER = 4

# A run of more than this share of its window's nodes has a code for each of them. From a sixth on that is smaller; of
# 1,000,000 rows (250,000 blocks) twelfths and sixteenths add up no quicker, and take 1.4 and 3.7 bytes a row more.
SPARSE_SHARE = 8
DENSE = -1  # in place of such a run's length
ENERGY_BINS = 1024

# Codes of summaries; 8 bits do not find more: of a million rows, .973 of the true top ten are in the best 400
# superblocks with 8, 6 and 4 bits.
STEP = 17  # units of the codes of the forward index, 1 to 255, in one of a summary's
MAX_CODE = 15

# A superblock's code is this share of the mean of its documents plus the rest of their maximum: a fifth fewer then
# hold as much of the true top ten. In blocks of four documents the maximum alone is better.
MEAN_SHARE = 0.3

# A component of at most this number of documents is in the summary of every node that has it, with any weight: a query
# of rare terms then misses nothing, at almost no cost for other queries.
RARE = 128


class Blocks(NamedTuple):
    """The documents of blocks, block_size each (the last one fewer), and the summaries of all nodes, by component.

    rows uint32[n]: the row of each document. positions uint32[n]: the document of each row. windows int64[windows + 1]:
    the begin of each window in the stream. starts uint32[windows * (components + 1)]: the begin of each component's run
    in its window, and the end of the last one. stream uint16: runs. pages uint8[superblocks * PAGE]: see
    superblock_pages.py; empty if nodes are blocks. n_frequent: components from this one are rare (RARE); components are
    numbered by descending document frequency.
    """

    rows: Array
    positions: Array
    windows: Array
    starts: Array
    stream: Array
    stream_bytes: Array
    pages: Array
    block_size: int
    n_frequent: int

    @classmethod
    def of(cls, arrays: Sequence[Array], block_size: int, n_frequent: int) -> Blocks:
        """Views of read-only arrays (rows to stream, and pages), as in Forward.of."""
        rows, positions, windows, starts, stream, pages = (read_only(array) for array in arrays)
        return cls(rows, positions, windows, starts, stream, stream.view(np.uint8), pages, block_size, n_frequent)

    @property
    def span(self) -> int:
        """Documents of a node."""
        return self.block_size * (SUPER if self.pages.size else 1)

    @property
    def nodes(self) -> int:
        """The number of nodes."""
        return -(-len(self.rows) // self.span)


@kernel
def node_codes(
    begin: Scalar,
    end: Scalar,
    mean_share: Scalar,
    forward: Forward,
    components: Array,
    codes16: Array,
    maxima: Array,
    sums: Array,
    touched: Array,
) -> Scalar:
    """Component-wise codes of documents begin..end, 1 to 255, into maxima uint8[components].

    mean_share of their mean plus the rest of their maximum. components and codes16: scratch for the longest document;
    sums: int64[components], zero before and after. `touched` lists the components with a positive code; returns their
    number.
    """
    n_touched = 0
    for document in range(begin, end):
        for j in range(read_document(document, forward, components, codes16)):
            # The largest code16 is 255 x 256, so no code is rounded up beyond a byte. Weights never become zero.
            code = np.uint8(max(1, (codes16[j] + CODE_STEPS // 2) // CODE_STEPS))
            component = components[j]
            if maxima[component] == 0:
                touched[n_touched] = component
                n_touched += 1
            maxima[component] = max(maxima[component], code)
            sums[component] += code
    for component in touched[:n_touched]:
        mean = sums[component] / (end - begin)
        maxima[component] += np.int64(mean_share * (mean - maxima[component]) - 0.5)
        sums[component] = 0
    return n_touched


@kernel
def keep_energy(
    touched: Array, maxima: Array, scale: Array, energy: Scalar, n_frequent: Scalar, bins: Array, kept: Array
) -> Scalar:
    """The heaviest components with `energy` of the L1 mass of the maxima; returns how many went into `kept`.

    Rare components, from n_frequent, are all kept. Instead of sorting, 1,024 bins of weights are used: all bins above
    the one in which the mass is reached, and from that bin as many components as needed, in the order of `touched`.
    """
    heaviest = np.float32(0)
    total = np.float64(0)
    for component in touched:
        weight = scale[component] * np.float32(maxima[component])
        total += weight
        heaviest = max(heaviest, weight)
    if heaviest == 0:  # every weight is too light for a code
        return 0
    to_bin = np.float64(ENERGY_BINS - 1) / np.float64(heaviest)  # no float32 if the weights are tiny
    bins[:] = 0
    for component in touched:
        weight = scale[component] * np.float32(maxima[component])
        bins[np.int64(weight * to_bin)] += weight
    missing = energy * total
    cut = ENERGY_BINS - 1
    while cut > 0 and bins[cut] < missing:
        missing -= bins[cut]
        cut -= 1
    n_kept = 0
    for component in touched:
        weight = scale[component] * np.float32(maxima[component])
        at = np.int64(weight * to_bin)
        if at > cut or (at == cut and missing > 0):
            kept[n_kept] = component
            n_kept += 1
            if at == cut:
                missing -= weight
        elif component >= n_frequent:
            kept[n_kept] = component
            n_kept += 1
    return n_kept


@inlined_kernel
def is_dense(length: Scalar, n_nodes: Scalar) -> bool:
    """Whether a run with this number of a window's nodes has a code for each node."""
    dense: bool = length > n_nodes // SPARSE_SHARE
    return dense


@inlined_kernel
def run_elements(length: Scalar, n_nodes: Scalar) -> Scalar:
    """Elements of the stream that a run with this number of a window's nodes takes: bytes, rounded up.

    In a window of eight, a run of all nodes must take more than a run of a single node (run_length): hence one more.
    """
    return n_nodes // 4 + 1 if is_dense(length, n_nodes) else length + (length + 1) // 2


@inlined_kernel
def run_length(elements: Scalar, n_nodes: Scalar) -> Scalar:
    """Entries of a run, from its elements; DENSE for a run with a code for each of its n_nodes."""
    return DENSE if elements > run_elements(n_nodes // SPARSE_SHARE, n_nodes) else elements * 2 // 3


@allocating
def run_starts(counts: Array, n_nodes: Scalar) -> Array:
    """The begin of each component's run, and the end of the last one, uint32[n + 1]; counts int64[n]: their entries."""
    starts = np.empty(counts.size + 1, np.uint32)
    size = np.int64(0)
    for component in range(counts.size):
        starts[component] = size
        size += run_elements(counts[component], n_nodes)
    starts[counts.size] = size
    return starts


@kernel
def add_to_runs(
    components: Array,
    nodes: Array,
    codes: Array,
    n_nodes: Scalar,
    counts: Array,
    starts: Array,
    first: Scalar,
    last: Scalar,
    cursors: Array,
    stream: Array,
) -> None:
    """Put the entries of components first..last into their runs.

    Entries are in the order of nodes. counts int64[n], starts uint32[n + 1]: see run_starts. cursors uint32[n]: entries
    put so far. stream uint16, zero at first: the runs of these components.
    """
    stream_bytes = stream.view(np.uint8)
    half = (n_nodes + 1) // 2
    for entry in range(components.size):
        component, node = components[entry], np.int64(nodes[entry])
        if not first <= component < last:
            continue
        code = max(np.uint8(1), np.uint8((np.int64(codes[entry]) + STEP // 2) // STEP))
        start, at = np.int64(starts[component]) - np.int64(starts[first]), np.int64(cursors[component])
        if is_dense(counts[component], n_nodes):
            if node < half:
                stream_bytes[2 * start + node] |= code
            else:
                stream_bytes[2 * start + node - half] |= code << np.uint8(4)
        else:
            stream[start + at] = node
            stream_bytes[2 * (start + counts[component]) + at] = code
            cursors[component] += np.uint32(1)


@allocating
def invert_summaries(
    components: Array, nodes: Array, codes: Array, n_components: Scalar, n_nodes: Scalar
) -> tuple[Array, Array]:
    """(starts uint32[n_components + 1], stream uint16): the entries of a window, in the order of nodes, as runs."""
    counts = np.zeros(n_components, np.int64)
    count_occurrences(components, counts)
    starts = run_starts(counts, n_nodes)
    stream, cursors = np.zeros(starts[n_components], np.uint16), np.zeros(n_components, np.uint32)
    add_to_runs(components, nodes, codes, n_nodes, counts, starts, 0, n_components, cursors, stream)
    return starts, stream


@allocating
def summarize_nodes(
    first: Scalar,
    last: Scalar,
    window: Scalar,
    span: Scalar,
    mean_share: Scalar,
    forward: Forward,
    energy: Scalar,
    n_frequent: Scalar,
) -> tuple[Array, Array, Array]:
    """(components T[m], nodes uint16[m], codes uint8[m] of 1 to 255): summaries of nodes first..last, in their order.

    window: the first node of their window, from which `nodes` are counted. span: documents per node.
    """
    heads, scale = forward.heads, forward.scale
    n_documents = heads.shape[0]
    maxima, sums = np.zeros(scale.size, np.uint8), np.zeros(scale.size, np.int64)
    touched = np.empty(scale.size, heads.dtype)
    bins = np.empty(ENERGY_BINS, np.float64)
    capacity = max(1024, 64 * (last - first))
    components = np.empty(capacity, heads.dtype)
    nodes = np.empty(capacity, np.uint16)
    codes = np.empty(capacity, np.uint8)
    longest = longest_document(first * span, min(last * span, n_documents), forward)
    document_components, codes16 = np.empty(longest, np.int64), np.empty(longest, np.int64)
    n = 0
    for node in range(first, last):
        begin, end = node * span, min((node + 1) * span, n_documents)
        n_touched = node_codes(begin, end, mean_share, forward, document_components, codes16, maxima, sums, touched)
        if n + n_touched > components.size:
            grown = 2 * (n + n_touched)
            components = _grow(components, n, grown)
            nodes = _grow(nodes, n, grown)
            codes = _grow(codes, n, grown)
        n_kept = keep_energy(touched[:n_touched], maxima, scale, energy, n_frequent, bins, components[n:])
        for i in range(n, n + n_kept):
            nodes[i] = node - window
            codes[i] = maxima[components[i]]
        n += n_kept
        for component in touched[:n_touched]:
            maxima[component] = 0
    # Copies of exactly the needed length.
    return components[:n].copy(), nodes[:n].copy(), codes[:n].copy()


@allocating
def _grow(array: Array, used: Scalar, capacity: Scalar) -> Array:
    grown = np.empty(capacity, array.dtype)
    grown[:used] = array[:used]
    return grown
