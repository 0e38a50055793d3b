"""IndexRows: the rows of an index, from its forward index, for writing formats."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lsr.errors import VectorsError
from lsr.progress import Advance
from lsr.retrieval.searcher import Searcher
from lsr.storage.ids import UniqueIds
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    import pyarrow as pa


class ExportedRow(NamedTuple):
    """A row. components: uint32[m], ascending. weights: float32[m].

    text: None if the index does not store texts. metadata: empty if the index does not store metadata.
    """

    row_id: str
    components: Any
    weights: Any
    text: str | None
    metadata: dict[str, Any]


class IndexRows:
    """The documents of an index, or its passages, without deleted ones. Every pass gives the same rows.

    The id of a passage is that of its document, "#" and its number in the document, from 0, like segments in Anserini.
    Raises IndexFormatError.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._snapshot = Searcher.open_for_vectors(os.fspath(folder)).snapshot
        self.dim: int = self._snapshot.index.dim
        self.has_texts = self._snapshot.texts is not None
        self.has_metadata = self._snapshot.metadata.stored

    def __len__(self) -> int:
        return len(self._snapshot.index)

    @cached_property
    def tokens(self) -> list[str]:
        """The name of each component: its token, or its number if the index has no vocabulary."""
        vocabulary = self._snapshot.vocabulary
        return list(map(str, range(self.dim))) if vocabulary is None else list(vocabulary.tokens)

    @property
    def named(self) -> bool:
        """Whether the index has the tokens of its components."""
        return self._snapshot.vocabulary is not None and self._snapshot.vocabulary.named

    @property
    def metadata_schema(self) -> pa.Schema:
        """The name and type of each column of metadata."""
        return self._snapshot.metadata.schema

    def batches(self, advance: Advance | None = None) -> Iterator[SparseVectors]:
        """All rows with ids, in batches of some thousands. Raises VectorsError for duplicate ids."""
        first, unique = 0, UniqueIds()
        for vectors in self._snapshot.index.iter_vectors():
            ids = self.ids(first, first + len(vectors))
            repeated = None if self._snapshot.passages is None else unique.add(ids)
            if repeated is not None:
                raise VectorsError(
                    f"two passages have the id {ids[repeated]!r}; change ids of documents that contain #"
                )
            yield vectors.with_ids(ids)
            first += len(vectors)
            if advance is not None:
                advance(len(vectors))

    def ids(self, begin: int, end: int) -> list[str]:
        """The ids of the rows from `begin` to before `end`."""
        rows, passages = np.arange(begin, end), self._snapshot.passages
        ids = [self._snapshot.doc_id(row) for row in rows.tolist()]
        if passages is None:
            return ids
        numbers = (rows - passages.firsts(rows)).tolist()
        return [f"{doc_id}#{number}" for doc_id, number in zip(ids, numbers, strict=True)]

    def rows(self, advance: Advance) -> Iterator[ExportedRow]:
        """All rows, one by one, with text and metadata. Raises like `batches`."""
        row, metadata = 0, self._snapshot.metadata
        for vectors in self.batches():
            assert vectors.ids is not None
            for at, row_id in enumerate(vectors.ids):
                yield ExportedRow(row_id, *vectors.row(at), self._text(row), metadata.row(row))
                row += 1
            advance(len(vectors))

    def _text(self, row: int) -> str | None:
        texts, passages = self._snapshot.texts, self._snapshot.passages
        if texts is None:
            return None
        span = None if passages is None else passages.span(row)
        return texts[row] if span is None else texts[row][slice(*span)]


class Written(NamedTuple):
    """The result of writing a file.

    weights: number of written weights.
    dropped: number of weights that the format cannot store, or that were rounded to 0.
    scale: the factor of the weights before rounding; None without rounding.
    notes: remarks for users of the file.
    left_out: number of rows that the format cannot store.
    """

    weights: int
    dropped: int = 0
    scale: float | None = None
    notes: tuple[str, ...] = ()
    left_out: int = 0


# (path, rows, scale, advance): write all rows to the path, and call `advance` with numbers of rows. scale: None for
# the default scale of the format, and for formats that do not round.
Write = Callable[[Any, IndexRows, float | None, Advance], Written]
