"""Columns: what is known of each document beside its text, mapped into memory, in one Arrow file.

A column keeps the type that it came with: dictionaries and other encodings of the same values aside. One that has few
different values, all of them integers, texts, dates or truth values, is stored as an Arrow dictionary.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime, time
from functools import cached_property
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from lsr.checks import check_text, shown
from lsr.errors import CollectionError, ParameterError
from lsr.storage.arrays import damaged
from lsr.storage.files import DAMAGE, storage_errors

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 4096  # held as Python objects
BATCH_ROWS = 1 << 16  # of the file
BATCH_BYTES = 1 << 26
MOST_VALUES = (1 << 16) - 1  # of a dictionary
ROWS_PER_VALUE = 4  # at least, on average, for a dictionary to be worth it


class Columns:
    """The columns of some documents. Opened when they are first asked for, and each checked when it is first read.

    Raises IndexFormatError, whenever that is, for what is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._checked: dict[str, Any] = {}

    @classmethod
    def open(cls, folder: str | os.PathLike[str], name: str) -> Self:
        """What ColumnsWriter wrote. Reads nothing yet."""
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
        """A column as it is stored: of its type, or a dictionary of it. Raises ParameterError if there is none."""
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
        """Row i: the value of each column, as Python has them; None for a missing one."""
        if not 0 <= i < len(self):
            raise ParameterError(f"row {i} does not exist; there are {len(self)} rows")
        return {name: self._value(self.column(name), i) for name in self.names}

    def take(self, rows: npt.NDArray[np.integer]) -> pa.Table:
        """A table of some rows, in this order, each column of its type."""
        import pyarrow as pa

        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise ParameterError(f"rows {rows.min()} to {rows.max()}; there are {len(self)} rows")
        taken = {each.name: self.column(each.name).take(pa.array(rows)).cast(each.type) for each in self.schema}
        return pa.table(taken, schema=self.schema)

    def _value(self, column: pa.ChunkedArray, i: int) -> Any:
        # The chunks of all columns are alike.
        chunk = bisect_right(self._starts, i) - 1
        with _damage(self._path):
            return plain_value(column.chunk(chunk)[i - self._starts[chunk]])

    @cached_property
    def _starts(self) -> list[int]:
        """Where each chunk begins, none of which is empty."""
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
                raise ValueError("it has no columns, or two of one name")
            chunks = [chunk for chunk in table.to_batches() if len(chunk)]
            return pa.Table.from_batches(chunks, table.schema).replace_schema_metadata(None)


