"""What an index costs that changes: python benchmarks/living.py search.

search: recall@10 and microseconds a query, on one thread, of ten segments that nobody has merged, and of one segment of
which a fifth is deleted, beside fresh builds of the same documents. Times are of the processor, the engines taking
turns, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from search_worker import read_documents, read_queries

from lsr import ExactIndex, SearchParams, SeismicIndex, SparseVectors
from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.segments.segmented_engine import Segment, SegmentedEngine

ROUNDS = 7
K = 10
SMALL = 10_000
SINGLE = 300  # queries that are searched for one by one
PARAMS = SearchParams()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    search = commands.add_parser("search", help="searches of segments beside fresh builds")
    search.add_argument("--rows", type=int, default=500_000)
    arguments = parser.parse_args()
    jobs: Mapping[str, Callable[[argparse.Namespace], None]] = {"search": search_segments}
    jobs[arguments.command](arguments)


def search_segments(arguments: argparse.Namespace) -> None:
    documents, queries = read_documents("packages", arguments.rows), read_queries("packages", 1000)
    rows = np.arange(len(documents))
    large = len(documents) - 9 * SMALL
    parts = [Segment(SeismicIndex.build(documents[rows[:large]]).engine, np.empty(0, np.uint32), None)]
    for begin in range(large, len(documents), SMALL):
        engine = InvertedEngine.build(documents[rows[begin : begin + SMALL]])
        parts.append(Segment(engine, np.empty(0, np.uint32), None))
    fresh = SeismicIndex.build(documents).engine
    ten = SegmentedEngine(parts, documents.dim)
    compare(documents, queries, {"fresh build": fresh, "10 segments": ten})

    gone = np.random.default_rng(1).random(len(documents)) < 0.2
    live = documents[np.flatnonzero(~gone)]
    deleted = Segment(fresh, np.flatnonzero(gone).astype(np.uint32), None)
    left = SeismicIndex.build(live).engine
    compare(live, queries, {"fresh build": left, "20 % deleted": SegmentedEngine([deleted], documents.dim)})


def compare(documents: SparseVectors, queries: SparseVectors, engines: Mapping[str, Any]) -> None:
    """Print recall and times of the engines, all of which have the same documents, beside the first."""
    exact = ExactIndex.build(documents).search(queries, K, threads=2).rows
    singles = [queries[at : at + 1] for at in range(SINGLE)]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    recalls = {}
    for _ in range(ROUNDS + 1):
        for name, engine in engines.items():
            begin = time.process_time()
            found = engine.search(queries, K, PARAMS, 1, None)[1]
            middle = time.process_time()
            for query in singles:
                engine.search(query, K, PARAMS, 1, None)
            end = time.process_time()
            times[name].append((1e6 * (middle - begin) / len(queries), 1e6 * (end - middle) / SINGLE))
            recalls[name] = (found[:, :, None] == exact[:, None, :]).any(axis=2).sum() / (exact >= 0).sum()
    first = np.array(times[next(iter(engines))][1:])  # without the round that compiles
    print(f"{len(documents):,} documents: recall@{K}, µs a query in a batch and one by one, times the fresh build")
    for name, each in times.items():
        taken = np.array(each[1:])
        batch, single = np.median(taken, axis=0)
        ratios = np.median(taken / first, axis=0)
        print(f"  {name:12} {recalls[name]:.4f} {batch:6.0f} {single:6.0f}   {ratios[0]:.2f} {ratios[1]:.2f}")


if __name__ == "__main__":
    main()
