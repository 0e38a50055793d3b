"""Differences between variants, over collections, clusters of queries and seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lsr.eval.significance import holm
from lsr.eval.tables import Column, Table, Value
from lsr.experiment.measure import Figures
from lsr.experiment.suites import Judged
from lsr.reproduce.finding import ZERO_SHOT, Measured, VariantGroup
from lsr.reproduce.hierarchical_bootstrap import Cases, bootstrap_difference

# Judged.name -> query id -> cluster of the query; see clusters_of.
Clusters = Mapping[str, Mapping[str, str]]


def clusters_of(qrels: Mapping[str, Mapping[str, int]], relevant: int) -> dict[str, str]:
    """Query id -> the name of its cluster. Queries with the same relevant documents are in one cluster.

    They are not independent evidence: a change of one document's vector changes the results of all of them.
    relevant: the lowest grade of a relevant document.
    """
    return {
        query_id: "\n".join(sorted(doc_id for doc_id, grade in grades.items() if grade >= relevant))
        for query_id, grades in qrels.items()
    }


def contrast_table(part: VariantGroup, measured: Sequence[Measured], clusters: Clusters, measure: str) -> Table:
    """The result of each contrast in each scope: the zero-shot collections together, and each other collection.

    Columns low and high: the 95 % interval of hierarchical_bootstrap. Column p (Holm): p, corrected by Holm's method
    for the number of contrasts in the scope.
    """
    columns = [Column("contrast"), Column("on"), Column("difference", 4), Column("low", 4), Column("high", 4)]
    figures = figures_of(measured)
    rows: list[list[Value]] = []
    for scope, tests in scopes_of(part).items():
        found = [
            bootstrap_difference(
                [
                    cases_of(figures, judged, _even(each.first), _even(each.second), clusters, measure)
                    for judged in tests
                ]
            )
            for each in part.contrasts
        ]
        corrected = holm([each.p_value for each in found])
        for contrast, each, p in zip(part.contrasts, found, corrected, strict=True):
            rows.append([contrast.name, scope, each.difference, each.low, each.high, each.p_value, float(p)])
    return Table([*columns, Column("p", 4), Column("p (Holm)", 4)], rows)


def scopes_of(part: VariantGroup) -> dict[str, list[Judged]]:
    """Scope -> its collections: ZERO_SHOT -> all zero-shot collections; the name of another one -> itself."""
    scopes: dict[str, list[Judged]] = {}
    for judged in sorted(part.tests, key=lambda each: each.group != ZERO_SHOT):
        scopes.setdefault(ZERO_SHOT if judged.group == ZERO_SHOT else judged.name, []).append(judged)
    return scopes


def figures_of(measured: Iterable[Measured]) -> dict[tuple[str, str], list[Figures]]:
    """(collection, variant) -> the figures of each seed."""
    found: dict[tuple[str, str], list[Figures]] = {}
    for each in sorted(measured, key=lambda each: each.seed):
        found.setdefault((each.judged.name, each.variant), []).append(each.figures)
    return found


def cases_of(
    figures: Mapping[tuple[str, str], Sequence[Figures]],
    judged: Judged,
    first: Mapping[str, float],
    second: Mapping[str, float],
    clusters: Clusters,
    measure: str,
) -> Cases:
    """The cases of one collection for bootstrap_difference. first, second: variant -> its weight in the mean.

    A variant without seeds, such as BM25, is the same for all seeds.
    """
    queries = list(figures[judged.name, next(iter(first))][0].per_query[measure])
    names = [clusters[judged.name][query] for query in queries]

    def side(weights: Mapping[str, float]) -> npt.NDArray[np.float64]:
        values = {
            variant: np.array(
                [[each.per_query[measure][query] for query in queries] for each in figures[judged.name, variant]]
            )
            for variant in weights
        }
        total = np.zeros((max(map(len, values.values())), len(queries)))
        for variant, weight in weights.items():
            total += weight * values[variant]
        return total

    return Cases(side(first), side(second), np.unique(names, return_inverse=True)[1].astype(np.int64))


def _even(variants: Sequence[str]) -> dict[str, float]:
    return dict.fromkeys(variants, 1 / len(variants))
