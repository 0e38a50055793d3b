"""The ids of an index's documents."""

from __future__ import annotations

from collections.abc import Sequence

from lsr.storage.id_column import IdColumn
from lsr.storage.ids import check_ids
from lsr.vectors.sparse_vectors import SparseVectors


def document_ids(vectors: SparseVectors, ids: Sequence[str] | None) -> IdColumn | None:
    """`ids`, or else those of `vectors`. Raises VectorsError unless each row has one text that no other row has."""
    chosen = vectors.ids if ids is None else check_ids(ids, len(vectors))
    return None if chosen is None else IdColumn.of(chosen)
