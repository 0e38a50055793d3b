"""The cost of scoring, independent of the index: the mean number of products of a query with a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lsr.errors import VectorsError
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.index.sparse_index import SparseIndex

SAMPLED = 1 << 17  # documents of a large index: the standard error of their mean is a third of a percent
ROWS_AT_ONCE = 1 << 16


def expected_flops(queries: SparseVectors, documents: SparseVectors | SparseIndex[Any]) -> float:
    """FLOPS, the expected number of components that a query and a document have in common.

        FLOPS = Σ_j p_q(j) · p_d(j)

    p_q(j) and p_d(j) are the shares of queries and of documents with a non-zero weight of component j. This is FLOPS as
    in SPLADE's tables (Formal et al. 2021, after Paria et al. 2020). Multiplied by the number of documents, it is the
    number of postings that a query reads. The FLOPS regularizer is different: it acts on weights. 0.0 without queries
    or documents.

    queries: SparseVectors.
    documents: SparseVectors, or an index. Of an index with more than SAMPLED rows, this number of evenly spaced rows is
        counted.

    Raises VectorsError if the two have different numbers of components.
    """
    if queries.dim != documents.dim:
        raise VectorsError(
            f"queries have {queries.dim} components, but documents have {documents.dim}; encode both with one encoder"
        )
    rows, frequency = _counted(documents)
    return flops_of(queries, frequency, rows)


def flops_of(queries: SparseVectors, frequency: npt.NDArray[np.int64], documents: int) -> float:
    """Like expected_flops, from the document frequencies int64[components] of this number of documents."""
    asked = np.bincount(queries.indices, minlength=queries.dim)
    return float(asked.astype(np.float64) @ frequency) / max(len(queries), 1) / max(documents, 1)


def _counted(documents: SparseVectors | SparseIndex[Any]) -> tuple[int, npt.NDArray[np.int64]]:
    """(number of counted documents, their document frequencies int64[components])."""
    if isinstance(documents, SparseVectors):
        return len(documents), np.bincount(documents.indices, minlength=documents.dim)
    frequency = np.zeros(documents.dim, np.int64)
    rows = np.unique(np.linspace(0, max(len(documents) - 1, 0), min(len(documents), SAMPLED)).astype(np.int64))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        found = documents.gather(rows[start : start + ROWS_AT_ONCE])
        frequency += np.bincount(found.indices, minlength=documents.dim)
    return len(rows), frequency
