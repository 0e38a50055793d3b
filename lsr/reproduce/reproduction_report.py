"""What a reproduction leaves to be read: report.md, *.csv and plots/*.svg, made anew each time.

A figure is the mean over the seeds, with their standard deviation. Differences between variants are tested over
collections, queries and seeds (lsr.reproduce.contrasts). Curves are compared at equal length: there tests are paired
over queries, of whose values the mean over the seeds is taken first, and tell of other queries alone. Their p is
Student's, corrected by Holm's method over the comparisons of one collection and measure.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from lsr.eval.plots import CurvePoint, plot_curves
from lsr.eval.significance import Comparison, compare_values, with_holm
from lsr.eval.tables import Column, Table, Value, to_csv, to_markdown
from lsr.experiment.measure import Figures
from lsr.experiment.suites import Judged
from lsr.reproduce.contrasts import Clusters, contrast_table, overview
from lsr.reproduce.finding import Measured, Plan, VariantGroup
from lsr.storage.files import replacing_file

DOCUMENT_NNZ, MICROSECONDS = "document nnz", "search µs"


class Summary(NamedTuple):
    """One variant on one test, over its seeds.

    per_query: measure -> query id -> mean. means, deviations: measure -> of the seeds' means; None of one seed.
    """

    variant: str
    per_query: Mapping[str, Mapping[str, float]]
    means: Mapping[str, float]
    deviations: Mapping[str, float | None]
    query_nnz: float
    document_nnz: float
    document_nnz_deviation: float | None
    flops: float | None
    microseconds: float
    megabytes: float


def write_report(plan: Plan, measured: Sequence[Measured], clusters: Clusters, folder: Path) -> list[str | Table]:
    """Write everything into `folder`, and return the blocks of report.md.

    clusters: of every test's queries; see lsr.reproduce.contrasts. Raises StorageError.
    """
    blocks: list[str | Table] = [f"# {plan.name}", plan.question]
    tests: list[list[Value]] = []
    tables: dict[str, str] = {}
    for part in plan.parts:
        of_part = [each for each in measured if each.part == part]
        whole = overview(part, of_part, plan.measures)
        blocks += [f"## {part.name}", whole]
        tables[f"{part.name}-overview.csv"] = to_csv(whole)
        if part.contrasts:
            contrasts = contrast_table(part, of_part, clusters, plan.measures[0])
            blocks += [f"Differences of {plan.measures[0]}:", contrasts]
            tables[f"{part.name}-contrasts.csv"] = to_csv(contrasts)
    for (part, judged), members in groupby(measured, key=lambda each: (each.part, each.judged)):
        summaries = _summaries(members, plan.measures)
        blocks += [f"## {part.name}, tested on {judged.name}", _table(summaries, plan.measures)]
        if not plan.curves:
            continue
        curves, measure = _curves(part, summaries), plan.measures[0]
        blocks += _matched_table(part, judged, curves, plan.measures, tests)
        for what, label, field in (
            ("nnz", "non-zeros of a document", "document_nnz"),
            ("time", "µs a query, without encoding it", "microseconds"),
        ):
            path = folder / "plots" / f"{part.name}-{judged.name}-{what}.svg"
            points = {
                name: [
                    CurvePoint(getattr(each, field), each.means[measure], each.deviations[measure])
                    for each in curve
                    if each.document_nnz
                ]
                for name, curve in curves.items()
            }
            if any(points.values()):
                plot_curves(points, label, measure, f"{part.name}, tested on {judged.name}", path)
                blocks.append(f"![{measure} by {what}](plots/{path.name})")
    tables["results.csv"] = _results(measured, plan.measures)
    if plan.curves:
        tables["tests.csv"] = _tests(tests)
    for name, content in tables.items():
        with replacing_file(folder / name) as file:
            file.write(content.encode())
    texts = [block if isinstance(block, str) else to_markdown(block).rstrip("\n") for block in blocks]
    with replacing_file(folder / "report.md") as file:
        file.write("\n\n".join(texts).encode() + b"\n")
    return blocks


def _summaries(members: Iterable[Measured], measures: Sequence[str]) -> list[Summary]:
    """Of each variant, in the order of their first seeds."""
    found: dict[str, list[Figures]] = {}
    for each in members:
        found.setdefault(each.variant, []).append(each.figures)
    return [_summary(variant, seeds, measures) for variant, seeds in found.items()]


def _summary(variant: str, seeds: Sequence[Figures], measures: Sequence[str]) -> Summary:
    per_query, means, deviations = {}, {}, {}
    for measure in measures:
        values = [each.per_query[measure] for each in seeds]
        of_seeds = [statistics.fmean(each.values()) for each in values]
        per_query[measure] = {query: statistics.fmean(each[query] for each in values) for query in values[0]}
        means[measure] = statistics.fmean(of_seeds)
        deviations[measure] = statistics.stdev(of_seeds) if len(of_seeds) > 1 else None

    def mean(of: Callable[[Figures], float | None]) -> float:
        return statistics.fmean(of(each) or 0.0 for each in seeds)

    return Summary(
        variant,
        per_query,
        means,
        deviations,
        mean(lambda each: each.query_nnz),
        mean(lambda each: each.document_nnz),
        statistics.stdev(each.document_nnz or 0.0 for each in seeds) if len(seeds) > 1 else None,
        statistics.fmean(flops) if (flops := [each.flops for each in seeds if each.flops is not None]) else None,
        mean(lambda each: each.search_microseconds),
        mean(lambda each: each.bytes / 1e6),
    )


def _table(summaries: Sequence[Summary], measures: Sequence[str]) -> Table:
    """Every variant."""
    columns = [Column("variant"), Column("document nnz", 1), Column("±", 1), Column("query nnz", 1)]
    columns.append(Column("FLOPS", 2))
    for measure in measures:
        columns += [Column(measure, 4), Column("±", 4)]
    columns += [Column(MICROSECONDS, 1), Column("MB", 1)]
    rows: list[list[Value]] = []
    for each in summaries:
        row: list[Value] = [each.variant, each.document_nnz, each.document_nnz_deviation, each.query_nnz, each.flops]
        for measure in measures:
            row += [each.means[measure], each.deviations[measure]]
        rows.append([*row, each.microseconds, each.megabytes])
    return Table(columns, rows)


def _curves(part: VariantGroup, summaries: Sequence[Summary]) -> dict[str, list[Summary]]:
    """Curve -> its variants, in the order of their strengths."""
    known = {each.variant: each for each in summaries}
    curves: dict[str, list[Summary]] = {}
    for variant in part.variants:
        curves.setdefault(variant.curve or variant.name, []).append(known[variant.name])
    return curves


def _matched_table(
    part: VariantGroup,
    judged: Judged,
    curves: Mapping[str, Sequence[Summary]],
    measures: Sequence[str],
    tests: list[list[Value]],
) -> list[str | Table]:
    """Curves against the baseline's, at the ends and the middle of what both reach."""
    columns = [
        Column("curve"),
        *(Column(f"at {DOCUMENT_NNZ}", 1), Column("measure"), Column(part.baseline, 4), Column("value", 4)),
        *(Column("difference", 4), Column("p", 3)),
    ]
    baseline = curves[part.baseline]
    rows: list[list[Value]] = []
    nowhere = []
    for measure in measures:
        found: list[tuple[str, float, Comparison]] = []
        for name, curve in curves.items():
            if name == part.baseline:
                continue
            places = _shared(baseline, curve)
            if not places and measure == measures[0]:
                nowhere.append(name)
            for place in places:
                before, after = (_at(each, place, measure) for each in (baseline, curve))
                found.append((name, place, compare_values(measure, before, after)))
        for (name, place, _), test in zip(found, with_holm([each for *_, each in found]), strict=True):
            rows.append([name, place, measure, test.first, test.second, test.difference, _shown_p(test.corrected)])
            tests.append([part.name, judged.name, name, part.baseline, place, *test])
    said = [f"{name} and {part.baseline} have no {DOCUMENT_NNZ} in common." for name in nowhere]
    title = f"At equal {DOCUMENT_NNZ}, values between two variants interpolated over its logarithm:"
    return [title, Table(columns, rows), *said]


