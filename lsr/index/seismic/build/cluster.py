"""Clustering: an order of documents in which neighbors have much in common.

Seismic (Bruch et al., SIGIR 2024, section 4.2) clusters each posting list separately, with sampled centroids. Here, the
whole collection is clustered once, in the same way but as a tree: a centroid for every 512 documents, then one for
every 512 of a cluster, and so on, down to leaves of 1,024. halving.py makes blocks of neighboring documents. All
posting lists then have the same blocks, so that each block needs only one summary (ARCHITECTURE.md says what that
saves).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from lsr.index.jit import allocating, kernel
from lsr.index.parameters import IndexConfig
from lsr.index.seismic.forward import weight_order
from lsr.storage.arrays import Array, Scalar

# Components of a sketch, which represents a document or centroid: whole vectors do not give better blocks.
SKETCH = 16

# Documents per centroid above the leaves, and most documents of a leaf. Leaves of 4,096 do not give better blocks.
COARSE = 512
LEAF = 1024

# Centroids of one step, so that it is fast for any collection: they are in a table of 16 KB.
MOST_CENTROIDS = 4096

# Clusters of at most this number of documents are not split.
DISSOLVED = 2

# A cluster with this share of its parent cannot be split: copies of one document, or empty documents.
STUCK = 0.9

NOWHERE = np.uint32(0xFFFFFFFF)
JOB_ROWS = 16384


class Sketches(NamedTuple):
    """The heaviest components of each document, heaviest first, padded with weight 0."""

    components: Array  # T[n, SKETCH]
    weights: Array  # float32[n, SKETCH]

    def of(self, documents: Array | slice) -> Sketches:
        """The sketches of some documents."""
        return Sketches(self.components[documents], self.weights[documents])


class Runs(NamedTuple):
    """An inverted index of centroids; of component c, slots[starts[c]:ends[c]] and the same range of weights."""

    starts: Array  # uint32[components], zero between uses
    ends: Array  # likewise


@allocating
def find_sketches(
    begin: Scalar, end: Scalar, indptr: Array, internal: Array, values: Array, sketches: Sketches
) -> None:
    """The sketches of rows begin..end. Of equal weights, the first component in its row is taken."""
    for row in range(begin, end):
        first = indptr[row]
        order = weight_order(values[first : indptr[row + 1]])
        for j in range(min(SKETCH, order.size)):
            sketches.components[row, j] = internal[first + order[j]]
            sketches.weights[row, j] = values[first + order[j]]


@kernel
def next_random(state: Array) -> Scalar:
    """One step of SplitMix64, which updates `state` uint64[1]."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@allocating
def sample_without_replacement(n: Scalar, k: Scalar, seed: Scalar) -> Array:
    """K distinct positions below n, in random order (the first k swaps of a Fisher-Yates shuffle)."""
    state = np.array([seed], np.uint64)
    positions = np.arange(n, dtype=np.uint32)
    for i in range(k):
        j = i + np.int64(next_random(state) % np.uint64(n - i))
        positions[i], positions[j] = positions[j], positions[i]
    return positions[:k]


@kernel
def relative_length(document: Scalar, sketches: Sketches) -> Scalar:
    """The length of a sketch, divided by its largest weight; 0 for an empty one.

    Squares of the very smallest and largest floats would be zero or infinite.
    """
    largest, squares = np.float64(sketches.weights[document, 0]), 0.0
    if largest > 0:
        for j in range(SKETCH):
            squares += (sketches.weights[document, j] / largest) ** 2
    return np.sqrt(squares)


