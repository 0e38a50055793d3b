"""RowMap: from the rows of a generation, which are numbered without deleted rows, to the rows of its segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lsr.storage.arrays import Array


class RowMap:
    """The live rows of several segments, numbered segment after segment, in the order of rows.

    rows: the number of rows of each segment, with deleted ones.
    deleted: the deleted rows of each segment, uint32[m], ascending.
    starts: int64[segments + 1], the number of the first live row of each segment.

    Needs memory only for deleted rows: both directions are binary searches among the deleted rows.
    """

    def __init__(self, rows: Sequence[int], deleted: Sequence[Array]) -> None:
        self._firsts = np.cumsum([0, *rows], dtype=np.int64)  # all rows of all segments, with deleted ones
        ends = zip(deleted, self._firsts, strict=False)
        self._deleted = np.concatenate(
            [np.empty(0, np.int64), *(first + each.astype(np.int64) for each, first in ends)]
        )
        # The number of live rows before each deleted row.
        self._live_before = self._deleted - np.arange(len(self._deleted))
        self.starts = self._firsts - np.searchsorted(self._deleted, self._firsts)

    def __len__(self) -> int:
        """Number of live rows."""
        return int(self.starts[-1])

    def locate(self, rows: Array) -> tuple[Array, Array]:
        """(segments, rows in them), int64[m], of existing live rows, int64[m]."""
        stored = rows + np.searchsorted(self._live_before, rows, side="right")
        segments = np.searchsorted(self._firsts, stored, side="right") - 1
        return segments, stored - self._firsts[segments]

    def numbers(self, segment: int, rows: Array) -> Array:
        """The numbers, int64[m], of existing rows of a segment, int64[m]; -1 for deleted ones."""
        stored = rows.astype(np.int64) + self._firsts[segment]
        before = np.searchsorted(self._deleted, stored)
        gone = np.append(self._deleted, -1)[before] == stored
        return np.where(gone, -1, stored - before)
