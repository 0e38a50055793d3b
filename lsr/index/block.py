"""Blocking: one posting list is cut into geometrically cohesive blocks by sampled centroids (Seismic, section 4.2)."""

from __future__ import annotations

import numpy as np

from lsr.index.arrays import Array, Scalar
from lsr.index.forward import Forward
from lsr.index.jit import allocating, kernel

# Components, heaviest first, by which a centroid is known. The first of its head: whole vectors make no better blocks,
# and take three times as long.
CENTROID_CUT = 16

NOWHERE = np.uint32(0xFFFFFFFF)


@kernel
def next_random(state: Array) -> Scalar:
    """One step of SplitMix64; `state` uint64[1] moves on."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@allocating
def sample_without_replacement(n: Scalar, k: Scalar, state: Array) -> Array:
    """K distinct positions below n, in random order (the first k swaps of a Fisher-Yates shuffle)."""
    positions = np.arange(n, dtype=np.uint32)
    for i in range(k):
        j = i + np.int64(next_random(state) % np.uint64(n - i))
        positions[i], positions[j] = positions[j], positions[i]
    return positions[:k]


@kernel
def nearest_centroids(
    documents: Array,
    todo: Array,
    alive: Array,
    run_starts: Array,
    run_ends: Array,
    run_slots: Array,
    run_weights: Array,
    forward: Forward,
    doc_cut: Scalar,
    scores: Array,
    out: Array,
) -> None:
    """out[i] = slot of the living centroid with the largest inner product with documents[i], for i in todo.

    Only the document's `doc_cut` heaviest components count. NOWHERE if it shares none of them with a living centroid.
    """
    heads, head_bytes, scale = forward.heads, forward.head_bytes, forward.scale
    code_at = forward.head_size * heads.itemsize
    for i in todo:
        document = documents[i]
        scores[:] = 0
        best, best_slot = np.float32(0), NOWHERE
        for j in range(doc_cut):
            component = heads[document, j]
            weight = scale[component] * np.float32(head_bytes[document, code_at + j])
            for entry in range(run_starts[component], run_ends[component]):
                slot = run_slots[entry]
                score = scores[slot] + weight * run_weights[entry]
                scores[slot] = score
                # Weights are positive, so the largest value any sum passes through is the largest final sum.
                if score > best and alive[slot]:
                    best, best_slot = score, slot
        out[i] = best_slot


@allocating
def centroid_runs(
    documents: Array,
    chosen: Array,
    forward: Forward,
    run_starts: Array,
    run_ends: Array,
) -> tuple[Array, Array, Array]:
    """An inverted index of the centroids documents[chosen]: (components that occur, slots, weights).

    The entries of a component are slots[run_starts[c]:run_ends[c]], uint32, and the same range of weights, float32.
    """
    heads, head_bytes, scale = forward.heads, forward.head_bytes, forward.scale
    code_at = forward.head_size * heads.itemsize
    touched = np.empty(min(chosen.size * CENTROID_CUT, run_ends.size), np.uint32)
    n_touched = 0
    total = 0
    for slot in range(chosen.size):
        document = documents[chosen[slot]]
        for j in range(CENTROID_CUT):
            if head_bytes[document, code_at + j] > 0:
                component = heads[document, j]
                if run_ends[component] == 0:
                    touched[n_touched] = component
                    n_touched += 1
                run_ends[component] += np.uint32(1)
                total += 1
    cursor = np.uint32(0)
    for component in touched[:n_touched]:
        run_starts[component] = cursor
        cursor += run_ends[component]
        run_ends[component] = run_starts[component]
    slots = np.empty(total, np.uint32)
    weights = np.empty(total, np.float32)
    for slot in range(chosen.size):
        document = documents[chosen[slot]]
        for j in range(CENTROID_CUT):
            code = head_bytes[document, code_at + j]
            if code > 0:
                component = heads[document, j]
                slots[run_ends[component]] = slot
                weights[run_ends[component]] = scale[component] * np.float32(code)
                run_ends[component] += np.uint32(1)
    return touched[:n_touched], slots, weights


@allocating
def group_by_slot(documents: Array, slots: Array, n_slots: Scalar) -> tuple[Array, Array]:
    """(documents of slot 0, of slot 1, ..., block offsets uint32[slots in use + 1]); in a slot, in the given order."""
    sizes = np.zeros(n_slots, np.uint32)
    for slot in slots:
        sizes[slot] += np.uint32(1)
    offsets = np.zeros(n_slots + 1, np.uint32)
    cursors = np.empty(n_slots, np.uint32)
    n_blocks = 0
    at = np.uint32(0)
    for slot in range(n_slots):
        cursors[slot] = at
        if sizes[slot] > 0:
            at += sizes[slot]
            n_blocks += 1
            offsets[n_blocks] = at
    ordered = np.empty(documents.size, np.uint32)
    for i in range(documents.size):
        ordered[cursors[slots[i]]] = documents[i]
        cursors[slots[i]] += np.uint32(1)
    return ordered, offsets[: n_blocks + 1]


@allocating
def cut_into_blocks(
    documents: Array,
    forward: Forward,
    centroid_fraction: Scalar,
    min_cluster_size: Scalar,
    doc_cut: Scalar,
    seed: Scalar,
    run_starts: Array,
    run_ends: Array,
) -> tuple[Array, Array]:
    """(documents in block order, block offsets uint32[blocks + 1]) of one posting list; rows ascend within a block.

    A centroid for every 1 / centroid_fraction documents, 65,535 at most. Clusters of `min_cluster_size` or fewer are
    dissolved: their documents go to the nearest surviving centroid, or to the first one if none survives or none is
    near. `run_starts` and `run_ends` uint32[components] are scratch, zero before and after.
    """
    n = documents.size
    wanted: Scalar = np.int64(centroid_fraction * n)
    k = min(max(1, wanted), 65535)
    chosen = sample_without_replacement(n, k, np.array([seed], np.uint64))
    touched, run_slots, run_weights = centroid_runs(documents, chosen, forward, run_starts, run_ends)
    alive = np.ones(k, np.bool_)
    scores = np.empty(k, np.float32)
    slots = np.empty(n, np.uint32)
    todo = np.arange(n)
    nearest_centroids(
        documents, todo, alive, run_starts, run_ends, run_slots, run_weights, forward, doc_cut, scores, slots
    )
    sizes = np.zeros(k, np.int64)
    for slot in slots:
        if slot != NOWHERE:
            sizes[slot] += 1
    alive[:] = sizes > min_cluster_size
    first = np.uint32(np.argmax(alive))  # 0 if none survives
    n_lost = 0
    for i in range(n):
        if slots[i] == NOWHERE or not alive[slots[i]]:
            todo[n_lost] = i
            n_lost += 1
    lost = todo[:n_lost]
    nearest_centroids(
        documents, lost, alive, run_starts, run_ends, run_slots, run_weights, forward, doc_cut, scores, slots
    )
    for i in lost:
        if slots[i] == NOWHERE:
            slots[i] = first
    for component in touched:
        run_starts[component] = 0
        run_ends[component] = 0
    ordered, offsets = group_by_slot(documents, slots, k)
    return ordered, offsets
