"""Counts of tokens, and lengths of documents, computed from BM25 vectors; and the drift of a fit.

A weight is v = tf / (tf + K), and K = k1 · (1 - b + b · dl / avgdl) is the same for all weights of a document, so r = v
/ (1 - v) = tf / K. As every token has a component (see BM25Encoder.extended), the sum S of all r is dl / K, and

    K = k1 · (1 - b) / (1 - k1 · b · S / avgdl)

This K has rounding errors. It is made exact by the smallest tf = r · K of the document, which must be an integer: it is
rounded, and K = tf / r. All other tf = r · K, and dl = Σ tf, are then exact counts. In texts in which every word occurs
hundreds of times, the smallest tf cannot be rounded with certainty. Then tf are fractions that give the same weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.encoders.bm25 import BM25Encoder, idf_of
from lsr.errors import EncoderError
from lsr.vectors.normalize import rows_of
from lsr.vectors.sparse_vectors import SparseVectors

LARGEST_B = 0.99  # with b = 1, a text and its repetition have one vector, so K cannot be computed near b = 1
FLOAT_ERROR = 6e-8  # relative, of a float32
CERTAIN = 0.2  # a count with a larger error has no certain nearest whole number
FEWEST_SAMPLED = 10  # fewest documents with a token from which its IDF is estimated


class Counts(NamedTuple):
    """Counts of documents: occurrences float64[nnz], one per weight, and lengths float64[rows], in tokens."""

    occurrences: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.float64]


def counts_of(encoder: BM25Encoder, vectors: SparseVectors, rounding: float = 0.0) -> Counts:
    """The counts behind document vectors. The vectors must have all tokens of the documents.

    rounding: the largest change of a weight by an index.

    Raises EncoderError if the counts do not follow from weights (k1 = 0, b above .99), and, with the row, if no counts
    give the weights: they were made by another encoder, or tokens are missing.
    """
    if not tells_counts(encoder):
        raise EncoderError(
            f"document lengths cannot be computed from the weights of bm25 with k1 {encoder.k1:g} and b {encoder.b:g}; "
            "index the collection again"
        )
    found, fits = _recovered(encoder, vectors, rounding)
    if not fits.all():
        row = int(fits.argmin())
        name = f"row {row}" if vectors.ids is None else f"document {vectors.ids[row]!r}"
        raise EncoderError(
            f"{name}: the weights do not match these bm25 statistics (another encoder made them, or words are "
            "missing); index the collection again"
        )
    return found


def _recovered(encoder: BM25Encoder, vectors: SparseVectors, rounding: float) -> tuple[Counts, npt.NDArray[np.bool_]]:
    """The counts, and for each row whether they, and no counts with missing words, give its weights."""
    k1, b, average = encoder.k1, encoder.b, encoder.average_length
    values, sizes = vectors.values.astype(np.float64), np.diff(vectors.indptr)
    rows, some = rows_of(sizes), sizes > 0

    def of_rows(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.bincount(rows, weights, len(vectors)).astype(np.float64)

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratios = values / (1 - values)
        errors = (rounding / values + FLOAT_ERROR) / (1 - values)  # relative error of the ratios
        sums = of_rows(ratios)
        share = k1 * b * sums / average  # the share of K that depends on the length
        estimate = k1 * (1 - b) / (1 - share)
        smallest, its_error = np.ones(len(vectors)), np.zeros(len(vectors))
        if some.any():
            smallest[some] = np.minimum.reduceat(ratios, vectors.indptr[:-1][some])
            its_error[some] = np.maximum.reduceat(
                np.where(ratios == smallest[rows], errors, 0), vectors.indptr[:-1][some]
            )
        fewest = smallest * estimate
        uncertain = fewest * share / (1 - share) * of_rows(ratios * errors) / sums > CERTAIN
        exact = np.where(uncertain, estimate, np.maximum(np.rint(fewest), 1) / smallest)
        occurrences = ratios * exact[rows]
        occurrences = np.where(uncertain[rows], occurrences, np.rint(occurrences))
        lengths = of_rows(occurrences)
        apart = np.abs(occurrences / (occurrences + exact[rows]) - values)
        whole = apart <= 4 * values * (1 - values) * (errors + its_error[rows])
        slack = k1 * b / average * (0.05 + of_rows(occurrences * errors)) + 4 * exact * its_error
        complete = np.abs(encoder.saturation(lengths) - exact) <= slack
    fits = ~some | (share < 1) & (uncertain | complete & (of_rows((~whole).astype(np.float64)) == 0))
    return Counts(occurrences, lengths), fits


def tells_counts(encoder: BM25Encoder) -> bool:
    """Whether counts of tokens follow from the document weights of this encoder."""
    return encoder.k1 > 0 and encoder.b <= LARGEST_B


class LiveStatistics:
    """The statistics of a fit, counted from vectors.

    documents: the number of counted documents.
    tokens: the sum of their lengths in tokens; None if counts cannot be computed from the weights.
    frequency: int64[dim], the number of documents with each token of the encoder.
    """

    def __init__(self, encoder: BM25Encoder, rounding: float = 0.0) -> None:
        self.encoder = encoder
        self.rounding = rounding
        self.documents = 0
        self.tokens: int | None = 0 if tells_counts(encoder) else None
        self.frequency = np.zeros(encoder.dim, np.int64)

    def add(self, vectors: SparseVectors) -> None:
        """Count some documents. Vectors of fewer components are from before the encoder was extended.

        Raises the errors of counts_of.
        """
        if self.tokens is not None:
            self.tokens += int(counts_of(self.encoder, vectors, self.rounding).lengths.sum())
        self.documents += len(vectors)
        self.frequency += np.bincount(vectors.indices, minlength=self.encoder.dim)


@dataclass(frozen=True, slots=True)
class Drift:
    """The difference between the statistics of a fit and those of the present documents.

    documents, fitted_documents: the present and the fitted number of documents.
    average_length, fitted_average_length: in tokens; None if counts do not follow from weights.
    new_tokens: the number of tokens that the fitted texts did not have.
    idf_change: mean |IDF now - IDF used|, each token weighted by its documents.
    mean_idf: the mean IDF now, with the same weights.
    most_changed: the token whose IDF has changed most.
    idf_used, idf_now: the IDF of this token.
    sampled: the number of counted documents.
    """

    documents: int
    fitted_documents: int
    average_length: float | None
    fitted_average_length: float
    new_tokens: int
    idf_change: float
    mean_idf: float
    most_changed: str | None
    idf_used: float | None
    idf_now: float | None
    sampled: int


def drift_of(encoder: BM25Encoder, documents: int, batches: Iterable[SparseVectors], rounding: float = 0.0) -> Drift:
    """The drift of an encoder from documents, all of them or a sample. In a sample, rare tokens are ignored.

    documents: the number of all documents. batches: vectors of the documents to count. rounding: see counts_of.
    """
    live = LiveStatistics(encoder, rounding)
    for vectors in batches:
        try:
            live.add(vectors)
        except EncoderError:
            live.tokens = None  # counts do not follow from these weights
            live.add(vectors)
    known = np.flatnonzero(live.frequency >= (1 if live.documents == documents else FEWEST_SAMPLED))
    frequency = live.frequency[known]
    now = idf_of(frequency, live.documents).astype(np.float64)
    used = encoder.idf[known].astype(np.float64)
    changes = np.abs(now - used)
    most = int(changes.argmax()) if len(known) else None
    return Drift(
        documents=documents,
        fitted_documents=encoder.documents,
        average_length=live.tokens / live.documents if live.tokens and live.documents else None,
        fitted_average_length=encoder.average_length,
        new_tokens=encoder.dim - encoder.fitted_dim,
        idf_change=_mean(changes, frequency),
        mean_idf=_mean(now, frequency),
        most_changed=None if most is None else encoder.vocabulary.token(int(known[most])),
        idf_used=None if most is None else float(used[most]),
        idf_now=None if most is None else float(now[most]),
        sampled=live.documents,
    )


def _mean(values: npt.NDArray[np.float64], frequency: npt.NDArray[Any]) -> float:
    return float(np.average(values, weights=frequency)) if len(values) else 0.0


class Refit:
    """A new fit of BM25 from document vectors, and the vectors with the weights of the new fit.

    encoder: the new encoder, equal to one fitted on the texts. Its vocabulary has the tokens that occur, sorted.

    Raises EncoderError without any token, and if document lengths cannot be computed from the weights.
    """

    def __init__(self, live: LiveStatistics) -> None:
        former = live.encoder
        if live.tokens is None and former.k1:
            counts_of(former, SparseVectors.empty(former.dim))  # raises the error
        occurring = np.flatnonzero(live.frequency)
        names = [former.vocabulary.token(int(component)) for component in occurring]
        frequency = dict(zip(names, live.frequency[occurring].tolist(), strict=True))
        tokens = live.tokens
        if tokens is None:  # no weight depends on lengths
            tokens = max(round(former.average_length * live.documents), 1) if names else 0
        self.encoder = former.refitted(frequency, live.documents, tokens)
        self._live = live
        self._components = np.zeros(former.dim, np.int64)
        self._components[occurring] = np.argsort(np.argsort(names)) if names else 0

    def vectors(self, vectors: SparseVectors) -> SparseVectors:
        """Vectors of counted documents with the weights of the encoder. They keep their ids."""
        former, values = self._live.encoder, vectors.values
        if former.k1:
            occurrences, lengths = counts_of(former, vectors, self._live.rounding)
            saturation = self.encoder.saturation(lengths)[rows_of(np.diff(vectors.indptr))]
            values = (occurrences / (occurrences + saturation)).astype(np.float32)
        return SparseVectors(vectors.indptr, self._components[vectors.indices], values, self.encoder.dim, vectors.ids)
