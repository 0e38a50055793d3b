from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.errors import CollectionError, IndexFormatError, LsrError, ParameterError
from lsr.storage import columns as module
from lsr.storage.column_types import unified
from lsr.storage.columns import Columns, ColumnsWriter, merge_columns, write_columns

NAME = "metadata"


def values() -> st.SearchStrategy[Any]:
    """Values of one type: what one column holds."""
    kinds = [
        st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 3),
        st.floats(allow_nan=False),
        st.text(max_size=4),
        st.sampled_from(["cs", "math", "Ökonomie", ""]),
        st.booleans(),
        st.dates(),
        st.datetimes(),
        st.binary(max_size=3),
        st.lists(st.integers(0, 9), max_size=3),
        st.fixed_dictionaries({"name": st.text(max_size=3), "age": st.integers(0, 9)}),
    ]
    return st.sampled_from(kinds)


@st.composite
def rows(draw: st.DrawFn, most: int = 60) -> list[dict[str, Any]]:
    """Mappings of a few names, each of one type, of which some are missing or None."""
    count = draw(st.integers(1, most))
    made: list[dict[str, Any]] = [{} for _ in range(count)]
    for name in draw(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=3, unique=True)):
        kind = draw(values())
        few = draw(st.lists(kind, min_size=1, max_size=5))
        for row, choice in zip(made, draw(st.lists(st.integers(-2, 9), min_size=count, max_size=count)), strict=True):
            if choice == -1:
                row[name] = None
            elif choice >= 0:
                row[name] = few[choice % len(few)]
    return made


def filled(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {name for row in given for name in row}
    return [{name: row.get(name) for name in names} for row in given]


def read(folder: Path) -> list[dict[str, Any]]:
    columns = Columns.open(folder, NAME)
    return [columns.row(i) for i in range(len(columns))]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(module, "BATCH_ROWS", 16)


@settings(max_examples=40)
@given(rows())
def test_rows_come_back(tmp_path_factory: pytest.TempPathFactory, made: list[dict[str, Any]]) -> None:
    folder = tmp_path_factory.mktemp("columns")
    schema = write_columns(folder, NAME, made)
    if not schema.names:
        assert not list(folder.iterdir())
        return
    assert read(folder) == filled(made)
    columns = Columns.open(folder, NAME)
    assert columns.schema == schema
    order = np.arange(len(made))[::-1]
    assert columns.take(order).to_pylist() == filled(made)[::-1]
    assert [each.name for each in folder.iterdir()] == ["metadata.arrow"]


@settings(max_examples=40)
@given(st.lists(rows(20), min_size=1, max_size=4), st.randoms())
def test_merging_is_writing_what_is_left(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[dict[str, Any]]], random: Any
) -> None:
    folder = tmp_path_factory.mktemp("columns")
    parts = [
        [{f"{name}-{i % 2}": value for name, value in row.items()} for row in part] for i, part in enumerate(parts)
    ]
    kept = [sorted(random.sample(range(len(part)), random.randint(0, len(part)))) for part in parts]
    known = None
    opened: list[Columns | None] = []
    for i, part in enumerate(parts):
        (folder / str(i)).mkdir()
        try:
            schema = write_columns(folder / str(i), NAME, part, known=known)
        except CollectionError:
            return  # columns of one name whose values do not go together
        known = unified([schema if known is None else known, schema])
        opened.append(Columns.open(folder / str(i), NAME) if schema.names else None)
    written = merge_columns(folder, NAME, zip(opened, map(np.array, kept), strict=True))
    left = [row for part, rows in zip(parts, kept, strict=True) for row in [part[i] for i in rows]]
    if not left or not written.names:
        assert not (folder / "metadata.arrow").exists()
        return
    merged = read(folder)
    for row, before in zip(merged, left, strict=True):
        assert {name: value for name, value in row.items() if value is not None} == {
            name: value for name, value in before.items() if value is not None
        } or written != unified([each.schema for each in opened if each is not None])


