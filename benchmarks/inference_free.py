"""From the text of a query to its ten best documents: queries without a network, and BM25, compared with bm25s.

    python benchmarks/inference_free.py                        four collections of $LSR_TEST_DATA
    python benchmarks/inference_free.py scifact wiki-120k --rounds 5
    python benchmarks/inference_free.py wiki-120k --grown 1000000

Documents are encoded by `tiny`, queries are looked up in an IDF table of the collection (lsr build
opensearch-doc-v2-distill tiny OUT --idf COLLECTION). All engines run on one thread with their defaults; bm25s with
Numba, its fastest backend. The engines take turns; figures are medians of the rounds, in microseconds per query: one
text at a time, and all texts of the collection in one call. The checkpoint was not trained for such queries: its
nDCG@10 only shows that the engines do comparable work, not how good such an encoder is.

--grown: documents beyond the real ones, whose vectors are mixtures of two neighbors (see grown.py), and whose texts are
the first half of one neighbor and the second half of the other. They have no judgments, so there is no nDCG@10.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from math import isnan
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
from effectiveness import DATA, beir_folders
from encode import cpu_name
from grown import mixtures, neighbor_order
from result_files import Row, write_rows
from rich.console import Console
from rich.table import Table

from lsr import Searcher, SeismicIndex, SparseVectors, load_encoder
from lsr.collections.collection import Collection, load_collection
from lsr.encoders.base import Encoder
from lsr.encoders.build import build_encoder
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.idf import idf_of_texts
from lsr.encoders.sparse.tokens import FolderTokenizer
from lsr.eval.measures import evaluate
from lsr.retrieval.encoding import encode_documents

COLLECTIONS = ["nfcorpus", "scifact", "package-search", "wiki-120k"]
DEPTH = 10
SINGLY = 1000  # maximum number of queries that are timed one at a time

PEER = "bm25s"


@dataclass
class Result:
    """Microseconds per query of each engine, and its nDCG@10, NaN for a grown collection."""

    collection: str
    documents: int
    queries: int
    way: str
    microseconds: dict[str, float]
    ndcg: dict[str, float]


def inference_free(collection: Collection, name: str, cache: Path) -> tuple[SparseVectors, Encoder]:
    """The vectors of the documents, and the encoder of queries."""
    tokens = FolderTokenizer(find_checkpoint("tiny").folder)
    table = idf_of_texts((document.full_text for document in collection.documents()), tokens)
    encoder = build_encoder("opensearch-doc-v2-distill", "tiny", idf=table, device="cpu")
    folder = cache / f"{name}.tiny"
    if not (folder / "vectors.json").exists():
        # The network is the same, so the documents of `tiny` are those of this encoder.
        encode_documents(collection, folder, load_encoder("tiny", device="cpu"), progress=True)
    return SparseVectors.read(folder), encoder


def grown(vectors: SparseVectors, texts: list[str], rows: int) -> tuple[SparseVectors, list[str]]:
    """`rows` documents, of which the first are real."""
    order = neighbor_order(vectors)
    places = np.argsort(order)
    words = [text.split() for text in texts]
    made = list(texts)
    for number in range(rows - len(texts)):
        row = number % len(texts)
        other = words[order[(places[row] + 1 + number // len(texts)) % len(order)]]
        made.append(" ".join(words[row][: len(words[row]) // 2] + other[len(other) // 2 :]))
    parts = [vectors.with_ids(None), *mixtures(vectors, order, rows - len(texts))]
    return SparseVectors.concatenate(parts), made


def make_peer(texts: list[str]) -> Callable[[list[str]], tuple[np.ndarray, np.ndarray]]:
    peer = bm25s.BM25(backend="numba")
    peer.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)

    def search(queries: list[str]) -> tuple[np.ndarray, np.ndarray]:
        tokens = bm25s.tokenize(queries, stopwords="en", show_progress=False)
        return peer.retrieve(tokens, k=DEPTH, show_progress=False, n_threads=1)

    return search


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def measure(folder: Path, cache: Path, rounds: int, rows: int | None) -> list[Result]:
    collection = load_collection(folder)
    vectors, encoder = inference_free(collection, (folder / "corpus.jsonl.gz").resolve().parent.name, cache)
    documents = [document.full_text for document in collection.documents()]
    ids = vectors.ids or []
    if rows is not None:
        vectors, documents = grown(vectors, documents, rows)
    # Stored as by build_index for these encoders.
    bm25 = load_encoder("bm25").fit(documents)
    ours = {
        "lsr": Searcher(SeismicIndex.build(vectors, few_terms=True), encoder),
        "lsr, BM25": Searcher(SeismicIndex.build(bm25.encode_documents(documents)), bm25),
    }
    peer = make_peer(documents)
    queries, qrels = collection.queries(), collection.qrels()
    texts = list(queries.values())
    some = texts[:SINGLY]

    def named(rows: Any, scores: Any) -> dict[str, float]:
        return {ids[row]: float(score) for row, score in zip(rows, scores, strict=True) if score > 0}

    ndcg = dict.fromkeys((*ours, PEER), float("nan"))
    if rows is None:
        for name, searcher in ours.items():
            found = searcher.search_batch(texts, DEPTH)
            run = {
                query: named([hit.row for hit in hits], hits.scores) for query, hits in zip(queries, found, strict=True)
            }
            ndcg[name] = evaluate(qrels, run, ["nDCG@10"])["nDCG@10"]
        theirs = {query: named(*each) for query, *each in zip(queries, *peer(texts), strict=True)}
        ndcg[PEER] = evaluate(qrels, theirs, ["nDCG@10"])["nDCG@10"]

    def singly(searcher: Searcher) -> Callable[[], object]:
        return lambda: [searcher.search(text, k=DEPTH) for text in some]

    def together(searcher: Searcher) -> Callable[[], object]:
        return lambda: searcher.run(queries, k=DEPTH, threads=1)

    ways: dict[str, tuple[int, dict[str, Callable[[], object]]]] = {
        "one at a time": (
            len(some),
            {name: singly(each) for name, each in ours.items()} | {PEER: lambda: [peer([text]) for text in some]},
        ),
        "in one call": (
            len(texts),
            {name: together(each) for name, each in ours.items()} | {PEER: lambda: peer(texts)},
        ),
    }
    results = []
    for way, (count, engines) in ways.items():
        times: dict[str, list[float]] = {name: [] for name in engines}
        for turn in range(rounds + 1):
            for name, work in engines.items():
                taken = seconds(work)
                if turn:  # the first one compiles
                    times[name].append(taken)
        per_query = {name: 1e6 * statistics.median(each) / count for name, each in times.items()}
        results.append(Result(folder.name, len(documents), count, way, per_query, ndcg))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="*", default=COLLECTIONS, help=f"collections, from {DATA}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "lsr-vectors")
    parser.add_argument("--grown", type=int, help="number of documents, of which the first are real")
    parser.add_argument("--results", type=Path, help="write the table of docs/benchmarks.md to this file, as CSV")
    arguments = parser.parse_args()

    table = Table(title=f"Text to top {DEPTH}, microseconds per query on one thread, and nDCG@10")
    table.caption = f"{cpu_name()}; bm25s {version('bm25s')}; median of {arguments.rounds} rounds"
    names = ("lsr", "lsr, BM25", PEER)
    for heading in ("collection", "documents", "queries", "", *names, "lsr / bm25s", "BM25 / bm25s", "nDCG@10"):
        table.add_column(heading, justify="left" if heading in ("collection", "") else "right")
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as scratch:
        for folder in beir_folders(arguments.collections, Path(scratch)):
            for result in measure(folder, arguments.cache, arguments.rounds, arguments.grown):
                results.append(result)
                taken = [result.microseconds[name] for name in names]
                table.add_row(
                    result.collection,
                    f"{result.documents:,}",
                    f"{result.queries:,}",
                    result.way,
                    *(f"{each:.0f}" for each in taken),
                    *(f"{each / taken[-1]:.2f}" for each in taken[:-1]),
                    " ".join(f"{result.ndcg[name]:.4f}" for name in names),
                )
    Console(width=140).print(table)
    if arguments.results:
        write_rows(arguments.results, [row_of(result) for result in results])


def row_of(result: Result) -> Row:
    """A line of the result file: engines are columns."""
    times = {name: round(each) for name, each in result.microseconds.items()}
    ndcg = {f"{name} nDCG@10": "" if isnan(each) else f"{each:.4f}" for name, each in result.ndcg.items()}
    way = {"collection": result.collection, "documents": result.documents, "way": result.way}
    return {**way, **times, **ndcg}


if __name__ == "__main__":
    main()
