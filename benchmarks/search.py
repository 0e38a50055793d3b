"""Search speed at equal recall, side by side with pyseismic-lsr: same vectors, same process, one thread.

    python benchmarks/search.py                      both sets of real vectors, about half an hour
    python benchmarks/search.py packages --rows 30000

For each engine: a grid of builds and of search parameters; recall@10 against exact search; the fastest point of the
grid that reaches each recall. These points are then timed again, the engines taking turns, and the medians compared.
"""

from __future__ import annotations

import os

# Before pyseismic-lsr is imported: its num_threads argument has no effect, this variable has.
os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import contextlib
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from seismic import SeismicDataset, get_seismic_string
from seismic import SeismicIndex as Peer

from lsr import ExactIndex, IndexConfig, SearchParams, SeismicIndex, SparseVectors

DATA = Path(os.environ.get("LSR_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data") / "vectors"
SETS = {
    "packages": ("packages-500k.npz", "packages-queries.npz", 300_000),
    "wiki": ("wiki-passages.npz", "wiki-queries.npz", 100_000),
}
K = 10
TARGETS = (0.90, 0.95, 0.97, 0.99)
BUILDS = {
    # (n_postings, max_fraction, centroid_fraction, summary_energy). The peer's: what its maintainers publish as best
    # for nearly every recall (collections this small make 2000 and 6.0 the same as 4000 and 3.0), and its defaults.
    "lsr": [(4000, 3.0, 0.2, 0.5), (2000, 3.0, 0.2, 0.5)],
    "pyseismic-lsr": [(4000, 3.0, 0.2, 0.5), (3500, 1.5, 0.1, 0.4)],
}
QUERY_CUTS = (3, 4, 5, 6, 8, 10, 12)
HEAP_FACTORS = (0.7, 0.8, 0.9, 1.0, 1.1)

Search = Callable[[int, float], np.ndarray]


@dataclass
class Build:
    engine: str
    parameters: tuple[float, ...]
    seconds: float
    bytes: int
    search: Search


@dataclass
class Point:
    build: Build
    query_cut: int
    heap_factor: float
    recall: float
    microseconds: float


def folder_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def build_lsr(documents: SparseVectors, queries: SparseVectors, parameters: tuple[float, ...]) -> Build:
    n_postings, max_fraction, centroid_fraction, energy = parameters
    config = IndexConfig(
        n_postings=int(n_postings),
        max_fraction=max_fraction,
        centroid_fraction=centroid_fraction,
        summary_energy=energy,
    )
    begin = time.perf_counter()
    index = SeismicIndex.build(documents, config, threads=1)
    seconds = time.perf_counter() - begin

    def search(query_cut: int, heap_factor: float) -> np.ndarray:
        return index.search(queries, K, SearchParams(query_cut, heap_factor), threads=1).rows

    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder) / "index")
        size = folder_bytes(Path(folder))
    return Build("lsr", parameters, seconds, size, search)


