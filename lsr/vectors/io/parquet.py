"""A folder of Parquet parts, which encoding a collection writes one after the other.

    part-00000.parquet ...   see lsr.storage.parts: columns id (string), indices (list<uint32>), values
                             (list<float>); settings {encoder, dim, vocabulary_hash}; "lsr.nnz", the number of weights
    vocabulary.json          the tokens of the components
    vectors.json             counts, and rows, weights and bytes of each part; written last
    encoder/                 the encoder, if it is stored with the vectors; neither written nor read here

A folder without vectors.json is an unfinished encoding. Each of its parts is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lsr.errors import VectorsError
from lsr.storage.files import replacing_file, replacing_folder, storage_errors
from lsr.storage.ids import UniqueIds, check_unique
from lsr.storage.parts import SETTINGS_KEY, PartWriter, part_path, write_part
from lsr.vectors.io.vectors_info import VectorsInfo, as_json, reading_errors, row_names
from lsr.vectors.normalize import check_dim, normalize, row_steps
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

FORMAT_VERSION = 1
VECTORS_FILE = "vectors.json"
VOCABULARY = "vocabulary.json"
ENCODER = "encoder"
WHAT = "a folder of vectors written by lsr"
WHAT_PART = "a Parquet part written by lsr"
SCHEMA = pa.schema(
    [("id", pa.string()), ("indices", pa.list_(pa.uint32())), ("values", pa.list_(pa.float32()))],
)
READ_BUFFER = 1 << 16  # bytes; without a buffer, the whole column of a row group is read at once
POSTINGS_PER_PART = 1 << 24
MAX_POSTINGS = 2**31 - 1  # Arrow lists have 32-bit offsets


@dataclass(frozen=True, slots=True)
class PartSize:
    """Rows, weights and file size of one part."""

    rows: int
    nnz: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PartSettings:
    """The settings that all parts of a folder share."""

    dim: int
    encoder: dict[str, Any] | None
    vocabulary_hash: str | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of vectors.json."""

    settings: PartSettings
    parts: list[PartSize]

    @property
    def info(self) -> VectorsInfo:
        return VectorsInfo(
            sum(part.rows for part in self.parts), sum(part.nnz for part in self.parts), **asdict(self.settings)
        )


class ParquetWriter(PartWriter[PartSize]):
    """Writes a folder of vectors part by part. Resumes after an interruption.

    folder: created if it does not exist; may have the parts of an unfinished writer with the same settings.
    dim, vocabulary, encoder: the settings; `encoder` is the JSON description of the encoder.
    complete_parts, complete_rows: the numbers of parts and rows that are already in the folder and intact. The next
        part follows them.

    Only one writer can have a folder at a time. Raises VectorsError if the folder has parts with other settings, and
    StorageError if it cannot be written, has other files, or has a writer.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        dim: int,
        vocabulary: Vocabulary | None = None,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings = _settings(dim, vocabulary, encoder)
        self._unique = UniqueIds()
        super().__init__(folder, self._inspect, (VECTORS_FILE, VOCABULARY, ENCODER))
        try:
            if vocabulary is not None:
                vocabulary.write(self.folder / VOCABULARY)
        except BaseException:
            self.close()
            raise

    @property
    def complete_rows(self) -> int:
        return sum(part.rows for part in self.parts)

    def write_part(self, vectors: SparseVectors, metadata: Mapping[str, str] | None = None) -> None:
        """Write the next part, completely or not at all. Rows without ids are numbered from 0, over all parts.

        metadata: more key-value metadata of the part. Raises VectorsError for another dim or a duplicate id, and
            StorageError.
        """
        self.check_open()
        if vectors.dim != self._settings.dim:
            raise VectorsError(
                f"a part has {vectors.dim} components, but the folder has {self._settings.dim}; the numbers must be "
                "equal"
            )
        if vectors.nnz > MAX_POSTINGS:
            raise VectorsError(f"a part has {vectors.nnz} weights; write several parts of at most {MAX_POSTINGS}")
        first = self.complete_rows
        ids = _ids_of(vectors, first)
        repeated = self._unique.add(ids)
        if repeated is not None:
            raise VectorsError(f"row {first + repeated}: id {ids[repeated]!r} occurs a second time; ids must be unique")
        try:
            with storage_errors(self.folder):
                (self.folder / VECTORS_FILE).unlink(missing_ok=True)  # the folder is unfinished again
            part = _write_part(self.next_path, vectors, first, self._settings, metadata or {})
        except BaseException:
            self.close()  # the ids above are recorded, but not written
            raise
        self.parts.append(part)

    def finish(self) -> None:
        """Write vectors.json, which makes the folder readable, and release the folder. Raises StorageError."""
        self.remove_rest()
        _write_manifest(self.folder, Manifest(self._settings, self.parts))
        self.close()

    def _inspect(self, path: Path) -> PartSize | None:
        """The size of a part, whose ids are recorded; None if it is damaged."""
        try:
            settings, part, ids = _read_part_head(path)
        except VectorsError:
            return None
        if settings != self._settings:
            raise VectorsError(f"{path}: {_difference(settings, self._settings)}; choose another folder")
        if self._unique.add(ids) is not None:
            raise VectorsError(f"{path}: has duplicate ids; delete the folder and start again")
        return part


def write_numbered_part(
    folder: Path,
    number: int,
    vectors: SparseVectors,
    vocabulary: Vocabulary | None,
    encoder: Mapping[str, Any] | None,
) -> None:
    """Write part `number`, from 0, of a folder that several processes write. A ParquetWriter finishes the folder.

    vectors: with ids. Raises StorageError.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _write_part(part_path(folder, number), vectors, 0, _settings(vectors.dim, vocabulary, encoder), {})


