"""UnnamedDocuments: finds the documents of an index whose ids do not occur in a stream of ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lsr.index.segments.generation import unpacked
from lsr.index.segments.pending_segment import PendingSegment
from lsr.storage.id_column import IdKeys


class UnnamedDocuments:
    """The live documents of segments that have not been named, with a byte of memory per document."""

    def __init__(self, segments: Sequence[PendingSegment]) -> None:
        self._columns = [each.ids for each in segments]
        self._unnamed = []
        for each in segments:
            live = ~unpacked(each.bits, each.entry.rows)
            self._unnamed.append(live if each.starts is None else live[each.starts[:-1]])

    def name(self, ids: Sequence[str]) -> None:
        """Mark documents as named."""
        keys = IdKeys.of(ids)
        for column, unnamed in zip(self._columns, self._unnamed, strict=True):
            found = column.find(keys)
            unnamed[found[found >= 0]] = False

    def ids(self) -> list[str]:
        """The ids of documents that have not been named, in the order of the index."""
        pairs = zip(self._columns, self._unnamed, strict=True)
        return [column[document] for column, unnamed in pairs for document in np.flatnonzero(unnamed).tolist()]