class ColumnsWriter:
    """Rows of columns, added in any number of calls; `finish` writes NAME.arrow, `close` drops what is not finished.

    schema: types of some columns. Others have the type of their values, texts where these go together in no other.
    known: columns that these are to go with, such as those of the index that they are added to: values take the type
        of the column that is known, or both take one that holds all values of both (integers and floats are floats).

    Holds few rows in memory: what is added goes to a file without a name in `folder` first, because types and
    dictionaries are known at the end.
    """

    def __init__(
        self, folder: str | os.PathLike[str], name: str, schema: pa.Schema | None = None, known: pa.Schema | None = None
    ) -> None:
        self._path = path_of(folder, name)
        self._given = {} if schema is None else {each.name: plain_type(each.type) for each in schema}
        self._known = {} if known is None else {each.name: plain_type(each.type) for each in known}
        of_both = {name: self._known.get(name, kind) for name, kind in self._given.items()}
        self._types = {name: promoted(self._given[name], kind) or kind for name, kind in of_both.items()}
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
        """Rows as mappings, name -> value, of which some may lack names: these are null.

        Raises CollectionError for a value that no column can hold, or that does not go with a known column.
        """
        remaining = iter(rows)
        while some := list(islice(remaining, ROWS_AT_ONCE)):
            names = list(dict.fromkeys(name for row in some for name in row))
            self._append({name: self._column_of(name, [row.get(name) for row in some]) for name in names}, len(some))

    def add_columns(self, columns: Columns, rows: npt.NDArray[np.integer]) -> None:
        """Some rows of columns that were written before, in this order."""
        for first in range(0, len(rows), BATCH_ROWS):
            table = columns.take(rows[first : first + BATCH_ROWS])
            self._append({name: table.column(name).combine_chunks() for name in table.schema.names}, len(table))

    def add_missing(self, count: int) -> None:
        """Rows of which nothing is known."""
        self._append({}, count)

    def finish(self) -> pa.Schema:
        """Write NAME.arrow, unless there are no columns; returns their schema. Raises StorageError."""
        import pyarrow as pa

        schema = pa.schema(list(self._types.items()))
        if self._spooled and self._types:
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

    def _column_of(self, name: str, values: list[Any]) -> Any:
        import pyarrow as pa

        if not isinstance(name, str):
            raise CollectionError(f"a document has metadata named {shown(name)}; names of metadata are texts")
        check_text("a name of metadata", name, CollectionError)
        if any(isinstance(each, datetime) for each in values):  # Arrow would cut the time off, if a date comes first
            values = [datetime.combine(each, time()) if type(each) is date else each for each in values]
        with suppress(pa.ArrowException, OverflowError, ValueError, TypeError):
            return pa.array(values, type=self._given.get(name))
        with suppress(pa.ArrowException, OverflowError, ValueError, TypeError):
            if all(isinstance(each, int | float | None) and not isinstance(each, bool) for each in values):
                return pa.array([None if each is None else float(each) for each in values])  # integers beyond 64 bits
        return pa.array([_text_of(name, each) for each in values], pa.string())

    def _append(self, columns: dict[str, Any], count: int) -> None:
        """Columns of `count` values each, to the spool, each of the type that it and those before it have by now."""
        import pyarrow as pa

        for name, column in columns.items():
            columns[name] = self._agreed(name, column.cast(plain_type(column.type)))
        held = pa.BufferOutputStream()
        if columns:
            batch = pa.RecordBatch.from_pydict(columns)
            with pa.ipc.new_stream(held, batch.schema) as stream:
                stream.write_batch(batch)
        with storage_errors(self._path):
            self._spooled.append((self._spool.write(held.getvalue()), count))

    def _agreed(self, name: str, column: Any) -> Any:
        import pyarrow as pa

        known = self._known.get(name)
        if known is not None and promoted(known, column.type) is None:
            column = self._as_known(name, column, known)
        before = self._types.get(name, pa.null() if known is None else known)
        self._types[name] = promoted(before, column.type) or pa.string()
        return column

    def _as_known(self, name: str, column: Any, known: Any) -> Any:
        import pyarrow as pa

        try:
            return converted(column, known)
        except (pa.ArrowException, ValueError, OverflowError):
            for value in column:
                try:
                    value.cast(known)
                except (pa.ArrowException, ValueError, OverflowError):
                    break
            raise CollectionError(
                f"the column {name!r} of the index holds {known}, and a document has {shown(value.as_py())} there; "
                "correct the value, leave it out, or name the column differently"
            ) from None

    def _read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows and the columns of each batch of the spool, in the columns' types."""
        import pyarrow as pa

        with storage_errors(self._path):
            self._spool.seek(0)
        for nbytes, count in self._spooled:
            with storage_errors(self._path):
                held = self._spool.read(nbytes)
            batch = pa.ipc.open_stream(held).read_next_batch() if held else pa.record_batch([])
            yield count, {name: self._final(name, batch.column(name)) for name in batch.schema.names}

    def _final(self, name: str, column: Any) -> Any:
        import pyarrow as pa

        kind = self._types[name]
        try:
            return converted(column, kind)
        except pa.ArrowException as error:
            raise CollectionError(
                f"the metadata {name!r} is of types {column.type} and {kind}, which do not go together ({error}); "
                "give all of them one type"
            ) from error

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
            pending.append({name: columns.get(name, pa.nulls(count, kind)) for name, kind in self._types.items()})
            rows, size = rows + count, size + nbytes
        yield _joined(pending)

    def _values(self) -> dict[str, Any]:
        """Column -> its different values, of those columns that are to be dictionaries."""
        import pyarrow as pa
        import pyarrow.compute as pc

        types = pa.types
        fits = (types.is_integer, types.is_string, types.is_date, types.is_timestamp, types.is_boolean)
        values = {name: pa.array([], kind) for name, kind in self._types.items() if any(fit(kind) for fit in fits)}
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
    """Write NAME.arrow, a row for each mapping; returns the schema. There is no file where that has no columns.

    As ColumnsWriter takes them, and raises.
    """
    with ColumnsWriter(folder, name, schema, known) as writer:
        writer.add(rows)
        return writer.finish()