def read_info(path: Path) -> VectorsInfo:
    """Counts, from vectors.json."""
    return _read_manifest(path).info


def read_vocabulary(path: Path) -> Vocabulary | None:
    """The tokens, from vocabulary.json."""
    expected = _read_manifest(path).settings.vocabulary_hash
    if expected is None:
        return None
    vocabulary = Vocabulary.read(path / VOCABULARY)
    if vocabulary.hash != expected:
        raise VectorsError(f"{path / VOCABULARY}: is not the vocabulary of the vectors in the folder; encode again")
    return vocabulary


def iterate(path: Path, rows: int, _vocabulary: Vocabulary | None) -> Iterator[SparseVectors]:
    """Batches of at most `rows` rows. No batch crosses the end of a part."""
    manifest = _read_manifest(path)
    first = 0
    for number, part in enumerate(manifest.parts):
        place = part_path(path, number)
        with reading_errors(place, WHAT_PART):
            size = place.stat().st_size
            if size != part.bytes:
                raise VectorsError(f"has {size} bytes, not {part.bytes}; copy or encode it again")
            end = first + part.rows
            for batch in _open_part(place, manifest.settings).iter_batches(rows, use_threads=False):
                yield _to_vectors(batch, manifest.settings.dim, first)
                first += len(batch)
            if first != end:
                raise VectorsError(f"has {part.rows + first - end} rows, not {part.rows}; encode again")


def write(path: Path, vectors: SparseVectors, vocabulary: Vocabulary | None, encoder: dict[str, Any] | None) -> None:
    """Write a whole folder. Replaces an existing one."""
    settings = _settings(vectors.dim, vocabulary, encoder)
    if vectors.ids is not None:
        check_unique(vectors.ids)
    with replacing_folder(path, VECTORS_FILE) as temporary:
        parts = [
            _write_part(part_path(temporary, number), vectors[start:stop], start, settings, {})
            for number, (start, stop) in enumerate(row_steps(vectors.indptr, POSTINGS_PER_PART))
        ]
        if vocabulary is not None:
            vocabulary.write(temporary / VOCABULARY)
        _write_manifest(temporary, Manifest(settings, parts))


def _settings(dim: int, vocabulary: Vocabulary | None, encoder: Mapping[str, Any] | None) -> PartSettings:
    return PartSettings(check_dim(dim), as_json(encoder), None if vocabulary is None else vocabulary.hash)


def _difference(found: PartSettings, wanted: PartSettings) -> str:
    if found.dim != wanted.dim:
        return f"it has {found.dim} components, but the given encoder has {wanted.dim}"
    if found.vocabulary_hash != wanted.vocabulary_hash:
        return "it was written with another vocabulary"
    return f"it was written by another encoder, {json.dumps(found.encoder)}, not {json.dumps(wanted.encoder)}"


def _ids_of(vectors: SparseVectors, first_row: int) -> list[str]:
    if vectors.ids is None:
        return [str(first_row + row) for row in range(len(vectors))]
    return vectors.ids


