"""Document vectors, read back from an index for feedback."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsr.errors import ParameterError
from lsr.index.jit import kernel
from lsr.storage.arrays import Array
from lsr.vectors.sparse_vectors import SparseVectors


class GatheredRows(NamedTuple):
    """Sparse rows end to end: indptr int64[n + 1], indices uint32[nnz], unsorted within a row, values float32[nnz]."""

    indptr: Array
    indices: Array
    values: Array

    def as_vectors(self, dim: int) -> SparseVectors:
        """In their normal form, such as queries must have."""
        return SparseVectors(self.indptr, self.indices, self.values, dim)


def checked_rows(rows: Array, documents: int) -> Array:
    """`rows` as int64[n]. Raises ParameterError for one that does not exist."""
    checked = np.asarray(rows, np.int64).reshape(-1)
    if len(checked) and not 0 <= checked.min() <= checked.max() < documents:
        raise ParameterError(
            f"rows {checked.min()} to {checked.max()} are asked for; the index has {documents} documents"
        )
    return checked


@kernel
def copy_rows(indptr: Array, indices: Array, values: Array, rows: Array, out: GatheredRows) -> None:
    """The `rows` of CSR arrays into `out`, whose indptr is filled."""
    for at in range(rows.size):
        begin = indptr[rows[at]]
        for entry in range(out.indptr[at + 1] - out.indptr[at]):
            out.indices[out.indptr[at] + entry] = indices[begin + entry]
            out.values[out.indptr[at] + entry] = values[begin + entry]
