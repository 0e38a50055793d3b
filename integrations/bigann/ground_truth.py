"""BigANN's files of true neighbors: reading, writing and computing them.

    python ground_truth.py base.csr queries.csr base.dev.gt [-k 10]

Little endian: uint32 queries, uint32 k, int32 rows[queries, k], float32 scores[queries, k].
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from lsr import ExactIndex, SparseVectors, iter_vectors
from lsr.errors import VectorsError

HEADER = 8  # bytes
BATCH = 250_000  # rows searched at a time


def read_ground_truth(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows int32[queries, k] and scores float32[queries, k]. Raises VectorsError for a file of another length."""
    content = Path(path).read_bytes()
    if len(content) < HEADER:
        raise VectorsError(f"{path}: has {len(content)} bytes, less than a header; expected a file of true neighbors")
    n, k = np.frombuffer(content, "<u4", 2).tolist()
    if len(content) != HEADER + 8 * n * k:
        raise VectorsError(
            f"{path}: has {len(content)} bytes instead of {HEADER + 8 * n * k} for {n} queries and {k} neighbors in "
            "its header; copy it again"
        )
    rows = np.frombuffer(content, "<i4", n * k, HEADER).reshape(n, k)
    return rows, np.frombuffer(content, "<f4", n * k, HEADER + 4 * n * k).reshape(n, k)


def write_ground_truth(path: str | Path, rows: np.ndarray, scores: np.ndarray) -> None:
    """Write a file of true neighbors. rows, scores: [queries, k]."""
    header = np.array(rows.shape, "<u4")
    Path(path).write_bytes(header.tobytes() + rows.astype("<i4").tobytes() + scores.astype("<f4").tobytes())


def true_neighbors(documents: str | Path, queries: SparseVectors, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Rows and scores [queries, k] by exact search, equal scores by row; only a batch of documents is in memory."""
    scores, rows = np.full((len(queries), 0), -np.inf, np.float32), np.empty((len(queries), 0), np.int64)
    begin = 0
    for batch in iter_vectors(documents, BATCH):
        found = ExactIndex.build(batch).search(queries, k, threads=None)
        scores = np.hstack([scores, found.scores])
        rows = np.hstack([rows, np.where(found.rows < 0, -1, found.rows + begin)])
        best = np.lexsort((rows, -scores), axis=1)[:, :k]
        scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
        begin += len(batch)
    return rows, scores


def recall(found: np.ndarray, true_rows: np.ndarray) -> float:
    """The share of the true neighbors that were found, as in the track: by row, for any scores."""
    return float((true_rows[:, :, None] == found[:, None, :]).any(axis=2).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    parser.add_argument("queries", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("-k", type=int, default=10)
    arguments = parser.parse_args()
    rows, scores = true_neighbors(arguments.documents, SparseVectors.read(arguments.queries), arguments.k)
    write_ground_truth(arguments.output, rows, scores)


if __name__ == "__main__":
    main()
