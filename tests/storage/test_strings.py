"""StringColumn: as many strings as one likes, one at a time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import IndexFormatError, ParameterError, StorageError, VectorsError
from lsr.storage.strings import StringColumn


@given(st.lists(st.text()))
def test_written_is_read(tmp_path_factory: pytest.TempPathFactory, strings: list[str]) -> None:
    folder = tmp_path_factory.mktemp("strings")
    assert StringColumn.write(folder, "ids", strings) == len(strings)
    column = StringColumn.open(folder, "ids")
    assert len(column) == len(strings)
    assert list(column) == strings
    assert [column[i] for i in range(len(strings))] == strings


def test_files_are_plain_arrays(tmp_path: Path) -> None:
    StringColumn.write(tmp_path, "ids", iter(["a", "", "üb"]))
    assert np.load(tmp_path / "ids.text.npy").tobytes().decode() == "aüb"
    assert np.load(tmp_path / "ids.offsets.npy").tolist() == [0, 1, 1, 4]


def test_more_strings_than_are_held_at_once(tmp_path: Path) -> None:
    def strings() -> Iterator[str]:
        return (f"document {i} " * 40 for i in range(40_000))

    tracemalloc.start()
    try:
        StringColumn.write(tmp_path, "texts", strings())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    column = StringColumn.open(tmp_path, "texts")
    assert len(column) == 40_000
    assert all(found == expected for found, expected in zip(column, strings(), strict=True))
    assert peak < 2_000_000 < column.nbytes


@pytest.mark.parametrize("row", [-1, 2, 10**12])
def test_no_such_string(tmp_path: Path, row: int) -> None:
    StringColumn.write(tmp_path, "ids", ["a", "b"])
    with pytest.raises(ParameterError, match=f"row {row} does not exist; there are 2 rows"):
        StringColumn.open(tmp_path, "ids")[row]


def test_lone_surrogates_are_named(tmp_path: Path) -> None:
    with pytest.raises(VectorsError, match=r"texts 1: .* has a lone surrogate"):
        StringColumn.write(tmp_path, "texts", ["a", "\ud800"])


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written: No such file"):
        StringColumn.write(tmp_path / "none", "ids", ["a"])
    with pytest.raises(IndexFormatError, match="missing or damaged"):
        StringColumn.open(tmp_path / "none", "ids")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("text", np.zeros(3, np.int8)),
        ("text", np.zeros((3, 1), np.uint8)),
        ("text", np.zeros(4, np.uint8)),
        ("offsets", np.zeros(0, np.int64)),
        ("offsets", np.array([1, 2, 3])),
        ("offsets", np.array([0, 2, 4])),
        ("offsets", np.array([0, 2, 3], np.int32)),
    ],
)
def test_arrays_that_do_not_fit(
    tmp_path: Path, name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
) -> None:
    StringColumn.write(tmp_path, "ids", ["ab", "c"])
    np.save(tmp_path / f"ids.{name}.npy", array)
    with pytest.raises(IndexFormatError, match="the strings ids are damaged; build the index again"):
        StringColumn.open(tmp_path, "ids")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    StringColumn.write(tmp_path, "ids", ["ab", "c"])
    np.save(tmp_path / "ids.text.npy", np.array([0x61, 0xFF, 0x63], np.uint8))
    column = StringColumn.open(tmp_path, "ids")
    with pytest.raises(IndexFormatError, match="string 0 is damaged"):
        column[0]
    assert column[1] == "c"
