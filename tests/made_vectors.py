"""Made vectors that look like what learned sparse encoders give: a few heavy terms, many light ones, topics.

What makes an index work on real vectors is here too: common components (Zipf), documents of one topic, and weights
of which a few carry most of a row (log-normal). Equal arguments give equal vectors.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from lsr.vectors.sparse_vectors import SparseVectors

DIM = 30_522
TOPICS = 400
TOPIC_TERMS = 150
# Of a row's terms these are of its topic; the others are anything, common ones above all.
OF_TOPIC = 0.6


@cache
def short_documents(rows: int) -> SparseVectors:
    """46 components a row, as descriptions of software have."""
    return learned_vectors(rows, 46, seed=1)


@cache
def short_queries(rows: int) -> SparseVectors:
    """21 components a row, of the same topics."""
    return learned_vectors(rows, 21, seed=2)


@cache
def long_documents(rows: int) -> SparseVectors:
    """180 components a row, as passages have: more than a document's head holds."""
    return learned_vectors(rows, 180, seed=3)


@cache
def long_queries(rows: int) -> SparseVectors:
    """23 components a row, for long documents."""
    return learned_vectors(rows, 23, seed=4)


@cache
def even_documents(rows: int) -> SparseVectors:
    """40 components a row, all of about the same weight: blocks of such documents can hardly be told apart."""
    rng = np.random.default_rng(5)
    components = _by_share(rng, rng.random((rows, 40)), 8000, 0.5)
    return _vectors(components, 1 + rng.random(components.shape) / 10)


def learned_vectors(rows: int, length: int, seed: int) -> SparseVectors:
    """Rows of about `length` components, each of one of TOPICS topics."""
    rng = np.random.default_rng(seed)
    terms, popularity = _topics()
    # A term drawn twice counts once, so that more have to be drawn.
    drawn = int(length * (1.1 + length / 190))
    topics = rng.integers(0, TOPICS, rows)
    place = _by_share(rng, rng.random((rows, drawn)), TOPIC_TERMS, 0.5)
    anything = popularity[_by_share(rng, rng.random((rows, drawn)), DIM, 0.9)]
    chosen = rng.random((rows, drawn)) < OF_TOPIC
    components = np.where(chosen, terms[topics[:, None], place], anything)
    # Rows are of different lengths: from half of it to twice as much.
    kept = np.arange(drawn) < np.clip(drawn * rng.lognormal(-0.05, 0.3, (rows, 1)), drawn / 2, drawn)
    weights = rng.lognormal(-0.5, 0.7, (rows, drawn)) * np.where(chosen, 1.3 / (1 + place / 100), 0.8)
    weights = np.minimum(weights, 2.9).astype(np.float16)
    return _vectors(components, np.where(kept, weights, 0))


@cache
def _topics() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(the terms of each topic int64[TOPICS, TOPIC_TERMS], components from the most common int64[DIM])."""
    rng = np.random.default_rng(0)
    popularity = rng.permutation(DIM)
    places = _by_share(rng, rng.random((TOPICS, TOPIC_TERMS)), DIM, 0.75)
    return popularity[places], popularity


def _by_share(
    rng: np.random.Generator, uniform: npt.NDArray[np.float64], n: int, power: float
) -> npt.NDArray[np.int64]:
    """Numbers below n, of which the i-th is as likely as 1 / (i + 1) ** power."""
    share = np.cumsum(1 / np.arange(1, n + 1) ** power)
    return np.searchsorted(share / share[-1], uniform).clip(max=n - 1)


def _vectors(components: npt.NDArray[np.int64], weights: npt.NDArray[np.floating]) -> SparseVectors:
    """Of the entries of a row that are for one component, the first counts."""
    rows = np.arange(len(components))[:, None]
    _, first = np.unique(rows * DIM + components, return_index=True)
    values = weights.ravel()[first].astype(np.float32)
    row = first[values > 0] // components.shape[1]
    indptr = np.r_[0, np.cumsum(np.bincount(row, minlength=len(components)))]
    return SparseVectors(indptr, components.ravel()[first][values > 0], values[values > 0], DIM)
