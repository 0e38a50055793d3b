"""Common parts of the sections of benchmarks/search.py: indexes built once, true top 10, grids, timing."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from peers import ENGINES, Engine, K, Parameters, engine_version
from rich.console import Console
from rich.table import Table
from search_worker import SETS, read_documents, read_queries, run_job, seconds_of

from lsr import ExactIndex, SparseVectors

ROUNDS = 5
TARGETS = (0.90, 0.95, 0.97, 0.99)


@dataclass(frozen=True)
class Grid:
    """Parameters of builds and of searches. documents: the maximum number of indexed documents; None for all."""

    builds: list[Parameters]
    searches: list[Parameters]
    documents: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """An index on disk. figures: from search_worker.build. earlier: whether an earlier run built it."""

    engine: str
    data_set: str
    rows: int
    parameters: Parameters
    threads: int
    folder: Path
    figures: dict[str, float]
    earlier: bool

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


class Indexes:
    """Builds each index once per run, and those of peers once for all runs, if there is a folder for them."""

    def __init__(self, folder: Path, cache: Path | None, console: Console) -> None:
        self._folder, self._cache, self._console = folder, cache, console
        self.built: dict[Path, Built] = {}

    def get(self, engine: str, data_set: str, rows: int, parameters: Parameters, threads: int = 2) -> Built:
        keeps = self._cache and engine != "lsr"  # the code of lsr changes between versions
        name = f"{engine} {engine_version(engine)} {data_set} {rows} {threads} {text_of(parameters)}"
        folder = (self._cache if keeps else self._folder) / name.replace("/", "_")
        if folder in self.built:
            return self.built[folder]
        figures, index = folder / "figures.json", folder / "index"
        earlier = figures.exists()
        if not earlier:
            shutil.rmtree(folder, ignore_errors=True)
            index.mkdir(parents=True)
            done = run_job(
                "build",
                threads=threads,
                engine=engine,
                data_set=data_set,
                rows=rows,
                parameters=parameters,
                folder=str(index),
            )
            figures.write_text(json.dumps(done))
        figures_read = json.loads(figures.read_text())
        made = Built(engine, data_set, rows, parameters, threads, index, figures_read, earlier)
        self.built[folder] = made
        said = "built in an earlier run" if earlier else "built"
        self._console.print(
            f"{engine} {text_of(parameters)}, {rows:,} {data_set}: {said}, {figures_read['seconds']:.1f} s "
            f"on {threads} thread{'s' * (threads > 1)}"
        )
        return made


@dataclass
class Run:
    """A run of the script. engines: the installed engines, lsr first."""

    grids: dict[str, Grid]
    engines: list[str]
    sets: list[str]
    n_rows: int | None
    n_queries: int
    indexes: Indexes
    console: Console
    figures: dict[str, Any] = field(default_factory=dict)

    def rows(self, data_set: str, engine: str = "lsr") -> int:
        """The number of documents of the set that this engine indexes."""
        rows = self.n_rows or SETS[data_set][2]
        return min(rows, self.grids[engine].documents.get(data_set, rows))

    def variant(self, built: Built) -> str:
        """The parameters of a build, if its engine has several builds."""
        return text_of(built.parameters) if len(self.grids[built.engine].builds) > 1 else ""


class Collection:
    """The first rows of a set, with queries and their true top 10. terms: number of heaviest query terms to keep."""

    def __init__(self, data_set: str, rows: int, n_queries: int, terms: int | None = None) -> None:
        self.name = data_set
        self.documents: SparseVectors = read_documents(data_set, rows)
        queries = read_queries(data_set, n_queries)
        self.queries: SparseVectors = queries.top_k(terms) if terms else queries
        exact = ExactIndex.build(self.documents).search(self.queries, K, threads=2)
        self.top = exact.rows
        self._least = exact.scores[:, -1] * np.float32(1 - 1e-6)
        self._scipy = self.documents.to_scipy(), self.queries.to_scipy()

    def __str__(self) -> str:
        documents, queries = self.documents, self.queries
        return (
            f"{len(documents):,} {self.name} of {documents.nnz / len(documents):.0f} non-zeros, {len(queries):,} "
            f"queries of {queries.nnz / len(queries):.0f}"
        )

    def recall(self, rows: np.ndarray) -> float:
        """The share of the true top 10 that was found. Any document with at least the score of the 10th counts."""
        documents, queries = self._scipy

        def scores(of_queries: np.ndarray, of_rows: np.ndarray) -> np.ndarray:
            return np.asarray(documents[of_rows].multiply(queries[of_queries]).sum(axis=1)).ravel()

        return recall_of(rows, self.top, self._least, scores)


def recall_of(
    rows: np.ndarray, top: np.ndarray, least: np.ndarray, scores: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> float:
    """The share of the true top that was found. least: lowest scores that count. scores: of queries and rows."""
    hit = (rows[:, :, None] == top[:, None, :]).any(axis=2) & (rows >= 0)
    query, place = np.nonzero(~hit & (rows >= 0))
    hit[query, place] = scores(query, rows[query, place]) >= least[query]
    return min(1.0, hit.sum() / (top >= 0).sum())


@dataclass(frozen=True)
class Contender:
    """An opened index, and the queries in its format."""

    label: str
    built: Built
    engine: Engine
    prepared: Any
    n_queries: int

    @classmethod
    def open(cls, built: Built, queries: SparseVectors, label: str = "") -> Contender:
        engine = ENGINES[built.engine].load(built.folder)
        return cls(label or built.engine, built, engine, engine.prepare(queries), len(queries))

    def microseconds(self, parameters: Parameters, threads: int = 1) -> tuple[float, Any]:
        """Microseconds per query in one batch, and the result."""
        seconds, found = seconds_of(lambda: self.engine.search(self.prepared, parameters, threads))
        return 1e6 * seconds / self.n_queries, found

    def rows(self, found: Any) -> np.ndarray:
        """The rows of found documents."""
        return self.engine.rows(found, self.n_queries)


@dataclass(frozen=True)
class Point:
    """A contender with search parameters."""

    contender: Contender
    parameters: Parameters
    recall: float
    microseconds: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "engine": self.contender.label,
            "build": self.contender.built.parameters,
            "search": self.parameters,
            "recall": self.recall,
            "microseconds": self.microseconds,
        }


def sweep(contender: Contender, searches: Sequence[Parameters], collection: Collection) -> list[Point]:
    contender.microseconds(searches[0])  # memory is mapped and kernels are compiled
    points = []
    for parameters in searches:
        microseconds, found = contender.microseconds(parameters)
        recall = collection.recall(contender.rows(found))
        points.append(Point(contender, parameters, recall, microseconds))
    return points


def fastest(points: Sequence[Point], target: float) -> Point | None:
    return min((point for point in points if point.recall >= target), key=lambda p: p.microseconds, default=None)


class Turns:
    """Points that are timed again, all of them in turn in each round: medians, and ratios within a round."""

    def __init__(self, points: Sequence[Point | None]) -> None:
        self._points = list({id(point): point for point in points if point}.values())
        self.rounds = np.array(
            [[point.contender.microseconds(point.parameters)[0] for point in self._points] for _ in range(ROUNDS)]
        )

    def microseconds(self, point: Point) -> float:
        return float(np.median(self._of(point)))

    def ratio(self, point: Point, to: Point) -> float:
        return float(np.median(self._of(point) / self._of(to)))

    def _of(self, point: Point) -> np.ndarray:
        return self.rounds[:, next(place for place, other in enumerate(self._points) if other is point)]


def single_calls(contender: Contender, parameters: Parameters, queries: SparseVectors) -> dict[str, float]:
    """Microseconds of searches of one query each: mean, median and 99th percentile."""
    engine = contender.engine
    times = []
    for query in engine.prepare_each(queries):
        begin = time.perf_counter()
        engine.search_one(query, parameters)
        times.append(1e6 * (time.perf_counter() - begin))
    return {"mean": float(np.mean(times)), "p50": float(np.median(times)), "p99": float(np.percentile(times, 99))}


def queries_per_second(points: Sequence[Point], data_set: str, threads: int) -> list[float | None]:
    """Queries per second of points of one contender; None if an engine cannot use more threads."""
    contender = points[0].contender
    if contender.engine.threads == "one" and threads > 1:
        return [None] * len(points)
    if contender.engine.threads == "argument":
        return [
            1e6 / statistics.median(contender.microseconds(point.parameters, threads)[0] for _ in range(ROUNDS))
            for point in points
        ]
    return run_job(
        "throughput",
        threads=threads,
        engine=contender.built.engine,
        data_set=data_set,
        n_queries=contender.n_queries,
        points=[point.parameters for point in points],
        folder=str(contender.built.folder),
        rounds=ROUNDS,
    )


@contextmanager
def section(run: Run, name: str) -> Iterator[None]:
    run.console.rule(f"[bold]{name}")
    begin = time.perf_counter()
    yield
    run.console.print(f"{name}: {time.perf_counter() - begin:.0f} s")


def text_of(parameters: Parameters) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items()) or "defaults"


def table_of(*headings: str, text: int = 1) -> Table:
    """A table. text: the number of first columns with text; the others have numbers."""
    table = Table()
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < text else "right")
    return table
