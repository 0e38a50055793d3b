"""Chooses between blocks and posting lists for a collection.

Energy-cut summaries need uneven weights: a few components must have most of a document's mass. Learned sparse encoders
produce such weights. BM25 weights saturate, so blocks hardly differ. The choice is measured: some documents, cut to the
length of queries, are searched with default parameters and exactly.

In a small collection, posting lists are short: adding them up takes about as long as an approximate search and misses
nothing (100,000 documents of 46 or 180 components: 134 and 171 µs per query; blocks with default parameters, which find
nearly everything, take 86 and 164).

For queries of a few terms with weights from a table, as inference-free encoders produce them, posting lists are used at
any size: fewer lists are added up, and the weights of these queries do not predict the blocks of the best documents
(120,000 documents of 180 components, 12 terms: 61 µs exactly, 152 µs with blocks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.parameters import SearchParams
from lsr.index.seismic.engine import BlockEngine

# Fewer documents are stored as posting lists, with any weights.
INVERTED_BELOW = 1 << 16

# Recall on a sample; learned weights reach .99 to 1 (packages, wiki), BM25 weights .85 (wiki-120k).
LEAST_RECALL = 0.95
SAMPLE = 100
SAMPLE_TERMS = 16
SAMPLE_K = 10


def choose_engine(
    documents: int,
    blocks: Callable[[], BlockEngine],
    inverted: Callable[[], InvertedEngine],
    seed: int,
    threads: int,
    few_terms: bool = False,
) -> tuple[BlockEngine | InvertedEngine, float | None]:
    """(the chosen engine, the recall of blocks in the trial or None without a trial).

    Blocks are built and tried only if there are enough documents; posting lists are built if blocks are not chosen.
    few_terms: queries have a few terms with weights from a table, so no trial is needed.
    """
    recall = None
    if documents >= INVERTED_BELOW and not few_terms:
        engine = blocks()
        recall = sample_recall(engine, seed, threads)
        if recall >= LEAST_RECALL:
            return engine, recall
        del engine  # frees its memory
    return inverted(), recall


def has_few_terms(encoder: Mapping[str, Any] | None) -> bool:
    """Whether an encoder, by its description, has a lookup table for queries."""
    queries = None if encoder is None else encoder.get("query")
    return isinstance(queries, Mapping) and queries.get("head") == "lookup"


def sample_recall(engine: BlockEngine, seed: int, threads: int) -> float:
    """Recall@10 with default parameters, for some of the documents as queries."""
    chosen = np.random.default_rng(seed).choice(len(engine), min(SAMPLE, len(engine)), replace=False)
    queries = engine.gather(np.sort(chosen)).as_vectors(engine.dim).top_k(SAMPLE_TERMS)
    with engine.exact_lists.held_back():  # a build has no memory for them
        scores, rows = engine.search(queries, SAMPLE_K, SearchParams(exact=True), threads, None)
    found_scores, found_rows = engine.search(queries, SAMPLE_K, SearchParams(), threads, None)
    # A document with the score of the last one counts, in any order of equal scores.
    least = np.where(rows >= 0, scores, np.inf).min(axis=1, keepdims=True)
    relevant = int((rows >= 0).sum())
    hits = (found_rows >= 0) & (found_scores >= least)
    return float(hits.sum() / relevant) if relevant else 1.0
