"""The report of a reproduction: report.md, *.csv and plots/*.svg, written again each time.

A figure is the mean over the seeds, with the standard deviation over seeds. Differences are tested over collections,
queries and seeds (lsr.reproduce.hierarchical_bootstrap). Curves are compared at equal length of documents.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from lsr.eval.plots import CurvePoint, plot_curves
from lsr.eval.tables import Column, Table, Value, to_csv, to_markdown
from lsr.experiment.measure import Figures
from lsr.reproduce.contrasts import Clusters, contrast_table
from lsr.reproduce.equal_length import curves_of, equal_length_table
from lsr.reproduce.finding import Measured, Plan
from lsr.reproduce.overview import overview
from lsr.storage.files import replacing_file

DOCUMENT_NNZ, MICROSECONDS = "document nnz", "search µs"


class Summary(NamedTuple):
    """The results of a variant on a test, over its seeds.

    means, deviations: measure -> mean and deviation of the seeds' means; the deviation of one seed is None.
    """

    variant: str
    means: Mapping[str, float]
    deviations: Mapping[str, float | None]
    query_nnz: float
    document_nnz: float
    document_nnz_deviation: float | None
    flops: float | None
    microseconds: float
    megabytes: float


def write_report(plan: Plan, measured: Sequence[Measured], clusters: Clusters, folder: Path) -> list[str | Table]:
    """Write the report into `folder`; returns the blocks of report.md.

    clusters: the clusters of the queries of every test; see lsr.reproduce.contrasts. Raises StorageError.
    """
    blocks: list[str | Table] = [f"# {plan.name}", plan.question]
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
        if plan.curves:
            matched, nowhere = equal_length_table(part, of_part, clusters, plan.measures)
            blocks += ["At equal length of documents:", matched, *nowhere]
            tables[f"{part.name}-equal-length.csv"] = to_csv(matched)
    for (part, judged), members in groupby(measured, key=lambda each: (each.part, each.judged)):
        summaries = _summaries(members, plan.measures)
        blocks += [f"## {part.name}, tested on {judged.name}", _table(summaries, plan.measures)]
        if not plan.curves:
            continue
        known, measure = {each.variant: each for each in summaries}, plan.measures[0]
        curves = {name: [known[each] for each in variants] for name, variants in curves_of(part).items()}
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
    for name, content in tables.items():
        with replacing_file(folder / name) as file:
            file.write(content.encode())
    texts = [block if isinstance(block, str) else to_markdown(block).rstrip("\n") for block in blocks]
    with replacing_file(folder / "report.md") as file:
        file.write("\n\n".join(texts).encode() + b"\n")
    return blocks


def _summaries(members: Iterable[Measured], measures: Sequence[str]) -> list[Summary]:
    """The summary of each variant, in the order of their first seeds."""
    found: dict[str, list[Figures]] = {}
    for each in members:
        found.setdefault(each.variant, []).append(each.figures)
    return [_summary(variant, seeds, measures) for variant, seeds in found.items()]


def _summary(variant: str, seeds: Sequence[Figures], measures: Sequence[str]) -> Summary:
    means, deviations = {}, {}
    for measure in measures:
        of_seeds = [statistics.fmean(each.per_query[measure].values()) for each in seeds]
        means[measure] = statistics.fmean(of_seeds)
        deviations[measure] = statistics.stdev(of_seeds) if len(of_seeds) > 1 else None

    def mean(of: Callable[[Figures], float | None]) -> float:
        return statistics.fmean(of(each) or 0.0 for each in seeds)

    return Summary(
        variant,
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
    """The table of all variants."""
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


def _results(measured: Sequence[Measured], measures: Sequence[str]) -> str:
    """The results of all encoders on all tests, as CSV."""
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
