"""Sparse vectors, in memory and on disk."""

from __future__ import annotations

from lsr.vectors import sparse_vectors


def _files() -> sparse_vectors.VectorFiles:
    from lsr.vectors import io  # imports pyarrow, which only those need who read or write vectors

    return io


sparse_vectors.files = _files
