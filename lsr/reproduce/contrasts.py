"""Differences between variants over collections, clusters of queries and seeds, beside what each variant costs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lsr.eval.significance import holm
from lsr.eval.tables import Column, Table, Value
from lsr.experiment.measure import Figures
from lsr.experiment.suites import Judged
from lsr.reproduce.finding import ZERO_SHOT, Contrast, Measured, VariantGroup
from lsr.reproduce.hierarchical_bootstrap import Cases, bootstrap_difference

# Judged.name -> query id -> what the query is about; see clusters_of.
Clusters = Mapping[str, Mapping[str, str]]


def clusters_of(qrels: Mapping[str, Mapping[str, int]], relevant: int) -> dict[str, str]:
    """Query id -> its relevant documents: queries that ask for the same ones are no independent evidence."""
    return {
        query_id: "\n".join(sorted(doc_id for doc_id, grade in grades.items() if grade >= relevant))
        for query_id, grades in qrels.items()
    }


def overview(part: VariantGroup, measured: Sequence[Measured], measures: Sequence[str]) -> Table:
    """Every variant: means over the zero-shot collections, and each other collection, and what searching them costs.

    ± is the standard deviation over seeds, of the mean over collections. FLOPS, non-zeros and microseconds are means
    over all collections.
    """
    scopes = _scopes(part)
    columns = [Column("variant"), Column("seeds", 0)]
    for scope in scopes:
        for measure in measures:
            columns += [Column(f"{scope} {measure}", 4), Column(f"{scope} {measure} ±", 4)]
    columns += [Column("FLOPS", 2), Column("document nnz", 1), Column("query nnz", 1), Column("search µs", 1)]
    figures = _figures(measured)
    rows: list[list[Value]] = []
    for variant in dict.fromkeys(each.variant for each in measured):
        seeds = len(figures[part.tests[0].name, variant])
        row: list[Value] = [variant, seeds]
        for tests in scopes.values():
            for measure in measures:
                of_seeds = [
                    statistics.fmean(
                        statistics.fmean(figures[judged.name, variant][seed].per_query[measure].values())
                        for judged in tests
                    )
                    for seed in range(seeds)
                ]
                row += [statistics.fmean(of_seeds), statistics.stdev(of_seeds) if seeds > 1 else None]
        everywhere = [each for judged in part.tests for each in figures[judged.name, variant]]
        for cost in ("flops", "document_nnz", "query_nnz", "search_microseconds"):
            row.append(statistics.fmean(getattr(each, cost) or 0.0 for each in everywhere))
        rows.append(row)
    return Table(columns, rows)


def contrast_table(part: VariantGroup, measured: Sequence[Measured], clusters: Clusters, measure: str) -> Table:
    """Every contrast of the part, over the zero-shot collections and on each other one.

    low, high: the interval of hierarchical_bootstrap. p is corrected by Holm's method over the contrasts of one scope.
    """
    columns = [Column("contrast"), Column("on"), Column("difference", 4), Column("low", 4), Column("high", 4)]
    figures = _figures(measured)
    rows: list[list[Value]] = []
    for scope, tests in _scopes(part).items():
        found = [
            bootstrap_difference([_cases(figures, judged, each, clusters, measure) for judged in tests])
            for each in part.contrasts
        ]
        corrected = holm([each.p_value for each in found])
        for contrast, each, p in zip(part.contrasts, found, corrected, strict=True):
            rows.append([contrast.name, scope, each.difference, each.low, each.high, each.p_value, float(p)])
    return Table([*columns, Column("p", 4), Column("p (Holm)", 4)], rows)


def _scopes(part: VariantGroup) -> dict[str, list[Judged]]:
    """ZERO_SHOT -> all of its collections, if there are any; the name of each other collection -> itself."""
    scopes: dict[str, list[Judged]] = {}
    for judged in sorted(part.tests, key=lambda each: each.group != ZERO_SHOT):
        scopes.setdefault(ZERO_SHOT if judged.group == ZERO_SHOT else judged.name, []).append(judged)
    return scopes


def _figures(measured: Iterable[Measured]) -> dict[tuple[str, str], list[Figures]]:
    """(collection, variant) -> by seed."""
    found: dict[tuple[str, str], list[Figures]] = {}
    for each in sorted(measured, key=lambda each: each.seed):
        found.setdefault((each.judged.name, each.variant), []).append(each.figures)
    return found


def _cases(
    figures: Mapping[tuple[str, str], Sequence[Figures]],
    judged: Judged,
    contrast: Contrast,
    clusters: Clusters,
    measure: str,
) -> Cases:
    queries = list(figures[judged.name, contrast.first[0]][0].per_query[measure])
    names = [clusters[judged.name][query] for query in queries]

    def side(variants: Sequence[str]) -> npt.NDArray[np.float64]:
        """The mean over variants; one that has no seeds, such as BM25, is the same for all."""
        values = [
            np.array([[each.per_query[measure][query] for query in queries] for each in figures[judged.name, variant]])
            for variant in variants
        ]
        seeds = max(map(len, values))
        mean: npt.NDArray[np.float64] = np.mean([np.broadcast_to(each, (seeds, len(queries))) for each in values], 0)
        return mean

    numbers = np.unique(names, return_inverse=True)[1]
    return Cases(side(contrast.first), side(contrast.second), numbers.astype(np.int64))
