"""NumPy archives: one file of arrays, streamed from inside the zip.

Arrays: indptr, indices, values (float16 or float32), dim. Optional: ids, as text (NumPy's <U), whole numbers or, as lsr
writes them, concatenated UTF-8 bytes with ids_offsets (int64[rows + 1]); encoder and vocabulary (JSON, as bytes).
Nothing is pickled.

CSR matrices written by scipy.sparse.save_npz are read, too: data instead of values, and shape instead of dim.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from lsr.errors import VectorsError
from lsr.storage.files import replacing_file
from lsr.storage.limits import check_unpacked
from lsr.vectors.io.vectors_info import VectorsInfo, reading_errors, row_names
from lsr.vectors.normalize import check_dim, normalize
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

WHAT = "an .npz archive with indptr, indices, values and dim"
_ARRAYS = ("indptr", "indices", "values", "dim")
_IDS = "text: save np.array(ids, dtype=str); arrays of objects are pickles, which are never read"


def read_info(path: Path) -> VectorsInfo:
    """Counts from the headers of the arrays."""
    with _open(path) as archive:
        vocabulary = _read_vocabulary(archive)
        return VectorsInfo(
            rows=_Column(archive, "indptr", "iu").length - 1,
            nnz=_Column(archive, "indices", "iu").length,
            dim=_read_dim(archive),
            encoder=_read_json(archive, "encoder", dict),
            vocabulary_hash=None if vocabulary is None else vocabulary.hash,
        )


def read_vocabulary(path: Path) -> Vocabulary | None:
    """The vocabulary stored with the vectors; None if there is none."""
    with _open(path) as archive:
        return _read_vocabulary(archive)


def iterate(path: Path, rows: int, _vocabulary: Vocabulary | None) -> Iterator[SparseVectors]:
    """Batches of `rows` rows; only one is in memory at a time."""
    with _open(path) as archive:
        scipy, dim = _is_scipy(archive), _read_dim(archive)
        indptr, indices, values = (
            _Column(archive, name, kinds)
            for name, kinds in (("indptr", "iu"), ("indices", "iu"), ("data", "fiub") if scipy else ("values", "f"))
        )
        ids = _ids(archive)
        total = indptr.length - 1
        if total < 0 or indices.length != values.length:
            raise VectorsError(
                f"indptr has {indptr.length} entries, indices {indices.length} and values {values.length}; indptr "
                "needs at least one, and indices and values equally many"
            )
        end = int(indptr.read(1)[0])
        if end != 0:
            raise VectorsError(f"indptr starts at {end}; it must start at 0")
        for first in range(0, total, rows):
            count = min(rows, total - first)
            begin, ends = end, indptr.read(count).astype(np.int64)
            bad = (np.diff(ends, prepend=begin) < 0) | (ends > indices.length)
            if bad.any():
                at = int(bad.argmax())
                raise VectorsError(
                    f"row {first + at}: indptr continues with {ends[at]}; it must not decrease, nor exceed the "
                    f"{indices.length} components"
                )
            end = int(ends[-1])
            starts = np.concatenate([[0], ends - begin])
            arrays = normalize(starts, indices.read(end - begin), values.read(end - begin), dim, row_names(first))
            yield SparseVectors.from_normalized(*arrays, dim, None if ids is None else ids.read(count))
        for column in (indptr, indices, values):
            column.check_end()
        if ids is not None:
            ids.check_end(total)


def write(path: Path, vectors: SparseVectors, vocabulary: Vocabulary | None, encoder: dict[str, Any] | None) -> None:
    """Write the archive, uncompressed."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "indptr": vectors.indptr,
        "indices": vectors.indices,
        "values": vectors.values,
        "dim": np.array(vectors.dim),
    }
    if vectors.ids is not None:
        encoded = [each.encode() for each in vectors.ids]
        arrays["ids"] = np.frombuffer(b"".join(encoded), np.uint8)
        arrays["ids_offsets"] = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    if encoder is not None:
        arrays["encoder"] = _as_json(encoder)
    if vocabulary is not None:
        arrays["vocabulary"] = _as_json(vocabulary.tokens)
    with replacing_file(path) as file:
        np.savez(file, **cast("dict[str, Any]", arrays))


def _as_json(content: Any) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(content).encode(), np.uint8)


@contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    with reading_errors(path, WHAT), zipfile.ZipFile(path) as archive:
        for name in ("indptr", "indices", "data", "shape") if _is_scipy(archive) else _ARRAYS:
            if f"{name}.npy" not in archive.namelist():
                found = ", ".join(sorted(archive.namelist())[:8]) or "nothing"
                raise VectorsError(f"the array {name} is missing; there is {found}; expected {WHAT}")
        check_unpacked(sum(each.file_size for each in archive.infolist()), path.stat().st_size)
        yield archive


