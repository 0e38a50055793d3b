"""Tells whether blocks serve a collection, or whether inverted lists serve it better.

Energy-cut summaries live off uneven weights: a few components carry most of a document's mass. Learned sparse encoders
make such weights; BM25 impacts saturate, and their blocks can hardly be told apart. Whether a collection's can is
measured: some of its documents, cut to the length of queries, are searched for with default parameters and exactly.

In a small collection inverted lists are short: adding them up takes no longer than a search that finds nearly all, and
misses nothing (100,000 documents of 46 or 180 components: 134 and 171 us a query, where blocks with default parameters,
which find nearly all, take 86 and 164).

Queries of a few terms with the weights of a table, as inference-free encoders make them, take inverted lists at any
size: fewer lists are added up, and the weights of these queries are no guide to the blocks that hold the best documents
(120,000 documents of 180 components, 12 terms: 61 us exactly, 152 us by blocks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.parameters import SearchParams
from lsr.index.seismic.engine import BlockEngine

# Fewer documents get inverted lists, whatever their weights.
INVERTED_BELOW = 1 << 16

# Of a sample's nearest documents; learned weights reach .99 to 1 (packages, wiki), BM25's .85 (wiki-120k).
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
    """(the engine that serves a collection, the recall of blocks in the trial, None if there was none).

    Blocks are built, and then tried, only where there are documents enough; inverted lists where those do not serve.
    few_terms: queries have a few terms with the weights of a table, so that nothing need be tried.
    """
    recall = None
    if documents >= INVERTED_BELOW and not few_terms:
        engine = blocks()
        recall = sample_recall(engine, seed, threads)
        if recall >= LEAST_RECALL:
            return engine, recall
        del engine  # its memory may be needed
    return inverted(), recall


def has_few_terms(encoder: Mapping[str, Any] | None) -> bool:
    """Whether an encoder, by what it says of itself, looks the terms of queries up in a table of weights."""
    queries = None if encoder is None else encoder.get("query")
    return isinstance(queries, Mapping) and queries.get("head") == "lookup"


def sample_recall(engine: BlockEngine, seed: int, threads: int) -> float:
    """Recall@10 of default parameters, for some of the documents as queries."""
    chosen = np.random.default_rng(seed).choice(len(engine), min(SAMPLE, len(engine)), replace=False)
    queries = engine.gather(np.sort(chosen)).as_vectors(engine.dim).top_k(SAMPLE_TERMS)
    with engine.exact_lists.held_back():  # for which a build has no memory
        scores, rows = engine.search(queries, SAMPLE_K, SearchParams(exact=True), threads, None)
    found_scores, found_rows = engine.search(queries, SAMPLE_K, SearchParams(), threads, None)
    # A document as good as the last one counts, whichever of equals came first.
    least = np.where(rows >= 0, scores, np.inf).min(axis=1, keepdims=True)
    relevant = int((rows >= 0).sum())
    hits = (found_rows >= 0) & (found_scores >= least)
    return float(hits.sum() / relevant) if relevant else 1.0
