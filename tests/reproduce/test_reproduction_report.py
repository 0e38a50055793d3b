"""The report of a reproduction: beside numpy's means, scipy's t-tests, and numpy's interpolation."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.eval.plots import CurvePoint
from lsr.experiment.measure import Figures
from lsr.experiment.suites import Judged
from lsr.reproduce import reproduction_report as report
from lsr.reproduce.contrasts import clusters_of
from lsr.reproduce.finding import ZERO_SHOT, Contrast, Measured, Plan, Variant, VariantGroup
from lsr.reproduce.hierarchical_bootstrap import Cases, bootstrap_difference
from lsr.reproduce.reference_rows import UNTRAINED
from lsr.reproduce.reproduction_report import write_report

MEASURES = ("nDCG@10", "R@100")
CLUSTERS = {name: dict(zip("abcdefgh", "11234567", strict=True)) for name in ("easy", "hard", "far")}

TESTS = (Judged("easy", "easy"), Judged("hard", "hard"))
CONFIG: Any = SimpleNamespace()  # of which a report says nothing


def plan_of(variants: Mapping[str, str], baseline: str, matched: bool = False) -> Plan:
    """variants: name -> curve."""
    part = VariantGroup(
        "part", tuple(Variant(*(name, CONFIG, curve)) for name, curve in variants.items()), TESTS, baseline, ""
    )
    return Plan("plan", "What?", (part,), matched)


def measure(plan: Plan, seeds: int, queries: int, random: np.random.Generator, **costs: Sequence[float]) -> list[Any]:
    """Every encoder on every test with random figures; costs: of the variants' one, in place of a random one."""
    [part] = plan.parts
    measured = []
    for judged in part.tests:
        for at, variant in enumerate([UNTRAINED, *(each.name for each in part.variants)]):
            for seed in [0] if variant == UNTRAINED else range(1, seeds + 1):
                values = {
                    name: dict(zip("abcdefgh"[:queries], random.random(queries), strict=True)) for name in MEASURES
                }
                chosen = {
                    "search_microseconds": random.uniform(20, 2000),
                    "encode_microseconds": random.uniform(1, 9),
                    "recall_of_exact": random.random(),
                    "bytes": int(random.integers(1 << 30)),
                    "query_nnz": random.uniform(1, 20),
                    "document_nnz": random.uniform(10, 5000),
                    "flops": random.uniform(0.1, 9),
                    **({name: each[at - 1] for name, each in costs.items()} if at else {}),
                }
                measured.append(Measured(part, judged, variant, seed, Figures(values, **chosen)))
    return measured


class Written(NamedTuple):
    """text: of report.md. rows: of its tables of collections, a list for each. The others: of the CSV files."""

    text: str
    rows: list[list[list[str]]]
    overview: list[dict[str, str]]
    contrasts: list[dict[str, str]]
    matched: list[dict[str, str]]
    results: list[dict[str, str]]
    curves: list[Mapping[str, Sequence[CurvePoint]]]


@contextmanager
def drawn() -> Iterator[list[Mapping[str, Sequence[CurvePoint]]]]:
    """The curves that would be drawn, in a second each."""
    curves: list[Mapping[str, Sequence[CurvePoint]]] = []
    with mock.patch.object(report, "plot_curves", lambda points, *_: curves.append(points)):
        yield curves


def write(plan: Plan, measured: Sequence[Measured]) -> Written:
    with tempfile.TemporaryDirectory() as folder, drawn() as curves:
        write_report(plan, measured, CLUSTERS, Path(folder))
        text = (Path(folder) / "report.md").read_text(encoding="utf-8")
        overview, contrasts, matched, results = (
            list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []
            for path in (
                Path(folder) / name
                for name in ("part-overview.csv", "part-contrasts.csv", "part-equal-length.csv", "results.csv")
            )
        )
    tables = [block for block in text.partition("tested on")[2].split("\n\n") if block.startswith("|")]
    rows = [[line.strip("| ").split(" | ") for line in table.splitlines()[2:]] for table in tables]
    return Written(text, rows, overview, contrasts, matched, results, curves)


