"""Comparing curves at equal length of documents, because longer documents have more non-zeros and better rankings.

A curve is one method with several strengths of its penalty. Its points are the variants: the mean number of non-zeros
of a document, and a measure. Between two points, the measure is interpolated linearly in the logarithm of the length.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lsr.eval.significance import holm
from lsr.eval.tables import Column, Table, Value
from lsr.experiment.measure import Figures
from lsr.experiment.suites import Judged
from lsr.reproduce.contrasts import Clusters, cases_of, figures_of, scopes_of
from lsr.reproduce.finding import Measured, VariantGroup
from lsr.reproduce.hierarchical_bootstrap import Difference, bootstrap_difference


class _Found(NamedTuple):
    curve: str
    length: float
    baseline: float
    value: float
    difference: Difference


def curves_of(part: VariantGroup) -> dict[str, list[str]]:
    """Curve -> its variants, in the order of the plan."""
    curves: dict[str, list[str]] = {}
    for variant in part.variants:
        curves.setdefault(variant.curve or variant.name, []).append(variant.name)
    return curves


def equal_length_table(
    part: VariantGroup, measured: Sequence[Measured], clusters: Clusters, measures: Sequence[str]
) -> tuple[Table, list[str]]:
    """Compare each curve with the baseline's curve, at the ends and the middle of their common range of lengths.

    Also returns a sentence for each curve that has no length in common with the baseline.

    The length of a variant is the mean over seeds and the collections of a scope. Tests are those of
    hierarchical_bootstrap. p is corrected by Holm's method for the number of comparisons of one scope and measure.
    """
    figures, curves = figures_of(measured), curves_of(part)
    rows: list[list[Value]] = []
    nowhere: list[str] = []
    for scope, tests in scopes_of(part).items():
        lengths = {
            variant.name: statistics.fmean(_length(figures, judged, variant.name) for judged in tests)
            for variant in part.variants
        }
        places = {
            curve: _shared(*([lengths[each] for each in curves[name]] for name in (part.baseline, curve)))
            for curve in curves
            if curve != part.baseline
        }
        nowhere += [
            f"On {scope}, {curve} and {part.baseline} have no length in common."
            for curve, shared in places.items()
            if not shared
        ]
        for measure in measures:
            found = []
            for curve, shared in places.items():
                for place in shared:
                    first, second = (_between(curves[name], lengths, place) for name in (part.baseline, curve))
                    cases = [cases_of(figures, judged, first, second, clusters, measure) for judged in tests]
                    before, after = (
                        statistics.fmean(float(values.mean()) for values in of_side)
                        for of_side in ([each.first for each in cases], [each.second for each in cases])
                    )
                    found.append(_Found(curve, place, before, after, bootstrap_difference(cases)))
            for each, p in zip(found, holm([one.difference.p_value for one in found]), strict=True):
                rows.append(
                    [each.curve, scope, each.length, measure, each.baseline, each.value, *each.difference, float(p)]
                )
    columns = [Column("curve"), Column("on"), Column("at document nnz", 1), Column("measure")]
    columns += [Column(part.baseline, 4), Column("value", 4), Column("difference", 4), Column("low", 4)]
    return Table([*columns, Column("high", 4), Column("p", 4), Column("p (Holm)", 4)], rows), nowhere


def _length(figures: Mapping[tuple[str, str], Sequence[Figures]], judged: Judged, variant: str) -> float:
    return statistics.fmean(each.document_nnz or 0.0 for each in figures[judged.name, variant])


def _shared(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """The ends and the geometric middle of the range of lengths that both curves cover; empty without such a range."""
    ranges = [[each for each in lengths if each] or [0.0] for lengths in (first, second)]
    low, high = max(map(min, ranges)), min(map(max, ranges))
    return [low, math.sqrt(low * high), high] if 0 < low < high else []


def _between(variants: Sequence[str], lengths: Mapping[str, float], place: float) -> dict[str, float]:
    """Variant -> its weight in the interpolation at the length `place`, for the two variants around it."""
    known = [each for each in variants if lengths[each]]
    below = max((each for each in known if lengths[each] <= place), key=lambda each: lengths[each])
    above = min((each for each in known if lengths[each] >= place), key=lambda each: lengths[each])
    low, high = math.log(lengths[below]), math.log(lengths[above])
    share = (math.log(place) - low) / (high - low) if high > low else 0.0
    return {below: 1 - share, above: share} if below != above else {below: 1.0}
