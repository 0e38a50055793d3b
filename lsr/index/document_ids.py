"""The ids of the documents of an index."""

from __future__ import annotations

from collections.abc import Sequence

from lsr.storage.id_column import IdColumn
from lsr.storage.ids import check_ids
from lsr.vectors.sparse_vectors import SparseVectors


def document_ids(vectors: SparseVectors, ids: Sequence[str] | None) -> IdColumn | None:
    """`ids`, or else those of `vectors`. Raises VectorsError unless each row has a unique text."""
    chosen = vectors.ids if ids is None else check_ids(ids, len(vectors))
    return None if chosen is None else IdColumn.of(chosen)
