"""Sections build, size and start of benchmarks/search.py: the costs of an index besides its searches."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from search_common import Built, Collection, Contender, Point, Run, Turns, fastest, sweep, table_of, text_of
from search_worker import PEER_WARM_UP, WARM_UP, read_documents, run_job, seconds_of

from lsr import IndexConfig, SeismicIndex

# Also built on one thread; for the sets in the values, only if slow measurements are requested.
ONE_THREAD = {"lsr": (), "pyseismic-lsr": ("wiki",)}
LAYOUT_TARGETS = (0.95, 0.99)
FORWARD_POSTING = 4  # bytes of a posting in pyseismic-lsr's forward index: a float16 weight, a uint16 component


def build(run: Run, slow: bool) -> list[dict[str, Any]]:
    """Seconds and peak memory of builds, each in a separate process."""
    costs = ("warm-up, s", "peak MB", "imports MB", "vectors MB", "x")
    table = table_of("set", "engine", "documents", "threads", "s", "times lsr", *costs, text=2)
    table.caption = (
        "peak: the process at most while it builds, vectors included; imports: before it reads vectors; "
        f"x: (peak - imports) / vectors; warm-up: a build of {WARM_UP:,} documents (peers: {PEER_WARM_UP}), compiling "
        "included. *: an earlier run's"
    )
    results = []
    for built in builds(run, slow):
        figures = built.figures
        ours = run.indexes.get("lsr", built.data_set, built.rows, run.grids["lsr"].builds[0], built.threads)
        times_lsr = figures["seconds"] / ours.figures["seconds"]
        megabytes = [figures[f"{name}_bytes"] / 1e6 for name in ("peak", "imports", "vectors")]
        multiple = (figures["peak_bytes"] - figures["imports_bytes"]) / figures["vectors_bytes"]
        table.add_row(
            built.data_set,
            built.engine,
            f"{built.rows:,}",
            str(built.threads),
            f"{figures['seconds']:.1f}{'*' * built.earlier}",
            f"{times_lsr:.2f}",
            f"{figures['warm_up_seconds']:.1f}",
            *(f"{value:,.0f}" for value in megabytes),
            f"{multiple:.2f}",
        )
        results.append({**described(built), **figures, "times_lsr": times_lsr, "multiple_of_vectors": multiple})
        if built.threads == 1:
            shutil.rmtree(built.folder, ignore_errors=True)
    run.console.print(table)
    return results


def builds(run: Run, slow: bool) -> Iterator[Built]:
    for data_set in run.sets:
        for engine in run.engines:
            rows, parameters = run.rows(data_set, engine), run.grids[engine].builds[0]
            yield run.indexes.get(engine, data_set, rows, parameters, threads=2)
            if engine in ONE_THREAD and (slow or data_set not in ONE_THREAD[engine]):
                yield run.indexes.get(engine, data_set, rows, parameters, threads=1)


def size(run: Run) -> list[dict[str, Any]]:
    return [sizes(run, data_set) for data_set in run.sets]


def sizes(run: Run, data_set: str) -> dict[str, Any]:
    """Bytes on disk of every engine's index, of pyseismic-lsr's forward index, and of lsr's parts."""
    table = table_of("engine", "build", "documents", "MB on disk", "times forward", "bytes a document", text=2)
    table.title = f"{data_set}: index sizes"
    table.caption = f"forward: pyseismic-lsr's forward index, {FORWARD_POSTING} bytes a non-zero"
    nonzeros = read_documents(data_set, run.rows(data_set)).indptr
    results = []
    for engine in run.engines:
        rows = run.rows(data_set, engine)
        for parameters in run.grids[engine].builds:
            built = run.indexes.get(engine, data_set, rows, parameters)
            times_forward = built.bytes / (FORWARD_POSTING * int(nonzeros[rows]))
            cells = f"{built.bytes / 1e6:,.0f}", f"{times_forward:.2f}", f"{built.bytes / rows:,.0f}"
            table.add_row(engine, run.variant(built), f"{rows:,}", *cells)
            results.append({**described(built), "bytes": built.bytes, "times_forward": times_forward})
    run.console.print(table)
    ours = run.indexes.get("lsr", data_set, run.rows(data_set), run.grids["lsr"].builds[0])
    parts = print_parts(run, ours, int(nonzeros[ours.rows]))
    return {"set": data_set, "indexes": results, "parts": parts, "layouts": layouts(run, data_set)}


