"""RowMap against lists of live rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lsr.index.segments.row_map import RowMap


@given(st.lists(st.lists(st.booleans(), max_size=12), max_size=5))
def test_live_rows_are_numbered_one_after_the_other(segments: list[list[bool]]) -> None:
    deleted = [np.flatnonzero(~np.array(live, bool)).astype(np.uint32) for live in segments]
    rows = RowMap([len(live) for live in segments], deleted)
    expected = [(number, row) for number, live in enumerate(segments) for row in np.flatnonzero(live).tolist()]
    assert len(rows) == len(expected)
    found = rows.locate(np.arange(len(rows)))
    assert list(zip(*(each.tolist() for each in found), strict=True)) == expected
    starts = np.cumsum([0, *map(sum, segments)])
    assert rows.starts.tolist() == starts.tolist()
    for number, live in enumerate(segments):
        wanted = [int(starts[number]) + sum(live[:row]) if live[row] else -1 for row in range(len(live))]
        assert rows.numbers(number, np.arange(len(live))).tolist() == wanted
        assert rows.numbers(number, np.arange(len(live), dtype=np.uint32)[::-1]).tolist() == wanted[::-1]