def test_types_are_kept(tmp_path: Path) -> None:
    table = pa.table(
        {
            "small": pa.array([1, None, 3], pa.int8()),
            "price": pa.array([Decimal("1.50"), Decimal("2.25"), None]),
            "at": pa.array([0, 1, None], pa.timestamp("ms", "Europe/Berlin")),
            "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
            "tags": pa.array([["x"], [], None], pa.list_(pa.large_string())),
            "nothing": pa.nulls(3),
        }
    )
    write_columns(tmp_path, NAME, table.to_pylist(), table.schema)
    columns = Columns.open(tmp_path, NAME)
    assert columns.schema == pa.schema(
        [each.with_type(pa.string()) if each.name == "kind" else each for each in table.schema]
    )
    assert columns.take(np.arange(3)).to_pylist() == table.to_pylist()


def test_few_values_are_stored_as_a_dictionary(tmp_path: Path) -> None:
    made = [{"year": 2000 + i % 3, "number": i, "sort": "ab"[i % 2] if i % 5 else None} for i in range(100)]
    write_columns(tmp_path, NAME, made)
    columns = Columns.open(tmp_path, NAME)
    stored = {name: columns.column(name).type for name in columns.names}
    assert stored == {
        "year": pa.dictionary(pa.uint8(), pa.int64()),
        "number": pa.int64(),
        "sort": pa.dictionary(pa.uint8(), pa.string()),
    }
    assert read(tmp_path) == made
    assert pa.ipc.open_file(str(tmp_path / "metadata.arrow")).read_all().to_pylist() == made  # as others read it


@pytest.mark.parametrize(("distinct", "kind"), [(255, pa.uint8()), (256, pa.uint16())])
def test_dictionaries_of_all_sizes(tmp_path: Path, distinct: int, kind: pa.DataType) -> None:
    made = [{"a": str(i % distinct)} for i in range(4 * distinct)]
    write_columns(tmp_path, NAME, made)
    assert Columns.open(tmp_path, NAME).column("a").type.index_type == kind
    assert read(tmp_path) == made


