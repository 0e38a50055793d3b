"""Twins of lsr/index/block.py. Scores are added up as 32-bit floats and in the same order, or ties would differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from tests.naive.forward import Document, split_code

Weights = list[tuple[int, np.float32]]


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


def coarse_weights(document: Document, scale: Sequence[np.float32], cut: int) -> Weights:
    """(component, weight by its high byte) of the `cut` heaviest components."""
    codes = [(component, split_code(code16)[0]) for component, code16 in document.head[:cut]]
    return [(component, scale[component] * np.float32(code)) for component, code in codes if code > 0]


@np.errstate(over="ignore", under="ignore")
def nearest_centroids(
    documents: Sequence[Weights], centroids: Sequence[Weights], alive: Sequence[bool]
) -> list[int | None]:
    """The living centroid with the largest inner product; of equal ones the first to reach it, component by component.

    None where no product is above zero.
    """
    inverted: dict[int, Weights] = defaultdict(list)
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
        # What is reached once is kept: weights are positive.
        best = max((scores[slot] for slot in reached), default=np.float32(0))
        chosen.append(min((at for slot, at in reached.items() if scores[slot] == best), default=(0, None))[1])
    return chosen


def cut_into_blocks(
    members: Sequence[int],
    documents: Sequence[Document],
    scale: Sequence[np.float32],
    centroid_fraction: float,
    min_cluster_size: int,
    doc_cut: int,
    seed: int,
) -> list[list[int]]:
    """The blocks of one posting list, by the order of their centroids in the sample."""
    n_centroids = min(max(1, int(centroid_fraction * len(members))), 65535)
    sample = sample_without_replacement(len(members), n_centroids, seed)
    centroids = [coarse_weights(documents[members[at]], scale, 16) for at in sample]
    vectors = [coarse_weights(documents[member], scale, doc_cut) for member in members]

    slots = nearest_centroids(vectors, centroids, [True] * n_centroids)
    alive = [slots.count(slot) > min_cluster_size for slot in range(n_centroids)]
    if any(alive):
        second = nearest_centroids(vectors, centroids, alive)
        for i, slot in enumerate(slots):
            if slot is None or not alive[slot]:
                slots[i] = alive.index(True) if second[i] is None else second[i]
    else:
        slots = [0] * len(members)
    blocks = [[m for m, s in zip(members, slots, strict=True) if s == slot] for slot in range(n_centroids)]
    return [block for block in blocks if block]
