"""Columns: the metadata of documents in one Arrow file, memory-mapped.

A column keeps the type of its source, without dictionaries and other encodings of values. A column with few different
values, all integers, texts, dates or booleans, is stored as an Arrow dictionary.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from lsr.batched import batched
from lsr.errors import ParameterError
from lsr.storage.arrays import damaged
from lsr.storage.column_types import ColumnTypes, plain_type, plain_value
from lsr.storage.files import DAMAGE, storage_errors

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 4096  # rows in memory as Python objects
BATCH_ROWS = 1 << 16  # rows per batch of the file
BATCH_BYTES = 1 << 26
MOST_VALUES = (1 << 16) - 1  # values of a dictionary
ROWS_PER_VALUE = 4  # least mean for which a dictionary is used


class Columns:
    """The columns of documents. Opened on first use; a column is checked when it is first read.

    Then raises IndexFormatError for missing or damaged files.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._checked: dict[str, Any] = {}

    @classmethod
    def open(cls, folder: str | os.PathLike[str], name: str) -> Self:
        """Open columns written by ColumnsWriter. Reads nothing yet."""
        return cls(path_of(folder, name))

    @cached_property
    def schema(self) -> pa.Schema:
        """The name and type of each column."""
        import pyarrow as pa

        return pa.schema([(each.name, plain_type(each.type)) for each in self._table.schema])

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def column(self, name: str) -> pa.ChunkedArray:
        """A column as stored: of its type, or a dictionary of it. Raises ParameterError for an unknown name."""
        column = self._checked.get(name)
        if column is None:
            if name not in self._table.schema.names:
                raise ParameterError(f"there is no column {name!r}; columns: {', '.join(self.names)}")
            column = self._table.column(name)
            with _damage(self._path):
                column.validate(full=True)
            self._checked[name] = column
        return column

    def row(self, i: int) -> dict[str, Any]:
        """Row i: column -> value as a Python object; None for a missing value."""
        if not 0 <= i < len(self):
            raise ParameterError(f"row {i} does not exist; there are {len(self)} rows")
        return {name: self._value(self.column(name), i) for name in self.names}

    def take(self, rows: npt.NDArray[np.integer]) -> pa.Table:
        """A table of some rows, in this order, with the columns' types."""
        import pyarrow as pa

        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise ParameterError(f"rows {rows.min()} to {rows.max()}; there are {len(self)} rows")
        taken = {each.name: self.column(each.name).take(pa.array(rows)).cast(each.type) for each in self.schema}
        return pa.table(taken, schema=self.schema)

    def _value(self, column: pa.ChunkedArray, i: int) -> Any:
        # All columns have the same chunks.
        chunk = bisect_right(self._starts, i) - 1
        with _damage(self._path):
            return plain_value(column.chunk(chunk)[i - self._starts[chunk]])

    @cached_property
    def _starts(self) -> list[int]:
        """The first row of each chunk. No chunk is empty."""
        column = self._table.column(0)
        lengths = [len(chunk) for chunk in column.chunks]
        return [0, *np.cumsum(lengths).tolist()][:-1]

    @cached_property
    def _table(self) -> pa.Table:
        import pyarrow as pa

        with _damage(self._path):
            if not self._path.is_file():
                raise FileNotFoundError(2, os.strerror(2))  # to open a pipe would be to wait for its writer
            table = pa.ipc.open_file(pa.memory_map(str(self._path))).read_all()
            if not table.num_columns or len(set(table.schema.names)) < table.num_columns:
                raise ValueError("it has no columns, or two with one name")
            chunks = [chunk for chunk in table.to_batches() if len(chunk)]
            return pa.Table.from_batches(chunks, table.schema).replace_schema_metadata(None)


