from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.errors import ParameterError
from lsr.index.metadata import matching as module
from lsr.index.metadata.condition import Condition, parsed
from lsr.index.metadata.matching import matching
from tests.index.metadata.conditions import VALUES, Random, Row, conditions, rows

TYPES = {"year": pa.int32(), "day": pa.date32(), "flag": pa.bool_(), "number": pa.int64(), "price": pa.float64()}


def columns_of(made: list[Row], coded: list[str], chunk: int) -> dict[str, pa.ChunkedArray]:
    """As a segment has them: in chunks, some of them as dictionaries."""
    columns = {}
    for name in VALUES:
        array = pa.array([row[name] for row in made], TYPES.get(name, pa.string()))
        if name in coded:
            array = array.dictionary_encode()
            array = pa.DictionaryArray.from_arrays(array.indices.cast(pa.uint8()), array.dictionary)
        columns[name] = pa.chunked_array([array.slice(at, chunk) for at in range(0, len(made), chunk)])
    return columns


def of(condition: Condition, columns: dict[str, pa.ChunkedArray]) -> dict[str, pa.ChunkedArray]:
    names = {name.lower() for name in condition.names}
    return {name.lower(): column for name, column in columns.items() if name.lower() in names}


@settings(max_examples=80)
@given(rows(), conditions(), st.lists(st.sampled_from(sorted(VALUES)), unique=True), st.sampled_from([7, 100]))
def test_conditions_as_python_has_them(made: list[Row], random: Random, coded: list[str], chunk: int) -> None:
    condition = parsed(random.sql)
    found = matching(condition, of(condition, columns_of(made, coded, chunk)), len(made))
    assert found.dtype == bool
    assert found.tolist() == [random.of(row) is True for row in made]


@settings(max_examples=30)
@given(rows(), conditions())
def test_by_value_and_by_row_are_one(made: list[Row], random: Random) -> None:
    condition = parsed(random.sql)
    columns = of(condition, columns_of(made, sorted(VALUES), 16))
    by_row = module._by_row(condition, columns, len(made))
    assert np.array_equal(matching(condition, columns, len(made)), by_row)
    for part in condition.parts if condition.operator else ():  # as DuckDB writes them
        assert np.array_equal(module._of_parts(part, columns, len(made)), module._by_row(part, columns, len(made)))


def test_conditions_with_only_constants() -> None:
    for text, expected in (
        ("true", True),
        ("1 > 2", False),
        ("null", False),
        ("null and true", False),
        ("not null", False),
    ):
        assert matching(parsed(text), {}, 3).tolist() == [expected] * 3


def column(values: list[Any], kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


def test_a_value_that_no_row_has_does_no_harm() -> None:
    """Evaluated by value, each part by itself, it fails."""
    codes = pa.array([0, 1, 0], pa.uint8())
    text = pa.chunked_array([pa.DictionaryArray.from_arrays(codes, pa.array(["1", "2", "no number"]))])
    assert matching(parsed("cast(a as int) = 1"), {"a": text}, 3).tolist() == [True, False, True]
    guarded = parsed("case when b then cast(a as int) = 1 else false end")
    columns = {"a": column(["1", "x"]), "b": column([True, False])}
    assert matching(guarded, columns, 2).tolist() == [True, False]


def test_lists_and_structs() -> None:
    columns = {
        "tags": column([["a", "b"], ["b"], [], None]),
        "who": column([{"name": "x"}, {"name": None}, None, {"name": "y"}]),
    }
    for text, expected in (
        ("list_contains(tags, 'a')", [1, 0, 0, 0]),
        ("'b' in tags", [1, 1, 0, 0]),
        ("list_has_any(tags, ['a', 'c'])", [1, 0, 0, 0]),
        ("len(tags) = 0", [0, 0, 1, 0]),
        ("who.name = 'x'", [1, 0, 0, 0]),
        ("who['name'] is null", [0, 1, 1, 0]),
    ):
        condition = parsed(text)
        found = matching(condition, {name: columns[name] for name in condition.names}, 4)
        assert found.tolist() == [bool(each) for each in expected], text


def test_reasons_of_duckdb() -> None:
    with pytest.raises(ParameterError, match=r"where \"a = 'x'\": Conversion Error: .*'x'"):
        matching(parsed("a = 'x'"), {"a": column([1, 2])}, 2)
    with pytest.raises(ParameterError, match="its type is"):
        matching(parsed("a + 1"), {"a": column([1, 2])}, 2)
    with pytest.raises(ParameterError, match="Binder Error"):
        matching(parsed("lower(a, a) = 'x'"), {"a": column(["x"])}, 1)


def test_times_are_of_utc() -> None:
    at = column([1577836800, 1577836799], pa.timestamp("s", "America/New_York"))
    assert matching(parsed("seen >= '2020-01-01'"), {"seen": at}, 2).tolist() == [True, False]
    assert matching(parsed("year(seen) = 2020"), {"seen": at}, 2).tolist() == [True, False]
