"""Which rows of an engine count, and how results number them."""

from __future__ import annotations

import numpy as np

from lsr.storage.arrays import Array, read_only

NO_ROWS = read_only(np.empty(0, np.uint32))
NO_PASSAGES = read_only(np.empty(0, np.int64))
NO_MASK = read_only(np.empty(0, np.uint8))


class NumberedRows:
    """Rows that are not deleted: of a segment among others, or, by default, all rows of an engine that is alone.

    first: the number that results give the first of them; the others follow it. deleted: uint32[m], rising.
    starts: int64[documents + 1] where rows are passages of documents, otherwise empty; results have each document once.
    share: that the engine has of all documents that are searched.
    """

    def __init__(
        self, first: int = 0, deleted: Array = NO_ROWS, starts: Array = NO_PASSAGES, share: float = 1.0
    ) -> None:
        self.first = first
        self.deleted = read_only(deleted)
        self.starts = read_only(starts)
        self.share = share
        self._mask = NO_MASK

    def mask(self, positions: Array) -> Array:
        """uint8[n], by position: 1 for rows that are not deleted; empty if none is. Made once, for an engine's own."""
        if len(self.deleted) and not len(self._mask):
            mask = np.ones(len(positions), np.uint8)
            mask[positions[self.deleted]] = 0
            self._mask = read_only(mask)
        return self._mask

    def found_at_most(self, rows: int) -> int:
        """How many hits there are, at most, among so many rows."""
        return min(rows, len(self.starts) - 1) if len(self.starts) else rows


ALL_ROWS = NumberedRows()
