"""The true top 10 of queries over collections of millions of rows, computed in slices and stored on disk."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from grown import Grown
from peers import K
from search_common import recall_of

from lsr import ExactIndex, SparseVectors

SLICE = 100_000  # rows; every collection with the whole slice uses its results


class Truth:
    """The first rows of a grown collection, with queries and their true top 10, by which recall is measured."""

    def __init__(self, name: str, documents: Path, rows: int, queries: SparseVectors, folder: Path) -> None:
        """Compute or load the true top 10. folder: of the results of slices, only for these queries over this file."""
        self.name, self.rows, self.queries = name, rows, queries
        self._grown = Grown(documents)
        self.nonzeros = int(self._grown.indptr[rows])
        folder.mkdir(parents=True, exist_ok=True)
        found = [self._slice(begin, min(begin + SLICE, rows), folder) for begin in range(0, rows, SLICE)]
        scores, tops = (np.concatenate(part, axis=1) for part in zip(*found, strict=True))
        best = np.lexsort((tops, -scores), axis=1)[:, :K]
        self.top = np.take_along_axis(tops, best, axis=1)
        self._least = np.take_along_axis(scores, best, axis=1)[:, -1] * np.float32(1 - 1e-6)

    def __str__(self) -> str:
        return (
            f"{self.rows:,} {self.name} of {self.nonzeros / self.rows:.0f} non-zeros, {len(self.queries):,} queries of "
            f"{self.queries.nnz / len(self.queries):.0f}"
        )

    def recall(self, rows: np.ndarray) -> float:
        """See Collection.recall."""
        return recall_of(rows, self.top, self._least, self._scores)

    def _slice(self, begin: int, end: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        path = folder / f"{begin:08}-{end:08}.npz"
        if not path.exists():
            found = ExactIndex.build(self._grown.slice(begin, end)).search(self.queries, K, threads=None)
            partial = path.with_suffix(".partial.npz")
            np.savez(partial, scores=found.scores, rows=np.where(found.rows < 0, -1, found.rows + begin))
            partial.replace(path)
        with np.load(path) as arrays:
            return arrays["scores"], arrays["rows"]

    def _scores(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.array([self._score(query, row) for query, row in zip(queries.tolist(), rows.tolist(), strict=True)])

    @functools.lru_cache(maxsize=1 << 20)  # engines and parameters return the same wrong documents  # noqa: B019
    def _score(self, query: int, row: int) -> float:
        components, weights = self._grown.row(row)
        of_query, query_weights = self.queries.row(query)
        _, here, there = np.intersect1d(components, of_query, assume_unique=True, return_indices=True)
        return float(weights[here].astype(np.float64) @ query_weights[there])
