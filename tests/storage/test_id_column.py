"""IdColumn against a dictionary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import IndexFormatError, VectorsError
from lsr.storage import id_column
from lsr.storage.id_column import IdColumn, digests_of
from lsr.storage.strings import StringColumn

IDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), unique=True, max_size=30)


@given(IDS, st.lists(st.text(max_size=3), max_size=5))
def test_rows(ids: list[str], others: list[str]) -> None:
    known = {each: row for row, each in enumerate(ids)}
    asked = [*others, *reversed(ids), *ids[:3]]
    rows = IdColumn.of(ids).rows(asked)
    assert rows.dtype == np.int64
    assert rows.tolist() == [known.get(each, -1) for each in asked]


@pytest.mark.parametrize("with_digests", [True, False])
def test_written_and_opened(tmp_path: Path, with_digests: bool) -> None:
    ids = [f"id{row}" for row in range(1000)] + ["", "\0", "\0\0", "ü"]
    (IdColumn if with_digests else StringColumn).write(tmp_path, "ids", ids)
    assert (tmp_path / "ids.digests.npy").exists() == with_digests
    opened = IdColumn.open(tmp_path, "ids")
    assert list(opened) == ids
    assert opened.rows(["id7", "", "\0\0", "\0", "none", "ü"]).tolist() == [7, 1000, 1002, 1001, -1, 1003]


def test_written_again(tmp_path: Path) -> None:
    for ids in (["a", "b"], ["c", "d"], ["e"]):
        IdColumn.write(tmp_path, "ids", ids)
        assert IdColumn.open(tmp_path, "ids").rows(ids).tolist() == list(range(len(ids)))


# Each part is a file of its own, so that parts of one id are tried with few.
@pytest.mark.parametrize(("count", "at_once"), [(30, 1), (1000, 40), (1000, 999), (1000, 1004), (1000, 1 << 18)])
def test_sorted_in_parts_as_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, at_once: int) -> None:
    ids = [f"id{row}" for row in range(count)] + ["", "\0", "\0\0", "ü"]
    monkeypatch.setattr(id_column, "SORTED_AT_ONCE", at_once)
    IdColumn.write(tmp_path, "ids", ids)
    digests, rows = IdColumn.of(ids)._by_digest()
    for name, expected in {"digests": digests, "rows": rows}.items():
        found = np.load(tmp_path / f"ids.{name}.npy")
        assert found.dtype == expected.dtype
        assert found.tolist() == expected.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"ids.{name}.npy" for name in ("digests", "offsets", "rows", "text")
    ]


@given(st.lists(st.sampled_from(["a", "b", "ab", "ba", "c", "", "abc", "cab"]), max_size=12), st.integers(1, 4))
def test_first_repeated(tmp_path_factory: pytest.TempPathFactory, ids: list[str], at_once: int) -> None:
    folder = tmp_path_factory.mktemp("ids")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(id_column, "_factors", lambda count: np.ones(count, np.uint64))  # anagrams are alike
        patch.setattr(id_column, "STRINGS_AT_ONCE", at_once)
        IdColumn.write(folder, "ids", ids)
        found = IdColumn.open(folder, "ids").first_repeated()
    assert found == next((row for row, each in enumerate(ids) if each in ids[:row]), None)


def test_ids_of_one_digest_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_column, "digests_of", lambda text, offsets: np.zeros(len(offsets) - 1, np.uint64))
    assert IdColumn.of(["a", "b", "c"]).rows(["c", "a", "d", "b"]).tolist() == [2, 0, -1, 1]
    with pytest.raises(VectorsError, match="row 3: id 'b' is also that of row 1"):
        IdColumn.of(["a", "b", "c", "b"])


def test_thousands_of_one_digest_are_not_compared_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_column, "digests_of", lambda text, offsets: np.zeros(len(offsets) - 1, np.uint64))
    reads = 0
    read = IdColumn._bytes

    def counted(self: IdColumn, row: int) -> bytes:
        nonlocal reads
        reads += 1
        return read(self, row)

    monkeypatch.setattr(IdColumn, "_bytes", counted)
    ids = [str(row) for row in range(5000)]
    assert IdColumn.of(ids).rows([*ids[::-1], "none"]).tolist() == [*range(4999, -1, -1), -1]
    assert reads == len(ids)


def test_ids_beside_those_of_one_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_column, "_factors", lambda count: np.ones(count, np.uint64))  # anagrams are alike
    asked = ["", "b", "ca", "ad", "ab", "ae", "ac", "zz", "ba"]
    assert IdColumn.of(["ab", "ba", "ca"]).rows(asked).tolist() == [-1, -1, 2, -1, 0, -1, -1, -1, 1]


def test_old_ids_that_are_damaged(tmp_path: Path) -> None:
    StringColumn.write(tmp_path, "ids", ["a", "b", "c"])
    np.save(tmp_path / "ids.offsets.npy", np.array([0, 10**9, 2, 3]))
    with pytest.raises(IndexFormatError, match="damaged"):
        IdColumn.open(tmp_path, "ids").rows(["a"])


def test_an_id_that_occurs_twice() -> None:
    with pytest.raises(VectorsError, match="row 2: id 'x' is also that of row 0; ids must be unique"):
        IdColumn.of(["x", "y", "x", "y"])
    with pytest.raises(VectorsError, match="row 1: id '' is also that of row 0"):
        IdColumn.of([""] * 100_000)  # not compared pair by pair


def test_digests_differ_and_do_not_depend_on_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"{row:x}" for row in range(100_000)]
    text = np.frombuffer("".join(ids).encode(), np.uint8)
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in ids])])
    digests = digests_of(text, offsets)
    assert len(np.unique(digests)) == len(ids)
    monkeypatch.setattr(id_column, "STRINGS_AT_ONCE", 77)
    assert np.array_equal(digests_of(text, offsets), digests)
