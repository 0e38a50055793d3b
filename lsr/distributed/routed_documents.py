"""Documents distributed to shards by their ids, in Parquet parts that any machine can read.

documents/shard-00000/part-00000.parquet ...   columns id, title, text, and metadata, a struct
documents/schema.arrow                         the types of the metadata of all documents
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lsr.collections.sources import NO_METADATA, Document
from lsr.collections.tables_as_documents import plain_values
from lsr.distributed.sharded_folder import shard_name, shard_of
from lsr.errors import StorageError
from lsr.storage.column_types import ColumnTypes
from lsr.storage.files import replacing_file, storage_errors
from lsr.storage.parts import part_path, write_part

MOST_HELD = 1 << 17  # documents of all shards in memory
ROWS_PER_PART = 8192
_SCHEMA = "schema.arrow"


class DocumentsDigest:
    """SHA-256 of documents in their order, to detect a changed source."""

    def __init__(self) -> None:
        self._sha = sha256()

    def add(self, document: Document) -> None:
        for each in (document.doc_id, document.title, document.text, repr(sorted(document.metadata.items()))):
            content = each.encode("utf-8", "surrogatepass")
            self._sha.update(len(content).to_bytes(8, "little") + content)

    def hexdigest(self) -> str:
        return self._sha.hexdigest()


def route(
    documents: Iterable[Document], folder: Path, shards: int, schema: pa.Schema | None, digest: DocumentsDigest
) -> list[list[int]]:
    """Write documents into the folder; returns the number of documents of each part of each shard.

    schema: the types of the metadata; None to infer the types from the documents. digest: updated with each document.

    At most MOST_HELD documents are in memory. Raises the errors of `documents`, and StorageError.
    """
    types = ColumnTypes(schema)
    rows_per_part = min(ROWS_PER_PART, max(MOST_HELD // shards, 64))
    held: list[list[Document]] = [[] for _ in range(shards)]
    counts: list[list[int]] = [[] for _ in range(shards)]

    def flush(shard: int) -> None:
        some, held[shard] = held[shard], []
        _write(part_path(folder / shard_name(shard), len(counts[shard])), some, types)
        counts[shard].append(len(some))

    with storage_errors(folder):
        for shard in range(shards):
            (folder / shard_name(shard)).mkdir(parents=True, exist_ok=True)
    for document in documents:
        digest.add(document)
        shard = shard_of(document.doc_id, shards)
        held[shard].append(document)
        if len(held[shard]) >= rows_per_part:
            flush(shard)
    for shard, rest in enumerate(held):
        if rest:
            flush(shard)
    with replacing_file(folder / _SCHEMA) as file:
        file.write(pa.schema(list(types.found.items())).serialize().to_pybytes())
    return counts


def _write(path: Path, documents: list[Document], types: ColumnTypes) -> None:
    columns = {
        name: types.agreed(name, column)
        for name, column in types.columns_of([document.metadata for document in documents]).items()
    }
    texts = [pa.array([str(getattr(each, name)) for each in documents], pa.large_string()) for name in _TEXTS]
    table = pa.table(dict(zip(_TEXTS, texts, strict=True)))
    if columns:
        metadata = pa.StructArray.from_arrays(list(columns.values()), names=list(columns))
        table = table.append_column("metadata", metadata)
    write_part(path, table, {})


_TEXTS = ("doc_id", "title", "text")


class ShardDocuments:
    """The documents of one shard in their original order, for SegmentMaker.

    folder: written by `route`. counts: the number of documents of each part of the shard.
    """

    def __init__(self, folder: Path, shard: int, counts: list[int]) -> None:
        self._folder, self._shard, self._counts = folder, shard, counts
        self.name = shard_name(shard)

    @property
    def count(self) -> int:
        return sum(self._counts)

    @property
    def metadata_schema(self) -> pa.Schema:
        """The schema of all documents of all shards."""
        with storage_errors(self._folder):
            return pa.ipc.read_schema(pa.py_buffer((self._folder / _SCHEMA).read_bytes()))

    def documents(self) -> Iterator[Document]:
        for part in range(len(self._counts)):
            yield from self.part(part).documents()

    def part(self, number: int) -> PartDocuments:
        return PartDocuments(part_path(self._folder / self.name, number), self.metadata_schema, self._counts[number])


class PartDocuments:
    """The documents of one part."""

    def __init__(self, path: Path, schema: pa.Schema, count: int) -> None:
        self.name, self.count, self._schema = str(path), count, schema

    def documents(self) -> Iterator[Document]:
        try:
            table = pq.read_table(self.name)
        except (OSError, pa.ArrowException) as error:
            raise StorageError(
                f"{self.name}: cannot be read ({error}); delete the folder of the build (its name ends in .building), "
                "and run the same build again"
            ) from error
        types = ColumnTypes()
        types.found = {each.name: each.type for each in self._schema}
        metadata: list[Any] = [NO_METADATA] * len(table)
        if "metadata" in table.column_names and len(table):
            struct = table.column("metadata").combine_chunks()
            names = [each.name for each in struct.type]
            values = [plain_values(self.name, types.final(name, struct.field(name))) for name in names]
            metadata = [dict(zip(names, each, strict=True)) for each in zip(*values, strict=True)]
        columns = (table.column(name).to_pylist() for name in _TEXTS)
        for doc_id, title, text, rest in zip(*columns, metadata, strict=True):
            yield Document(doc_id, title, text, rest)