def _is_scipy(archive: zipfile.ZipFile) -> bool:
    """Whether scipy.sparse.save_npz wrote the archive. Raises VectorsError for a matrix in another format than CSR."""
    names = archive.namelist()
    if not {"format.npy", "shape.npy", "data.npy"} <= {*names} or "values.npy" in names:
        return False
    with archive.open("format.npy") as file:
        stored = str(np.lib.format.read_array(file, allow_pickle=False).astype(str).item())
    if stored != "csr":
        raise VectorsError(
            f"is a SciPy matrix of format {stored!r}, whose rows cannot be streamed; save it as CSR: "
            "scipy.sparse.save_npz(path, matrix.tocsr())"
        )
    return True


class _Column:
    """One array of the archive, read from front to back."""

    def __init__(self, archive: zipfile.ZipFile, name: str, kinds: str, what: str = WHAT) -> None:
        self._name = f"array {name}"
        self._stream = archive.open(f"{name}.npy")
        version = np.lib.format.read_magic(self._stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise VectorsError(f"{self._name}: .npy version {version} is not understood; expected {WHAT}")
        shape, _, self.dtype = read_header(self._stream)
        if self.dtype.kind not in kinds or len(shape) > 1:
            raise VectorsError(f"{self._name} has type {self.dtype} and shape {shape}; expected {what}")
        self.length: int = shape[0] if shape else 1
        size = self._stream.tell() + self.length * self.dtype.itemsize
        if size != archive.getinfo(f"{name}.npy").file_size:
            raise VectorsError(f"{self._name} has another length than its header says; write the file again")

    def read(self, count: int) -> npt.NDArray[Any]:
        data = self._stream.read(count * self.dtype.itemsize)
        if len(data) < count * self.dtype.itemsize:
            raise VectorsError(f"{self._name} is truncated; write the file again")
        return np.frombuffer(data, self.dtype)

    def check_end(self) -> None:
        """Raises VectorsError for further data. Reading to the end also lets zipfile compare the checksum."""
        if self._stream.read(1):
            raise VectorsError(f"{self._name} is longer than indptr says; write the file again")


def _ids(archive: zipfile.ZipFile) -> _PackedIds | _PlainIds | None:
    names = archive.namelist()
    if "ids.npy" not in names:
        return None
    return _PackedIds(archive) if "ids_offsets.npy" in names else _PlainIds(archive)


class _PlainIds:
    """Ids as an array of text or of whole numbers, read from front to back."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._column = _Column(archive, "ids", "Uiu", _IDS)
        if self._column.dtype == np.uint8:
            raise VectorsError(f"the array ids has bytes, but the array ids_offsets is missing; expected {_IDS}")

    def read(self, count: int) -> list[str]:
        ids: list[str] = self._column.read(count).astype(str).tolist()
        return ids

    def check_end(self, rows: int) -> None:
        if self._column.length != rows:
            raise VectorsError(f"{self._column.length} ids for {rows} rows; write the file again")
        self._column.check_end()


class _PackedIds:
    """Ids as bytes, read from front to back."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._bytes = _Column(archive, "ids", "u")
        self._offsets = _Column(archive, "ids_offsets", "iu")
        self._end = int(self._offsets.read(1)[0])

    def read(self, count: int) -> list[str]:
        offsets = [self._end, *self._offsets.read(count).tolist()]
        if any(a > b for a, b in pairwise(offsets)):
            raise VectorsError("ids_offsets decreases; write the file again")
        begin, self._end = offsets[0], offsets[-1]
        text = self._bytes.read(self._end - begin).tobytes()
        return [text[a - begin : b - begin].decode() for a, b in pairwise(offsets)]

    def check_end(self, rows: int) -> None:
        if self._offsets.length != rows + 1:
            raise VectorsError(f"{self._offsets.length - 1} ids for {rows} rows; write the file again")
        self._offsets.check_end()
        self._bytes.check_end()


def _read_dim(archive: zipfile.ZipFile) -> int:
    if _is_scipy(archive):
        shape = _Column(archive, "shape", "iu")
        if shape.length != 2:
            raise VectorsError(f"the matrix has {shape.length} dimensions; expected rows and components")
        return check_dim(int(shape.read(2)[1]))
    return check_dim(int(_Column(archive, "dim", "iu").read(1)[0]))


def _read_vocabulary(archive: zipfile.ZipFile) -> Vocabulary | None:
    tokens = _read_json(archive, "vocabulary", list)
    return None if tokens is None else Vocabulary(tokens)


def _read_json(archive: zipfile.ZipFile, name: str, kind: type) -> Any:
    if f"{name}.npy" not in archive.namelist():
        return None
    column = _Column(archive, name, "u")
    content = json.loads(column.read(column.length).tobytes())
    if not isinstance(content, kind):
        raise VectorsError(f"the array {name} has JSON of another type than {kind.__name__}; write the file again")
    return content
