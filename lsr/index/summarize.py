"""Summaries: what a query term could contribute in a block, kept component by component (Seismic, section 4.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from lsr.index.arrays import Array, Scalar
from lsr.index.forward import Forward, tail_of
from lsr.index.jit import allocating, kernel

ENERGY_BINS = 1024
MARK = np.uint32(1 << 31)

# A component that only one or two blocks of a list kept hardly ever decides whether they are visited, but costs a
# directory slot: leaving those out halves the directory (300,000 SPLADE rows: 201 to 70 MB) for .001 of recall.
LONG_LIST = 128  # blocks
MIN_RUN = 2
MIN_RUN_LONG = 3


def free_slot(dtype: np.dtype[Any]) -> Any:
    """What marks a free slot of a directory: the largest value of the components' type, which none of them has."""
    return dtype.type(np.iinfo(dtype).max)


@kernel
def slot_of(component: Scalar, n_slots: Scalar) -> Scalar:
    """First slot of the directory in which a component may stand: a multiplicative hash, mapped without a division."""
    return ((np.uint64(component) * np.uint64(2654435769)) & np.uint64(0xFFFFFFFF)) * np.uint64(n_slots) >> np.uint64(
        32
    )


@kernel
def block_maxima(documents: Array, forward: Forward, maxima: Array, touched: Array) -> Scalar:
    """Component-wise maximum of the codes of a block's documents, into maxima uint8[components].

    `touched` lists the components whose maximum is positive; returns their number.
    """
    heads, head_bytes, tails, tail_bytes = forward.heads, forward.head_bytes, forward.tails, forward.tail_bytes
    itemsize, head_size = heads.itemsize, forward.head_size
    n_touched = 0
    for document in documents:
        for j in range(head_size):
            code = head_bytes[document, head_size * itemsize + j]
            component = heads[document, j]
            if code > maxima[component]:
                if maxima[component] == 0:
                    touched[n_touched] = component
                    n_touched += 1
                maxima[component] = code
        start, length = tail_of(forward, document)
        codes_at = (start + length) * itemsize
        for j in range(length):
            code = tail_bytes[codes_at + j]
            component = tails[start + j]
            if code > maxima[component]:
                if maxima[component] == 0:
                    touched[n_touched] = component
                    n_touched += 1
                maxima[component] = code
    return n_touched


@kernel
def keep_energy(touched: Array, maxima: Array, scale: Array, energy: Scalar, bins: Array, kept: Array) -> Scalar:
    """Components, heaviest first, that hold `energy` of the L1 mass of the maxima; returns how many went into `kept`.

    Instead of a sort, 1,024 bins of the weight: all bins above the one in which the mass is reached, and of that one
    as many components as it takes, in the order of `touched`.
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
    return n_kept


@kernel
def run_elements(length: Scalar) -> Scalar:
    """Elements of the stream that a run takes: a uint16 block number and a byte for each entry, rounded up."""
    return length + (length + 1) // 2


@kernel
def find_slot(keys: Array, component: Scalar, empty: Scalar) -> Scalar:
    """The slot that holds a component, or the empty one where it would go (linear probing)."""
    n_slots = np.uint64(keys.size)
    slot = slot_of(component, keys.size)
    while keys[slot] != empty and keys[slot] != component:
        slot += np.uint64(1)
        if slot == n_slots:
            slot = np.uint64(0)
    return slot


@allocating
def directory(
    components: Array,
    blocks: Array,
    codes: Array,
    min_run: Scalar,
    counts: Array,
    empty: Scalar,
) -> tuple[Array, Array, Array]:
    """Turn a list's summary entries, grouped by block, into runs by component behind a hash directory.

    Returns (keys T[slots], starts uint32[slots + 1], stream uint16[...]). The run of the component in slot s is
    stream[starts[s]:starts[s + 1]]: the block numbers, ascending, then their codes, a byte each. Components with fewer
    than `min_run` entries are left out. `counts` uint32[components] is scratch, zero before and after.
    """
    for component in components:
        counts[component] += np.uint32(1)
    distinct = 0
    for component in components:
        # The first entry of a component that stays marks it by setting the highest bit, which the next loop clears.
        if counts[component] >= min_run and counts[component] < MARK:
            counts[component] |= MARK
            distinct += 1
    keys = np.full(distinct * 4 // 3 + 1, empty, components.dtype)
    for component in components:
        if counts[component] >= MARK:
            counts[component] ^= MARK
            keys[find_slot(keys, component, empty)] = component
    starts = np.empty(keys.size + 1, np.uint32)
    size = np.uint32(0)
    for slot in range(keys.size):
        starts[slot] = size
        if keys[slot] != empty:
            size += np.uint32(run_elements(np.int64(counts[keys[slot]])))
    starts[keys.size] = size
    stream = np.zeros(size, np.uint16)
    stream_bytes = stream.view(np.uint8)
    cursors = np.zeros(keys.size, np.uint32)
    for entry in range(components.size):
        component = components[entry]
        if counts[component] < min_run:
            continue
        slot = find_slot(keys, component, empty)
        start, at = np.int64(starts[slot]), np.int64(cursors[slot])
        stream[start + at] = blocks[entry]
        stream_bytes[2 * (start + np.int64(counts[component])) + at] = codes[entry]
        cursors[slot] += np.uint32(1)
    for component in components:
        counts[component] = 0
    return keys, starts, stream


@allocating
def summarize_list(
    documents: Array,
    offsets: Array,
    forward: Forward,
    energy: Scalar,
    maxima: Array,
    counts: Array,
    empty: Scalar,
) -> tuple[Array, Array, Array]:
    """The directory of one list's summaries. `maxima` uint8 and `counts` uint32[components]: zero before and after."""
    heads, scale = forward.heads, forward.scale
    touched = np.empty(scale.size, heads.dtype)
    bins = np.empty(ENERGY_BINS, np.float64)
    capacity = max(1024, 64 * (offsets.size - 1))
    components = np.empty(capacity, heads.dtype)
    blocks = np.empty(capacity, np.uint16)
    codes = np.empty(capacity, np.uint8)
    n = 0
    for block in range(offsets.size - 1):
        members = documents[offsets[block] : offsets[block + 1]]
        n_touched = block_maxima(members, forward, maxima, touched)
        if n + n_touched > components.size:
            grown = 2 * (n + n_touched)
            components = _grow(components, n, grown)
            blocks = _grow(blocks, n, grown)
            codes = _grow(codes, n, grown)
        n_kept = keep_energy(touched[:n_touched], maxima, scale, energy, bins, components[n:])
        for i in range(n, n + n_kept):
            blocks[i] = block
            codes[i] = maxima[components[i]]
        n += n_kept
        for component in touched[:n_touched]:
            maxima[component] = 0
    min_run = MIN_RUN_LONG if offsets.size - 1 >= LONG_LIST else MIN_RUN
    keys, starts, stream = directory(components[:n], blocks[:n], codes[:n], np.uint32(min_run), counts, empty)
    return keys, starts, stream


@allocating
def _grow(array: Array, used: Scalar, capacity: Scalar) -> Array:
    grown = np.empty(capacity, array.dtype)
    grown[:used] = array[:used]
    return grown
