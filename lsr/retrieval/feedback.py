"""Pseudo-relevance feedback: a second query made of the first one and of the documents that it found.

Vector-PRF (Li, Mourad, Koopman, Zuccon, TOIS 2023) on dense vectors; on sparse ones Rocchio and RM3 as Pyserini and
Anserini have them for BM25 and learned sparse indexes. Documents are the index's own vectors; nothing is encoded again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lsr.retrieval.feedback_kernels import rocchio_rows
from lsr.retrieval.request import Feedback
from lsr.vectors.normalize import indptr_of, rows_of
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.encoders.bm25 import BM25Encoder
    from lsr.index.rows import GatheredRows

SHORTEST = 1e-3  # a document vector that is not longer than this says nothing, and is left out
FREQUENT = 0.1  # of the documents: terms that more of them have are no feedback of BM25's


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


def rm3(
    queries: SparseVectors,
    relevant: GatheredRows,
    scores: npt.NDArray[np.floating],
    counts: npt.NDArray[np.int64],
    feedback: Feedback,
    bm25: BM25Encoder | None = None,
) -> SparseVectors:
    """The second queries, one row for each of `queries`.

    relevant: documents of all queries, one query's after the other's; scores: float[documents], of the first search.
    counts: int64[queries], how many documents belong to a query. feedback: from on_side. bm25: where it made the
    vectors.

        P(t | R) = sum over d of P(t | d) score(d), brought to the sum 1
        q'_t     = alpha P(t | q) + (1 - alpha) P(t | R)

    with the `terms` heaviest terms of each d, and again of R. P(t | x) is the share that a term has in the weights of
    x; of BM25, in its tokens, and q'_t is multiplied by the term's IDF then. As in Anserini, terms of BM25 that more
    than a tenth of the documents have are none of R. Negative scores count as 0; if none is positive, all count alike.
    A query whose documents have no such term keeps its vector. Relevance models are Lavrenko and Croft's (SIGIR 2001,
    equation 6, with scores for query likelihoods), RM3 is Abdul-Jaleel et al.'s (TREC 2004).
    """
    documents, owners = rows_of(np.diff(relevant.indptr)), rows_of(counts)
    components, weights = relevant.indices.astype(np.int64), relevant.values.astype(np.float64)
    asked = queries.values.astype(np.float64)
    if bm25 is not None:
        weights = np.where(bm25.is_frequent(FREQUENT)[components], 0, bm25.relative_counts(weights))
        asked /= bm25.idf[queries.indices]
    kept = _heaviest(documents, components, weights, int(feedback.terms or 0))
    documents, components, weights = documents[kept], components[kept], weights[kept]
    weights = _shares(documents, weights) * _positive(owners, scores)[documents]
    of_query = np.bincount(owners[documents], minlength=len(queries))
    model = SparseVectors(indptr_of(of_query), components, weights, queries.dim)  # sums what several documents have
    owners, components = rows_of(np.diff(model.indptr)), model.indices.astype(np.int64)
    weights = model.values.astype(np.float64)
    kept = _heaviest(owners, components, weights, int(feedback.terms or 0))
    owners, components, weights = owners[kept], components[kept], weights[kept]

    first = rows_of(np.diff(queries.indptr))
    fed = np.isin(np.arange(len(queries)), owners)
    alpha = np.where(fed, float(feedback.alpha or 0), 1.0)
    asked = np.where(fed[first], alpha[first] * _shares(first, asked), asked)
    weights = (1 - alpha[owners]) * _shares(owners, weights)
    rows, components = np.concatenate([first, owners]), np.concatenate([queries.indices, components])
    order = np.argsort(rows, kind="stable")
    components, weights = components[order], np.concatenate([asked, weights])[order]
    if bm25 is not None:
        weights *= bm25.idf[components]
    return SparseVectors(
        indptr_of(np.bincount(rows, minlength=len(queries))), components, weights, queries.dim, queries.ids
    )


def _heaviest(
    groups: npt.NDArray[np.int64], components: npt.NDArray[np.int64], weights: npt.NDArray[np.floating], most: int
) -> npt.NDArray[np.int64]:
    """Where the `most` heaviest weights above 0 of each group are, group by group, equal ones by component."""
    order = np.lexsort((components, -weights, groups))
    order = order[weights[order] > 0]
    sizes = np.bincount(groups[order])
    places = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[places < most]


def _shares(groups: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The weights of each group, brought to the sum 1."""
    shares: npt.NDArray[np.float64] = weights / np.bincount(groups, weights)[groups]
    return shares


def _positive(owners: npt.NDArray[np.int64], scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Scores above 0; where no document of a query has one, 1 for all of them."""
    positive = np.maximum(scores.astype(np.float64), 0)
    none = np.bincount(owners, positive) == 0
    return np.where(none[owners], 1.0, positive)
