"""Recognizes collections for which searching all of them is better than choosing blocks.

Energy-cut summaries live off uneven weights: a few components carry most of a document's mass. Learned sparse encoders
make such weights; BM25 impacts saturate, and their blocks can hardly be told apart. Whether a collection's can is
measured: some of its documents, cut to the length of queries, are searched for with default parameters and exactly.

In a small collection whole lists are short: adding them up takes no longer than a search that finds nearly all, and
misses nothing (100,000 documents of 46 or 180 components: 134 and 171 us a query, where blocks with default parameters,
which find nearly all, take 86 and 164).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lsr.index.parameters import SearchParams

if TYPE_CHECKING:
    from lsr.index.seismic.seismic_index import SeismicIndex

# Fewer documents are searched exhaustively whatever their weights.
EXHAUSTIVE_BELOW = 1 << 16

# Of a sample's nearest documents; learned weights reach .99 to 1 (packages, wiki), BM25's .85 (wiki-120k).
LEAST_RECALL = 0.95
SAMPLE = 100
SAMPLE_TERMS = 16
SAMPLE_K = 10


def sample_recall(index: SeismicIndex, threads: int) -> float:
    """Recall@10 of default parameters, for some of the documents as queries."""
    chosen = np.random.default_rng(index.config.seed).choice(len(index), min(SAMPLE, len(index)), replace=False)
    queries = index.gather(np.sort(chosen)).as_vectors(index.dim).top_k(SAMPLE_TERMS)
    exact = index.search(queries, SAMPLE_K, SearchParams(exact=True), threads)
    found = index.search(queries, SAMPLE_K, threads=threads)
    # A document as good as the last one counts, whichever of equals came first.
    least = np.where(exact.rows >= 0, exact.scores, np.inf).min(axis=1, keepdims=True)
    relevant = int((exact.rows >= 0).sum())
    hits = (found.rows >= 0) & (found.scores >= least)
    return float(hits.sum() / relevant) if relevant else 1.0
