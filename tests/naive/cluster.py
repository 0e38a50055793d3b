"""Twins of lsr/index/seismic/build/cluster.py.

Scores are added up as 32-bit floats and in the same order, or ties would differ.

A sketch is a list of (component, weight), heaviest first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from math import sqrt

import numpy as np

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build.cluster import COARSE, DISSOLVED, LEAF, MOST_CENTROIDS, SKETCH, STUCK
from tests.naive.forward import Row

Sketch = list[tuple[int, np.float32]]


def find_sketches(rows: Sequence[Row]) -> list[Sketch]:
    """The heaviest components of each row, of equal weights the one that comes first."""
    return [sorted(row, key=lambda pair: -pair[1])[:SKETCH] for row in rows]


def next_random(seed: int) -> Iterator[int]:
    """SplitMix64 (Steele, Lea and Flood, 2014)."""
    mask = (1 << 64) - 1
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


def sample_without_replacement(n: int, k: int, seed: int) -> list[int]:
    """The first k cards of a shuffled deck of n."""
    deck = list(range(n))
    for i, random in enumerate(islice(next_random(seed), k)):
        j = i + random % (n - i)
        deck[i], deck[j] = deck[j], deck[i]
    return deck[:k]


def of_unit_length(sketch: Sketch) -> Sketch:
    """A centroid: its weights are divided by its length."""
    ratios = [float(weight) / float(sketch[0][1]) for _, weight in sketch]
    squares = 0.0
    for ratio in ratios:  # one by one, because sum() rounds less from Python 3.12 on
        squares += ratio * ratio
    return [
        (component, np.float32(ratio / sqrt(squares))) for (component, _), ratio in zip(sketch, ratios, strict=True)
    ]


def cut_sketch(sketch: Sketch, doc_cut: int) -> Sketch:
    """A document that looks for its centroid: what counts of its sketch, in units of its heaviest weight."""
    return [(component, weight / sketch[0][1]) for component, weight in sketch[:doc_cut]]


def nearest_centroids(
    documents: Sequence[Sketch], centroids: Sequence[Sketch], alive: Sequence[bool]
) -> list[int | None]:
    """The living centroid with the largest inner product; of equal ones the first to reach it, component by component.

    None where no product is above zero.
    """
    inverted: dict[int, Sketch] = defaultdict(list)
    for slot, centroid in enumerate(centroids):
        for component, weight in centroid:
            if alive[slot]:
                inverted[component].append((slot, weight))
    chosen: list[int | None] = []
    for document in documents:
        scores: dict[int, np.float32] = defaultdict(np.float32)
        reached: dict[int, tuple[int, int]] = {}
        for step, (component, weight) in enumerate(document):
            for slot, centroid_weight in inverted[component]:
                before = scores[slot]
                scores[slot] = before + weight * centroid_weight
                if scores[slot] > before:
                    reached[slot] = (step, slot)
        best = max((scores[slot] for slot in reached), default=np.float32(0))
        chosen.append(min((at for slot, at in reached.items() if scores[slot] == best), default=(0, None))[1])
    return chosen


def split(documents: Sequence[int], k: int, sketches: Sequence[Sketch], doc_cut: int, seed: int) -> list[list[int]]:
    """The clusters around k of the documents, in the order of their centroids; small ones are dissolved."""
    return _clusters_around(k, documents, sketches, doc_cut, seed, DISSOLVED)


def _clusters_around(
    k: int, documents: Sequence[int], sketches: Sequence[Sketch], doc_cut: int, seed: int, dissolved: int
) -> list[list[int]]:
    """dissolved: the largest of those clusters whose documents go elsewhere."""
    centroids = [of_unit_length(sketches[documents[at]]) for at in sample_without_replacement(len(documents), k, seed)]
    vectors = [cut_sketch(sketches[document], doc_cut) for document in documents]
    slots = nearest_centroids(vectors, centroids, [True] * k)
    alive = [slots.count(slot) > dissolved for slot in range(k)]
    first = alive.index(True) if any(alive) else 0
    second = nearest_centroids(vectors, centroids, alive)
    for i, slot in enumerate(slots):
        if slot is None or not alive[slot]:
            slots[i] = first if second[i] is None else second[i]
    clusters = [[d for d, s in zip(documents, slots, strict=True) if s == slot] for slot in range(k)]
    return [cluster for cluster in clusters if cluster]


def number_of_centroids(n: int) -> int:
    """How many centroids share out n documents."""
    return min(max(2, n // COARSE), MOST_CENTROIDS)


def grow_tree(
    documents: Sequence[int], sketches: Sequence[Sketch], doc_cut: int, seed: int, begin: int = 0
) -> list[int]:
    """Some documents in the order of their clusters. begin: how many documents of the tree stand before these."""
    n, order = len(documents), []
    for part in split(documents, number_of_centroids(n), sketches, doc_cut, seed + begin):
        is_leaf = len(part) <= LEAF or len(part) > STUCK * n
        order += part if is_leaf else grow_tree(part, sketches, doc_cut, seed, begin)
        begin += len(part)
    return order


def cluster(sketches: Sequence[Sketch], config: IndexConfig) -> list[int]:
    """All rows, in the order of their clusters: a tree for each of those beyond a leaf that a first step makes."""
    rows = list(range(len(sketches)))
    if len(rows) <= LEAF:
        return rows
    groups = _clusters_around(number_of_centroids(len(rows)), rows, sketches, config.doc_cut, config.seed, -1)
    order = []
    for at, group in enumerate(groups):
        seed = (config.seed << 32) + at
        order += group if len(group) <= LEAF else grow_tree(group, sketches, config.doc_cut, seed)
    return order
