"""What scoring costs, whatever the index: the products of a query with a document, on the average."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lsr.errors import VectorsError
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.index.sparse_index import SparseIndex

SAMPLED = 1 << 17  # documents of a large index: a mean over so many has a standard error of a third of a percent
ROWS_AT_ONCE = 1 << 16


def expected_flops(queries: SparseVectors, documents: SparseVectors | SparseIndex[Any]) -> float:
    """Σ_j p_q(j) · p_d(j), p the share of queries, and of documents, whose weight of component j is not zero.

    This is the FLOPS of SPLADE's tables (Formal et al. 2021, after Paria et al. 2020), the number of products that a
    query and a document have in common, the mean over all pairs; times the number of documents it is the postings that
    a query reads. The regularizer FLOPS is something else: it acts on weights. 0.0 without queries or documents.

    documents: an index of more than SAMPLED rows tells by so many of them, at equal distances.
    Raises VectorsError where the two have not the same components.
    """
    if queries.dim != documents.dim:
        raise VectorsError(
            f"queries have {queries.dim} components, documents {documents.dim}; encode both with one encoder"
        )
    rows, frequency = _counted(documents)
    return flops_of(queries, frequency, rows)


def flops_of(queries: SparseVectors, frequency: npt.NDArray[np.int64], documents: int) -> float:
    """The same from document frequencies: int64[components], of so many documents."""
    asked = np.bincount(queries.indices, minlength=queries.dim)
    return float(asked.astype(np.float64) @ frequency) / max(len(queries), 1) / max(documents, 1)


def _counted(documents: SparseVectors | SparseIndex[Any]) -> tuple[int, npt.NDArray[np.int64]]:
    """(documents that were looked at, int64[components]: how many of them have each component)."""
    if isinstance(documents, SparseVectors):
        return len(documents), np.bincount(documents.indices, minlength=documents.dim)
    frequency = np.zeros(documents.dim, np.int64)
    rows = np.unique(np.linspace(0, max(len(documents) - 1, 0), min(len(documents), SAMPLED)).astype(np.int64))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        found = documents.gather(rows[start : start + ROWS_AT_ONCE])
        frequency += np.bincount(found.indices, minlength=documents.dim)
    return len(rows), frequency
