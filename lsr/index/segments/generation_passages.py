"""GenerationPassages: which document each row of a generation is a passage of, and where in its text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lsr.errors import IndexFormatError
from lsr.index.segments.row_map import RowMap
from lsr.storage.arrays import Array


class GenerationPassages:
    """The passages of several segments.

    rows: how live rows are numbered. starts, spans: of each segment, as in OpenedSegment; None where each row is a
    document.
    """

    def __init__(self, rows: RowMap, starts: Sequence[Array | None], spans: Sequence[Array | None]) -> None:
        self._rows = rows
        self._starts, self._spans = tuple(starts), tuple(spans)

    def firsts(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The first row of each row's document: int64 of any shape, -1 where that is given; others must exist."""
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
        """Begin and end of a row, in characters of its document's text; None for one that is a whole document.

        Raises IndexFormatError for a span that cannot be one.
        """
        segments, inside = self._rows.locate(np.array([row], np.int64))
        spans = self._spans[int(segments[0])]
        if spans is None:
            return None
        begin, end = spans[int(inside[0])].tolist()
        if not 0 <= begin <= end:
            raise IndexFormatError(f"row {row}: its passage is from {begin} to {end}; build the index again")
        return begin, end