def _write_part(
    path: Path, vectors: SparseVectors, first_row: int, settings: PartSettings, more: Mapping[str, str]
) -> PartSize:
    offsets = pa.array(vectors.indptr.astype(np.int32))
    columns = [
        pa.array(_ids_of(vectors, first_row), pa.string()),
        pa.ListArray.from_arrays(offsets, pa.array(vectors.indices.astype(np.uint32, copy=False))),
        pa.ListArray.from_arrays(offsets, pa.array(vectors.values)),
    ]
    metadata = {SETTINGS_KEY: json.dumps(asdict(settings)), "lsr.nnz": str(vectors.nnz), **more}
    write_part(path, pa.Table.from_arrays(columns, schema=SCHEMA), metadata)
    return PartSize(len(vectors), vectors.nnz, path.stat().st_size)


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    content = {"format_version": FORMAT_VERSION, **asdict(manifest.info)}
    content["parts"] = [asdict(part) for part in manifest.parts]
    with replacing_file(folder / VECTORS_FILE) as file:
        file.write(json.dumps(content, indent=1).encode())


def _open_part(path: Path, settings: PartSettings | None = None) -> pq.ParquetFile:
    """The opened part. Checks its schema, and its settings if `settings` are given."""
    file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False, buffer_size=READ_BUFFER)
    schema = file.schema_arrow
    if not schema.equals(SCHEMA) or SETTINGS_KEY.encode() not in (schema.metadata or {}):
        raise VectorsError(f"its columns are {_describe(schema)}, not {_describe(SCHEMA)}; encode again")
    if settings is not None and _settings_of(file) != settings:
        raise VectorsError(f"{_difference(_settings_of(file), settings)}; encode again")
    return file


def _describe(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema) or "none"


def _settings_of(file: pq.ParquetFile) -> PartSettings:
    return PartSettings(**json.loads(file.schema_arrow.metadata[SETTINGS_KEY.encode()]))


def _read_part_head(path: Path) -> tuple[PartSettings, PartSize, list[str]]:
    """Settings, counts and ids of a part. Raises VectorsError if it is damaged."""
    with reading_errors(path, WHAT_PART):
        file = _open_part(path)
        nnz = int(file.schema_arrow.metadata[b"lsr.nnz"])
        ids = file.read(["id"]).column("id").to_pylist()
        return _settings_of(file), PartSize(len(ids), nnz, path.stat().st_size), ids


def _to_vectors(batch: pa.RecordBatch, dim: int, first_row: int) -> SparseVectors:
    ids, indices, values = (batch.column(name) for name in SCHEMA.names)
    if ids.null_count or any(column.null_count or column.flatten().null_count for column in (indices, values)):
        raise VectorsError(f"has null values after row {first_row}; encode again")
    offsets = indices.offsets.to_numpy().astype(np.int64)
    if not np.array_equal(np.diff(offsets), np.diff(values.offsets.to_numpy())):
        raise VectorsError(f"has different numbers of components and weights after row {first_row}; encode again")
    arrays = normalize(
        offsets - offsets[0],
        indices.flatten().to_numpy(),
        values.flatten().to_numpy(),
        dim,
        row_names(first_row),
    )
    return SparseVectors.from_normalized(*arrays, dim, ids.to_pylist())


def _read_manifest(folder: Path) -> Manifest:
    path = folder / VECTORS_FILE
    if not path.exists():
        if part_path(folder, 0).exists() or (folder / VOCABULARY).exists():
            raise VectorsError(
                f"{folder}: the encoding is not finished; run the same lsr encode command again to resume"
            )
        raise VectorsError(f"{folder}: has no {VECTORS_FILE}; expected {WHAT}")
    with reading_errors(path, WHAT):
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict) or not isinstance(content.get("format_version"), int):
            raise VectorsError(f"is not a manifest of vectors; expected {WHAT}")
        if content["format_version"] != FORMAT_VERSION:
            raise VectorsError(
                f"format version {content['format_version']}, but this lsr reads {FORMAT_VERSION}; upgrade lsr"
            )
        try:
            parts = [PartSize(int(part["rows"]), int(part["nnz"]), int(part["bytes"])) for part in content["parts"]]
            if any(part.rows < 0 or part.nnz < 0 for part in parts):
                raise VectorsError("damaged (a count is negative); encode again")
            settings = PartSettings(check_dim(content["dim"]), content["encoder"], content["vocabulary_hash"])
        except (TypeError, KeyError) as error:
            raise VectorsError(f"damaged (invalid value: {error!r}); encode again") from error
        return Manifest(settings, parts)