def _shared(first: Sequence[Summary], second: Sequence[Summary]) -> list[float]:
    """Ends and (geometric) middle of the lengths that both curves reach; nothing if there are none."""
    ranges = [[each.document_nnz for each in curve if each.document_nnz] or [0.0] for curve in (first, second)]
    low, high = max(map(min, ranges)), min(map(max, ranges))
    return [low, math.sqrt(low * high), high] if 0 < low < high else []


def _at(curve: Sequence[Summary], place: float, measure: str) -> dict[str, float]:
    """Query id -> value where documents have `place` non-zeros, between two variants linear in the logarithm."""
    known = [each for each in curve if each.document_nnz]
    below = max((each for each in known if each.document_nnz <= place), key=lambda each: each.document_nnz)
    above = min((each for each in known if each.document_nnz >= place), key=lambda each: each.document_nnz)
    low, high = math.log(below.document_nnz), math.log(above.document_nnz)
    share = (math.log(place) - low) / (high - low) if high > low else 0.0
    return {
        query: (1 - share) * value + share * above.per_query[measure][query]
        for query, value in below.per_query[measure].items()
    }


def _shown_p(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _results(measured: Sequence[Measured], measures: Sequence[str]) -> str:
    """Every encoder on every test."""
    names = ["part", "collection", "variant", "seed", *measures, "query nnz", DOCUMENT_NNZ, "FLOPS", "encode µs"]
    rows: list[list[Value]] = [
        [
            each.part.name,
            each.judged.name,
            each.variant,
            each.seed,
            *(statistics.fmean(each.figures.per_query[measure].values()) for measure in measures),
            each.figures.query_nnz,
            each.figures.document_nnz,
            each.figures.flops,
            each.figures.encode_microseconds,
            each.figures.search_microseconds,
            each.figures.bytes,
        ]
        for each in measured
    ]
    return to_csv(Table([Column(name) for name in (*names, MICROSECONDS, "bytes")], rows))


def _tests(rows: Sequence[Sequence[Value]]) -> str:
    names = ["part", "collection", "variant", "baseline", "at", *Comparison._fields]
    return to_csv(Table([Column(name) for name in names], rows))
