"""Vectors of documents, read from an index."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsr.checks import listed, shown
from lsr.errors import ParameterError
from lsr.storage.arrays import Array
from lsr.vectors.sparse_vectors import SparseVectors


class GatheredRows(NamedTuple):
    """Concatenated sparse rows: indptr int64[n + 1], indices uint32[nnz] (unsorted in a row), values float32[nnz]."""

    indptr: Array
    indices: Array
    values: Array

    def as_vectors(self, dim: int) -> SparseVectors:
        """The rows in normal form, as queries."""
        return SparseVectors(self.indptr, self.indices, self.values, dim)


def checked_row(row: int, documents: int) -> int:
    """`row`. Raises ParameterError unless it exists."""
    if isinstance(row, bool) or not isinstance(row, int | np.integer) or not 0 <= row < documents:
        raise ParameterError(f"row {shown(row)} does not exist; the index has {documents} documents")
    return int(row)


def checked_rows(rows: Array, documents: int) -> Array:
    """`rows` as int64[n]. Raises ParameterError unless these are row numbers, and all exist."""
    try:
        given = rows if isinstance(rows, np.ndarray) else np.asarray(listed(rows, "rows"))
    except ValueError:  # of nested sequences
        given = np.array([None])
    if given.size and given.dtype.kind not in "iu":
        raise ParameterError(f"rows have the type {given.dtype}; give row numbers")
    checked = given.astype(np.int64).reshape(-1)
    if len(checked) and not 0 <= checked.min() <= checked.max() < documents:
        raise ParameterError(f"rows are {checked.min()} to {checked.max()}, but the index has {documents} documents")
    return checked