@allocating
def centroid_runs(centroids: Array, sketches: Sketches, runs: Runs) -> tuple[Array, Array, Array]:
    """Invert the centroids, documents uint32[k], into `runs`: (components that occur, slots uint32, weights float32).

    Weights are divided by the length of the centroid's sketch, so that heavy centroids do not attract more documents.
    """
    starts, ends = runs.starts, runs.ends
    touched = np.empty(min(centroids.size * SKETCH, ends.size), np.uint32)
    n_touched = 0
    total = 0
    for document in centroids:
        for j in range(SKETCH):
            if sketches.weights[document, j] > 0:
                component = sketches.components[document, j]
                if ends[component] == 0:
                    touched[n_touched] = component
                    n_touched += 1
                ends[component] += np.uint32(1)
                total += 1
    cursor = np.uint32(0)
    for component in touched[:n_touched]:
        starts[component] = cursor
        cursor += ends[component]
        ends[component] = starts[component]
    slots = np.empty(total, np.uint32)
    weights = np.empty(total, np.float32)
    for slot in range(centroids.size):
        document = centroids[slot]
        largest, length = np.float64(sketches.weights[document, 0]), relative_length(document, sketches)
        for j in range(SKETCH):
            if sketches.weights[document, j] > 0:
                component = sketches.components[document, j]
                slots[ends[component]] = slot
                weights[ends[component]] = sketches.weights[document, j] / largest / length
                ends[component] += np.uint32(1)
    return touched[:n_touched], slots, weights


@kernel
def nearest_centroids(
    documents: Array,
    todo: Array,
    alive: Array,
    runs: Runs,
    slots: Array,
    weights: Array,
    sketches: Sketches,
    doc_cut: Scalar,
    scores: Array,
    out: Array,
) -> None:
    """out[i] = slot of the living centroid with the largest inner product with documents[i], for i in todo.

    Only the document's `doc_cut` heaviest components count. NOWHERE if it shares none of them with a living centroid.
    """
    for i in todo:
        document = documents[i]
        scores[:] = 0
        best, best_slot = np.float32(0), NOWHERE
        largest = sketches.weights[document, 0]
        for j in range(doc_cut):
            if sketches.weights[document, j] == 0:
                break
            component = sketches.components[document, j]
            weight = sketches.weights[document, j] / largest
            for entry in range(runs.starts[component], runs.ends[component]):
                slot = slots[entry]
                score = scores[slot] + weight * weights[entry]
                scores[slot] = score
                # Weights are positive, so the largest intermediate sum is the largest final sum.
                if score > best and alive[slot]:
                    best, best_slot = score, slot
        out[i] = best_slot


@allocating
def group_by_slot(documents: Array, slots: Array, n_slots: Scalar) -> tuple[Array, Array]:
    """(documents of slot 0, of slot 1, ..., offsets int64[slots in use + 1]); in a slot, in the given order."""
    sizes = np.zeros(n_slots, np.int64)
    for slot in slots:
        sizes[slot] += 1
    offsets = np.zeros(n_slots + 1, np.int64)
    cursors = np.empty(n_slots, np.int64)
    n_groups = 0
    at = 0
    for slot in range(n_slots):
        cursors[slot] = at
        if sizes[slot] > 0:
            at += sizes[slot]
            n_groups += 1
            offsets[n_groups] = at
    ordered = np.empty(documents.size, np.uint32)
    for i in range(documents.size):
        ordered[cursors[slots[i]]] = documents[i]
        cursors[slots[i]] += 1
    return ordered, offsets[: n_groups + 1]


@allocating
def split(
    documents: Array, k: Scalar, sketches: Sketches, doc_cut: Scalar, seed: Scalar, runs: Runs
) -> tuple[Array, Array]:
    """(documents cluster by cluster, offsets int64[clusters + 1]): one step, with k of the documents for centroids.

    Clusters of DISSOLVED or fewer are dissolved: their documents go to the nearest surviving centroid, or to
    the first one if none survives or none is near. `runs` is scratch, zero before and after.
    """
    n = documents.size
    centroids = documents[sample_without_replacement(n, k, seed)]
    touched, run_slots, run_weights = centroid_runs(centroids, sketches, runs)
    alive = np.ones(k, np.bool_)
    scores = np.empty(k, np.float32)
    slots = np.empty(n, np.uint32)
    todo = np.arange(n)
    nearest_centroids(documents, todo, alive, runs, run_slots, run_weights, sketches, doc_cut, scores, slots)
    sizes = np.zeros(k, np.int64)
    for slot in slots:
        if slot != NOWHERE:
            sizes[slot] += 1
    alive[:] = sizes > DISSOLVED
    first = np.uint32(np.argmax(alive))  # 0 if none survives
    n_lost = 0
    for i in range(n):
        if slots[i] == NOWHERE or not alive[slots[i]]:
            todo[n_lost] = i
            n_lost += 1
    lost = todo[:n_lost]
    nearest_centroids(documents, lost, alive, runs, run_slots, run_weights, sketches, doc_cut, scores, slots)
    for i in lost:
        if slots[i] == NOWHERE:
            slots[i] = first
    for component in touched:
        runs.starts[component] = 0
        runs.ends[component] = 0
    ordered, offsets = group_by_slot(documents, slots, k)
    return ordered, offsets


