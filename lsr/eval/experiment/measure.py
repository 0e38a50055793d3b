"""One system on one collection: the run, its measures, its time and its size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lsr.eval.collections import Collection
from lsr.eval.measures import evaluate_queries
from lsr.eval.runs import Qrels, run_writer
from lsr.index.config import SearchParams
from lsr.progress import progress_bar
from lsr.retrieval.plan import DENSE, SPARSE, Options, Pipeline
from lsr.retrieval.searcher import Searcher

QUERIES_AT_ONCE = 1024
TIMED_QUERIES = 100
TIMED_K = 10
COMPARED_QUERIES = 1000


@dataclass(frozen=True)
class Figures:
    """What is known of a run.

    per_query: measure -> query id -> value. search_microseconds, encode_microseconds: of one query, the median over up
    to 100 of them, one at a time, on one thread, k = 10. recall_of_exact: the share of the ten best of an exhaustive
    search by the same system that it found, over up to 1000 queries. bytes: of the indexes that it searches.
    """

    per_query: dict[str, dict[str, float]]
    search_microseconds: float
    encode_microseconds: float
    recall_of_exact: float
    bytes: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_system(
    searcher: Searcher,
    collection: Collection,
    how: Options,
    params: SearchParams,
    measures: Mapping[str, str],
    k: int,
    run_file: Path,
    *,
    threads: int,
    progress: bool,
) -> Figures:
    """Search for all queries, write the run, and measure it. measures: name -> measure as ir_measures knows it."""
    queries = collection.queries()
    per_query: dict[str, dict[str, float]] = {name: {} for name in measures}
    with (
        run_writer(run_file) as write,
        progress_bar(f"searching {collection.name}", len(queries), "queries", progress) as advance,
    ):
        for run in _runs(searcher, queries, collection.drop_same_id, how, params, k, threads):
            write(run)
            for name, values in evaluate_run(collection.qrels(), run, measures).items():
                per_query[name].update(values)
            advance(len(run))
    pipeline = Pipeline.of(**how)
    texts = list(queries.values())
    search, encode = _microseconds(searcher, _spread(texts, TIMED_QUERIES), pipeline, params)
    return Figures(
        per_query,
        search,
        encode,
        _recall_of_exact(searcher, _spread(texts, COMPARED_QUERIES), pipeline, params, threads),
        _bytes(searcher, pipeline),
    )


def mean_measure(
    searcher: Searcher,
    collection: Collection,
    queries: Mapping[str, str],
    how: Options,
    params: SearchParams,
    measure: str,
    k: int,
    threads: int,
) -> float:
    """The mean of one measure over some judged queries of a collection: what a tuner compares."""
    values: list[float] = []
    for run in _runs(searcher, queries, collection.drop_same_id, how, params, k, threads):
        values.extend(evaluate_run(collection.qrels(), run, {measure: measure})[measure].values())
    return statistics.fmean(values)


def evaluate_run(
    qrels: Qrels, run: Mapping[str, Mapping[str, float]], measures: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Name -> query id -> value, for the queries of `run`, all of them judged."""
    values = evaluate_queries({query_id: qrels[query_id] for query_id in run}, run, list(measures.values()))
    return {name: values[measure] for name, measure in measures.items()}


def _runs(
    searcher: Searcher,
    queries: Mapping[str, str],
    drop_same_id: bool,
    how: Options,
    params: SearchParams,
    k: int,
    threads: int,
) -> Iterator[dict[str, dict[str, float]]]:
    """Results of some queries at a time: a whole run of 1,000 documents a query may not fit in memory."""
    pairs = iter(queries.items())
    while batch := dict(islice(pairs, QUERIES_AT_ONCE)):
        yield searcher.run(batch, k, params, threads, drop_same_id, **how)


def _spread(texts: Sequence[str], count: int) -> list[str]:
    """At most `count` of them, from all over the list."""
    return list(texts[:: -(-len(texts) // count)])


def _microseconds(
    searcher: Searcher, texts: Sequence[str], pipeline: Pipeline, params: SearchParams
) -> tuple[float, float]:
    """(searching, encoding): medians, after a round that compiles kernels and maps the index."""
    search, encode = [], []
    for text in [*texts[:3], *texts]:
        begin = time.perf_counter()
        encoded = searcher.encode([text], pipeline)
        between = time.perf_counter()
        searcher.find(encoded, pipeline, TIMED_K, params)
        search.append(time.perf_counter() - between)
        encode.append(between - begin)
    return 1e6 * statistics.median(search[-len(texts) :]), 1e6 * statistics.median(encode[-len(texts) :])


def _recall_of_exact(
    searcher: Searcher, texts: Sequence[str], pipeline: Pipeline, params: SearchParams, threads: int
) -> float:
    encoded = searcher.encode(texts, pipeline)
    found, exact = (
        searcher.find(encoded, pipeline, TIMED_K, each, threads).lists.rows
        for each in (params, replace(params, exact=True))
    )
    wanted = (exact >= 0).sum()
    if not wanted:
        return 1.0
    both = (found[:, :, None] == exact[:, None, :]) & (exact[:, None, :] >= 0)
    return float(np.count_nonzero(both) / wanted)


def _bytes(searcher: Searcher, pipeline: Pipeline) -> int:
    parts: list[int] = []
    if SPARSE in pipeline.sides:
        parts += searcher.index.nbytes.values()
    if DENSE in pipeline.sides and searcher.dense is not None:
        parts += searcher.dense.index.nbytes.values()
    return sum(parts)
