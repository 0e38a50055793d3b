"""Slow, obvious twins of lsr/index/inverted/inverted_kernels.py, name for name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lsr.index.inverted.inverted_kernels import Inverted


def find_lists(indices: npt.NDArray[np.integer], components: npt.NDArray[np.uint32]) -> list[int]:
    return [components.tolist().index(component) for component in indices.tolist()]


def scatter_postings(
    indptr: npt.NDArray[np.int64], lists: npt.NDArray[np.uint32], values: npt.NDArray[np.float32], n_lists: int
) -> tuple[list[int], list[float]]:
    """rows and weights of all lists, one list after the other."""
    postings: list[list[tuple[int, float]]] = [[] for _ in range(n_lists)]
    for row in range(len(indptr) - 1):
        for i in range(indptr[row], indptr[row + 1]):
            postings[lists[i]].append((row, float(values[i])))
    flat = [posting for one_list in postings for posting in one_list]
    return [row for row, _ in flat], [weight for _, weight in flat]


def search_queries(
    query_starts: npt.NDArray[np.int64],
    query_lists: npt.NDArray[np.int64],
    query_weights: npt.NDArray[np.float32],
    inverted: Inverted,
    allowed: list[bool],
    k: int,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """scores and rows, padded. allowed: of each document whether it may be found."""
    documents = len(allowed)
    scores = np.full((len(query_starts) - 1, k), -np.inf, np.float32)
    rows = np.full((len(query_starts) - 1, k), -1, np.int64)
    for query in range(len(query_starts) - 1):
        sums = [np.float32(0)] * documents
        for i in range(query_starts[query], query_starts[query + 1]):
            chosen = query_lists[i]
            for at in range(inverted.starts[chosen], inverted.starts[chosen + 1]):
                sums[inverted.rows[at]] += query_weights[i] * inverted.weights[at]
        found = [row for row in range(documents) if sums[row] > 0 and allowed[row]]
        hits = sorted(found, key=lambda row: (-sums[row], row))[:k]
        scores[query, : len(hits)] = [sums[row] for row in hits]
        rows[query, : len(hits)] = hits
    return scores, rows


def is_heap(scores: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], size: int) -> bool:
    """Whether every hit is at least as good as its parent; of equal scores the lower row is the better."""
    return all(
        (scores[child], -rows[child]) >= (scores[(child - 1) // 2], -rows[(child - 1) // 2]) for child in range(1, size)
    )
