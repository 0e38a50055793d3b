"""Ids: valid text, and the search for those that occur twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import VectorsError
from lsr.storage.ids import UniqueIds, check_ids, check_unique


@given(st.lists(st.lists(st.integers(0, 40).map(str), max_size=9), max_size=12))
def test_unique_ids_is_a_set(batches: list[list[str]]) -> None:
    unique, seen = UniqueIds(), set[str]()
    for batch in batches:
        so_far = list[str]()
        expected = None
        for position, each in enumerate(batch):
            if each in seen or each in so_far:
                expected = position
                break
            so_far.append(each)
        assert unique.add(batch) == expected
        if expected is None:
            seen |= set(batch)


def test_unique_ids_over_many_batches() -> None:
    unique = UniqueIds()
    for first in range(0, 20_000, 37):
        assert unique.add([f"d{i}" for i in range(first, first + 37)]) is None
    for i in (0, 1, 36, 37, 9_999, 19_980):
        assert unique.add(["new", f"d{i}"]) == 1
    assert unique.add(["new"]) is None


def test_check_unique_names_both_rows() -> None:
    check_unique(["a", "b", ""])
    with pytest.raises(VectorsError, match="row 3: id 'b' is also that of row 1; ids must be unique"):
        check_unique(["a", "b", "c", "b", "a"])


def test_check_ids_takes_arrays() -> None:
    assert check_ids(np.array(["x", "yy"]), 2) == ["x", "yy"]
    assert all(type(each) is str for each in check_ids(np.array(["x", "yy"]), 2))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a"], "1 ids for 2 rows"),
        (["a", "b", "c"], "3 ids for 2 rows"),
        (["a", 5], "row 1: id is 5; ids must be text"),
        ([None, "a"], "row 0: id is None; ids must be text"),
        (["a", "\udc00"], "row 1: id: character 0, '\\udc00', is a lone surrogate"),
    ],
)
def test_bad_ids_are_named(ids: list[str], message: str) -> None:
    with pytest.raises(VectorsError) as error:
        check_ids(ids, 2)
    assert message in str(error.value)
