"""lsr run"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.index.parameters import SearchParams
from lsr.retrieval.plan import describe_search


def run(
    index: options.IndexFolder,
    queries: Annotated[
        str,
        typer.Argument(
            metavar="QUERIES", help="A collection, a queries.jsonl[.gz], or a TSV of id and text. See lsr index."
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="RUN", help="The TREC run file to write; .gz compresses it.")],
    k: options.Depth = 1000,
    split: options.Split = None,
    query_cut: options.QueryCut = options.DEFAULT_QUERY_CUT,
    heap_factor: options.HeapFactor = options.DEFAULT_HEAP_FACTOR,
    max_blocks: options.MaxBlocks = None,
    knn: options.Knn = 0,
    exact: options.Exact = False,
    recall: options.Recall = None,
    only: options.Only = None,
    feedback: options.Feedback = None,
    feedback_depth: options.FeedbackDepth = None,
    feedback_terms: options.FeedbackTerms = None,
    alpha: options.Alpha = None,
    beta: options.Beta = None,
    gamma: options.Gamma = 0.0,
    negatives: options.Negatives = 0,
    interpolate: options.Interpolate = None,
    weight: options.Weight = None,
    side: options.Side = None,
    fusion: options.FusionMethod = None,
    normalize: options.Normalize = None,
    missing: options.Missing = None,
    fusion_depth: options.FusionDepth = None,
    threads: options.Threads = None,
    device: options.Device = None,
    tag: Annotated[str, typer.Option(help="Name of the run, its last column.")] = "lsr",
) -> None:
    """Search for every query of a collection or file, and write a TREC run."""
    params = SearchParams(query_cut, heap_factor, max_blocks, knn, exact, recall)
    how = describe_search(
        feedback=feedback,
        feedback_depth=feedback_depth,
        feedback_terms=feedback_terms,
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        negatives=negatives,
        interpolate=interpolate,
        weight=weight,
        side=side,
        fusion=fusion,
        normalize=normalize,
        missing=missing,
        fusion_depth=fusion_depth,
    )

    from lsr.collections.collection import load_queries
    from lsr.collections.runs import write_run
    from lsr.retrieval.searcher import Searcher

    topics = load_queries(queries, split)
    allowed = options.read_ids(only)
    searcher = Searcher.open(index, device=device)
    found = searcher.run(topics.texts, k, params, options.use_threads(threads), topics.drop_same_id, allowed, **how)
    write_run(output, found, tag)
    print(f"{output}: {sum(map(len, found.values()))} documents for {len(found)} queries")
