"""The .csr files of BigANN's sparse track: rows without ids and tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lsr.exchange.index_rows import IndexRows, Written
from lsr.exchange.opened_vectors import OpenedVectors
from lsr.progress import Advance
from lsr.vectors.io import csr, iter_vectors


def write(path: Path, rows: IndexRows, _scale: float | None, advance: Advance) -> Written:
    """Write the file. Rows are read three times."""
    csr.write_batches(path, rows.dim, lambda: rows.batches(advance))
    weights = csr.read_info(path).nnz
    return Written(weights, notes=("rows are in the order of the index; the file cannot store ids and tokens",))


@contextmanager
def read(path: Path, _scratch: Path) -> Iterator[OpenedVectors]:
    """Open a file. The ids of its rows are row numbers from 0. Raises VectorsError."""
    info = csr.read_info(path)
    yield OpenedVectors(info.dim, None, info.rows, iter_vectors(path))