def number(cell: str) -> float:
    return float(cell.replace(",", ""))


def shown(value: float, digits: int) -> Any:
    return pytest.approx(value, abs=0.51 * 10.0**-digits)


def means(measured: Sequence[Measured], judged: str, variant: str, measure: str) -> np.ndarray:
    """[seeds, queries]"""
    found = [each.figures for each in measured if (each.judged.name, each.variant) == (judged, variant)]
    return np.array([list(each.per_query[measure].values()) for each in found])


def cost(measured: Sequence[Measured], judged: str, variant: str, name: str) -> float:
    found = [each.figures for each in measured if (each.judged.name, each.variant) == (judged, variant)]
    return float(np.mean([getattr(each, name) for each in found]))


def holm(p_values: Sequence[float]) -> list[float]:
    """By its definition: the i-th smallest of m by m - i + 1, never below that of a smaller one."""
    ordered = sorted(p_values)
    scaled = [min(1.0, p * (len(ordered) - at)) for at, p in enumerate(ordered)]
    return [max(scaled[: ordered.index(p) + 1]) for p in p_values]


@settings(max_examples=8)
@given(seed=st.integers(0, 1 << 32), seeds=st.integers(1, 3), queries=st.integers(3, 8), variants=st.integers(1, 4))
def test_every_variant_is_shown(seed: int, seeds: int, queries: int, variants: int) -> None:
    names = [f"v{at}" for at in range(variants)]
    plan = plan_of(dict.fromkeys(names, ""), names[-1])
    measured = measure(plan, seeds, queries, np.random.default_rng(seed))
    found = write(plan, measured)
    assert found.curves == []
    assert found.matched == []
    for judged, rows in zip(TESTS, found.rows, strict=True):
        assert [row[0] for row in rows] == [UNTRAINED, *names]
        for row in rows:
            costs = [
                cost(measured, judged.name, row[0], name)
                for name in ("document_nnz", "query_nnz", "search_microseconds", "bytes")
            ]
            costs[-1] /= 1e6
            assert [number(cell) for cell in (row[1], row[3], *row[-2:])] == [shown(each, 1) for each in costs]
            assert number(row[4]) == shown(cost(measured, judged.name, row[0], "flops"), 2)
            lengths = [
                each.figures.document_nnz
                for each in measured
                if (each.judged.name, each.variant) == (judged.name, row[0])
            ]
            assert row[2] == "–" if len(lengths) == 1 else number(row[2]) == shown(np.std(lengths, ddof=1), 1)
        for at, measure_ in enumerate(MEASURES):
            for row in rows:
                mean, deviation = row[5 + 2 * at : 7 + 2 * at]
                of_seeds = means(measured, judged.name, row[0], measure_).mean(1)
                assert number(mean) == shown(of_seeds.mean(), 4)
                assert deviation == "–" if len(of_seeds) == 1 else number(deviation) == shown(of_seeds.std(ddof=1), 4)


def test_the_overview_is_over_seeds_of_means_over_collections_that_are_unseen() -> None:
    plan = with_contrasts()
    measured = measure(plan, 3, 8, np.random.default_rng(5))
    found = write(plan, measured)
    assert [row["variant"] for row in found.overview] == [UNTRAINED, "a", "b"]
    for row in found.overview:
        values = list(row.values())
        for at, scope in enumerate((["easy", "far"], ["hard"])):
            for number_, measure_ in enumerate(MEASURES):
                of_seeds = np.mean([means(measured, name, row["variant"], measure_).mean(1) for name in scope], 0)
                column = 2 + 4 * at + 2 * number_
                assert float(values[column]) == pytest.approx(of_seeds.mean())
                if len(of_seeds) > 1:
                    assert float(values[column + 1]) == pytest.approx(of_seeds.std(ddof=1))
        costs = [np.mean([cost(measured, judged.name, row["variant"], name) for judged in plan.parts[0].tests])
                 for name in ("flops", "document_nnz", "query_nnz", "search_microseconds")]  # fmt: skip
        assert [float(value) for value in values[-4:]] == pytest.approx(costs)


