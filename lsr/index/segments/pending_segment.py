"""PendingSegment: a segment of the next commit, with its deleted rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from lsr.index.index_folder import IDS, PASSAGES
from lsr.index.segments.commit import DeletedRows, SegmentEntry
from lsr.index.segments.generation import read_bitmap
from lsr.storage.arrays import Array, load_array
from lsr.storage.id_column import IdColumn, IdKeys


class PendingSegment:
    """A segment of a writer. entry: its entry in the next commit. changed: whether its bitmap must be written.

    folder: the folder of the index. The commit names the file of deleted rows.
    """

    def __init__(self, folder: Path, entry: SegmentEntry) -> None:
        self.folder = folder
        self.entry = entry
        self.changed = False
        self._bits: Array | None = None
        self._ids: IdColumn | None = None
        self._starts: Array | None = None

    @property
    def path(self) -> Path:
        return self.folder / self.entry.name

    @property
    def ids(self) -> IdColumn:
        """The ids, opened on first use."""
        if self._ids is None:
            self._ids = IdColumn.open(self.path, IDS)
            if (self.path / f"{PASSAGES}.npy").exists():
                self._starts = load_array(self.path, PASSAGES)
        return self._ids

    @property
    def starts(self) -> Array | None:
        """int64[documents + 1], the first row of each document; None if each row is a document."""
        _ = self.ids
        return self._starts

    @property
    def bits(self) -> Array:
        """uint8[rows / 8, rounded up]: the bitmap that deletions change."""
        if self._bits is None:
            self._bits = np.array(read_bitmap(self.folder, self.entry))
        return self._bits

    def find(self, keys: IdKeys) -> tuple[Array, Array]:
        """bool[m]: whether a live document has the id; and int64[m, 2]: (first row, end) of these documents."""
        documents = self.ids.find(keys)
        known = documents >= 0
        documents = documents[known]
        starts = self._starts
        rows = np.stack([documents, documents + 1] if starts is None else [starts[documents], starts[documents + 1]], 1)
        first = rows[:, 0]
        live = (self.bits[first >> 3] >> (first & 7).astype(np.uint8)) & 1 == 0
        known[known] = live
        return known, rows[live]

    def delete(self, keys: IdKeys) -> int:
        """Delete the live documents with these ids, which must be different; returns their number."""
        _, rows = self.find(keys)
        lengths = rows[:, 1] - rows[:, 0]
        ends = np.cumsum(lengths)
        every = np.repeat(rows[:, 0] - (ends - lengths), lengths) + np.arange(lengths.sum())
        self.mark(every, len(rows))
        return len(rows)

    def mark(self, rows: Array, documents: int) -> None:
        """Delete live rows, int64[m], of this number of documents."""
        if not len(rows):
            return
        np.bitwise_or.at(self.bits, rows >> 3, np.left_shift(1, rows & 7).astype(np.uint8))
        deleted = len(rows) + (self.entry.deleted.rows if self.entry.deleted else 0)
        file = self.entry.deleted.file if self.entry.deleted else ""
        self.entry = replace(self.entry, documents=self.entry.documents - documents, deleted=DeletedRows(file, deleted))
        self.changed = True
