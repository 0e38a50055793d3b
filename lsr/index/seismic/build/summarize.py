"""Summaries: what a query term could contribute in a block, kept component by component (Seismic, section 4.3).

They are kept as an inverted index, which is where Seismic's posting lists went: of each component the blocks whose
summary has it, with the code of its maximum there. Blocks come in windows of 16,384, and each window has its own index,
so that the estimates which a window's runs add to stay in the nearest caches, and a block's number fits in 16 bits.

A run of few of a window's blocks is their numbers, rising, then their codes, a byte each; one of many is a code for
every block, 0 for those that it lacks, which are added many at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lsr.index.jit import allocating, inlined_kernel, kernel
from lsr.index.seismic.forward import CODE_STEPS, Forward, read_document, tail_of
from lsr.storage.arrays import Array, Scalar, read_only

WINDOW = 1 << 14

# A run of more than this share of its window's blocks has a code for each of them. From a twentieth on that is quicker
# to add, from a third on smaller. Of 500,000 packages an eighth makes the index 1 % larger.
SPARSE_SHARE = 8
DENSE = -1  # in place of such a run's length
ENERGY_BINS = 1024

# A component of this many documents or fewer is in the summary of every block that has it, however light: a query of
# rare terms then misses nothing, and hardly any query pays for it.
RARE = 128


class Blocks(NamedTuple):
    """Which documents make a block, and the summaries of all blocks, by component.

    rows uint32[n]: the row that each document is. positions uint32[n]: the document that each row is.
    offsets uint32[blocks + 1]: block b has documents offsets[b] to offsets[b + 1].
    windows int64[windows + 1]: where each window begins in the stream.
    starts uint32[windows * (components + 1)]: where each component's run begins in its window, and the last one's end.
    stream uint16: runs.
    n_frequent: components from this one on are rare (RARE); they are numbered by falling document frequency.
    """

    rows: Array
    positions: Array
    offsets: Array
    windows: Array
    starts: Array
    stream: Array
    stream_bytes: Array
    n_frequent: int

    @classmethod
    def of(cls, arrays: Sequence[Array], n_frequent: int) -> Blocks:
        """Views of read-only arrays (rows to stream), for the same reason as in Forward.of."""
        rows, positions, offsets, windows, starts, stream = (read_only(array) for array in arrays)
        return cls(rows, positions, offsets, windows, starts, stream, stream.view(np.uint8), n_frequent)


@kernel
def block_maxima(
    begin: Scalar, end: Scalar, forward: Forward, components: Array, codes16: Array, maxima: Array, touched: Array
) -> Scalar:
    """Component-wise maximum of the rounded codes of documents begin..end, into maxima uint8[components].

    components and codes16: scratch for the longest document. `touched` lists the components whose maximum is positive;
    returns their number.
    """
    n_touched = 0
    for document in range(begin, end):
        for j in range(read_document(document, forward, components, codes16)):
            # The largest code16 is 255 x 256, so that none is rounded up beyond a byte. What is there is never zero.
            code = np.uint8(max(1, (codes16[j] + CODE_STEPS // 2) // CODE_STEPS))
            component = components[j]
            if code > maxima[component]:
                if maxima[component] == 0:
                    touched[n_touched] = component
                    n_touched += 1
                maxima[component] = code
    return n_touched


@kernel
def keep_energy(
    touched: Array, maxima: Array, scale: Array, energy: Scalar, n_frequent: Scalar, bins: Array, kept: Array
) -> Scalar:
    """Components, heaviest first, that hold `energy` of the L1 mass of the maxima; returns how many went into `kept`.

    Rare components, those from n_frequent on, are all kept. Instead of a sort, 1,024 bins of the weight: all bins above
    the one in which the mass is reached, and of that one as many components as it takes, in the order of `touched`.
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
def is_dense(length: Scalar, n_blocks: Scalar) -> bool:
    """Whether a run of so many of a window's blocks has a code for each of them."""
    dense: bool = length > n_blocks // SPARSE_SHARE
    return dense


@inlined_kernel
def run_elements(length: Scalar, n_blocks: Scalar) -> Scalar:
    """Elements of the stream that a run of so many of a window's blocks takes, a byte for an entry rounded up."""
    return (n_blocks + 1) // 2 if is_dense(length, n_blocks) else length + (length + 1) // 2