def test_contrasts_are_bootstrapped_over_collections_clusters_and_seeds() -> None:
    plan = with_contrasts()
    measured = measure(plan, 3, 8, np.random.default_rng(6))
    rows = write(plan, measured).contrasts
    assert [(row["contrast"], row["on"]) for row in rows] == [
        (name, scope) for scope in ("zero-shot", "hard") for name in ("one", "mean")
    ]
    clusters = np.array([0, 0, 1, 2, 3, 4, 5, 6])
    for row, scope in zip(rows, (["easy", "far"], ["easy", "far"], ["hard"], ["hard"]), strict=True):
        cases = []
        for name in scope:
            a, b, start = (means(measured, name, each, MEASURES[0]) for each in ("a", "b", UNTRAINED))
            first, second = (a, b) if row["contrast"] == "one" else ((start + a) / 2, b)
            cases.append(Cases(first, second, clusters))
        expected = bootstrap_difference(cases)
        values = [float(row[name]) for name in ("difference", "low", "high", "p")]
        assert values == pytest.approx([*expected])
        own = [float(each["p"]) for each in rows if each["on"] == row["on"]]
        assert float(row["p (Holm)"]) == pytest.approx(holm(own)[["one", "mean"].index(row["contrast"])])


def test_queries_of_the_same_relevant_documents_are_one_cluster() -> None:
    qrels = {"a": {"x": 1, "y": 0}, "b": {"x": 2}, "c": {"x": 1, "y": 1}, "d": {"y": 2, "x": 1}}
    assert len({*clusters_of(qrels, 1).values()}) == 2
    of_two = clusters_of(qrels, 2)
    assert of_two["a"] == of_two["c"] != of_two["b"] != of_two["d"]


def with_contrasts() -> Plan:
    tests = (TESTS[0]._replace(group=ZERO_SHOT), TESTS[1], Judged("far", "far", group=ZERO_SHOT))
    contrasts = (Contrast("one", ("a",), ("b",)), Contrast("mean", (UNTRAINED, "a"), ("b",)))
    plan = plan_of({"a": "", "b": ""}, "a")
    return replace(plan, parts=(replace(plan.parts[0], tests=tests, contrasts=contrasts),))


@settings(max_examples=4)
@given(
    seed=st.integers(0, 1 << 32),
    seeds=st.integers(1, 2),
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=3),
)
def test_curves_are_compared_where_both_reach_between_variants_in_the_logarithm(
    seed: int, seeds: int, sizes: list[int]
) -> None:
    curves = {f"c{curve}": [f"c{curve}-{at}" for at in range(size)] for curve, size in enumerate(sizes)}
    plan = plan_of({name: curve for curve, names in curves.items() for name in names}, "c1", True)
    tests = (TESTS[0]._replace(group=ZERO_SHOT), TESTS[1], Judged("far", "far", group=ZERO_SHOT))
    plan = replace(plan, parts=(replace(plan.parts[0], tests=tests),))
    measured = measure(plan, seeds, 5, np.random.default_rng(seed))
    found = write(plan, measured)
    clusters = np.array([0, 0, 1, 2, 3])
    for scope, names in ((ZERO_SHOT, ["easy", "far"]), ("hard", ["hard"])):
        lengths = {
            each: np.mean([cost(measured, name, each, "document_nnz") for name in names])
            for of_curve in curves.values()
            for each in of_curve
        }
        xs = {curve: np.array([lengths[each] for each in of_curve]) for curve, of_curve in curves.items()}
        places = []
        for curve in (each for each in curves if each != "c1"):
            low, high = max(xs[curve].min(), xs["c1"].min()), min(xs[curve].max(), xs["c1"].max())
            if low < high:
                places += [(curve, place) for place in (low, np.sqrt(low * high), high)]
            else:
                assert f"On {scope}, {curve} and c1 have no length in common" in found.text
        for measure_ in MEASURES:

            def at(curve: str, place: float, name: str, measure_: str = measure_, xs: Any = xs) -> np.ndarray:
                order = np.argsort(xs[curve])
                values = np.array([means(measured, name, curves[curve][each], measure_) for each in order])
                logs = np.log(xs[curve][order])
                return np.apply_along_axis(lambda column: np.interp(np.log(place), logs, column), 0, values)

            cases = [
                [Cases(at("c1", place, name), at(curve, place, name), clusters) for name in names]
                for curve, place in places
            ]
            differences = [bootstrap_difference(each) for each in cases]
            rows = [row for row in found.matched if (row["on"], row["measure"]) == (scope, measure_)]
            assert [row["curve"] for row in rows] == [curve for curve, _ in places]
            for name, expected in (
                ("at document nnz", [place for _, place in places]),
                ("c1", [np.mean([one.first.mean() for one in each]) for each in cases]),
                ("value", [np.mean([one.second.mean() for one in each]) for each in cases]),
                ("difference", [each.difference for each in differences]),
                ("low", [each.low for each in differences]),
                ("high", [each.high for each in differences]),
                ("p (Holm)", holm([each.p_value for each in differences])),
            ):
                assert [float(row[name]) for row in rows] == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seeds", [1, 3])
