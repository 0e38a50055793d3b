"""Sparse vectors, in memory and on disk."""

from __future__ import annotations

from lsr.vectors.sparse_vectors import SparseVectors, VectorFiles


def _files() -> VectorFiles:
    from lsr.vectors import io  # imports pyarrow, which only reading and writing need

    return io


SparseVectors._files = _files
