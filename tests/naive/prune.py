"""Twins of lsr/index/prune.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lsr.index.config import IndexConfig
from tests.naive.forward import Row


def kth_largest(values: Sequence[float], k: int) -> float:
    """By sorting."""
    return sorted(values, reverse=True)[k - 1]


def pruned_lists(rows: Sequence[Row], n_components: int, dim: int, config: IndexConfig) -> list[list[int]]:
    """The documents of each list that stay, ascending."""
    lists: list[list[tuple[np.float32, int]]] = [[] for _ in range(n_components)]
    for document, row in enumerate(rows):
        for component, weight in row:
            lists[component].append((weight, document))
    cap = config.n_postings
    if config.pruning == "global":
        cap = max(1, int(config.n_postings * config.max_fraction))
        weights = [weight for row in rows for _, weight in row]
        if dim * config.n_postings < len(weights):
            threshold = kth_largest(weights, dim * config.n_postings)
            lists = [[posting for posting in each if posting[0] >= threshold] for each in lists]
    heaviest_first = [sorted(each, key=lambda posting: (-posting[0], posting[1])) for each in lists]
    return [sorted(document for _, document in each[:cap]) for each in heaviest_first]