def test_plots_show_mean_and_deviation_by_length_and_by_time(seeds: int) -> None:
    plan = plan_of({"a1": "a", "a2": "a", "b": "b"}, "a", True)
    measured = measure(plan, seeds, 4, np.random.default_rng(1))
    found = write(plan, measured)
    places = [(judged.name, field) for judged in TESTS for field in ("document_nnz", "search_microseconds")]
    for (judged, field), curves in zip(places, found.curves, strict=True):
        assert list(curves) == ["a", "b"]
        points = [point for of_curve in curves.values() for point in of_curve]
        for variant, point in zip(("a1", "a2", "b"), points, strict=True):
            of_seeds = means(measured, judged, variant, "nDCG@10").mean(1)
            assert point[:2] == pytest.approx((cost(measured, judged, variant, field), of_seeds.mean()))
            assert point.deviation == (None if seeds == 1 else pytest.approx(of_seeds.std(ddof=1)))


def test_results_have_a_row_for_each_encoder_and_test_in_full() -> None:
    plan = plan_of({"a": "", "b": ""}, "a")
    measured = measure(plan, 3, 4, np.random.default_rng(2))
    rows = write(plan, measured).results
    assert len(rows) == len(TESTS) * (1 + 2 * 3)
    for row, each in zip(rows, measured, strict=True):
        figures = each.figures
        assert [row[name] for name in ("part", "collection", "variant")] == ["part", each.judged.name, each.variant]
        expected = [
            each.seed,
            *(np.mean(list(figures.per_query[name].values())) for name in MEASURES),
            *(figures.query_nnz, figures.document_nnz, figures.flops),
            *(figures.encode_microseconds, figures.search_microseconds),
            figures.bytes,
        ]
        assert [float(value) for value in list(row.values())[3:]] == pytest.approx(expected, rel=1e-12)


def test_plots_are_where_the_report_shows_them(tmp_path: Path) -> None:
    plan = plan_of({"a1": "a", "a2": "a", "b": "b"}, "a", True)
    write_report(plan, measure(plan, 2, 4, np.random.default_rng(3)), CLUSTERS, tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((.*?)\)", text)
    assert len(set(links)) == 2 * len(TESTS)
    assert {f"plots/{path.name}" for path in (tmp_path / "plots").iterdir()} == set(links)
    assert text.startswith("# plan\n\nWhat?\n\n## part\n")


@pytest.mark.parametrize("lengths", [(40.0, 40.0, 90.0, 30.0, 80.0), (0.0, 40.0, 90.0, 0.0, 80.0)])
def test_equal_and_empty_vectors_do_not_cost_the_report(lengths: Sequence[float]) -> None:
    plan = plan_of({"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b"}, "a", True)
    found = write(plan, measure(plan, 1, 4, np.random.default_rng(4), document_nnz=lengths))
    assert len(found.results) == len(TESTS) * 6
    assert all(0 <= float(row["p"]) <= 1 for row in found.matched)
