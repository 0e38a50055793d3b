"""Documents from tables: streams of Arrow batches with one schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol

from lsr.collections.column_roles import AskedColumns, ColumnRoles, id_of, text_of
from lsr.collections.sources import Document, Place
from lsr.errors import CollectionError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1024


class BatchedTable(Protocol):
    """Rows that can be read several times, in the same order. Every error is a CollectionError."""

    @property
    def name(self) -> str: ...
    @property
    def where(self) -> str:
        """The name of the table in messages."""

    def names(self) -> list[str]: ...
    def schema(self) -> pa.Schema: ...
    def count(self) -> int | None: ...
    def batches(self) -> Iterator[tuple[Iterable[Place], pa.RecordBatch]]:
        """Batches with this schema, and the place of each row."""


class TableDocuments:
    """The rows of a table as documents; all columns but those of id, text and title are metadata."""

    def __init__(self, table: BatchedTable, asked: AskedColumns) -> None:
        self.name = table.name
        self._table = table
        self._asked = asked

    def count(self) -> int | None:
        return self._table.count()

    @property
    def schema(self) -> pa.Schema:
        """The schema of the metadata, with the types of the table. Raises CollectionError."""
        import pyarrow as pa

        schema = self._table.schema()
        roles = self._roles(schema)
        return pa.schema([field for field in schema if field.name not in roles])

    def check(self) -> None:
        """Raises CollectionError unless the table has the required columns."""
        ColumnRoles.among(self._table.names(), self._asked, self._table.where)

    def documents(self) -> Iterator[tuple[Place, Document]]:
        roles = self._roles(self._table.schema())
        row = 0
        for places, batch in self._table.batches():
            names = batch.schema.names
            columns = {
                name: plain_values(f"{self._table.where}: column {name!r}", batch.column(at))
                for at, name in enumerate(names)
            }
            rest = [name for name in names if name not in roles]
            metadata = zip(*(columns[name] for name in rest), strict=True) if rest else repeat((), len(batch))
            ids = range(row, row + len(batch)) if roles.id is None else columns[roles.id]
            titles = repeat("", len(batch)) if roles.title is None else columns[roles.title]
            row += len(batch)
            for place, given, title, text, values in zip(
                places, ids, titles, columns[roles.text], metadata, strict=True
            ):
                doc_id = f"{self._asked.prefix}{given}" if roles.id is None else id_of(place, roles.id, given)
                title = title and text_of(place, roles.title or "", title)
                document = Document(doc_id, title or "", text_of(place, roles.text, text))
                yield place, document._replace(metadata=dict(zip(rest, values, strict=True))) if rest else document

    def _roles(self, schema: pa.Schema) -> ColumnRoles:
        import pyarrow as pa

        where = self._table.where
        repeated = {name for name in schema.names if schema.names.count(name) > 1}
        if repeated:
            raise CollectionError(f"{where}: two columns have the name {min(repeated)!r}; rename one of them")
        roles = ColumnRoles.among(schema.names, self._asked, where)
        for column in (roles.text, roles.title):
            kind = None if column is None else _values_of(schema.field(column).type)
            texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
            if kind is not None and not any(is_kind(kind) for is_kind in texts):
                raise CollectionError(
                    f"{where}: the column {column!r} has the type {kind}, not text; name another column"
                )
        return roles


def plain_values(where: str, column: pa.Array) -> list[Any]:
    """The values as Python objects. Nanoseconds, which Python lacks, are cut off. Raises CollectionError."""
    import pyarrow as pa

    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    try:
        try:
            return list(column.to_pylist())
        except ValueError:
            if getattr(column.type, "unit", None) != "ns":
                raise
            coarse = {"timestamp": pa.timestamp("us", getattr(column.type, "tz", None)), "duration": pa.duration("us")}
            kind = coarse.get(str(column.type).partition("[")[0], pa.time64("us"))
            return list(column.cast(kind, safe=False).to_pylist())
    except (ValueError, OverflowError, pa.ArrowException) as cause:
        raise CollectionError(f"{where}: a value of type {column.type} is out of range or damaged ({cause})") from cause


def _values_of(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    encoded = pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)
    return kind.value_type if encoded else kind
