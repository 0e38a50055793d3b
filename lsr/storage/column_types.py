"""Types of columns: compatible types, and conversions between them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from lsr.checks import check_text, shown
from lsr.errors import CollectionError

if TYPE_CHECKING:
    import pyarrow as pa


class ColumnTypes:
    """The types of columns, inferred from more and more rows.

    given: types of some columns. Other columns have the type of their values, or text if the values have no common
        type.
    known: columns with which these must agree, such as those of the index to which documents are added. Values take the
        type of the known column, or both take a type that holds all values of both (integers and floats become floats).
    """

    def __init__(self, given: pa.Schema | None = None, known: pa.Schema | None = None) -> None:
        self._given = {} if given is None else {each.name: plain_type(each.type) for each in given}
        self._known = {} if known is None else {each.name: plain_type(each.type) for each in known}
        of_both = {name: self._known.get(name, kind) for name, kind in self._given.items()}
        self.found = {name: promoted(self._given[name], kind) or kind for name, kind in of_both.items()}

    def columns_of(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
        """The columns of rows. Missing names are null. Raises CollectionError."""
        names = list(dict.fromkeys(name for row in rows for name in row))
        return {name: self._column_of(name, [row.get(name) for row in rows]) for name in names}

    def check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raises CollectionError for rows that do not agree with known columns, or cannot be stored."""
        for name, column in self.columns_of(rows).items():
            self.agreed(name, column)

    def agreed(self, name: str, column: pa.Array) -> pa.Array:
        """A column with its current type. Raises CollectionError if it does not agree with a known column."""
        import pyarrow as pa

        column = column.cast(plain_type(column.type))
        known = self._known.get(name)
        if known is not None and promoted(known, column.type) is None:
            column = self._as_known(name, column, known)
        before = self.found.get(name, pa.null() if known is None else known)
        self.found[name] = promoted(before, column.type) or pa.string()
        return column

    def final(self, name: str, column: pa.Array) -> pa.Array:
        """A column with its final type, after all rows were seen. Raises CollectionError."""
        import pyarrow as pa

        kind = self.found[name]
        try:
            return converted(column, kind)
        except pa.ArrowException as error:
            raise CollectionError(
                f"the metadata {name!r} has the types {column.type} and {kind}, which are not compatible ({error}); "
                "use one type"
            ) from error

    def _column_of(self, name: str, values: list[Any]) -> pa.Array:
        import pyarrow as pa

        if not isinstance(name, str):
            raise CollectionError(
                f"a document has metadata with the name {shown(name)}; names of metadata must be texts"
            )
        check_text("a name of metadata", name, CollectionError)
        if any(isinstance(each, datetime) for each in values):  # Arrow would cut off the time if a date comes first
            values = [datetime.combine(each, time()) if type(each) is date else each for each in values]
        with suppress(pa.ArrowException, OverflowError, ValueError, TypeError):
            return pa.array(values, type=self._given.get(name))
        with suppress(pa.ArrowException, OverflowError, ValueError, TypeError):
            if all(isinstance(each, int | float | None) and not isinstance(each, bool) for each in values):
                return pa.array(
                    [None if each is None else float(each) for each in values]
                )  # integers of more than 64 bits
        return pa.array([_text_of(name, each) for each in values], pa.string())

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
                f"the column {name!r} of the index has type {known}, but a document has {shown(value.as_py())}; "
                "correct the value, leave it out, or rename the column"
            ) from None


def stored_value(value: Any, kind: pa.DataType) -> Any:
    """A value after it was stored in a column of this type. Raises CollectionError if it is not compatible."""
    import pyarrow as pa

    types = ColumnTypes(known=pa.schema([("", kind)]))
    column = types.agreed("", types.columns_of([{"": value}])[""])
    return plain_value(types.final("", column)[0])


def unified(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """One schema for the columns of several segments: all names, each with a type for the values of all."""
    import pyarrow as pa

    types: dict[str, Any] = {}
    for schema in schemas:
        for each in schema:
            types[each.name] = promoted(types.get(each.name, pa.null()), each.type) or pa.string()
    return pa.schema(list(types.items()))


def promoted(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both types; None if there is none."""
    import pyarrow as pa

    types = pa.types
    if types.is_timestamp(first) and types.is_timestamp(second) and first.tz == second.tz and first != second:
        return pa.timestamp("us", first.tz)  # nanoseconds only cover the years from 1677 to 2262
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
    """A type without encodings of its values: dictionaries, runs, views, extensions."""
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
    """A column converted to another type; to text as JSON, if necessary. Raises pyarrow's errors for other values.

    Integers become floats even if that rounds them.
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
    """A value as a Python object, without nanoseconds and years after 9999, which Python lacks."""
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
    elif str(value) == object.__repr__(value):  # shows its address, not its value
        raise CollectionError(
            f"the metadata {name!r} of a document is {shown(value)}; use texts, numbers, dates or lists of these"
        )
    else:
        text = str(value)
    if text is not None:
        check_text(f"the metadata {name!r} of a document", text, CollectionError)
    return text
