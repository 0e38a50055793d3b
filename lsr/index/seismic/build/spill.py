"""Distributing rows to ranges on disk, so that the rows of a range can be read together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lsr.index.jit import allocating
from lsr.storage.arrays import Array, Scalar
from lsr.storage.files import storage_errors


@allocating
def range_begins(rows: Array, lengths: Array, of_posting: Scalar, of_document: Scalar, room: Scalar) -> Array:
    """int64[ranges]: the begins of ranges of `rows` that take `room` bytes or have one row. lengths: uint32[n]."""
    begins, used = [0], 0
    for i in range(rows.size):
        cost = lengths[rows[i]] * of_posting + of_document
        if used + cost > room and i > 0:
            begins.append(i)
            used = 0
        used += cost
    return np.array(begins[: rows.size])


class Spill:
    """Rows in two files, by range, and in each range in the order in which they were read.

    starts: int64[ranges + 1], the begin of each range in postings.
    """

    def __init__(self, folder: Path, dtype: np.dtype[Any], starts: Array) -> None:
        self._paths = folder / "rows.internal", folder / "rows.values"
        self._dtypes = dtype, np.dtype(np.float32)
        self._starts = starts

    def fill(self, batches: Iterable[tuple[Array, Array, Array]]) -> None:
        """Write batches of (internal T[m], values float32[m], begins of ranges in them, int64[ranges + 1]).

        Raises StorageError.
        """
        cursors = self._starts[:-1].copy()
        with storage_errors(self._paths[0]), open(self._paths[0], "wb") as first, open(self._paths[1], "wb") as second:
            for *arrays, starts in batches:
                for at in np.flatnonzero(np.diff(starts)):
                    for file, array in zip((first, second), arrays, strict=True):
                        file.seek(int(cursors[at]) * array.itemsize)
                        file.write(array[starts[at] : starts[at + 1]].view(np.uint8).data)
                    cursors[at] += starts[at + 1] - starts[at]

    def read(self, at: int) -> tuple[Array, Array]:
        """(internal T[m], values float32[m]) of the rows of a range."""
        begin, end = int(self._starts[at]), int(self._starts[at + 1])
        internal, values = (
            np.fromfile(path, dtype, end - begin, offset=begin * dtype.itemsize)
            for path, dtype in zip(self._paths, self._dtypes, strict=True)
        )
        return internal, values

    def remove(self) -> None:
        """Remove the files."""
        for path in self._paths:
            path.unlink()