@allocating
def grow_tree(documents: Array, sketches: Sketches, doc_cut: Scalar, seed: Scalar, runs: Runs) -> Array:
    """Some documents in the order of their clusters, which have at most LEAF of them."""
    order = documents.copy()
    begins, ends = [0], [documents.size]
    while len(begins) > 0:
        begin, end = begins.pop(), ends.pop()
        n = end - begin
        k = min(max(2, n // COARSE), MOST_CENTROIDS)
        ordered, offsets = split(order[begin:end], k, sketches, doc_cut, seed + np.uint64(begin), runs)
        order[begin:end] = ordered
        for child in range(offsets.size - 1):
            size = offsets[child + 1] - offsets[child]
            if LEAF < size <= STUCK * n:
                begins.append(begin + offsets[child])
                ends.append(begin + offsets[child + 1])
    return order


def cluster(sketches: Sketches, n_components: int, config: IndexConfig, executor: Executor) -> Array:
    """Rows, uint32[n], in the order of their clusters, for any number of threads."""
    n = len(sketches.weights)
    if n <= LEAF:
        return np.arange(n, dtype=np.uint32)
    centroids = sampled_centroids(n, config)
    first = FirstSplit.of(sketches.of(centroids), n_components, config)
    begins = range(0, n, JOB_ROWS)
    slots = np.concatenate(
        [*executor.map(lambda begin: first.slots(sketches.of(slice(begin, begin + JOB_ROWS))), begins)]
    )
    rows, offsets = group_by_slot(np.arange(n, dtype=np.uint32), slots, len(centroids))
    return grow_groups(np.split(rows, offsets[1:-1]), 0, sketches, n_components, config, executor)


def sampled_centroids(n: int, config: IndexConfig) -> Array:
    """The rows, uint32[k], of the centroids of the first split of n documents."""
    k = min(max(2, n // COARSE), MOST_CENTROIDS)
    return sample_without_replacement(n, k, np.uint64(config.seed))  # type: ignore[no-any-return]


class FirstSplit(NamedTuple):
    """The first split, of all documents, which several threads assign to slots."""

    k: int
    doc_cut: int
    runs: Runs
    run_slots: Array
    run_weights: Array

    @classmethod
    def of(cls, centroids: Sketches, n_components: int, config: IndexConfig) -> FirstSplit:
        """By the sketches of sampled_centroids."""
        k, runs = len(centroids.weights), _runs(n_components)
        _, run_slots, run_weights = centroid_runs(np.arange(k, dtype=np.uint32), centroids, runs)
        return cls(k, config.doc_cut, runs, run_slots, run_weights)

    def slots(self, sketches: Sketches) -> Array:
        """The slots, uint32[m], of some documents."""
        todo = np.arange(len(sketches.weights))
        slots = np.empty(len(todo), np.uint32)
        alive, scores = np.ones(self.k, bool), np.empty(self.k, np.float32)
        runs, documents = (self.runs, self.run_slots, self.run_weights), todo.astype(np.uint32)
        nearest_centroids(documents, todo, alive, *runs, sketches, self.doc_cut, scores, slots)
        slots[slots == NOWHERE] = 0
        return slots


def grow_groups(
    groups: Sequence[Array], first: int, sketches: Sketches, n_components: int, config: IndexConfig, executor: Executor
) -> Array:
    """The documents of groups `first` and those after it, each group in the order of its clusters."""

    def grow(group: Array, seed: int) -> Array:
        if len(group) <= LEAF:
            return group
        own_seed = np.uint64(config.seed << 32) + np.uint64(seed)
        return grow_tree(group, sketches, config.doc_cut, own_seed, _runs(n_components))  # type: ignore[no-any-return]

    return np.concatenate([*executor.map(grow, groups, range(first, first + len(groups)))])


def _runs(n_components: int) -> Runs:
    return Runs(np.zeros(max(1, n_components), np.uint32), np.zeros(max(1, n_components), np.uint32))
