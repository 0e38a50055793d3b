"""Significance of the difference of two runs: paired tests over queries, corrected for multiple comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from lsr.checks import check_choice, check_scores
from lsr.errors import RunError

PairedTest = Literal["t-test", "randomization"]
SAMPLES = 100_000
SAME_SPREAD = 1e-12  # relative: differences with a smaller spread count as equal
SUM_DIGITS = 12  # digits to which sums of differences are compared
_AT_ONCE = 1 << 22  # differences held in memory

Values = npt.NDArray[np.float64]


class Comparison(NamedTuple):
    """The comparison of two runs by one measure over the same queries.

    first, second: their means.
    difference: second - first.
    p_value: two-sided.
    corrected: the p-value corrected by Holm's method, over all comparisons made together.
    wins, ties, losses: numbers of queries for which the second run is better, equal, worse.
    """

    measure: str
    queries: int
    first: float
    second: float
    difference: float
    p_value: float
    corrected: float
    wins: int
    ties: int
    losses: int


def compare(
    first: Mapping[str, Mapping[str, float]], second: Mapping[str, Mapping[str, float]], test: PairedTest = "t-test"
) -> list[Comparison]:
    """Compare two runs by each measure, with a paired test; returns one Comparison per measure.

    first, second: {measure: {query id: value}}, as evaluate_queries returns them.
    test: "t-test" or "randomization".

    Holm's correction is over the measures. Raises ParameterError for an unknown test, RunError for runs with different
    measures or queries.
    """
    for measured in (first, second):
        check_scores(measured, "an evaluated run", "measure -> query id -> value")
    if first.keys() != second.keys():
        raise RunError(
            f"one run has {', '.join(first)}, the other {', '.join(second)}; evaluate both with the same measures"
        )
    found = [compare_values(measure, first[measure], second[measure], test) for measure in first]
    return with_holm(found)


def compare_values(
    measure: str, first: Mapping[str, float], second: Mapping[str, float], test: PairedTest = "t-test"
) -> Comparison:
    """Compare two runs by one measure, query id -> value; not corrected. Raises what `compare` raises."""
    check_choice("test", test, get_args(PairedTest))
    if first.keys() != second.keys() or not first:
        raise RunError(
            f"{measure}: the runs have {len(first)} and {len(second)} queries, and not the same ones; evaluate both "
            "with the same judgments"
        )
    before = np.array([first[query_id] for query_id in first], np.float64)
    after = np.array([second[query_id] for query_id in first], np.float64)
    p_value = (paired_t_test if test == "t-test" else randomization_test)(before, after)
    means = float(before.mean()), float(after.mean())
    counts = ((after > before).sum(), (after == before).sum(), (after < before).sum())
    return Comparison(measure, len(first), *means, means[1] - means[0], p_value, p_value, *map(int, counts))


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with corrected p-values."""
    corrected = holm([each.p_value for each in comparisons])
    return [each._replace(corrected=float(p)) for each, p in zip(comparisons, corrected, strict=True)]


def paired_t_test(first: Values, second: Values) -> float:
    """Two-sided p-value of Student's paired t-test over float64[queries].

    1 for fewer than two queries, and if no query differs; 0 if all differ by the same value.
    """
    from scipy import stats

    differences = second - first
    if len(differences) < 2 or not differences.any():
        return 1.0
    if np.ptp(differences) <= SAME_SPREAD * np.abs(differences).max():
        return 0.0
    return float(stats.ttest_rel(second, first).pvalue)


def randomization_test(first: Values, second: Values, samples: int = SAMPLES, seed: int = 0) -> float:
    """Two-sided p-value of the paired randomization test (Smucker, Allan, Carterette, CIKM 2007).

    The share of all assignments of signs to the differences with a sum at least as far from 0. If there are at most
    `samples` assignments, all are counted; otherwise `samples` random ones, with the p-value (1 + count) / (1 +
    samples).
    """
    from scipy import stats

    differences = second - first
    differences = differences[differences != 0]
    if len(differences) < 2:  # both signs of a single difference are equally far from 0
        return 1.0

    def distance(signed: Values, axis: int) -> Values:  # equal sums can differ in their last digits
        sums: Values = np.abs(signed.sum(axis)).round(SUM_DIGITS)
        return sums

    found = stats.permutation_test(
        (differences,),
        distance,
        permutation_type="samples",
        vectorized=True,
        n_resamples=samples,
        batch=max(_AT_ONCE // len(differences), 1),
        alternative="greater",
        random_state=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> Values:
    """Holm's step-down correction (Scandinavian Journal of Statistics 1979), in the given order.

    The i-th smallest of m p-values is multiplied by m - i + 1. The results do not decrease, and are at most 1.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected
