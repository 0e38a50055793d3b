"""IndexMetadata: the metadata of all documents of an index, filters from conditions, and counts of values."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from lsr.checks import shown
from lsr.errors import ParameterError
from lsr.index.filters import Filter
from lsr.index.metadata.condition import Condition, parsed, refused
from lsr.index.metadata.matching import Mask
from lsr.index.metadata.segment_metadata import Kinds, SegmentMetadata
from lsr.index.segments.row_map import RowMap
from lsr.storage.arrays import Array
from lsr.storage.column_types import unified
from lsr.storage.id_column import IdColumn

if TYPE_CHECKING:
    import pyarrow as pa

    from lsr.index.sparse_index import SparseIndex

ID_NAMES = ("id", "_id")  # names of the document's id in a condition, unless a column has this name

_FILTER_BYTES = 1 << 28
_BYTES_OF_A_ROW = 16  # most bytes per row of a filter that is prepared for searches
_FEWEST_FILTERS = 8


class MetadataPart(NamedTuple):
    """The part of a segment. starts, deleted: see OpenedSegment."""

    metadata: SegmentMetadata
    starts: Array | None
    deleted: Array

    def rows_of(self, documents: Mask) -> Mask:
        """bool[live rows]: the rows of documents, bool[documents]."""
        rows = documents if self.starts is None else np.repeat(documents, np.diff(self.starts))
        return np.delete(rows, self.deleted) if len(self.deleted) else rows

    def live(self) -> Mask:
        """bool[documents]: the documents that are not deleted. A document has all of its rows, or none."""
        rows = np.ones(self.metadata.documents if self.starts is None else int(self.starts[-1]), bool)
        rows[self.deleted] = False
        return rows if self.starts is None else rows[self.starts[:-1]]


class IndexMetadata:
    """The metadata columns of an index with one or more segments. Thread-safe.

    rows: the numbering of the live rows of the parts.
    """

    def __init__(self, parts: Sequence[MetadataPart], rows: RowMap) -> None:
        self._parts = tuple(parts)
        self._rows = rows
        filters = _FILTER_BYTES // (_BYTES_OF_A_ROW * max(len(rows), 1))
        weak = weakref.proxy(self)  # so that the cache of an old generation does not keep its files mapped
        self._filters = lru_cache(max(_FEWEST_FILTERS, filters))(lambda where: weak._made(where))

    @classmethod
    def without_columns(cls, index: SparseIndex[Any]) -> Self:
        """The metadata of an index without columns. Documents can only have ids."""
        ids = index.ids if isinstance(index.ids, IdColumn) else None
        part = MetadataPart(SegmentMetadata(None, ids, len(index)), None, np.empty(0, np.uint32))
        return cls([part], RowMap([len(index)], [part.deleted]))

    @property
    def stored(self) -> bool:
        """Whether there are any columns."""
        return any(each.metadata.stored for each in self._parts)

    @cached_property
    def schema(self) -> pa.Schema:
        """The name of each column, with a type that holds the values of all segments."""
        return unified([each.metadata.schema for each in self._parts])

    def row(self, row: int) -> dict[str, Any]:
        """The metadata of a row's document: column -> value; None for a missing value."""
        if not self.stored:
            return {}
        segments, inside = self._rows.locate(np.array([row], np.int64))
        part = self._parts[int(segments[0])]
        at = int(inside[0])
        document = at if part.starts is None else int(np.searchsorted(part.starts, at, side="right")) - 1
        return {**dict.fromkeys(self.schema.names), **part.metadata.row(document)}

    def filter(self, where: str) -> Filter:
        """The rows of the documents for which a condition is true. Cached as long as this object exists.

        Raises ParameterError for an invalid condition, or one with unknown columns.
        """
        made: Filter = self._filters(where)
        return made

    def _made(self, where: str) -> Filter:
        condition, kinds = self._understood(where)
        masks = [each.rows_of(each.metadata.matching(condition, kinds)) for each in self._parts]
        return Filter(np.concatenate([np.empty(0, bool), *masks]))

    def counts(self, name: str, where: str | None = None) -> Counter[Any]:
        """Value of a column -> number of documents with it, of all or of those that match. In a list, each value
        counts.

        Raises ParameterError for an unknown column, or one whose values cannot be counted.
        """
        self.check_countable(name)
        condition, kinds = (None, ()) if where is None else self._understood(where)
        total: Counter[Any] = Counter()
        for each in self._parts:
            chosen = each.live()
            if condition is not None:
                chosen &= each.metadata.matching(condition, kinds)
            total.update(each.metadata.counts(name, chosen))
        return total

    def check_countable(self, name: str) -> None:
        """Raises ParameterError for an unknown column, or one whose values cannot be counted."""
        import pyarrow as pa

        if name not in self.schema.names:
            raise ParameterError(f"there is no column {shown(name)}; {self._columns()}")
        kind = self.schema.field(name).type
        if pa.types.is_nested(kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind):
            raise ParameterError(
                f"the column {name!r} has the type {kind}, whose values cannot be counted; use a column of texts, "
                "numbers, dates or lists of these"
            )

    def _understood(self, where: str) -> tuple[Condition, Kinds]:
        condition = parsed(where)
        meant = {spelling: self._meant(where, spelling) for spelling in condition.spellings}
        for first in condition.names:
            if len({meant[each] for each in meant if each.lower() == first.lower()}) > 1:
                raise refused(where, f"columns that differ only in case, such as {first!r}, cannot be distinguished")
        types = {each.name: each.type for each in self.schema}
        return condition, tuple((each, meant[each], types.get(meant[each])) for each in condition.names)

    def _meant(self, where: str, spelling: str) -> str | None:
        """The column with this name, ignoring case; None for the id. Raises ParameterError."""
        names = self.schema.names
        alike = [spelling] if spelling in names else [each for each in names if each.lower() == spelling.lower()]
        if len(alike) == 1:
            return str(alike[0])
        if not alike and spelling.lower() in ID_NAMES and all(each.metadata.ids is not None for each in self._parts):
            return None
        which = "there are several columns" if alike else "there is no column"
        quotes = f" (write a text in single quotes: '{spelling}')" if '"' in where and not alike else ""
        raise ParameterError(f"where {shown(where)}: {which} {shown(spelling)}{quotes}; {self._columns()}")

    def _columns(self) -> str:
        if not self.schema.names:
            return "the index stores no metadata: it was built from documents that have only id and text"
        return "columns: " + ", ".join(f"{each.name} ({each.type})" for each in self.schema)
