"""NumberedRows: the live rows of an engine, and their numbers in results."""

from __future__ import annotations

import numpy as np

from lsr.storage.arrays import Array, read_only

NO_ROWS = read_only(np.empty(0, np.uint32))
NO_PASSAGES = read_only(np.empty(0, np.int64))
NO_MASK = read_only(np.empty(0, np.uint8))


class NumberedRows:
    """The rows that are not deleted: of a segment among others, or, by default, all rows of an engine.

    first: the number of the first of them in results; the others follow it. deleted: uint32[m], ascending. starts:
        int64[documents + 1] if rows are passages of documents, else empty; results have each document once. share: of
        the engine in all searched documents.
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
        """uint8[n], by position: 1 for rows that are not deleted; empty if none is deleted. Computed once per
        engine.
        """
        if len(self.deleted) and not len(self._mask):
            mask = np.ones(len(positions), np.uint8)
            mask[positions[self.deleted]] = 0
            self._mask = read_only(mask)
        return self._mask

    def found_at_most(self, rows: int) -> int:
        """The maximum number of hits among this number of rows."""
        return min(rows, len(self.starts) - 1) if len(self.starts) else rows


ALL_ROWS = NumberedRows()
