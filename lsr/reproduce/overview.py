"""A table of the measures and costs of each variant of a part."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from lsr.eval.tables import Column, Table, Value
from lsr.reproduce.contrasts import figures_of, scopes_of
from lsr.reproduce.finding import Measured, VariantGroup


def overview(part: VariantGroup, measured: Sequence[Measured], measures: Sequence[str]) -> Table:
    """All variants: means over the zero-shot collections, each other collection, and the costs of searches.

    ± is the standard deviation over seeds, of the mean over collections. FLOPS, non-zeros and microseconds are means
    over all collections.
    """
    scopes = scopes_of(part)
    columns = [Column("variant"), Column("seeds", 0)]
    for scope in scopes:
        for measure in measures:
            columns += [Column(f"{scope} {measure}", 4), Column(f"{scope} {measure} ±", 4)]
    columns += [Column("FLOPS", 2), Column("document nnz", 1), Column("query nnz", 1), Column("search µs", 1)]
    figures = figures_of(measured)
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
