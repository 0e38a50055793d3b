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
