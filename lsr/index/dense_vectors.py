"""Precomputed dense vectors: .npy, Parquet and faiss files, or arrays, and their match with documents."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from lsr.batched import batched
from lsr.checks import expanded
from lsr.collections.lines import read_lines
from lsr.display import counted
from lsr.errors import VectorsError
from lsr.progress import progress_bar
from lsr.storage.arrays import growing_array, map_array
from lsr.storage.id_column import IdColumn
from lsr.storage.ids import check_ids
from lsr.storage.recognize import beginning
from lsr.vectors.io.vectors_info import reading_errors

Rows = npt.NDArray[np.float32]
GivenVectors = str | os.PathLike[str] | npt.NDArray[Any]

ROWS_AT_ONCE = 4096
SUFFIXES = (".npy", ".parquet", ".faiss")
IDS_SUFFIX = ".ids.txt"  # of vectors.npy: vectors.ids.txt
FAISS_FILE, FAISS_IDS = "index", "docid"  # in Pyserini's folder of a faiss index
_ID_COLUMNS = ("_id", "id", "docid", "doc_id", "docno")
_VECTOR_COLUMNS = ("vector", "vectors", "embedding", "embeddings")
_COPY = "copy"  # in the scratch folder
_EXPECTED = "a float32 matrix in an .npy file, a Parquet file of ids and lists, or a flat or IVFFlat faiss index"


def names_dense_vectors(given: object) -> TypeGuard[GivenVectors]:
    """Whether `given` is a path of dense vectors (existing or not) or an array, and not the name of an encoder."""
    if isinstance(given, np.ndarray):
        return True
    if not isinstance(given, str | os.PathLike):
        return False
    path = expanded(given)
    if path.is_dir():
        return all((path / name).is_file() for name in (FAISS_FILE, FAISS_IDS))
    return path.is_file() or path.name.endswith(SUFFIXES)


@dataclass(frozen=True)
class DenseVectors:
    """Dense vectors, memory-mapped or in memory.

    rows: float32, or another float type, [n, dim], without NaN and infinity. ids: of the rows; None if the rows are in
        the order of the documents.
    """

    name: str
    rows: npt.NDArray[np.floating]
    ids: IdColumn | None = None

    @property
    def dim(self) -> int:
        return int(self.rows.shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    def check_documents(self, ids: Iterable[str], what: str = "document") -> None:
        """Raises VectorsError unless there is exactly one vector for each of these documents."""
        count = 0
        for some in batched(ids, ROWS_AT_ONCE):
            self._places(some, 0, what)
            count += len(some)
        if count != len(self):
            raise VectorsError(
                f"{self.name}: has {counted(len(self), 'vector')} for {counted(count, what, _plural(what))}; give "
                f"exactly one vector per {what}"
            )

    def of_documents(self, ids: Sequence[str], first: int = 0, what: str = "document") -> Rows:
        """float32[len(ids), dim]: vectors of documents by id, or, without ids, from row `first`. Raises
        VectorsError.
        """
        found = self.rows[self._places(ids, first, what)]
        if len(found) < len(ids):
            raise VectorsError(
                f"{self.name}: has only {counted(len(self), 'vector')}, fewer than {_plural(what)}; give one vector "
                f"per {what}"
            )
        return np.ascontiguousarray(found, np.float32)

    def batches(self, ids: Iterable[str]) -> Iterator[tuple[list[str], Rows]]:
        """(ids, float32[m, dim]) of all documents, in batches of a few thousand. Raises VectorsError."""
        first = 0
        for some in batched(ids, ROWS_AT_ONCE):
            yield some, self.of_documents(some, first)
            first += len(some)

    def _places(self, ids: Sequence[str], first: int, what: str) -> npt.NDArray[np.int64] | slice:
        if self.ids is None:
            return slice(first, first + len(ids))
        places = self.ids.rows(ids)
        if (places < 0).any():
            lacking = ids[int((places < 0).argmax())]
            raise VectorsError(f"{self.name}: has no vector for {what} {lacking!r}; give one vector per {what}")
        return places


@contextmanager
def open_dense_vectors(given: GivenVectors, scratch: Path, progress: bool = False) -> Iterator[DenseVectors]:
    """The checked vectors of a file or an array. A file is memory-mapped, or copied into `scratch` first.

    Ids of an .npy or faiss file can be in X.ids.txt, one per line. A faiss index in a folder of Pyserini has them in
    docid. Raises VectorsError for anything but a matrix of floats without NaN and infinity, MissingExtraError without
    faiss.
    """
    from lsr.index.dense.dense_index import checked_vectors  # imports faiss

    ids: IdColumn | None = None
    if isinstance(given, np.ndarray):
        name, rows = "dense vectors", given
    else:
        path = expanded(given)
        if path.is_dir():
            path = path / FAISS_FILE
        name = str(path)
        with reading_errors(path, _EXPECTED):
            path.stat()  # raises for a missing file; `beginning` does not
            head = beginning(path)[:6]
            if head.startswith(b"PAR1"):
                rows, ids = _read_parquet(path, scratch)
            else:
                rows = map_array(path) if head == b"\x93NUMPY" else _read_faiss(path, head[:4], scratch)
                ids = _ids_beside(path, len(rows) if rows.ndim else 0)
    if rows.ndim != 2 or not rows.shape[1] or rows.dtype.kind != "f":
        raise VectorsError(
            f"{name}: has type {rows.dtype} and shape {list(rows.shape)}; give float32[rows, components]"
        )
    with progress_bar("checking", len(rows), "dense vectors", progress) as advance:
        for first in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[first : first + ROWS_AT_ONCE]
            try:
                checked_vectors(some, first)
            except VectorsError as error:
                raise VectorsError(f"{name}: {error}") from None
            advance(len(some))
    yield DenseVectors(name, rows, ids)


def _ids_beside(path: Path, count: int) -> IdColumn | None:
    for each in (path.with_suffix(IDS_SUFFIX), *([path.with_name(FAISS_IDS)] if path.name == FAISS_FILE else [])):
        if each.is_file():
            try:
                return IdColumn.of(check_ids([line for _, line in read_lines(each, VectorsError)], count))
            except VectorsError as error:
                raise VectorsError(f"{each.name}: {error}") from None
    return None


def _read_parquet(path: Path, scratch: Path) -> tuple[npt.NDArray[Any], IdColumn | None]:
    """A copy of the lists as a memory-mapped array, and the ids, if there is a column of ids."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        lists = [each.name for each in schema if hasattr(each.type, "value_type")]
        vector = next((name for name in _VECTOR_COLUMNS if name in lists), lists[0] if len(lists) == 1 else None)
        if vector is None:
            raise VectorsError(
                f'its columns are {", ".join(schema.names)}; name the column with lists of floats "vector"'
            )
        id_column = next((name for name in _ID_COLUMNS if name in schema.names), None)
        ids: list[Any] = []
        first = 0
        with ExitStack() as stack:
            append: Callable[[Rows], None] | None = None
            dim = 0
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[each for each in (id_column, vector) if each]):
                rows = batch.column(vector).to_numpy(zero_copy_only=False)
                if append is None and len(rows) and rows[0] is not None:
                    dim = len(rows[0])
                    append = stack.enter_context(growing_array(scratch, _COPY, np.float32, (dim,)))
                for at, row in enumerate(rows):
                    if row is None or len(row) != dim or row.dtype.kind != "f":
                        shown = "nothing" if row is None else f"{row.dtype}[{len(row)}]"
                        raise VectorsError(f"row {first + at}: is {shown}; each row must be a list of {dim} floats")
                if append is not None and len(rows):
                    append(np.stack(rows))
                ids += batch.column(id_column).to_pylist() if id_column else []
                first += len(rows)
    if append is None:
        raise VectorsError("has no rows; give one vector per document")
    return map_array(scratch / f"{_COPY}.npy"), IdColumn.of(check_ids(ids, first)) if id_column else None


def _read_faiss(path: Path, kind: bytes, scratch: Path) -> npt.NDArray[Any]:
    """A memory-mapped copy of the vectors of a faiss index, in the order in which they were added."""
    from lsr.index.dense.faiss_file import FAISS_KINDS, iter_faiss

    if kind not in FAISS_KINDS:
        raise VectorsError(f"begins with {kind!r}, which is not a supported format")
    batches = iter_faiss(path, ROWS_AT_ONCE)
    first = next(batches)
    with growing_array(scratch, _COPY, np.float32, (first.shape[1],)) as append:
        for batch in chain([first], batches):
            append(batch)
    return map_array(scratch / f"{_COPY}.npy")


def _plural(what: str) -> str:
    return "queries" if what == "query" else f"{what}s"
