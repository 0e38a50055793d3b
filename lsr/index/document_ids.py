"""The ids of an index's documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from lsr.storage.id_column import IdColumn
from lsr.storage.ids import check_ids
from lsr.vectors.sparse_vectors import SparseVectors


class Ids(Protocol):
    """Ids by row: a list, or a column that decodes one at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> str: ...

    def __iter__(self) -> Iterator[str]: ...


def document_ids(vectors: SparseVectors, ids: Sequence[str] | None) -> IdColumn | None:
    """`ids`, or else those of `vectors`. Raises VectorsError unless there is one text a row and none occurs twice."""
    chosen = vectors.ids if ids is None else check_ids(ids, len(vectors))
    return None if chosen is None else IdColumn.of(chosen)