def build_peer(documents: SparseVectors, queries: SparseVectors, parameters: tuple[float, ...]) -> Build:
    n_postings, max_fraction, centroid_fraction, energy = parameters
    dataset = SeismicDataset()
    names = [str(row) for row in range(len(documents))]
    dataset.add_documents_by_id(names, documents.indices.astype(np.int64), documents.values, documents.indptr)
    begin = time.perf_counter()
    with silence():
        index = Peer.build_from_dataset(
            dataset,
            n_postings=int(n_postings),
            max_fraction=max_fraction,
            centroid_fraction=centroid_fraction,
            summary_energy=energy,
        )
    seconds = time.perf_counter() - begin
    text = get_seismic_string()
    query_ids = np.array([str(row) for row in range(len(queries))], dtype=text)
    components = [queries.row(row)[0].astype(str).astype(text) for row in range(len(queries))]
    values = [queries.row(row)[1] for row in range(len(queries))]

    def search(query_cut: int, heap_factor: float) -> np.ndarray:
        found = index.batch_search(query_ids, components, values, K, query_cut, heap_factor, sorted=True, num_threads=1)
        rows = np.full((len(queries), K), -1)
        for hits in found:
            if hits:
                rows[int(hits[0][0]), : len(hits)] = [int(row) for _, _, row in hits]
        return rows

    with tempfile.TemporaryDirectory() as folder, silence():
        index.save(f"{folder}/index")
        size = folder_bytes(Path(folder))
    return Build("pyseismic-lsr", parameters, seconds, size, search)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """The peer prints from Rust, past sys.stdout."""
    saved = os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        yield
    finally:
        for descriptor, number in zip(saved, (1, 2), strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(null)


class Recall:
    """Share of the exact top k found; a document as good as the k-th best counts, whichever of equals came first."""

    def __init__(self, documents: SparseVectors, queries: SparseVectors) -> None:
        index = ExactIndex.build(documents)
        index.search(queries[:1])
        begin = time.perf_counter()
        exact = index.search(queries, K, threads=1)
        self.exact_microseconds = 1e6 * (time.perf_counter() - begin) / len(queries)
        self._rows = exact.rows
        self._least = exact.scores[:, -1] * np.float32(1 - 1e-6)
        self._documents, self._queries = documents.to_scipy(), queries.to_scipy()

    def __call__(self, rows: np.ndarray) -> float:
        found = 0
        for query, row in enumerate(rows):
            wanted = set(self._rows[query].tolist())
            for document in row.tolist():
                if document in wanted:
                    found += 1
                elif document >= 0:
                    score = self._documents[document].multiply(self._queries[query]).sum()
                    found += score >= self._least[query]
        return min(1.0, found / (self._rows >= 0).sum())


def timed(search: Search, query_cut: int, heap_factor: float, n_queries: int) -> tuple[np.ndarray, float]:
    begin = time.perf_counter()
    rows = search(query_cut, heap_factor)
    return rows, 1e6 * (time.perf_counter() - begin) / n_queries


def fastest(points: list[Point], target: float) -> Point | None:
    return min((point for point in points if point.recall >= target), key=lambda p: p.microseconds, default=None)


def race(name: str, rows: int | None, n_queries: int, console: Console) -> dict[str, Any]:
    documents_file, queries_file, default_rows = SETS[name]
    documents = SparseVectors.read(DATA / documents_file)[: rows or default_rows]
    queries = SparseVectors.read(DATA / queries_file)[:n_queries]
    console.print(
        f"\n[bold]{name}[/]: {len(documents):,} documents of {documents.nnz / len(documents):.0f} non-zeros, "
        f"{len(queries):,} queries of {queries.nnz / len(queries):.0f}"
    )
    SeismicIndex.build(documents[:1000], threads=1).search(queries[:10])  # compile
    recall = Recall(documents, queries)
    console.print(f"ExactIndex, one thread: {recall.exact_microseconds:,.0f} µs a query")

    builds, points = [], []
    for build_engine, engine in ((build_lsr, "lsr"), (build_peer, "pyseismic-lsr")):
        for parameters in BUILDS[engine]:
            build = build_engine(documents, queries, parameters)
            builds.append(build)
            console.print(f"{engine} {parameters}: built in {build.seconds:.1f} s, {build.bytes / 1e6:,.0f} MB on disk")
            for query_cut, heap_factor in product(QUERY_CUTS, HEAP_FACTORS):
                found, microseconds = timed(build.search, query_cut, heap_factor, len(queries))
                points.append(Point(build, query_cut, heap_factor, recall(found), microseconds))

    table = Table("recall@10 ≥", "engine", "build", "cut, factor", "recall@10", "µs a query", "times faster")
    results = []
    for target in TARGETS:
        best = {engine: fastest([p for p in points if p.build.engine == engine], target) for engine in BUILDS}
        rounds: dict[str, list[float]] = {engine: [] for engine in BUILDS}
        for _ in range(7):
            for engine, point in best.items():
                if point:
                    again = timed(point.build.search, point.query_cut, point.heap_factor, len(queries))
                    rounds[engine].append(again[1])
        medians = {engine: statistics.median(times) for engine, times in rounds.items() if times}
        pairs = list(zip(rounds["lsr"], rounds["pyseismic-lsr"], strict=False))
        ratio = f"{statistics.median(theirs / ours for ours, theirs in pairs):.2f}" if pairs else "-"
        for engine, point in best.items():
            if point is None:
                table.add_row(f"{target:.2f}", engine, "not reached", "", "", "", "")
                continue
            table.add_row(
                f"{target:.2f}",
                engine,
                str(point.build.parameters),
                f"{point.query_cut}, {point.heap_factor}",
                f"{point.recall:.4f}",
                f"{medians[engine]:.0f}",
                ratio if engine == "lsr" else "",
            )
            results.append(
                {**describe(point), "target": target, "microseconds": medians[engine], "rounds": rounds[engine]}
            )
    console.print(table)
    return {
        "set": name,
        "documents": len(documents),
        "queries": len(queries),
        "exact_microseconds": recall.exact_microseconds,
        "builds": [
            {"engine": b.engine, "parameters": b.parameters, "seconds": b.seconds, "bytes": b.bytes} for b in builds
        ],
        "points": [describe(point) for point in points],
        "best": results,
    }


def describe(point: Point) -> dict[str, Any]:
    return {
        "engine": point.build.engine,
        "build": point.build.parameters,
        "query_cut": point.query_cut,
        "heap_factor": point.heap_factor,
        "recall": point.recall,
        "microseconds": point.microseconds,
    }


def machine() -> dict[str, str]:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as cpuinfo:
        models = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
        return {"processor": f"{len(models)} x {models[0]}", **versions()}
    return {"processor": platform.processor(), **versions()}


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("numba", "numpy", "pyseismic-lsr")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS), help=f"of {', '.join(SETS)}; by default both")
    parser.add_argument("--rows", type=int, help="documents, the first so many; by default 300,000 and 100,000")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    arguments = parser.parse_args()
    console = Console(width=110)
    console.print(machine())
    results = [race(name, arguments.rows, arguments.queries, console) for name in arguments.sets]
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "sets": results}, indent=1))


if __name__ == "__main__":
    main()
