"""From the text of a query to its ten best documents: queries without a network, compared with bm25s.

    python benchmarks/inference_free.py                        four collections of $LSR_TEST_DATA
    python benchmarks/inference_free.py scifact wiki-120k --rounds 5

Documents are encoded by `tiny`, queries are looked up in an IDF table of the collection (lsr build
opensearch-doc-v2-distill tiny OUT --idf COLLECTION). Both engines run on one thread with their defaults; bm25s with
Numba, its fastest backend. The engines take turns; figures are medians of the rounds, in microseconds per query: one
text at a time, and all texts of the collection in one call. The checkpoint was not trained for such queries: its
nDCG@10 only shows that the two do comparable work, not how good such an encoder is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import bm25s
import numpy as np
from effectiveness import DATA, beir_folders
from encode import cpu_name
from rich.console import Console
from rich.table import Table

from lsr import Searcher, SeismicIndex, SparseVectors, load_encoder
from lsr.collections.collection import Collection, load_collection
from lsr.encoders.build import build_encoder
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.idf import idf_of_texts
from lsr.encoders.sparse.tokens import FolderTokenizer
from lsr.eval.measures import evaluate
from lsr.retrieval.encoding import encode_documents

COLLECTIONS = ["nfcorpus", "scifact", "package-search", "wiki-120k"]
DEPTH = 10
SINGLY = 1000  # maximum number of queries that are timed one at a time

Run = dict[str, dict[str, float]]


@dataclass
class Result:
    collection: str
    documents: int
    queries: int
    way: str
    lsr: float
    bm25s: float
    ratio: float
    lsr_ndcg: float
    bm25s_ndcg: float


def make_searcher(collection: Collection, name: str, cache: Path) -> tuple[Searcher, list[str]]:
    tokens = FolderTokenizer(find_checkpoint("tiny").folder)
    table = idf_of_texts((document.full_text for document in collection.documents()), tokens)
    encoder = build_encoder("opensearch-doc-v2-distill", "tiny", idf=table, device="cpu")
    folder = cache / f"{name}.tiny"
    if not (folder / "vectors.json").exists():
        # The network is the same, so the documents of `tiny` are those of this encoder.
        encode_documents(collection, folder, load_encoder("tiny", device="cpu"), progress=True)
    vectors = SparseVectors.read(folder)
    # Stored as by build_index for such an encoder.
    return Searcher(SeismicIndex.build(vectors, few_terms=True), encoder), vectors.ids or []


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


def measure(folder: Path, cache: Path, rounds: int) -> list[Result]:
    collection = load_collection(folder)
    searcher, ids = make_searcher(collection, (folder / "corpus.jsonl.gz").resolve().parent.name, cache)
    peer = make_peer([document.full_text for document in collection.documents()])
    queries, qrels = collection.queries(), collection.qrels()
    texts = list(queries.values())
    some = texts[:SINGLY]

    def ndcg(run: Run) -> float:
        return evaluate(qrels, run, ["nDCG@10"])["nDCG@10"]

    found, scores = peer(texts)
    theirs = {
        query: {ids[row]: float(score) for row, score in zip(rows, values, strict=True) if score > 0}
        for query, rows, values in zip(queries, found, scores, strict=True)
    }
    quality = ndcg(searcher.run(queries, k=DEPTH)), ndcg(theirs)
    ways: dict[str, tuple[int, Callable[[], object], Callable[[], object]]] = {
        "one at a time": (
            len(some),
            lambda: [searcher.search(text, k=DEPTH) for text in some],
            lambda: [peer([text]) for text in some],
        ),
        "in one call": (len(texts), lambda: searcher.run(queries, k=DEPTH, threads=1), lambda: peer(texts)),
    }
    results = []
    for way, (count, ours, others) in ways.items():
        times = [(seconds(ours), seconds(others)) for _ in range(rounds + 1)][1:]  # the first one compiles
        mine, other = (statistics.median(each) / count * 1e6 for each in zip(*times, strict=True))
        results.append(Result(folder.name, len(ids), count, way, mine, other, mine / other, *quality))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="*", default=COLLECTIONS, help=f"of {DATA}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "lsr-vectors")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()

    table = Table(title=f"Text to top {DEPTH}, microseconds a query, one thread")
    table.caption = f"{cpu_name()}; bm25s {version('bm25s')}; median of {arguments.rounds} rounds"
    for heading in ("collection", "documents", "queries", "", "lsr", "bm25s", "lsr / bm25s", "nDCG@10 lsr", "bm25s"):
        table.add_column(heading, justify="left" if heading in ("collection", "") else "right")
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as scratch:
        for folder in beir_folders(arguments.collections, Path(scratch)):
            for result in measure(folder, arguments.cache, arguments.rounds):
                results.append(result)
                table.add_row(
                    result.collection,
                    f"{result.documents:,}",
                    f"{result.queries:,}",
                    result.way,
                    f"{result.lsr:.0f}",
                    f"{result.bm25s:.0f}",
                    f"{result.ratio:.2f}",
                    f"{result.lsr_ndcg:.4f}",
                    f"{result.bm25s_ndcg:.4f}",
                )
    Console(width=130).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


if __name__ == "__main__":
    main()