@inlined_kernel
def run_length(elements: Scalar, n_blocks: Scalar) -> Scalar:
    """Entries of a run, from the elements that it takes; DENSE for one that has a code for each of its n_blocks."""
    return DENSE if elements > run_elements(n_blocks // SPARSE_SHARE, n_blocks) else elements * 2 // 3


@allocating
def invert_summaries(
    components: Array, blocks: Array, codes: Array, n_components: Scalar, n_blocks: Scalar
) -> tuple[Array, Array]:
    """(starts uint32[n_components + 1], stream uint16): the entries of a window, given block by block, as runs."""
    counts = np.zeros(n_components, np.int64)
    for component in components:
        counts[component] += 1
    starts = np.empty(n_components + 1, np.uint32)
    size = np.int64(0)
    for component in range(n_components):
        starts[component] = size
        size += run_elements(counts[component], n_blocks)
    starts[n_components] = size
    stream = np.zeros(size, np.uint16)
    stream_bytes = stream.view(np.uint8)
    cursors = np.zeros(n_components, np.uint32)
    for entry in range(components.size):
        component = components[entry]
        start, at = np.int64(starts[component]), np.int64(cursors[component])
        if is_dense(counts[component], n_blocks):
            stream_bytes[2 * start + blocks[entry]] = codes[entry]
        else:
            stream[start + at] = blocks[entry]
            stream_bytes[2 * (start + counts[component]) + at] = codes[entry]
            cursors[component] += np.uint32(1)
    return starts, stream


@allocating
def summarize_blocks(
    first: Scalar, last: Scalar, window: Scalar, offsets: Array, forward: Forward, energy: Scalar, n_frequent: Scalar
) -> tuple[Array, Array, Array]:
    """(components T[m], blocks uint16[m], codes uint8[m]): the summaries of blocks first..last, block by block.

    window: the first block of the window that they are of; `blocks` counts from it.
    """
    heads, scale = forward.heads, forward.scale
    maxima = np.zeros(scale.size, np.uint8)
    touched = np.empty(scale.size, heads.dtype)
    bins = np.empty(ENERGY_BINS, np.float64)
    capacity = max(1024, 64 * (last - first))
    components = np.empty(capacity, heads.dtype)
    blocks = np.empty(capacity, np.uint16)
    codes = np.empty(capacity, np.uint8)
    longest = np.int64(0)
    for document in range(offsets[first], offsets[last]):
        longest = max(longest, tail_of(forward, document)[1])
    document_components = np.empty(forward.head_size + longest, np.int64)
    codes16 = np.empty(forward.head_size + longest, np.int64)
    n = 0
    for block in range(first, last):
        n_touched = block_maxima(
            offsets[block], offsets[block + 1], forward, document_components, codes16, maxima, touched
        )
        if n + n_touched > components.size:
            grown = 2 * (n + n_touched)
            components = _grow(components, n, grown)
            blocks = _grow(blocks, n, grown)
            codes = _grow(codes, n, grown)
        n_kept = keep_energy(touched[:n_touched], maxima, scale, energy, n_frequent, bins, components[n:])
        for i in range(n, n + n_kept):
            blocks[i] = block - window
            codes[i] = maxima[components[i]]
        n += n_kept
        for component in touched[:n_touched]:
            maxima[component] = 0
    # Copies, which are as long as they need to be.
    return components[:n].copy(), blocks[:n].copy(), codes[:n].copy()


@allocating
def summarize_window(
    first: Scalar, last: Scalar, offsets: Array, forward: Forward, energy: Scalar, n_frequent: Scalar
) -> tuple[Array, Array]:
    """(starts, stream) of blocks first..last: see Blocks."""
    components, blocks, codes = summarize_blocks(first, last, first, offsets, forward, energy, n_frequent)
    starts, stream = invert_summaries(components, blocks, codes, forward.scale.size, last - first)
    return starts, stream


@allocating
def _grow(array: Array, used: Scalar, capacity: Scalar) -> Array:
    grown = np.empty(capacity, array.dtype)
    grown[:used] = array[:used]
    return grown
