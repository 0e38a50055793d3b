"""Is it best to interpolate both before and after feedback? The first question of Li et al. (SIGIR 2022), everywhere.

    python benchmarks/interpolation.py                 every collection of $LSR_TEST_DATA, into --output
    python benchmarks/interpolation.py --measure AP

Runs benchmarks/interpolation.toml, or reuses results in --output, and prints the tables of docs/interpolation.md: one
measure on every collection, with marks if a way differs from "both" (two-sided paired t-test, p < .05 after Holm's
correction over the ways of a row), and for every measure the collections on which "both" is best. A collection with the
corpus.jsonl.gz of another one must have it as a link or a copy.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lsr.eval.significance import compare_values, with_holm
from lsr.eval.tables import BETTER, WORSE, Column, Table, to_markdown
from lsr.experiment import read_experiment, run_experiment

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("LSR_TEST_DATA") or HERE.parents[1] / "shared" / "data")
LEVEL = 0.05
WAYS = {"none": "minilm-prf", "before": "{}-before", "after": "{}-after", "both": "{}-both", "no feedback": "{}-no-prf"}
FED_BACK = ("none", "before", "after", "both")

PerQuery = Mapping[str, float]


class Row(NamedTuple):
    """A row of a table: a collection and sparse side.

    means, marks: way -> mean, and BETTER, WORSE or "" compared with both.
    """

    means: dict[str, float]
    marks: dict[str, str]


def compared(values: Mapping[str, PerQuery]) -> Row:
    others = [way for way in values if way != "both"]
    tests = with_holm([compare_values("", values["both"], values[way]) for way in others])
    marks = {
        way: "" if test.corrected >= LEVEL else BETTER if test.difference > 0 else WORSE
        for way, test in zip(others, tests, strict=True)
    }
    return Row({way: sum(each.values()) / len(each) for way, each in values.items()}, {**marks, "both": ""})


def rows_of(figures: Mapping[tuple[str, str], Mapping[str, PerQuery]], sparse: str, measure: str) -> dict[str, Row]:
    """Collection -> its row for one sparse side."""
    collections = dict.fromkeys(collection for collection, _ in figures)
    return {
        collection: compared({way: figures[collection, name.format(sparse)][measure] for way, name in WAYS.items()})
        for collection in collections
    }


def measure_table(rows: Mapping[str, Mapping[str, Row]], singles: Mapping[str, Mapping[str, float]]) -> str:
    """The table of one measure. singles: system -> collection -> figure, of the interpolated lists."""
    columns = [Column("collection"), *(Column(name, 3) for name in singles), Column("none", 3)]
    columns += [Column(f"{side} {way}", 3) for side in rows for way in WAYS if way != "none"]
    cells: list[list[str | float | None]] = []
    marks: dict[tuple[int, int], str] = {}
    bold: set[tuple[int, int]] = set()
    for at, collection in enumerate(next(iter(rows.values()))):
        line: list[str | float | None] = [collection, *(each[collection] for each in singles.values())]
        line.append(next(iter(rows.values()))[collection].means["none"])
        for side in rows.values():
            row = side[collection]
            best = max(row.means[way] for way in FED_BACK)
            for way in WAYS:
                if way == "none":
                    continue
                marks[at, len(line)] = row.marks[way]
                if way in FED_BACK and row.means[way] == best:
                    bold.add((at, len(line)))
                line.append(row.means[way])
        cells.append(line)
    return to_markdown(Table(columns, cells, marks, bold))


def summary(found: Mapping[tuple[str, str], Mapping[str, Row]], measures: Sequence[str], sides: Sequence[str]) -> str:
    """For each side and measure: the collections on which both is best, and those on which others differ from it."""
    columns = [Column("sparse"), Column("measure"), Column("collections", 0), Column("both best", 0)]
    columns += [
        Column(f"against {way}: better, worse (significantly)") for way in ("none", "before", "after", "no feedback")
    ]
    cells: list[list[str | float | None]] = []
    for side in sides:
        for measure in measures:
            rows = list(found[side, measure].values())
            best = sum(row.means["both"] >= max(row.means[way] for way in FED_BACK) for row in rows)
            line: list[str | float | None] = [side, measure, len(rows), best]
            for way in ("none", "before", "after", "no feedback"):
                better = sum(row.means["both"] > row.means[way] for row in rows)
                worse = sum(row.means["both"] < row.means[way] for row in rows)
                clearly = [sum(row.marks[way] == mark for row in rows) for mark in (WORSE, BETTER)]
                line.append(f"{better}, {worse} ({clearly[0]}, {clearly[1]})")
            cells.append(line)
    return to_markdown(Table(columns, cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", default="nDCG@10")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--output", type=Path, default=Path(tempfile.gettempdir()) / "lsr-interpolation")
    arguments = parser.parse_args()
    experiment = read_experiment(HERE / "interpolation.toml")
    results = run_experiment(experiment, arguments.output, offline_data=arguments.data, progress=True)
    figures = {(each.judged.name, each.system): each.figures.per_query for each in results}
    sides = ("bm25", "tiny")
    found = {(side, measure): rows_of(figures, side, measure) for side in sides for measure in experiment.measures}
    singles = {
        system: {
            collection: sum(values[arguments.measure].values()) / len(values[arguments.measure])
            for (collection, name), values in figures.items()
            if name == system
        }
        for system in ("bm25", "tiny", "minilm")
    }
    print(measure_table({side: found[side, arguments.measure] for side in sides}, singles))
    print(summary(found, experiment.measures, sides))


if __name__ == "__main__":
    main()
