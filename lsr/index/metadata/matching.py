"""Evaluating a condition on the rows of columns."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lsr.errors import ParameterError
from lsr.index.metadata.condition import Condition, refused
from lsr.index.metadata.database import query

if TYPE_CHECKING:
    import pyarrow as pa

    ColumnsByName = Mapping[str, pa.ChunkedArray]

Mask = npt.NDArray[np.bool_]

MOST_COMBINATIONS = (1 << 16) - 1  # combinations of values, which are evaluated instead of rows
_FEW_COMBINATIONS = 1024  # this number is always allowed
_ROWS_PER_COMBINATION = 4  # for more combinations, the least mean number of rows


def matching(condition: Condition, columns: ColumnsByName, count: int) -> Mask:
    """bool[count]: the rows for which a condition is true. Rows where it is false or null are False.

    columns: by the names in the condition, `count` values each. Columns that are dictionaries with 8 or 16 bits per
        code, in equal chunks, or all null, are evaluated by value.
    Raises ParameterError with DuckDB's reason.
    """
    import duckdb

    columns = {name.lower(): column for name, column in columns.items()}  # a part can have another spelling
    try:
        return _of_parts(condition, columns, count)
    except (duckdb.Error, ParameterError):
        # DuckDB evaluates the right side of AND only where it matters, and perhaps no row has the values that failed.
        try:
            return _by_row(condition, columns, count)
        except duckdb.Error as error:
            raise refused(condition.text, error) from error


def _of_parts(condition: Condition, columns: ColumnsByName, count: int) -> Mask:
    by_value = _by_value(condition, columns, count)
    if by_value is not None:
        return by_value
    if condition.operator is None:
        return _by_row(condition, columns, count)
    masks = [(each, _by_value(each, columns, count)) for each in condition.parts]
    known = [mask for _, mask in masks if mask is not None]
    others = [each for each, mask in masks if mask is None]
    if len(others) == 1:
        known.append(_of_parts(others[0], columns, count))
    elif others:
        known.append(_by_row(condition.joined(others), columns, count))
    join = np.logical_and if condition.operator == "AND" else np.logical_or
    result = known[0]
    for mask in known[1:]:
        join(result, mask, out=result)
    return result


def _by_row(condition: Condition, columns: ColumnsByName, count: int) -> Mask:
    import pyarrow as pa

    # A table without columns has no rows.
    table = {name: columns[name.lower()] for name in condition.names} or {"": pa.nulls(count, pa.bool_())}
    return _run(condition, pa.table(table), count)


def _by_value(condition: Condition, columns: ColumnsByName, count: int) -> Mask | None:
    """Like `matching`, but evaluated once per combination of the columns' values. None if these are too many."""
    import pyarrow as pa

    chosen = [columns[name.lower()] for name in condition.names]
    values = [_values_of(each) for each in chosen]
    sizes = [0 if each is None else len(each) + 1 for each in values]  # with null
    combinations = prod(sizes)
    if not 0 < combinations <= min(MOST_COMBINATIONS, max(_FEW_COMBINATIONS, count // _ROWS_PER_COMBINATION)):
        return None
    strides = [prod(sizes[i + 1 :]) for i in range(len(sizes))]
    every = np.arange(combinations)
    table = {
        name: pa.concat_arrays([each, pa.nulls(1, each.type)]).take(pa.array(every // stride % size))
        for name, each, stride, size in zip(condition.names, values, strides, sizes, strict=True)
    }
    of_combination = _run(condition, pa.table(table or {"": pa.nulls(1, pa.bool_())}), combinations)
    coded = [(each, stride, size) for each, stride, size in zip(chosen, strides, sizes, strict=True) if size > 1]
    if not coded:
        return np.full(count, of_combination[0])
    result = np.empty(count, bool)
    begin = 0
    for chunks in zip(*(column.chunks for column, _, _ in coded), strict=True):
        code: Any = np.uint16(0)
        for indices, (_, stride, size) in zip((each.indices for each in chunks), coded, strict=True):
            filled = indices.fill_null(size - 1) if indices.null_count else indices
            code = filled.to_numpy() * np.uint16(stride) + code
        np.take(of_combination, code, out=result[begin : begin + len(code)], mode="clip")
        begin += len(code)
    return result


def _values_of(column: Any) -> Any:
    """The values of a dictionary, if all chunks have the same; else None."""
    import pyarrow as pa

    kind = column.type
    if column.null_count == len(column):
        return pa.array([], kind.value_type if pa.types.is_dictionary(kind) else kind)
    if not pa.types.is_dictionary(kind) or not column.num_chunks or kind.index_type not in (pa.uint8(), pa.uint16()):
        return None
    first, *others = [column.chunk(i).dictionary for i in range(column.num_chunks)]
    same = all(_place(each) == _place(first) or each.equals(first) for each in others)
    # The code of null is the next number.
    return first if same and len(first) < 1 << kind.index_type.bit_width and not first.null_count else None


def _place(array: Any) -> list[Any]:
    return [len(array), array.offset, *(None if each is None else each.address for each in array.buffers())]


def _run(condition: Condition, table: Any, count: int) -> Mask:
    kind, values = query(condition.statement, table)
    missing = np.ma.getmaskarray(values)
    if values.dtype != bool and not missing.all():
        raise refused(condition.text, f"its type is {kind}")
    return np.zeros(count, bool) if values.dtype != bool else np.array(np.ma.filled(values, False))
