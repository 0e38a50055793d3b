"""Pseudo-relevance feedback: a second query, made from the first query and its best documents.

Vector-PRF (Li, Mourad, Koopman, Zuccon, TOIS 2023) on dense vectors; on sparse vectors, Rocchio and RM3 as in Pyserini
and Anserini for BM25 and learned sparse indexes. The vectors of the documents come from the index; nothing is encoded
again.
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

SHORTEST = 1e-3  # document vectors of at most this length are skipped
FREQUENT = 0.1  # BM25: terms in a larger share of the documents are not used for feedback


def dense_feedback(
    queries: npt.NDArray[np.float32],
    relevant: list[npt.NDArray[np.float32]],
    not_relevant: list[npt.NDArray[np.float32]],
    feedback: Feedback,
) -> npt.NDArray[np.float32]:
    """The second queries, float32[queries, dim], not normalized.

    relevant, not_relevant: for each query, the vectors float32[m, dim] of its documents. A query without relevant
        documents does not change. feedback: from on_side.

    Average: the mean of the query and its m documents. Rocchio: alpha * query + beta * mean of the relevant documents -
    gamma * mean of the others. Li et al., TOIS 2023.
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

    relevant, not_relevant: documents of all queries, query after query. counts: int64[queries, 2], the numbers of both
        kinds of documents of each query. A query without relevant documents does not change. feedback: from on_side.

    With n(x) = x / |x|, documents d that are taken as relevant and e that are not, and top(x), the `terms` heaviest
    terms of x:

        q' = max(0, alpha n(q) + beta n(top(mean of n(d))) - gamma n(top(mean of n(e))))

    A document whose length is at most .001 counts as zero in the mean. Rocchio 1971, as in Pyserini.
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
        1 << int(2 * most).bit_length(),  # so that the hash table is at most half full
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
    """The largest total number of components that the documents on one side of a query have."""
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

    relevant: documents of all queries, query after query; scores: float[documents], of the first search. counts:
        int64[queries], the number of documents of each query. feedback: from on_side. bm25: the encoder, if it is BM25.

        P(t | R) = sum over d of P(t | d) score(d), normalized to the sum 1
        q'_t     = alpha P(t | q) + (1 - alpha) P(t | R)

    with the `terms` heaviest terms of each d, and again of R. P(t | x) is the share of a term in the weights of x. For
    BM25, it is the share in the tokens of x, and q'_t is multiplied by the term's IDF. As in Anserini, R has no BM25
    terms that occur in more than a tenth of the documents. Negative scores count as 0; if no score is positive, all
    documents count alike. A query whose documents have no such term does not change. Relevance models: Lavrenko and
    Croft (SIGIR 2001, equation 6, with scores as query likelihoods). RM3: Abdul-Jaleel et al. (TREC 2004).
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
    model = SparseVectors(
        indptr_of(of_query), components, weights, queries.dim
    )  # adds up the weights of several documents
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
    """The places of the `most` heaviest positive weights of each group, group by group; equal weights by component."""
    order = np.lexsort((components, -weights, groups))
    order = order[weights[order] > 0]
    sizes = np.bincount(groups[order])
    places = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[places < most]


def _shares(groups: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The weights of each group, normalized to the sum 1."""
    shares: npt.NDArray[np.float64] = weights / np.bincount(groups, weights)[groups]
    return shares


def _positive(owners: npt.NDArray[np.int64], scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The scores, with 0 for negative ones; 1 for all documents of a query if none of them has a positive score."""
    positive = np.maximum(scores.astype(np.float64), 0)
    none = np.bincount(owners, positive) == 0
    return np.where(none[owners], 1.0, positive)
