"""SegmentMetadata: the metadata of a segment, and the evaluation of conditions on them."""

from __future__ import annotations

import weakref
from collections import Counter
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from lsr.deadline import check_deadline
from lsr.errors import IndexFormatError
from lsr.index.metadata.condition import Condition
from lsr.index.metadata.matching import Mask, matching
from lsr.storage.arrays import read_only
from lsr.storage.column_types import converted, plain_value
from lsr.storage.columns import Columns
from lsr.storage.id_column import IdColumn

if TYPE_CHECKING:
    import pyarrow as pa

Kinds = tuple[tuple[str, str | None, Any], ...]  # spelling in a condition; column, or None for the id; type

_MASK_BYTES = 1 << 26  # of cached results of conditions, for the next generations
_FEWEST_MASKS = 8


class SegmentMetadata:
    """The metadata of the documents of a segment, with deleted ones. Thread-safe.

    columns: a row per document; None without metadata. ids: None without ids.
    Raises IndexFormatError for damaged files, when they are first read.
    """

    def __init__(self, columns: Columns | None, ids: IdColumn | None, documents: int) -> None:
        self._columns = columns
        self.ids = ids
        self.documents = documents
        weak, masks = weakref.proxy(self), _MASK_BYTES // max(documents, 1)  # weak, as in IndexMetadata
        self._matching = lru_cache(max(_FEWEST_MASKS, masks))(
            lambda condition, kinds: weak._evaluated(condition, kinds)
        )

    @property
    def stored(self) -> bool:
        """Whether its documents have metadata."""
        return self._columns is not None

    @cached_property
    def columns(self) -> Columns | None:
        if self._columns is not None and len(self._columns) != self.documents:
            raise IndexFormatError(
                f"metadata of {len(self._columns)} documents for {self.documents}; build the index again"
            )
        return self._columns

    @cached_property
    def schema(self) -> pa.Schema:
        """The name and type of each column."""
        import pyarrow as pa

        return pa.schema([]) if self.columns is None else self.columns.schema

    def row(self, document: int) -> dict[str, Any]:
        """Column -> value for a document of this segment."""
        return {} if self.columns is None else self.columns.row(document)

    def matching(self, condition: Condition, kinds: Kinds) -> Mask:
        """bool[documents]: the documents for which a condition is true. Cached.

        kinds: the columns of its names.
        """
        found: Mask = self._matching(condition, kinds)
        return found

    def _evaluated(self, condition: Condition, kinds: Kinds) -> Mask:
        import pyarrow as pa

        columns = {}
        for spelling, name, kind in kinds:
            if name is not None:
                columns[spelling] = self._of_type(name, kind)
            elif self.ids is not None:
                columns[spelling] = pa.chunked_array([self.ids.as_arrow()])
        return read_only(matching(condition, columns, self.documents))

    def _of_type(self, name: str, kind: Any) -> Any:
        import pyarrow as pa

        if self.columns is None or name not in self.schema.names:
            return pa.chunked_array([pa.nulls(self.documents, kind)])
        column = self.columns.column(name)
        if self.schema.field(name).type == kind:
            return column
        if not pa.types.is_dictionary(column.type):
            return pa.chunked_array([converted(chunk, kind) for chunk in column.chunks], kind)
        return pa.chunked_array(
            [
                pa.DictionaryArray.from_arrays(chunk.indices, converted(chunk.dictionary, kind))
                for chunk in column.chunks
            ]
        )

    def counts(self, name: str, chosen: Mask) -> Counter[Any]:
        """Value -> number of chosen documents, bool[documents], with it. In a list, each value counts.

        Raises DeadlineError.
        """
        import pyarrow as pa

        if self.columns is None or name not in self.schema.names or pa.types.is_null(self.schema.field(name).type):
            return Counter()
        counts: Counter[Any] = Counter()
        begin = 0
        for chunk in self.columns.column(name).chunks:
            check_deadline()
            counts.update(_counted(chunk.filter(pa.array(chosen[begin : begin + len(chunk)]))))
            begin += len(chunk)
        return counts


def _counted(values: Any) -> dict[Any, int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        of_document, values = pc.list_parent_indices(values), pc.list_flatten(values)
        coded = values.dictionary_encode()
        pairs = pa.table({"document": of_document, "value": coded.indices}).group_by(["document", "value"])
        values = coded.dictionary.take(pairs.aggregate([])["value"].combine_chunks())
    counted = pc.value_counts(values.drop_null())
    return dict(zip(map(plain_value, counted.field(0)), counted.field(1).to_pylist(), strict=True))
