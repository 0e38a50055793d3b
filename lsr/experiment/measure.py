"""A system on a collection: its run, measures, time and size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.collections.collection import Collection
from lsr.collections.runs import Qrels, run_writer
from lsr.eval.flops import flops_of
from lsr.eval.judged_documents import check_index
from lsr.eval.measures import query_values
from lsr.index.parameters import SearchParams
from lsr.index.seismic.engine import EXACT_LISTS
from lsr.progress import progress_bar
from lsr.retrieval.request import DENSE, SPARSE, SearchRequest
from lsr.retrieval.searcher import Searcher
from lsr.threads import one_torch_thread

QUERIES_AT_ONCE = 1024
TIMED_QUERIES = 100
TIMED_K = 10
COMPARED_QUERIES = 1000
DOCUMENTS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Figures:
    """The figures of a run.

    per_query: measure -> query id -> value.
    search_microseconds, encode_microseconds: of one query, the median over up to 100 of them, one at a time, searched
        and encoded on one thread, k = 10.
    recall_of_exact: the share of the ten best documents of an exact search by the same system that it found, over the
        first 1000 queries.
    bytes: of the searched indexes.
    query_nnz, document_nnz: mean number of non-zero weights of a sparse vector; None without a sparse side.
    flops: see lsr.eval.expected_flops; None without a sparse side, and in results of earlier versions.
    """

    per_query: dict[str, dict[str, float]]
    search_microseconds: float
    encode_microseconds: float
    recall_of_exact: float
    bytes: int
    query_nnz: float | None
    document_nnz: float | None
    flops: float | None = None


class Task(NamedTuple):
    """A system on a collection. encoded: side -> all of its encoded queries, in order."""

    searcher: Searcher
    collection: Collection
    encoded: Mapping[str, Any]
    request: SearchRequest
    threads: int

    def dropped(self) -> npt.NDArray[np.int64] | None:
        """int64[queries]: the row of each query's own document, if the collection has such; see Searcher.find."""
        return self.searcher.snapshot.rows_of(list(self.collection.queries())) if self.collection.drop_same_id else None


def measure_system(task: Task, measures: Mapping[str, str], run_file: Path, progress: bool) -> Figures:
    """Search for all queries, write the run, and measure it. measures: name -> measure of ir_measures."""
    texts = list(task.collection.queries().values())
    check_index(
        task.collection.qrels(), task.searcher.snapshot.rows_of, task.collection.name, task.searcher.snapshot.doc_id(0)
    )
    per_query: dict[str, dict[str, float]] = {name: {} for name in measures}
    with (
        run_writer(run_file) as write,
        progress_bar(f"searching {task.collection.name}", len(texts), "queries", progress) as advance,
    ):
        for run in _runs(task):
            write(run)
            for name, values in _evaluate(task.collection.qrels(), run, measures).items():
                per_query[name].update(values)
            advance(len(run))
    search, encode = _microseconds(task, texts)
    return Figures(per_query, search, encode, _recall_of_exact(task), _bytes(task), *_nnz(task))


def mean_measure(task: Task, measure: str, queries: Container[str]) -> float:
    """The mean of one measure over some of the judged queries, for tuning."""
    values = [
        value
        for run in _runs(task)
        for query_id, value in _evaluate(task.collection.qrels(), run, {measure: measure})[measure].items()
        if query_id in queries
    ]
    return statistics.fmean(values)


def _evaluate(
    qrels: Qrels, run: Mapping[str, Mapping[str, float]], measures: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Name -> query id -> value, for the queries of `run`, which are all judged."""
    values = query_values({query_id: qrels[query_id] for query_id in run}, run, list(measures.values()))
    return {name: values[measure] for name, measure in measures.items()}


def _runs(task: Task) -> Iterator[dict[str, dict[str, float]]]:
    """Results in batches of queries: a whole run of 1,000 documents per query may not fit in memory."""
    query_ids = list(task.collection.queries())
    for start in range(0, len(query_ids), QUERIES_AT_ONCE):
        some = slice(start, start + QUERIES_AT_ONCE)
        encoded = {side: queries[some] for side, queries in task.encoded.items()}
        yield task.searcher.snapshot.rank_encoded(
            query_ids[some], encoded, task.request, task.threads, task.collection.drop_same_id
        )


def _microseconds(task: Task, texts: Sequence[str]) -> tuple[float, float]:
    """(searching, encoding): medians, after three queries that compile kernels and map the index.

    All queries are encoded before any search: a network flushes the caches, so that encoders would change the times of
    indexes.
    """
    dropped, request = task.dropped(), replace(task.request, k=TIMED_K)
    timed = list(range(0, len(texts), -(-len(texts) // TIMED_QUERIES)))
    chosen = [*timed[:3], *timed]
    search, encode, encoded = [], [], []
    with one_torch_thread():
        for query in chosen:
            begin = time.perf_counter()
            encoded.append(task.searcher.snapshot.encode([texts[query]], task.request.sides))
            encode.append(time.perf_counter() - begin)
        for query, vectors in zip(chosen, encoded, strict=True):
            own = None if dropped is None else dropped[query : query + 1]
            begin = time.perf_counter()
            task.searcher.snapshot.find(vectors, request, dropped=own)
            search.append(time.perf_counter() - begin)
    return 1e6 * statistics.median(search[-len(timed) :]), 1e6 * statistics.median(encode[-len(timed) :])


def _recall_of_exact(task: Task) -> float:
    encoded = {side: queries[:COMPARED_QUERIES] for side, queries in task.encoded.items()}
    dropped = task.dropped()
    own = None if dropped is None else dropped[:COMPARED_QUERIES]
    found, exact = (
        task.searcher.snapshot.find(
            encoded, replace(task.request, k=TIMED_K, params=params), task.threads, own
        ).lists.rows
        for params in (task.request.params, SearchParams(exact=True))
    )
    wanted = (exact >= 0).sum()
    if not wanted:
        return 1.0
    both = (found[:, :, None] == exact[:, None, :]) & (exact[:, None, :] >= 0)
    return float(np.count_nonzero(both) / wanted)


def _nnz(task: Task) -> tuple[float | None, float | None, float | None]:
    """(non-zeros of a query, of a document, FLOPS)."""
    if SPARSE not in task.encoded:
        return None, None, None
    queries, index = task.encoded[SPARSE], task.searcher.index
    frequency = np.zeros(index.dim, np.int64)
    for start in range(0, len(index), DOCUMENTS_AT_ONCE):
        rows = np.arange(start, min(start + DOCUMENTS_AT_ONCE, len(index)))
        frequency += np.bincount(index.gather(rows).indices, minlength=index.dim)
    documents = max(len(index), 1)
    flops = flops_of(queries, frequency, documents)
    return queries.nnz / max(len(queries), 1), int(frequency.sum()) / documents, flops


def _bytes(task: Task) -> int:
    searcher, sides = task.searcher, task.request.sides
    parts: list[int] = []
    if SPARSE in sides:
        # Without parts that depend on the number of searches before.
        parts += (size for part, size in searcher.index.nbytes.items() if part != EXACT_LISTS)
    if DENSE in sides and searcher.dense is not None:
        parts += searcher.dense.index.nbytes.values()
    return sum(parts)
