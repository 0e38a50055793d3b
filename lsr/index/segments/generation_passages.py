"""GenerationPassages: from the rows of a generation to their documents, and to their places in the texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lsr.errors import IndexFormatError
from lsr.index.segments.row_map import RowMap
from lsr.storage.arrays import Array


class GenerationPassages:
    """The passages of several segments.

    rows: the numbering of live rows. starts, spans: of each segment, see OpenedSegment; None if each row is a document.
    """

    def __init__(self, rows: RowMap, starts: Sequence[Array | None], spans: Sequence[Array | None]) -> None:
        self._rows = rows
        self._starts, self._spans = tuple(starts), tuple(spans)

    def firsts(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The first row of each row's document: int64 of any shape. -1 stays -1; other rows must exist."""
        flat = rows.ravel()
        known = np.flatnonzero(flat >= 0)
        segments, inside = self._rows.locate(flat[known])
        firsts = flat.copy()
        for segment in np.unique(segments).tolist():
            starts = self._starts[segment]
            if starts is not None:
                mine = segments == segment
                documents = np.searchsorted(starts, inside[mine], side="right") - 1
                firsts[known[mine]] = self._rows.numbers(segment, starts[documents])
        return firsts.reshape(rows.shape)

    def span(self, row: int) -> tuple[int, int] | None:
        """Begin and end of a row, in characters of its document's text; None for a row that is a whole document.

        Raises IndexFormatError for an invalid span.
        """
        segments, inside = self._rows.locate(np.array([row], np.int64))
        spans = self._spans[int(segments[0])]
        if spans is None:
            return None
        begin, end = spans[int(inside[0])].tolist()
        if not 0 <= begin <= end:
            raise IndexFormatError(f"row {row}: its passage is from {begin} to {end}; build the index again")
        return begin, end
