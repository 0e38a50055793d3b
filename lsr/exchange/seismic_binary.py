"""Seismic's inner format, .bin: rows without ids and tokens.

Little endian, without padding: uint32 rows; for each row uint32 m, uint32 components[m], float32 weights[m].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lsr.batched import batched
from lsr.errors import VectorsError
from lsr.exchange.index_rows import IndexRows, Written
from lsr.exchange.opened_vectors import OpenedVectors
from lsr.progress import Advance
from lsr.storage.arrays import Array
from lsr.storage.files import replacing_file
from lsr.storage.reading import open_binary
from lsr.vectors.io.vectors_info import reading_errors, row_names
from lsr.vectors.normalize import indptr_of, normalize
from lsr.vectors.sparse_vectors import SparseVectors

WHAT = "Seismic's inner format: the number of rows, then the length, components and weights of each row"
MAX_ROWS = MAX_COMPONENTS = 2**32 - 1
ROWS_AT_ONCE = 8192


def write(path: Path, rows: IndexRows, _scale: float | None, advance: Advance) -> Written:
    """Write the file. Raises VectorsError if the number of rows does not fit in a uint32."""
    if len(rows) > MAX_ROWS:
        raise VectorsError(
            f"{path}: the index has {len(rows)} rows, and Seismic's inner format supports at most {MAX_ROWS}; export "
            "a smaller index"
        )
    weights = 0
    with replacing_file(path) as file:
        file.write(np.uint32(len(rows)).astype("<u4").tobytes())
        for batch in rows.batches(advance):
            for components, values in (batch.row(row) for row in range(len(batch))):
                numbers = np.concatenate([[len(components)], components]).astype("<u4")
                file.write(numbers.tobytes() + values.astype("<f4", copy=False).tobytes())
            weights += batch.nnz
    return Written(weights, notes=("rows are in the order of the index; the file cannot store ids and tokens",))


@contextmanager
def read(path: Path, _scratch: Path) -> Iterator[OpenedVectors]:
    """Open a file. The ids of its rows are row numbers from 0. The file is read twice. Raises VectorsError."""
    total, dim = 0, 0
    for components, _ in _rows(path):
        total += 1
        dim = max(dim, int(components.max(initial=-1)) + 1)
    yield OpenedVectors(dim, None, total, _batches(path, dim))


def _batches(path: Path, dim: int) -> Iterator[SparseVectors]:
    first = 0
    for some in batched(_rows(path), ROWS_AT_ONCE):
        indptr = indptr_of([len(components) for components, _ in some])
        with reading_errors(path, WHAT):
            arrays = normalize(
                indptr,
                np.concatenate([components for components, _ in some]),
                np.concatenate([values for _, values in some]),
                dim,
                row_names(first),
            )
        yield SparseVectors.from_normalized(*arrays, dim)
        first += len(some)


def _rows(path: Path) -> Iterator[tuple[Array, Array]]:
    """(components int64[m], weights float32[m]) of each row."""
    with reading_errors(path, WHAT), open_binary(path) as file:
        count = int(_numbers(file, "<u4", 1, "the number of rows")[0])
        for row in range(count):
            length = int(_numbers(file, "<u4", 1, f"row {row}")[0])
            components = _numbers(file, "<u4", length, f"row {row}").astype(np.int64)
            yield components, _numbers(file, "<f4", length, f"row {row}")
        if file.read(1):
            raise VectorsError(f"has more bytes after its {count} rows; expected {WHAT}")


def _numbers(file: BinaryIO, dtype: str, count: int, what: str) -> Array:
    content = file.read(count * np.dtype(dtype).itemsize)
    if len(content) < count * np.dtype(dtype).itemsize:
        raise VectorsError(f"the file ends before the end of {what}; it is truncated, or not {WHAT}")
    return np.frombuffer(content, dtype)
