"""Documents of an iterator, stored on disk for the several passes of a build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lsr.batched import batched
from lsr.collections.records_as_documents import RowPlace
from lsr.collections.sources import NO_METADATA, Document, Place
from lsr.collections.tables_as_documents import plain_values
from lsr.storage.columns import Columns, ColumnsWriter
from lsr.storage.files import storage_errors
from lsr.storage.strings import StringColumn

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 1024
_STRINGS, _METADATA = "strings", "metadata"
_PER_DOCUMENT = 3


class SpooledDocuments:
    """The documents of an iterator. The first pass reads all of them into a temporary folder ($TMPDIR).

    schema: of the metadata, if it is known. The folder is removed with this object. Each metadata column is returned
        with one type. Errors of the iterator are raised unchanged.
    """

    def __init__(self, name: str, documents: Iterator[tuple[Place, Document]], schema: pa.Schema | None = None) -> None:
        self.name = name
        self._given = documents
        self._given_schema = schema

    def count(self) -> int | None:
        return len(self._spool.strings) // _PER_DOCUMENT if "_spool" in self.__dict__ else None

    @property
    def schema(self) -> pa.Schema:
        return self._spool.schema

    def documents(self) -> Iterator[tuple[Place, Document]]:
        strings, columns = self._spool.strings, self._spool.columns
        for first in range(0, len(strings) // _PER_DOCUMENT, _ROWS):
            rows = np.arange(first, min(first + _ROWS, len(strings) // _PER_DOCUMENT))
            metadata: list[Mapping[str, Any]] = [NO_METADATA] * len(rows)
            if columns is not None:
                table = columns.take(rows)
                values = [plain_values(self.name, column.combine_chunks()) for column in table.columns]
                metadata = [dict(zip(table.schema.names, each, strict=True)) for each in zip(*values, strict=True)]
            for row, rest in zip(rows.tolist(), metadata, strict=True):
                doc_id, title, text = (strings[row * _PER_DOCUMENT + part] for part in range(_PER_DOCUMENT))
                yield RowPlace(self.name, row), Document(doc_id, title, text, rest)

    @cached_property
    def _spool(self) -> _Spool:
        with storage_errors("a temporary folder"):
            folder = TemporaryDirectory(prefix="lsr-")
        path = Path(folder.name)
        with ColumnsWriter(path, _METADATA, self._given_schema) as writer:

            def strings() -> Iterator[str]:
                for some in batched((document for _, document in self._given), _ROWS):
                    writer.add(document.metadata for document in some)
                    for document in some:
                        yield from (document.doc_id, document.title, document.text)

            StringColumn.write(path, _STRINGS, strings())
            schema = writer.finish()
        columns = Columns.open(path, _METADATA) if len(schema) else None
        return _Spool(folder, StringColumn.open(path, _STRINGS), columns, schema)


class _Spool(NamedTuple):
    folder: TemporaryDirectory[str]
    strings: StringColumn
    columns: Columns | None
    schema: pa.Schema
