"""Slow, obvious twins of lsr/index/inverted/inverted_kernels.py, name for name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lsr.index.inverted.inverted_kernels import Inverted
from lsr.vectors.sparse_vectors import SparseVectors


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


def search_lists(
    engines: Sequence[Inverted],
    queries: SparseVectors,
    documents: Sequence[tuple[int, int]],
    allowed: Sequence[bool],
) -> list[list[tuple[float, int]]]:
    """(score, row) of each query's documents, best first, by their best rows.

    documents: of each row, all engines' end to end, its engine and its document. allowed: whether a row may be found.
    """
    firsts = [sum(each < engine for each, _ in documents) for engine in range(len(engines))]
    found = []
    for query in range(len(queries)):
        sums = [np.float32(0)] * len(documents)
        for component, weight in zip(*queries.row(query), strict=True):
            for engine, inverted in enumerate(engines):
                for at in np.flatnonzero(inverted.components == component):
                    for posting in range(inverted.starts[at], inverted.starts[at + 1]):
                        sums[firsts[engine] + inverted.rows[posting]] += weight * inverted.weights[posting]
        best: dict[tuple[int, int], tuple[float, int]] = {}
        for row in sorted(range(len(documents)), key=lambda row: (-sums[row], row)):
            if sums[row] > 0 and allowed[row]:
                best.setdefault(documents[row], (float(sums[row]), row))
        found.append(list(best.values()))
    return found


def add_in_time(
    inverted: Inverted,
    lists: Sequence[int],
    weights: Sequence[np.float32],
    bounds: Sequence[float],
    too_long: Sequence[int],
    documents: int,
) -> tuple[list[np.float32], list[float], float]:
    """(sums of lists, bounds of lists that are not added, the share that they have of what all lists can add).

    bounds: above 0 for lists that are skipped in any case. too_long: lists that there is no time for. The share is 0
    unless there are such lists.
    """
    worths = [weight * _postings(inverted, each)[1].max() for each, weight in zip(lists, weights, strict=True)]
    missing = [bound > 0 or each in too_long for each, bound in zip(lists, bounds, strict=True)]
    sums = [np.float32(0)] * documents
    for i in sorted(range(len(lists)), key=lambda i: -worths[i]):
        if not missing[i]:
            for row, weight in zip(*_postings(inverted, lists[i]), strict=True):
                sums[row] += weights[i] * weight
    left_out = [each in too_long and not bound > 0 for each, bound in zip(lists, bounds, strict=True)]
    late = sum(float(worth) for worth, each in zip(worths, missing, strict=True) if each)
    share = late / sum(map(float, worths)) if any(left_out) else 0.0
    return sums, [float(worths[i]) if left_out[i] else bounds[i] for i in range(len(lists))], share


def add_late(
    inverted: Inverted,
    lists: Sequence[int],
    weights: Sequence[np.float32],
    bounds: Sequence[float],
    hits: Sequence[tuple[np.float32, int]],
) -> list[tuple[np.float32, int]]:
    """(score, row) of hits with the lists that were not added, best first, equal scores by row."""
    late = []
    for score, row in hits:
        for chosen, weight, bound in zip(lists, weights, bounds, strict=True):
            rows, of_list = _postings(inverted, chosen)
            if bound > 0 and row in rows:
                score += weight * of_list[rows == row][0]
        late.append((score, row))
    return sorted(late, key=lambda hit: (-hit[0], hit[1]))


def _postings(inverted: Inverted, chosen: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    places = slice(inverted.starts[chosen], inverted.starts[chosen + 1])
    return inverted.rows[places], inverted.weights[places]
