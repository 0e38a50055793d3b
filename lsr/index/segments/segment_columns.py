"""The ids and texts of a generation's rows, stored per segment and once per document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from lsr.errors import ParameterError
from lsr.index.segments.row_map import RowMap
from lsr.storage.arrays import Array
from lsr.storage.id_column import IdColumn, IdKeys
from lsr.storage.strings import StringColumn

C = TypeVar("C", bound=StringColumn)
ROWS_AT_ONCE = 1 << 13


class ColumnPart(NamedTuple, Generic[C]):
    """The part of a column in a segment, a string per document. starts: see Segment."""

    strings: C
    starts: Array | None

    def documents(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The documents, int64[n], of rows."""
        return rows if self.starts is None else np.searchsorted(self.starts, rows, side="right") - 1


class SegmentColumn(Generic[C]):
    """A string per live row. All passages of a document have the same string."""

    def __init__(self, parts: Sequence[ColumnPart[C]], rows: RowMap) -> None:
        self._parts = tuple(parts)
        self._rows = rows

    def __len__(self) -> int:
        """Number of live rows."""
        return len(self._rows)

    def __getitem__(self, row: int) -> str:
        """The string of a row. Raises ParameterError if there is none, IndexFormatError for a damaged file."""
        if not 0 <= row < len(self):
            raise ParameterError(f"row {row} does not exist; there are {len(self)} rows")
        return self.take(np.array([row], np.int64))[0]

    def take(self, rows: npt.NDArray[np.int64]) -> list[str]:
        """The strings of existing rows, int64[n]."""
        segments, inside = self._rows.locate(rows)
        documents = inside.copy()
        for segment in np.unique(segments).tolist():
            documents[segments == segment] = self._parts[segment].documents(inside[segments == segment])
        pairs = zip(segments.tolist(), documents.tolist(), strict=True)
        return [self._parts[segment].strings[document] for segment, document in pairs]

    def __iter__(self) -> Iterator[str]:
        for begin in range(0, len(self), ROWS_AT_ONCE):
            yield from self.take(np.arange(begin, min(begin + ROWS_AT_ONCE, len(self))))

    def equals(self, other: StringColumn | SegmentColumn[StringColumn]) -> bool:
        """Whether both have the same strings."""
        return len(self) == len(other) and all(ours == theirs for ours, theirs in zip(self, other, strict=True))


class SegmentIds(SegmentColumn[IdColumn]):
    """The ids of a generation's rows, each the id of one document."""

    def rows(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """int64[m]: the row of each id, of its first passage; -1 for ids without a live document."""
        keys = IdKeys.of(ids)
        found = np.full(len(ids), -1, np.int64)
        for segment, (strings, starts) in enumerate(self._parts):
            documents = strings.find(keys)
            known = np.flatnonzero(documents >= 0)
            rows = documents[known] if starts is None else starts[documents[known]]
            numbers = self._rows.numbers(segment, rows)
            found[known[numbers >= 0]] = numbers[numbers >= 0]  # a live document is in one segment only
        return found

    def all_rows(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """The rows of all passages of the documents with these ids; -1 for an id without a live document."""
        firsts = self.rows(ids)
        found = [firsts[firsts < 0]]
        segments, inside = self._rows.locate(firsts[firsts >= 0])
        for segment in np.unique(segments).tolist():
            begins, starts = inside[segments == segment], self._parts[segment].starts
            rows = begins
            if starts is not None:
                lengths = starts[np.searchsorted(starts, begins, side="right")] - begins
                rows = np.repeat(begins - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
            found.append(self._rows.numbers(segment, rows))
        return np.concatenate(found)