@pytest.mark.parametrize(
    ("given_values", "kept"),
    [
        ([1, 2.5], [1.0, 2.5]),
        ([1, "n.d.", None], ["1", "n.d.", None]),
        ([True, 1], ["true", "1"]),
        ([2**70, 1], [2.0**70, 1.0]),
        ([[1], "a"], ["[1]", "a"]),
        ([dt.date(2020, 1, 2), "later"], ["2020-01-02", "later"]),
        ([dt.date(2020, 1, 2), dt.datetime(2020, 1, 2, 3)], [dt.datetime(2020, 1, 2), dt.datetime(2020, 1, 2, 3)]),
    ],
)
@pytest.mark.parametrize("apart", [1, 30])
def test_values_of_different_types(tmp_path: Path, given_values: list[Any], kept: list[Any], apart: int) -> None:
    """In one batch, and in different ones."""
    made = [{"a": each} for value in given_values for each in [value] * apart]
    write_columns(tmp_path, NAME, made)
    assert [row["a"] for row in read(tmp_path)] == [each for value in kept for each in [value] * apart]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": object()}, "the metadata 'a' of a document is <object object"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({3: "x"}, "names of metadata must be texts"),
        ({"\udfff": 1}, "lone surrogate"),
    ],
)
def test_values_that_cannot_be_stored_are_refused(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(CollectionError, match=message):
        write_columns(tmp_path, NAME, [row])
    assert not list(tmp_path.iterdir())


def test_values_must_go_with_the_columns_of_the_index(tmp_path: Path) -> None:
    known = pa.schema([("year", pa.int64()), ("title", pa.string()), ("other", pa.bool_())])
    schema = write_columns(tmp_path, NAME, [{"year": "2020", "title": 1984}, {"new": 1.5}], known=known)
    assert schema == pa.schema([("year", pa.int64()), ("title", pa.string()), ("new", pa.float64())])
    assert read(tmp_path)[0] == {"year": 2020, "title": "1984", "new": None}
    assert write_columns(tmp_path, NAME, [{"year": 2.5}], known=known).field("year").type == pa.float64()
    with pytest.raises(CollectionError, match=r"the column 'year' of the index has type int64, .* 'n\.d\.'"):
        write_columns(tmp_path, NAME, [{"year": "2020"}, {"year": "n.d."}], known=known)


def test_nanoseconds_and_far_years(tmp_path: Path) -> None:
    table = pa.table(
        {
            "fine": pa.array([1_000_000_001], pa.timestamp("ns")),
            "far": pa.array([3 * 10**11], pa.timestamp("s")),
            "short": pa.array([1001], pa.duration("ns")),
            "clock": pa.array([1001], pa.time64("ns")),
        }
    )
    with ColumnsWriter(tmp_path, NAME) as writer:
        for _ in range(4):  # so that some are dictionaries
            writer._append({name: table.column(name).combine_chunks() for name in table.schema.names}, 1)
        writer.finish()
    row = read(tmp_path)[0]
    assert row["fine"] == dt.datetime(1970, 1, 1, 0, 0, 1)
    assert row["far"].startswith("11476-")
    assert row["short"] == dt.timedelta(microseconds=1)
    assert row["clock"] == dt.time(0, 0, 0, 1)


def test_rows_and_columns_that_are_not_there(tmp_path: Path) -> None:
    write_columns(tmp_path, NAME, [{"a": 1}])
    columns = Columns.open(tmp_path, NAME)
    for wrong in (-1, 1):
        with pytest.raises(ParameterError, match="there are 1 rows"):
            columns.row(wrong)
        with pytest.raises(ParameterError, match="there are 1 rows"):
            columns.take(np.array([wrong]))
    with pytest.raises(ParameterError, match="no column 'b'; columns: a"):
        columns.column("b")
    with pytest.raises(IndexFormatError, match="missing or damaged"):
        len(Columns.open(tmp_path, "other"))


_FLIPS = """
import json, random, sys
from lsr.errors import IndexFormatError
from lsr.storage.columns import Columns
path, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
import pathlib
file = pathlib.Path(path, "metadata.arrow")
whole, chance, found = file.read_bytes(), random.Random(seed), {}
for _ in range(count):
    file.unlink()
    damaged = bytearray(whole)
    kind = chance.randrange(4)
    for _ in range(1 if kind < 2 else 8):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    if kind == 3:
        del damaged[chance.randrange(len(damaged)):]
    file.write_bytes(damaged)
    try:
        columns = Columns.open(path, "metadata")
        rows = [columns.row(i) for i in range(len(columns))]
        outcome = "rows"
    except IndexFormatError:
        outcome = "refused"
    found[outcome] = found.get(outcome, 0) + 1
print(json.dumps(found))
"""


def test_flipped_bits_never_crash(tmp_path: Path) -> None:
    made = [
        {
            "year": 2000 + i % 3,
            "number": i,
            "sort": "äb"[i % 2] if i % 5 else None,
            "text": f"text {i}",
            "tags": ["x"] * (i % 3),
            "who": {"name": str(i), "on": dt.date(2020, 1, 1 + i % 20)},
            "at": dt.datetime(2020, 1, 1, i % 20),
            "price": Decimal(i) / 4,
        }
        for i in range(40)
    ]
    write_columns(tmp_path, NAME, made)
    done = subprocess.run(
        [sys.executable, "-c", _FLIPS, str(tmp_path), "1", "400"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sum(found.values()) == 400
    assert found["refused"] > 100


@settings(max_examples=30)
@given(st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=2), st.booleans(), st.floats()), max_size=30))
def test_any_mixture_is_a_column_or_an_error(tmp_path_factory: pytest.TempPathFactory, mixed: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("columns")
    try:
        schema = write_columns(folder, NAME, [{"a": each} for each in mixed])
    except LsrError:
        return
    if schema.names:
        found = [row["a"] for row in read(folder)]
        assert [each is None for each in found] == [each is None for each in mixed]