class ColumnsWriter:
    """Writes rows of columns, in any number of calls. `finish` writes NAME.arrow; `close` drops unfinished rows.

    schema, known: see ColumnTypes.

    Few rows are in memory: added rows are first written to an unnamed file in `folder`, because types and dictionaries
    are known only at the end.
    """

    def __init__(
        self, folder: str | os.PathLike[str], name: str, schema: pa.Schema | None = None, known: pa.Schema | None = None
    ) -> None:
        self._path = path_of(folder, name)
        self._types = ColumnTypes(schema, known)
        self._spooled: list[tuple[int, int]] = []  # bytes and rows of each batch
        with storage_errors(self._path):
            self._spool = TemporaryFile(dir=folder)  # noqa: SIM115 (closed by `close`)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._spool.close()

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows: name -> value. Missing names are null.

        Raises CollectionError for a value that no column can store, or that does not agree with a known column.
        """
        for some in batched(rows, ROWS_AT_ONCE):
            self._append(self._types.columns_of(some), len(some))

    def add_columns(self, columns: Columns, rows: npt.NDArray[np.integer]) -> None:
        """Add some rows of existing columns, in this order."""
        for first in range(0, len(rows), BATCH_ROWS):
            table = columns.take(rows[first : first + BATCH_ROWS])
            self._append({name: table.column(name).combine_chunks() for name in table.schema.names}, len(table))

    def add_missing(self, count: int) -> None:
        """Add rows without any value."""
        self._append({}, count)

    def finish(self) -> pa.Schema:
        """Write NAME.arrow, unless there are no columns; returns the schema. Raises StorageError."""
        import pyarrow as pa

        schema = pa.schema(list(self._types.found.items()))
        if self._spooled and self._types.found:
            values = self._values()
            stored = pa.schema(
                [
                    (each.name, _codes(values[each.name], each.type) if each.name in values else each.type)
                    for each in schema
                ]
            )
            with storage_errors(self._path), pa.ipc.new_file(str(self._path), stored) as file:
                for batch in self._batches():
                    arrays = [
                        _encoded(column, values[name]) if name in values else column for name, column in batch.items()
                    ]
                    file.write_batch(pa.RecordBatch.from_arrays(arrays, schema=stored))
        self.close()
        return schema

    def _append(self, columns: dict[str, Any], count: int) -> None:
        """Add columns of `count` values to the spool, each with its current type."""
        import pyarrow as pa

        for name, column in columns.items():
            columns[name] = self._types.agreed(name, column)
        held = pa.BufferOutputStream()
        if columns:
            batch = pa.RecordBatch.from_pydict(columns)
            with pa.ipc.new_stream(held, batch.schema) as stream:
                stream.write_batch(batch)
        with storage_errors(self._path):
            self._spooled.append((self._spool.write(held.getvalue()), count))

    def _read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The number of rows and the columns of each batch in the spool, with final types."""
        import pyarrow as pa

        with storage_errors(self._path):
            self._spool.seek(0)
        for nbytes, count in self._spooled:
            with storage_errors(self._path):
                held = self._spool.read(nbytes)
            batch = pa.ipc.open_stream(held).read_next_batch() if held else pa.record_batch([])
            yield count, {name: self._types.final(name, batch.column(name)) for name in batch.schema.names}

    def _batches(self) -> Iterator[dict[str, Any]]:
        """All rows as batches of the file: name -> array."""
        import pyarrow as pa

        pending: list[dict[str, Any]] = []
        rows = size = 0
        for count, columns in self._read():
            nbytes = sum(each.nbytes for each in columns.values())
            if pending and (rows + count > BATCH_ROWS or size + nbytes > BATCH_BYTES):
                yield _joined(pending)
                pending, rows, size = [], 0, 0
            pending.append({name: columns.get(name, pa.nulls(count, kind)) for name, kind in self._types.found.items()})
            rows, size = rows + count, size + nbytes
        yield _joined(pending)

    def _values(self) -> dict[str, Any]:
        """Column -> its different values, for columns that become dictionaries."""
        import pyarrow as pa
        import pyarrow.compute as pc

        types = pa.types
        fits = (types.is_integer, types.is_string, types.is_date, types.is_timestamp, types.is_boolean)
        values = {
            name: pa.array([], kind) for name, kind in self._types.found.items() if any(fit(kind) for fit in fits)
        }
        most = min(MOST_VALUES, sum(count for _, count in self._spooled) // ROWS_PER_VALUE)
        for _, columns in self._read():
            for name in values.keys() & columns.keys():
                values[name] = pc.unique(pa.concat_arrays([values[name], pc.unique(columns[name]).drop_null()]))
                if len(values[name]) > most:
                    del values[name]
        return values


def write_columns(
    folder: str | os.PathLike[str],
    name: str,
    rows: Iterable[Mapping[str, Any]],
    schema: pa.Schema | None = None,
    known: pa.Schema | None = None,
) -> pa.Schema:
    """Write NAME.arrow with a row for each mapping; returns the schema. Without columns, no file is written.

    See ColumnsWriter for arguments and errors.
    """
    with ColumnsWriter(folder, name, schema, known) as writer:
        writer.add(rows)
        return writer.finish()


def merge_columns(
    folder: str | os.PathLike[str],
    name: str,
    parts: Iterable[tuple[Columns | None, npt.NDArray[np.integer]]],
) -> pa.Schema:
    """Write NAME.arrow from some rows of each part, part after part; returns the schema, as write_columns does.

    A column is null for a part that lacks it. All columns are null for a part that is None.
    """
    with ColumnsWriter(folder, name) as writer:
        for columns, rows in parts:
            if columns is None:
                writer.add_missing(len(rows))
            else:
                writer.add_columns(columns, rows)
        return writer.finish()


def path_of(folder: str | os.PathLike[str], name: str) -> Path:
    """The file of the columns."""
    return Path(folder, f"{name}.arrow")


def _codes(values: Any, kind: Any) -> Any:
    """The type of a column that is a dictionary of these values."""
    import pyarrow as pa

    return pa.dictionary(pa.uint8() if len(values) < 1 << 8 else pa.uint16(), kind)


def _encoded(column: Any, values: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    codes = pc.index_in(column, value_set=values)
    return pa.DictionaryArray.from_arrays(codes.cast(_codes(values, values.type).index_type), values)


def _joined(batches: list[dict[str, Any]]) -> dict[str, Any]:
    import pyarrow as pa

    return {name: pa.concat_arrays([each[name] for each in batches]) for name in batches[0]}


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn errors of reading a damaged file into an IndexFormatError that names the file."""
    import pyarrow as pa

    try:
        yield
    except (*DAMAGE, IndexError, ArithmeticError, pa.ArrowException) as error:
        raise damaged(path, error) from error