def print_parts(run: Run, built: Built, nonzeros: int) -> dict[str, int]:
    """Bytes of each part of lsr's index, in total, per document and per non-zero of the documents."""
    parts = SeismicIndex.open(built.folder / "index").nbytes
    table = table_of("part of lsr's index", "MB", "bytes a document", "bytes a non-zero")
    for part, in_bytes in {**parts, "all": sum(parts.values())}.items():
        table.add_row(part, f"{in_bytes / 1e6:,.1f}", f"{in_bytes / built.rows:,.1f}", f"{in_bytes / nonzeros:.2f}")
    run.console.print(table)
    return parts


def layouts(run: Run, data_set: str) -> list[dict[str, Any]]:
    """Size of lsr's layouts, and time at equal recall. Empty if there is only one layout."""
    if "layout" not in {field.name for field in fields(IndexConfig)}:
        return []
    collection = Collection(data_set, run.rows(data_set), run.n_queries)
    grid = run.grids["lsr"]
    best: dict[str, list[Point | None]] = {}
    for layout in ("fast", "compact"):
        parameters = grid.builds[0] if layout == "fast" else {**grid.builds[0], "layout": layout}
        built = run.indexes.get("lsr", data_set, run.rows(data_set), parameters)
        points = sweep(Contender.open(built, collection.queries, layout), grid.searches, collection)
        best[layout] = [fastest(points, target) for target in LAYOUT_TARGETS]
    turns = Turns([point for points in best.values() for point in points])
    table = table_of("layout", "recall@10 ≥", "search", "MB on disk", "µs a query", "times fast", text=3)
    results = []
    for layout, points in best.items():
        for target, point, fast in zip(LAYOUT_TARGETS, points, best["fast"], strict=True):
            if point is None:
                table.add_row(layout, f"{target:.2f}", "not reached")
                continue
            in_bytes, microseconds = point.contender.built.bytes, turns.microseconds(point)
            ratio = turns.ratio(point, fast) if fast else None
            shown = "" if ratio is None else f"{ratio:.2f}"
            times = f"{in_bytes / 1e6:,.0f}", f"{microseconds:.0f}", shown
            table.add_row(layout, f"{target:.2f}", text_of(point.parameters), *times)
            figures = {"bytes": in_bytes, "microseconds": microseconds, "times_fast": ratio}
            results.append({**point.as_dict(), "layout": layout, "target": target, **figures})
    run.console.print(table)
    return results


def start(run: Run) -> dict[str, Any]:
    """Seconds from the start of a process to an answer, with the largest index of lsr of this run."""
    imports = [run_job("import_lsr") for _ in range(5)]
    run.console.print(
        f"import lsr: {min(imports):.3f} s at least, {statistics.median(imports):.3f} s on the median of 5"
    )
    own = [built for built in run.indexes.built.values() if built.engine == "lsr" and built.folder.exists()]
    largest = max(own, key=lambda built: built.bytes, default=None)
    if largest is None:
        largest = run.indexes.get("lsr", run.sets[0], run.rows(run.sets[0]), run.grids["lsr"].builds[0])
    label = f"{largest.rows:,} {largest.data_set}, {largest.bytes / 1e6:,.0f} MB"
    opening, _ = zip(*(seconds_of(lambda: SeismicIndex.open(largest.folder / "index")) for _ in range(5)), strict=True)
    run.console.print(f"SeismicIndex.open, {label}: {1000 * min(opening):.1f} ms at least")
    with tempfile.TemporaryDirectory() as cache:
        empty, *warm = [first_answer(largest, cache) for _ in range(4)]
    middle = {name: statistics.median(times[name] for times in warm) for name in empty}
    table = table_of("a fresh process, seconds", *empty)
    for label, times in (("Numba's cache empty", empty), ("Numba's cache warm", middle)):
        table.add_row(label, *(f"{seconds:.3f}" for seconds in times.values()))
    run.console.print(table)
    return {"import_lsr": imports, "open": opening, "cache_empty": empty, "cache_warm": middle, **described(largest)}


def first_answer(built: Built, numba_cache: str) -> dict[str, float]:
    arguments = {"data_set": built.data_set, "folder": str(built.folder), "parameters": {}}
    return run_job("first_query", environment={"NUMBA_CACHE_DIR": numba_cache}, **arguments)


def described(built: Built) -> dict[str, Any]:
    return {
        "engine": built.engine,
        "set": built.data_set,
        "documents": built.rows,
        "build": built.parameters,
        "threads": built.threads,
        "earlier": built.earlier,
    }
