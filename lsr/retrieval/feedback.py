"""Pseudo-relevance feedback: a second query made of the first one and of the documents that it found.

Vector-PRF (Li, Mourad, Koopman, Zuccon, TOIS 2023) on dense vectors, and Rocchio on sparse ones as Pyserini has it for
BM25 and learned sparse indexes. Documents are the index's own vectors; nothing is encoded again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lsr.retrieval.feedback_kernels import rocchio_rows
from lsr.retrieval.request import Feedback
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.index.rows import GatheredRows

SHORTEST = 1e-3  # a document vector that is not longer than this says nothing, and is left out


def dense_feedback(
    queries: npt.NDArray[np.float32],
    relevant: list[npt.NDArray[np.float32]],
    not_relevant: list[npt.NDArray[np.float32]],
    feedback: Feedback,
) -> npt.NDArray[np.float32]:
    """The second queries, float32[queries, dim]. They are not brought to length 1 here.

    relevant, not_relevant: of each query, the vectors float32[m, dim] of its documents; a query without any keeps its
    own. feedback: from on_side. Average: the mean of the query and its m documents. Rocchio: alpha * query + beta *
    mean of the relevant ones - gamma * mean of the others. Li et al., TOIS 2023.
    """
    fed_back = queries.copy()
    for row, (up, down) in enumerate(zip(relevant, not_relevant, strict=True)):
        if not len(up):
            continue
        if feedback.method == "average":
            fed_back[row] = (queries[row] + up.sum(0)) / (1 + len(up))
            continue
        fed_back[row] = feedback.alpha * queries[row] + feedback.beta * up.mean(0)
        if len(down):
            fed_back[row] -= feedback.gamma * down.mean(0)
    return fed_back


def sparse_rocchio(
    queries: SparseVectors,
    relevant: GatheredRows,
    not_relevant: GatheredRows,
    counts: npt.NDArray[np.int64],
    feedback: Feedback,
) -> SparseVectors:
    """The second queries, one row for each of `queries`.

    relevant, not_relevant: documents of all queries, one query's after the other's. counts: int64[queries, 2], how many
    of each belong to a query; one without relevant documents keeps its vector. feedback: from on_side.

    With x^ for x / |x|: q' = alpha q^ + beta (top terms of mean of d^)^ - gamma (top terms of mean of the others' d^)^,
    where that is positive. Documents not longer than .001 count, but add nothing. Rocchio 1971, as in Pyserini.
    """
    starts = np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(counts, axis=0)])
    most = _longest(relevant, not_relevant, starts)
    terms = min(int(feedback.terms or 0), most)
    longest = int(np.diff(queries.indptr).max(initial=0)) + 2 * terms
    lengths = np.zeros(len(queries), np.int64)
    indices = np.empty((len(queries), longest), np.uint32)
    values = np.empty((len(queries), longest), np.float32)
    rocchio_rows(
        queries.indptr,
        queries.indices,
        queries.values,
        relevant,
        not_relevant,
        starts,
        np.array([feedback.alpha, feedback.beta, feedback.gamma], np.float64),
        terms,
        SHORTEST,
        1 << int(2 * most).bit_length(),  # a hash table that is at most half full
        lengths,
        indices,
        values,
    )
    used = np.arange(longest) < lengths[:, None]
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return SparseVectors.from_normalized(
        indptr, indices[used].astype(queries.indices.dtype), values[used], queries.dim, queries.ids
    )


def _longest(relevant: GatheredRows, not_relevant: GatheredRows, starts: npt.NDArray[np.int64]) -> int:
    """The most components that the documents on one side of a query bring together, counted as often as they come."""
    sides = enumerate((relevant, not_relevant))
    return max(int(np.diff(rows.indptr[starts[:, column]]).max(initial=0)) for column, rows in sides)
