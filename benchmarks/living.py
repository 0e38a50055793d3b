"""The cost of changing an index: python benchmarks/living.py search|change|filter.

search: recall@10 and microseconds per query, on one thread, of ten unmerged segments, and of one segment with a fifth
    deleted, compared with fresh builds of the same documents. Times are CPU times, and the engines take turns, so that
    other work on the machine has little effect.
change: milliseconds to add 10,000 vectors and commit, to delete 10,000 ids and commit, to refresh after either, and to
    open an index and its writer. filter: milliseconds of the first use of a condition on metadata, and of later ones.
--vectors takes an .npz file with more vectors than the 500,000 of the data.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from search_worker import read_documents, read_queries

from lsr import ExactIndex, Searcher, SearchParams, SeismicIndex, SparseVectors
from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.segments.generation import open_generation
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.segments.segmented_engine import Segment, SegmentedEngine
from lsr.storage.columns import write_columns

ROUNDS = 7
K = 10
SMALL = 10_000
SINGLE = 300  # queries that are searched one by one
PARAMS = SearchParams()
CHANGED, CHANGES = 10_000, 5
CONDITIONS = ("year >= 2020 and category in ('cs', 'math')", "category = 'law'", "year % 7 = 3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    search = commands.add_parser("search", help="searches of segments compared with fresh builds")
    search.add_argument("--rows", type=int, default=500_000)
    change = commands.add_parser("change", help="adding, deleting, refreshing and opening")
    change.add_argument("--rows", type=int, default=500_000)
    change.add_argument("--vectors", help="an .npz file instead of packages")
    condition = commands.add_parser("filter", help="conditions on metadata")
    condition.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    jobs: Mapping[str, Callable[[argparse.Namespace], None]] = {
        "search": search_segments,
        "change": change_index,
        "filter": filter_documents,
    }
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
    """Print recall and times of the engines, which have the same documents, compared with the first one."""
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
    first = np.array(times[next(iter(engines))][1:])  # without the compiling round
    print(f"{len(documents):,} documents: recall@{K}, µs a query in a batch and one by one, times the fresh build")
    for name, each in times.items():
        taken = np.array(each[1:])
        batch, single = np.median(taken, axis=0)
        ratios = np.median(taken / first, axis=0)
        print(f"  {name:12} {recalls[name]:.4f} {batch:6.0f} {single:6.0f}   {ratios[0]:.2f} {ratios[1]:.2f}")


def change_index(arguments: argparse.Namespace) -> None:
    documents = SparseVectors.read(arguments.vectors) if arguments.vectors else read_documents("packages", 500_000)
    documents = documents[np.arange(min(arguments.rows, len(documents)))]
    ids = [f"document-{row}" for row in range(len(documents))]
    new = documents[np.arange(CHANGED)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "index"
        with IndexWriter.create(folder) as writer:
            SeismicIndex.build(documents.with_ids(ids), threads=2).save(segment := writer.new_segment())
            writer.add_segment(segment)
            writer.commit()
        SeismicIndex.build(new)  # compiles
        times: dict[str, list[float]] = {}
        for turn in range(CHANGES + 1):
            generation = timed(times, "open", open_generation, folder)
            writer = timed(times, "open a writer", IndexWriter.open, folder)
            named = new.with_ids([f"new-{turn}-{row}" for row in range(CHANGED)])
            timed(times, f"add {CHANGED:,} and commit", add, writer, named)
            seen = timed(times, "refresh", open_generation, folder, reuse=generation)
            gone = [ids[row] for row in np.random.default_rng(turn).choice(len(ids), CHANGED, replace=False)]
            timed(times, f"delete {CHANGED:,} and commit", delete, writer, gone)
            timed(times, "refresh after deleting", open_generation, folder, reuse=seen)
            writer.close()
            del generation, seen
    print(f"{len(documents):,} documents: milliseconds, median and largest of {CHANGES}, after one to warm up")
    for what, each in times.items():
        print(f"  {what:28} {np.median(each[1:]):8.1f} {max(each[1:]):8.1f}")


def add(writer: IndexWriter, vectors: SparseVectors) -> None:
    SeismicIndex.build(vectors).save(segment := writer.new_segment())
    writer.add_segment(segment)
    writer.commit()


def filter_documents(arguments: argparse.Namespace) -> None:
    documents, queries = read_documents("packages", 500_000), read_queries("packages", 300)
    copies = -(-arguments.rows // len(documents))
    documents = SparseVectors.concatenate([documents] * copies)[np.arange(arguments.rows)]
    rng = np.random.default_rng(0)
    years = rng.integers(1990, 2026, len(documents)).tolist()
    categories = rng.choice(["cs", "math", "bio", "law"], len(documents)).tolist()

    def beside(segment: Path) -> dict[str, Any]:
        pairs = zip(years, categories, strict=True)
        write_columns(segment, "metadata", ({"year": year, "category": category} for year, category in pairs))
        return {}

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "index"
        with IndexWriter.create(folder) as writer:
            SeismicIndex.build(documents, threads=2).save(segment := writer.new_segment(), beside)
            writer.add_segment(segment)
            writer.commit()
        times: dict[str, list[float]] = {}
        for turn in range(CHANGES + 1):
            searcher = Searcher.open_for_vectors(folder)
            searcher.run(queries[:10], k=K)
            began = "first condition of a process" if turn == 0 else "another condition"
            timed(times, began, searcher.run, queries[:1], k=K, where="year < 1995")
            for where in CONDITIONS:
                timed(times, f"first: {where}", searcher.run, queries[:1], k=K, where=where)
                timed(times, f"later: {where}, 300 queries", searcher.run, queries, k=K, where=where)
            timed(times, "without a condition, 300 queries", searcher.run, queries, k=K)
    print(f"{len(documents):,} documents: milliseconds, median and largest of {CHANGES}")
    for what, each in times.items():
        print(f"  {what:75} {np.median(each[-CHANGES:]):8.1f} {max(each[-CHANGES:]):8.1f}")


def delete(writer: IndexWriter, ids: list[str]) -> None:
    writer.delete(ids)
    writer.commit()


def timed(times: dict[str, list[float]], what: str, job: Callable[..., Any], *given: Any, **named: Any) -> Any:
    begin = time.perf_counter()
    result = job(*given, **named)
    times.setdefault(what, []).append(1e3 * (time.perf_counter() - begin))
    return result


if __name__ == "__main__":
    main()
