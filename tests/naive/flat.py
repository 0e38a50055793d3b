"""Twin of lsr/index/flat.py."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from lsr.index.flat import SHORTEST_LIST
from lsr.vectors import SparseVectors


def spread(vectors: SparseVectors) -> float:
    """Standard deviation over mean in each list of more than 128 postings, averaged over postings."""
    lists: dict[int, list[float]] = defaultdict(list)
    for component, weight in zip(vectors.indices.tolist(), vectors.values.tolist(), strict=True):
        lists[component].append(weight)
    spreads = [each for weights in lists.values() if len(weights) > SHORTEST_LIST for each in _spreads(weights)]
    return float(np.mean(spreads)) if spreads else float("inf")


def _spreads(weights: list[float]) -> list[float]:
    return [float(np.std(weights) / np.mean(weights))] * len(weights)