def merge_columns(
    folder: str | os.PathLike[str],
    name: str,
    parts: Iterable[tuple[Columns | None, npt.NDArray[np.integer]]],
) -> pa.Schema:
    """Write NAME.arrow of some rows of each part, one part after the other; returns the schema, as write_columns does.

    A column that a part lacks, or all where the part is None, is null there.
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


def unified(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The columns of several segments as one: all names, each with a type that holds the values of all."""
    import pyarrow as pa

    types: dict[str, Any] = {}
    for schema in schemas:
        for each in schema:
            types[each.name] = promoted(types.get(each.name, pa.null()), each.type) or pa.string()
    return pa.schema(list(types.items()))


def promoted(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both; None where there is none."""
    import pyarrow as pa

    types = pa.types
    if types.is_timestamp(first) and types.is_timestamp(second) and first.tz == second.tz and first != second:
        return pa.timestamp("us", first.tz)  # in nanoseconds there are no years before 1677 or after 2262
    for one, other in ((first, second), (second, first)):
        if types.is_date(one) and types.is_timestamp(other) and other.tz is None:
            return pa.timestamp("us")
        if types.is_uint64(one) and types.is_signed_integer(other):
            return pa.float64()
    try:
        return pa.unify_schemas(
            [pa.schema([("", first)]), pa.schema([("", second)])], promote_options="permissive"
        ).types[0]
    except pa.ArrowException:
        return None


def plain_type(kind: pa.DataType) -> pa.DataType:
    """A type without what encodes its values: dictionaries, runs, views, extensions."""
    import pyarrow as pa

    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    if types.is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([each.with_type(plain_type(each.type)) for each in kind])
    return kind


def converted(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column as one of another type: of texts, if need be in JSON. Raises pyarrow's errors for values that do not go.

    Of integers become floats, even those that floats round.
    """
    import pyarrow as pa

    types = pa.types
    if column.type == kind:
        return column
    if types.is_string(kind) or types.is_large_string(kind):
        return pa.array([_text_of("", plain_value(each)) for each in column], kind)
    rounded = types.is_floating if types.is_integer(column.type) else types.is_timestamp
    return column.cast(kind, safe=not (rounded(kind) and promoted(column.type, kind) == kind))


def plain_value(scalar: pa.Scalar) -> Any:
    """A value as Python has it, without what Python's is too coarse or too short for: nanoseconds, years after 9999."""
    import pyarrow as pa

    if pa.types.is_dictionary(scalar.type) and scalar.is_valid:
        scalar = scalar.value
    kind = scalar.type
    try:
        if getattr(kind, "unit", None) == "ns":
            finer = {pa.types.is_timestamp: pa.timestamp("us", getattr(kind, "tz", None))}
            finer |= {pa.types.is_duration: pa.duration("us"), pa.types.is_time: pa.time64("us")}
            scalar = scalar.cast(next(coarse for fits, coarse in finer.items() if fits(kind)), safe=False)
        return scalar.as_py()
    except (ValueError, OverflowError):
        return str(scalar.cast(pa.string()).as_py())


def _text_of(name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        text = value
    elif isinstance(value, bool | list | tuple | dict):
        text = json.dumps(value, ensure_ascii=False, default=str)
    elif str(value) == object.__repr__(value):  # which says where it is, and not what
        raise CollectionError(
            f"the metadata {name!r} of a document is {shown(value)}; give texts, numbers, dates or lists"
        )
    else:
        text = str(value)
    if text is not None:
        check_text(f"the metadata {name!r} of a document", text, CollectionError)
    return text


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
    """What reading of a damaged file raises, as an IndexFormatError that names it."""
    import pyarrow as pa

    try:
        yield
    except (*DAMAGE, IndexError, ArithmeticError, pa.ArrowException) as error:
        raise damaged(path, error) from error
