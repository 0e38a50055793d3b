"""The figures of benchmarks/search.py as result files, from which docs/site/tables.py writes docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from result_files import Row, write_rows

NAMES = {"pyvsag": "SINDI"}


def write_results(figures: Mapping[str, Any], folder: Path) -> None:
    """Write a file for each table. figures: section -> what its function returned."""
    heats = figures.get("race", [])
    whole = {heat["set"]: max(each["documents"] for each in heats if each["set"] == heat["set"]) for heat in heats}
    full = [heat for heat in heats if heat["documents"] == whole[heat["set"]]]
    smaller = [heat for heat in heats if heat not in full]
    sizes = figures.get("size", [])
    tables = {
        "search-race": [row for heat in full for row in _race(heat, heat["set"])],
        "search-race-smaller": [row for heat in smaller for row in _race(heat, _part(heat))],
        "search-calls": [row for heat in full for row in _calls(heat, heat["set"])]
        + [row for heat in smaller for row in _calls(heat, _part(heat))],
        "search-short": [
            _named(row, "set", "terms", "engine", "mean", "p50", "p99") for row in figures.get("short", [])
        ],
        "search-build": list(_builds(figures.get("build", []), whole)),
        "search-size": [row for of_set in sizes for row in _sizes(of_set)],
        "search-parts": [row for of_set in sizes for row in _parts(of_set)],
        "search-layouts": [row for of_set in sizes for row in _layouts(of_set)],
        "search-exact": [row for of_set in figures.get("exact", []) for row in _exact(of_set)],
    }
    for name, rows in tables.items():
        if rows:
            write_rows(folder / f"{name}.csv", rows)


def _part(heat: Row) -> str:
    return f"{heat['documents']:,} {heat['set']}"


def _named(row: Row, *columns: str) -> Row:
    chosen = {column: row[column] for column in columns}
    return {**chosen, "engine": NAMES.get(row["engine"], row["engine"])}


def _race(heat: Row, name: str) -> Iterator[Row]:
    engines = list(dict.fromkeys(point["engine"] for point in heat["points"]))
    found = {(point["target"], point["engine"]): point for point in heat["best"]}
    for target in dict.fromkeys(point["target"] for point in heat["best"]):
        for engine in engines:
            point = found.get((target, engine), {"microseconds": "not reached"})
            ratio = "" if engine == "lsr" else point.get("times_lsr") or ""
            row = {"set": name, "recall": f"{target:.2f}", "engine": NAMES.get(engine, engine)}
            yield {**row, "microseconds": point["microseconds"], "ratio": ratio}


def _calls(heat: Row, name: str) -> Iterator[Row]:
    for call in sorted(heat["calls"], key=lambda call: call["target"]):
        yield {
            **_named({**call, "set": name, "recall": f"{call['target']:.2f}"}, "set", "recall", "engine"),
            **{column: call[f"call_{column}"] for column in ("mean", "p50", "p99")},
            "one thread": call["queries_per_second"],
            "two threads": call["queries_per_second_2_threads"],
        }


def _builds(builds: list[Row], whole: Mapping[str, int]) -> Iterator[Row]:
    for two in (build for build in builds if build["threads"] == 2):
        same = [each for each in builds if all(each[name] == two[name] for name in ("set", "engine", "documents"))]
        one = next((_seconds(each["seconds"]) for each in same if each["threads"] == 1), "")
        part = two["set"] if two["documents"] == whole.get(two["set"], two["documents"]) else _part(two)
        memory = max(each["multiple_of_vectors"] for each in same)
        row = _named({**two, "set": part}, "set", "engine")
        yield {**row, "one thread": one, "two threads": _seconds(two["seconds"]), "memory": memory}


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"


def _sizes(of_set: Row) -> Iterator[Row]:
    """The first build of each engine, and lsr's second layout."""
    first = {index["engine"]: index for index in reversed(of_set["indexes"])}
    for engine, index in reversed(first.items()):
        row = {"set": of_set["set"], "engine": NAMES.get(engine, engine)}
        yield {**row, "MB": index["bytes"] / 1e6, "ratio": index["times_forward"]}
    compact = next((each["bytes"] for each in of_set["layouts"] if each["layout"] == "compact"), None)
    if compact is not None:
        ratio = compact / first["lsr"]["bytes"] * first["lsr"]["times_forward"]
        yield {"set": of_set["set"], "engine": "lsr, compact", "MB": compact / 1e6, "ratio": ratio}


def _parts(of_set: Row) -> Iterator[Row]:
    ours = next(index for index in of_set["indexes"] if index["engine"] == "lsr")
    nonzeros = ours["bytes"] / ours["times_forward"] / 4
    for part, size in of_set["parts"].items():
        row = {"set": of_set["set"], "part": part}
        yield {**row, "bytes a document": size / ours["documents"], "bytes a non-zero": size / nonzeros}


def _layouts(of_set: Row) -> Iterator[Row]:
    found = {(each["target"], each["layout"]): each for each in of_set["layouts"]}
    for target in dict.fromkeys(target for target, _ in found):
        times = {layout: found.get((target, layout), {}) for layout in ("fast", "compact")}
        row = {"set": of_set["set"], "recall": f"{target:.2f}"}
        row |= {layout: point.get("microseconds", "not reached") for layout, point in times.items()}
        yield {**row, "ratio": times["compact"].get("times_fast", "")}


def _exact(of_set: Row) -> Iterator[Row]:
    """The first way of each engine: for ExactIndex, a batch."""
    first = {row["engine"]: row for row in reversed(of_set["rows"])}
    batch = first["ExactIndex"]["microseconds"]
    for engine, row in reversed(first.items()):
        ratio = "" if engine == "ExactIndex" else row["microseconds"] / batch
        share = "" if row["true"] is None else f"{row['true']:.1%}".removesuffix("%")
        found = {"set": of_set["set"], "engine": engine, "microseconds": row["microseconds"]}
        yield {**found, "ratio": ratio, "recall@10, %": share}
