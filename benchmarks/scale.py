"""The growth of engines, from a laptop's collections to MS MARCO's 8.8 million rows: builds, races, tables, a plot.

    python benchmarks/scale.py FOLDER                                 all sizes: hours, 24 GB of memory, 40 GB of disk
    python benchmarks/scale.py FOLDER --sets packages --size 100000   one
    python benchmarks/scale.py FOLDER --engines lsr pyvsag --plots    two engines, and docs/growth.svg

Beyond the real rows of a set, the documents are grown (grown.py), and tables say so. Each engine has its own processes.
The fastest points of a grid that reach a recall are timed again, the engines taking turns. Finished work is stored in
FOLDER: the same command resumes. An engine that breaks a limit is left out by name, at this size and at larger ones; to
try it again, remove the folder of its build. lsr is built again after changes of its code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from peers import ENGINES, Parameters, engine_version, installed
from remote import Remote, RemoteError
from rich.console import Console
from search import GRIDS, grid, machine
from search_common import TARGETS, Built, Grid, Point, Turns, fastest, sweep, table_of, text_of
from search_worker import DATA, SETS, JobError, Limit, read_queries, run_job
from truth import Truth

from lsr import SparseVectors
from lsr.eval.plots import CurvePoint, plot_curves

SIZES = {
    "packages": (300_000, 1_000_000, 2_000_000, 4_400_000, 8_800_000),
    "wiki": (100_000, 1_000_000),
}
USUAL = ("lsr", "pyseismic-lsr", "pyvsag")
THREADS = 2  # threads of builds
PLOTTED = 0.95
PLOT = Path(__file__).resolve().parents[1] / "docs" / "growth.svg"
LSR_BLOCKS = (25, 40, 60, 80, 100, 130, 170, 220, 300, 450, 700, 1000)
LEFT_OUT = "left_out"  # the reason instead of the figures of a build
POSTINGS = (4000, 8000, 16_000)  # lengths of pyseismic-lsr's lists, which must grow with the collection
LEAST_LISTS = 20  # least ratio of documents to n_postings at which a longer list can make a difference


def grid_of(engine: str, rows: int) -> Grid:
    """The builds and searches for this number of documents."""
    usual = GRIDS[engine]
    if engine == "lsr":
        return Grid(usual.builds, [{}, *grid(query_cut=(6, 8, 10, 12, 16, 21), max_blocks=LSR_BLOCKS)])
    if engine == "pyseismic-lsr":
        lists = [n for n in POSTINGS if n == POSTINGS[0] or n * LEAST_LISTS <= rows]
        return Grid([{**usual.builds[0], "n_postings": n} for n in lists], usual.searches)
    return usual


def version_of(engine: str) -> str:
    """The version of a peer's package, or of the code of lsr on which indexes and times of searches depend."""
    if engine != "lsr":
        return engine_version(engine)
    folder = Path(__file__).resolve().parents[1] / "lsr"
    files = sorted(path for part in ("index", "vectors", "storage") for path in (folder / part).rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


@dataclass
class Collection:
    """A set at one size, its queries and their truth, and the folder of the results."""

    data_set: str
    documents: Path
    queries: Path
    truth: Truth
    folder: Path

    @property
    def rows(self) -> int:
        return self.truth.rows


@dataclass
class Swept:
    """The builds of one engine, and their results. left_out: the reasons for missing builds, by their text."""

    points: list[Point] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """The place of a Point, after its index was closed. label, built: see Remote."""

    label: str
    built: Built


def keep(path: Path, content: Any) -> None:
    """Write JSON, completely or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(path)


Best = dict[str, dict[float, Point]]  # of each engine, at each reached recall


class Scale:
    def __init__(self, folder: Path, limit: Limit, n_queries: int, console: Console) -> None:
        self.folder, self.limit, self.n_queries, self.console = folder, limit, n_queries, console
        self._left_out: dict[tuple[str, str, str], str] = {}  # at smaller sizes

    def collection(self, data_set: str, rows: int, at_most: int) -> Collection:
        """The first `rows` rows of a file with at least `at_most` rows."""
        folder = self.folder / data_set
        folder.mkdir(parents=True, exist_ok=True)
        run_job("grow", data_set=data_set, rows=at_most, folder=str(folder))
        queries = folder / f"queries-{self.n_queries}.csr"
        if not queries.exists():
            read_queries(data_set, self.n_queries).write(queries)
        begin = time.perf_counter()
        documents = folder / "documents.csr"
        truth = Truth(data_set, documents, rows, SparseVectors.read(queries), folder / f"truth-{self.n_queries}")
        self.console.print(f"\n[bold]{truth}[/]; the true top 10 took {time.perf_counter() - begin:.0f} s")
        return Collection(data_set, documents, queries, truth, folder / f"{rows}")

    def sweep(self, engine: str, collection: Collection) -> Swept:
        """Run every build of an engine with every search. Only the indexes of best points are kept."""
        swept = Swept()
        tried = grid_of(engine, collection.rows)
        for parameters in tried.builds:
            place = collection.folder / f"{engine} {version_of(engine)} {text_of(parameters)}".replace("/", "_")
            kept = place / f"race-{self.n_queries}.json"
            built = self._build(engine, collection, parameters, place, search=not kept.exists())
            if isinstance(built, Built) and not kept.exists():
                try:
                    keep(kept, self._race(built, collection, tried.searches))
                except RemoteError as error:
                    built = self._without(engine, collection, parameters, place, str(error))
            if isinstance(built, str):
                swept.left_out[text_of(parameters)] = built
                self.console.print(f"{engine} {text_of(parameters)} is left out: it {built}")
                continue
            swept.points += [Point(Kept(engine, built), **point) for point in json.loads(kept.read_text())]  # type: ignore[arg-type]
            best = {id(point.contender.built) for target in TARGETS if (point := fastest(swept.points, target))}
            for other in {id(point.contender.built): point.contender.built for point in swept.points}.values():
                if id(other) not in best:
                    shutil.rmtree(other.folder, ignore_errors=True)
        return swept

    def _build(
        self, engine: str, collection: Collection, parameters: Parameters, place: Path, search: bool = True
    ) -> Built | str:
        """An index, built if it is needed for searches and missing; or the reason why there is none."""
        figures, index = place / "figures.json", place / "index"
        read = json.loads(figures.read_text()) if figures.exists() else None
        if read is None or (search and not index.exists() and LEFT_OUT not in read):
            fewer = self._left_out.get((collection.data_set, engine, text_of(parameters)))
            shutil.rmtree(index, ignore_errors=True)
            index.mkdir(parents=True)
            read = {LEFT_OUT: fewer} if fewer else self._made(engine, collection, parameters, index)
            keep(figures, read)
        if LEFT_OUT in read:
            return self._without(engine, collection, parameters, place, read[LEFT_OUT])
        return Built(engine, collection.data_set, collection.rows, parameters, THREADS, index, read, earlier=True)

    def _without(self, engine: str, collection: Collection, parameters: Parameters, place: Path, why: str) -> str:
        """Leave a build out, at this size and at larger ones."""
        shutil.rmtree(place / "index", ignore_errors=True)
        keep(place / "figures.json", {LEFT_OUT: why})
        self._left_out[collection.data_set, engine, text_of(parameters)] = why
        return why

    def _made(self, engine: str, collection: Collection, parameters: Parameters, index: Path) -> dict[str, Any]:
        job = {"engine": engine, "data_set": str(collection.documents), "rows": collection.rows}
        try:
            done = run_job("build", limit=self.limit, threads=THREADS, parameters=parameters, folder=str(index), **job)
        except JobError as error:
            return {LEFT_OUT: str(error).splitlines()[0]}
        built = Built(engine, collection.data_set, collection.rows, parameters, THREADS, index, done, earlier=False)
        self.console.print(
            f"{engine} {text_of(parameters)}: built in {done['seconds']:.1f} s, {done['peak_bytes'] / 1e9:.1f} GB at "
            f"most, {built.bytes / 1e6:,.0f} MB on disk"
        )
        return {**done, "index_bytes": built.bytes}

    def _race(self, built: Built, collection: Collection, searches: list[Parameters]) -> list[dict[str, Any]]:
        remote = Remote(built, collection.queries, self.n_queries)
        try:
            if remote.bytes > self.limit.bytes:
                raise RemoteError(f"takes more than {self.limit.bytes / 1e9:.1f} GB of memory when it is open")
            points = sweep(remote, searches, collection.truth)
        finally:
            remote.close()
        return [
            {"parameters": point.parameters, "recall": point.recall, "microseconds": point.microseconds}
            for point in points
        ]

    def turns(self, collection: Collection, best: Best) -> list[dict[str, Any]]:
        """Time the best points again: one peer's index at a time with lsr's, because two fit in memory."""
        pairs: dict[tuple[str, str], dict[float, list[Point]]] = {}
        for name, points in best.items():
            for target, point in points.items():
                ours = best.get("lsr", {}).get(target)
                pair = pairs.setdefault((name, text_of(point.contender.built.parameters)), {})
                pair[target] = [point] if name == "lsr" or ours is None else [point, ours]
        beside = {target for name, points in best.items() if name != "lsr" for target in points}
        for (name, _), pair in pairs.items():
            if name == "lsr":  # it is in the pairs of all others
                for target in beside:
                    pair.pop(target, None)
        timed = [one for pair in pairs.values() if pair for one in self._pair(collection, pair)]
        of_lsr: dict[float, list[dict[str, Any]]] = {}
        for one in timed:
            if one["engine"] == "lsr":
                of_lsr.setdefault(one["target"], []).append(one)
        ours = [{**each[0], "microseconds": median(one["microseconds"] for one in each)} for each in of_lsr.values()]
        return ours + [one for one in timed if one["engine"] != "lsr"]

    def _pair(self, collection: Collection, pair: dict[float, list[Point]]) -> list[dict[str, Any]]:
        points = list({id(point): point for each in pair.values() for point in each}.values())
        asked = [[version_of(p.contender.built.engine), p.contender.built.parameters, p.parameters] for p in points]
        digest = hashlib.sha256(json.dumps([asked, list(pair)]).encode()).hexdigest()[:12]
        kept = collection.folder / f"turns-{self.n_queries}-{digest}.json"
        if not kept.exists():
            keep(kept, self._timed(collection, pair, points))
        timed: list[dict[str, Any]] = json.loads(kept.read_text())
        return timed

    def _timed(
        self, collection: Collection, pair: dict[float, list[Point]], points: list[Point]
    ) -> list[dict[str, Any]]:
        remotes: dict[Path, Remote] = {}
        try:
            for built in {point.contender.built.folder: point.contender.built for point in points}.values():
                there = self._build(built.engine, collection, built.parameters, built.folder.parent)
                assert isinstance(there, Built)  # like during the sweep
                remotes[built.folder] = Remote(there, collection.queries, self.n_queries)
            again = {id(point): replace(point, contender=remotes[point.contender.built.folder]) for point in points}  # type: ignore[arg-type]
            turns = Turns(list(again.values()))
        finally:
            for remote in remotes.values():
                remote.close()
        return [
            {
                "engine": point.contender.label,
                "build": point.contender.built.parameters,
                "search": point.parameters,
                "target": target,
                "recall": point.recall,
                "microseconds": turns.microseconds(again[id(point)]),
                "times_lsr": turns.ratio(again[id(point)], again[id(each[-1])])
                if each[-1].contender.label == "lsr"
                else None,
                "opened_bytes": again[id(point)].contender.bytes,  # type: ignore[attr-defined]
                "figures": point.contender.built.figures,
            }
            for target, each in pair.items()
            for point in each
        ]

    def race(self, collection: Collection, engines: list[str]) -> dict[str, Any]:
        swept = {engine: self.sweep(engine, collection) for engine in engines}
        table = table_of(
            "recall@10 ≥",
            "engine",
            "build",
            "search",
            "recall@10",
            "µs a query",
            "times lsr",
            "built, s",
            "GB",
            "MB",
            text=4,
        )
        table.title = f"{collection.truth}{grown(collection.data_set, collection.rows)}"
        table.caption = "GB: at most, while it was built; MB: on disk"
        best: Best = {}
        for target in TARGETS:
            for name, each in swept.items():
                if point := fastest(each.points, target):
                    best.setdefault(name, {})[target] = point
        results = self.turns(collection, best)
        for target in TARGETS:
            for engine in engines:
                for one in [each for each in results if (each["engine"], each["target"]) == (engine, target)]:
                    table.add_row(f"{target:.2f}", engine, *cells(one))
                if target not in best.get(engine, {}):
                    table.add_row(f"{target:.2f}", engine, "not reached" if swept[engine].points else "left out")
            table.add_section()
        self.console.print(table)
        left_out = {name: each.left_out for name, each in swept.items() if each.left_out}
        return {"set": collection.data_set, "documents": collection.rows, "best": results, "left_out": left_out}


def cells(one: dict[str, Any]) -> list[str]:
    ratio, figures = one["times_lsr"], one["figures"]
    return [
        text_of(one["build"]),
        text_of(one["search"]),
        f"{one['recall']:.4f}",
        f"{one['microseconds']:.0f}",
        "" if ratio is None else f"{ratio:.2f}",
        f"{figures['seconds']:,.0f}",
        f"{figures['peak_bytes'] / 1e9:.1f}",
        f"{figures['index_bytes'] / 1e6:,.0f}",
    ]


def real_rows(data_set: str) -> int:
    with np.load(DATA / SETS[data_set][0]) as arrays:
        return len(arrays["indptr"]) - 1


def grown(data_set: str, rows: int) -> str:
    real = real_rows(data_set)
    return f"; the first {real:,} are real, the others grown" if rows > real else ""


def growth(races: list[dict[str, Any]], engines: list[str], console: Console, plot: Path | None) -> dict[str, Any]:
    """The growth of times with the documents of a set, at each recall."""
    data_set = races[0]["set"]
    table = table_of("recall@10 ≥", "documents", *engines, text=1)
    table.title = f"{data_set}: µs a query, and how many times as long ten times the documents take"
    table.caption = f"by least squares of logarithms{grown(data_set, max(race['documents'] for race in races))}"
    tenfold: dict[str, dict[str, float]] = {}
    for target in TARGETS:
        curves: dict[str, list[CurvePoint]] = {name: [] for name in engines}
        for race in races:
            times = {one["engine"]: one["microseconds"] for one in race["best"] if one["target"] == target}
            for name, microseconds in times.items():
                curves[name].append(CurvePoint(race["documents"] / 1000, microseconds))
            shown = [f"{times[name]:.0f}" if name in times else "" for name in engines]
            table.add_row(f"{target:.2f}", f"{race['documents']:,}", *shown)
        of_target = {name: per_tenfold(points) for name, points in curves.items() if len(points) > 1}
        table.add_row("", "tenfold", *(f"{of_target[name]:.2f}" if name in of_target else "" for name in engines))
        table.add_section()
        tenfold[f"{target:.2f}"] = of_target
        if plot and target == PLOTTED:
            title = f"recall@10 ≥ {target}; rows beyond {real_rows(data_set):,} are grown"
            drawn = {name: points for name, points in curves.items() if points}
            plot_curves(drawn, "thousand documents", "µs per query on one thread", title, plot, logarithmic=True)
    console.print(table)
    return tenfold


def per_tenfold(points: list[CurvePoint]) -> float:
    slope, _ = np.polyfit(np.log10([point.x for point in points]), np.log10([point.value for point in points]), 1)
    return float(10**slope)


def main() -> None:
    arguments = parse()
    console = Console(width=170)
    console.print(machine())
    engines = [name for name in arguments.engines if name == "lsr" or installed(name)]
    for name in arguments.engines:
        if name not in engines:
            console.print(f"{name} is not installed and left out")
    limit = Limit(arguments.seconds, int(arguments.gigabytes * 1e9))
    scale = Scale(arguments.folder, limit, arguments.queries, console)
    results: dict[str, Any] = {"machine": machine(), "races": [], "tenfold": {}}
    for data_set in arguments.sets:
        sizes = sorted(arguments.size or SIZES[data_set])
        races = [scale.race(scale.collection(data_set, rows, sizes[-1]), engines) for rows in sizes]
        results["races"] += races
        if len(races) > 1:
            plot = PLOT if arguments.plots and data_set == "packages" else None
            results["tenfold"][data_set] = growth(races, engines, console, plot)
    keep(arguments.folder / "scale.json", results)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of generated data, indexes and results")
    parser.add_argument("--sets", nargs="+", choices=SIZES, default=list(SIZES), help="sets of vectors; default: all")
    shown = "; ".join(f"{', '.join(f'{rows:,}' for rows in sizes)} {name}" for name, sizes in SIZES.items())
    parser.add_argument("--size", type=int, nargs="+", help=f"documents; default: {shown}")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(USUAL))
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument(
        "--seconds", type=float, default=3 * 3600, help="maximum seconds of a build, which is otherwise left out"
    )
    parser.add_argument(
        "--gigabytes", type=float, default=18, help="maximum memory of a build, which is otherwise left out"
    )
    parser.add_argument("--plots", action="store_true", help=f"write {PLOT.parent.name}/{PLOT.name}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
