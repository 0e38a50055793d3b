"""The .csr files of BigANN (NeurIPS'23, sparse track), which other sparse indexes read, too. No ids, no tokens.

Little endian, without padding: int64 rows, components, weights; int64 indptr[rows + 1]; int32 indices[weights]; float32
values[weights].
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from lsr.errors import VectorsError
from lsr.storage.files import replacing_file
from lsr.storage.recognize import CSR_HEADER, csr_size
from lsr.vectors.io.vectors_info import VectorsInfo, reading_errors, row_names
from lsr.vectors.normalize import check_dim, indptr_of, normalize
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

WHAT = "a .csr file: its counts, indptr, indices and values"
MAX_DIM = 2**31  # number of components of int32
NUMBERS_PER_WRITE = 65_536


def read_info(path: Path) -> VectorsInfo:
    """Counts from the header."""
    with _open(path) as file:
        rows, dim, nnz = file.counts
        return VectorsInfo(rows, nnz, dim, None, None)


def read_vocabulary(_path: Path) -> None:
    """None: the format has no vocabulary."""


def iterate(path: Path, rows: int, _vocabulary: Vocabulary | None) -> Iterator[SparseVectors]:
    """Batches of `rows` rows; only one is in memory at a time."""
    with _open(path) as file:
        total, dim, nnz = file.counts
        end = int(file.indptr.read(1)[0])
        if end != 0:
            raise VectorsError(f"indptr starts at {end}; it must start at 0")
        for first in range(0, total, rows):
            count = min(rows, total - first)
            begin, ends = end, file.indptr.read(count)
            bad = (np.diff(ends, prepend=begin) < 0) | (ends > nnz)
            if bad.any():
                at = int(bad.argmax())
                raise VectorsError(
                    f"row {first + at}: indptr continues with {ends[at]}; it must not decrease, nor exceed the {nnz} "
                    "components"
                )
            end = int(ends[-1])
            starts = np.concatenate([[0], ends - begin])
            components, weights = file.indices.read(end - begin), file.values.read(end - begin)
            yield SparseVectors.from_normalized(*normalize(starts, components, weights, dim, row_names(first)), dim)
        if end != nnz:
            raise VectorsError(f"indptr ends at {end}, but there are {nnz} components; write the file again")


def write(path: Path, vectors: SparseVectors, _vocabulary: Vocabulary | None, _encoder: dict[str, Any] | None) -> None:
    """Write the file. Raises VectorsError, StorageError."""
    _refuse_packed(path)
    if vectors.ids is not None:
        refuse_ids(path)
    write_batches(path, vectors.dim, lambda: iter([vectors]))


def write_batches(path: Path, dim: int, batches: Callable[[], Iterator[SparseVectors]]) -> None:
    """Write the file. `batches` is called three times. Ids are dropped. Raises VectorsError, StorageError."""
    if dim > MAX_DIM:
        raise VectorsError(f"{path}: a .csr file can have at most {MAX_DIM} components, not {dim}; write .npz")
    indptr = indptr_of(np.concatenate([np.zeros(0, np.int64), *(np.diff(batch.indptr) for batch in batches())]))
    with replacing_file(path) as file:
        file.write(np.array([len(indptr) - 1, dim, indptr[-1]], "<i8").tobytes())
        _write_array(file, indptr, "<i8")
        for name, dtype in (("indices", "<i4"), ("values", "<f4")):
            for batch in batches():
                _write_array(file, getattr(batch, name), dtype)


def _write_array(file: BinaryIO, array: npt.NDArray[Any], dtype: str) -> None:
    """Write an array, converted in parts."""
    for begin in range(0, len(array), NUMBERS_PER_WRITE):
        file.write(array[begin : begin + NUMBERS_PER_WRITE].astype(dtype, copy=False).tobytes())


def refuse_ids(path: Path) -> NoReturn:
    """Raises VectorsError, because a .csr file cannot store ids."""
    raise VectorsError(f"{path}: a .csr file cannot store ids; drop them with vectors.with_ids(None), or write .npz")


class _Array:
    """One array of the file, read from front to back."""

    def __init__(self, name: str, file: BinaryIO, dtype: str) -> None:
        self._name, self._file, self._dtype = name, file, np.dtype(dtype)

    def read(self, count: int) -> npt.NDArray[Any]:
        data = self._file.read(count * self._dtype.itemsize)
        if len(data) < count * self._dtype.itemsize:
            raise VectorsError(f"{self._name} is truncated; write the file again")
        return np.frombuffer(data, self._dtype)


class _Csr(NamedTuple):
    """counts: rows, components, weights."""

    counts: tuple[int, int, int]
    indptr: _Array
    indices: _Array
    values: _Array


@contextmanager
def _open(path: Path) -> Iterator[_Csr]:
    _refuse_packed(path)
    with reading_errors(path, WHAT), ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for _ in range(3)]
        header = files[0].read(CSR_HEADER)
        if len(header) < CSR_HEADER:
            raise VectorsError(f"its header is truncated; expected {WHAT}")
        rows, dim, nnz = np.frombuffer(header, "<i8").tolist()
        if rows < 0 or nnz < 0 or not 0 <= dim <= MAX_DIM:
            raise VectorsError(f"its header says {rows} rows, {dim} components, {nnz} weights; expected {WHAT}")
        size, expected = os.fstat(files[0].fileno()).st_size, csr_size(rows, nnz)
        if size != expected:
            raise VectorsError(
                f"has {size} bytes, not the {expected} of {rows} rows and {nnz} weights, as its header says; "
                "copy it again"
            )
        names = ("indptr", "indices", "values")
        starts = (CSR_HEADER, CSR_HEADER + 8 * (rows + 1), CSR_HEADER + 8 * (rows + 1) + 4 * nnz)
        for file, start in zip(files, starts, strict=True):
            file.seek(start)
        arrays = [
            _Array(name, file, dtype) for name, file, dtype in zip(names, files, ("<i8", "<i4", "<f4"), strict=True)
        ]
        yield _Csr((rows, check_dim(dim), nnz), *arrays)


def _refuse_packed(path: Path) -> None:
    if path.suffix == ".gz":
        raise VectorsError(f"{path}: compressed .csr files are neither read nor written; decompress it with gunzip")
