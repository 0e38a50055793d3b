"""The cost of feedback: microseconds per query, plain and with feedback, one query at a time, one thread, k = 10.

    python benchmarks/feedback.py                       SciFact and NFCorpus, the bundled models
    python benchmarks/feedback.py wiki-120k --queries 200

Times are from the text (with encoding) and from the query's vector. Plain searches and searches with feedback of each
query are timed in turn, so that other work of the machine affects both; figures are medians over queries. Indexes are
stored in --cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from lsr import Searcher
from lsr.collections.collection import load_collection
from lsr.encoders.dense.dense_encoder import load_dense_encoder
from lsr.retrieval.indexing import build_index
from lsr.retrieval.request import SearchRequest

DATA = Path(os.environ.get("LSR_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
WAYS = {
    "tiny, Rocchio": ("tiny", {}, {"feedback": "rocchio"}),
    "tiny, RM3": ("tiny", {}, {"feedback": "rm3"}),
    "bm25, Rocchio": ("bm25", {}, {"feedback": "rocchio"}),
    "bm25, RM3": ("bm25", {}, {"feedback": "rm3"}),
    "minilm, Rocchio": ("bm25", {"side": "dense"}, {"side": "dense", "feedback": "rocchio"}),
    "minilm, average": ("bm25", {"side": "dense"}, {"side": "dense", "feedback": "average"}),
    "tiny + minilm, both": ("tiny", {"interpolate": "after"}, {"interpolate": "both", "feedback": "rocchio"}),
}


def open_searcher(name: str, encoder: str, cache: Path) -> Searcher:
    folder = cache / f"{name}.{encoder}"
    if not folder.exists():
        dense = load_dense_encoder("minilm", dtype="bfloat16")
        build_index(load_collection(DATA / name), folder, encoder, dense=dense, progress=True)
    return Searcher.open(folder)


def measure(searcher: Searcher, texts: list[str], plain: dict[str, str], fed_back: dict[str, str]) -> dict[str, float]:
    requests = {"plain": SearchRequest.from_words(plain), "fed back": SearchRequest.from_words(fed_back)}
    seconds: dict[str, list[float]] = {f"{which}, {what}": [] for which in requests for what in ("text", "vector")}
    for text in [*texts[:5], *texts]:
        for which, request in requests.items():
            begin = time.perf_counter()
            encoded = searcher.snapshot.encode([text], request.sides)
            between = time.perf_counter()
            searcher.snapshot.find(encoded, request)
            end = time.perf_counter()
            seconds[f"{which}, text"].append(end - begin)
            seconds[f"{which}, vector"].append(end - between)
    return {key: statistics.median(values[5:]) * 1e6 for key, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="*", default=["scifact", "nfcorpus"])
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "lsr-indexes")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    searchers = {
        (name, encoder): open_searcher(name, encoder, arguments.cache)
        for name in arguments.collections
        for encoder in dict.fromkeys(encoder for encoder, _, _ in WAYS.values())
    }
    torch.set_num_threads(1)
    table = Table("collection", "search", "text: plain", "fed back", "times", "vector: plain", "fed back", "times")
    results = []
    for name in arguments.collections:
        texts = list(load_collection(DATA / name).queries().values())[: arguments.queries]
        for way, (encoder, plain, fed_back) in WAYS.items():
            figures = measure(searchers[name, encoder], texts, plain, fed_back)
            results.append({"collection": name, "search": way, **figures})
            cells = []
            for what in ("text", "vector"):
                before, after = figures[f"plain, {what}"], figures[f"fed back, {what}"]
                cells += [f"{before:,.0f}", f"{after:,.0f}", f"{after / before:.2f}"]
            table.add_row(name, way, *cells)
    Console(width=110).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
