"""Whether the difference of two runs is more than chance: paired tests over queries, corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.errors import ParameterError, RunError

T_TEST, RANDOMIZATION = "t-test", "randomization"
TESTS = (T_TEST, RANDOMIZATION)
SAMPLES = 100_000
ENUMERATED = 16  # queries that differ, up to which all 2^n signs are tried
ROUNDING = 1e-12
_AT_ONCE = 1 << 22  # signs held in memory

Values = npt.NDArray[np.float64]


class Comparison(NamedTuple):
    """One measure of two runs over the same queries.

    first, second: their means; difference: second - first. p_value: two-sided. corrected: by Holm's method, over all
    comparisons that were made together. wins, ties, losses: queries for which the second is better, equal, worse.
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
    first: Mapping[str, Mapping[str, float]], second: Mapping[str, Mapping[str, float]], test: str = T_TEST
) -> list[Comparison]:
    """Each measure of two runs, as evaluate_queries gives them: measure -> query id -> value.

    Holm's correction is over the measures. Raises ParameterError for an unknown test, RunError for runs that were not
    measured in the same way on the same queries.
    """
    if first.keys() != second.keys():
        raise RunError(f"one run has {', '.join(first)}, the other {', '.join(second)}; measure both alike")
    found = [compare_values(measure, first[measure], second[measure], test) for measure in first]
    return with_holm(found)


def compare_values(
    measure: str, first: Mapping[str, float], second: Mapping[str, float], test: str = T_TEST
) -> Comparison:
    """One measure of two runs, query id -> value; not corrected. Raises as `compare` does."""
    if test not in TESTS:
        raise ParameterError(f"test is {test!r}; it must be one of {', '.join(TESTS)}")
    if first.keys() != second.keys() or not first:
        raise RunError(f"{measure}: the runs have {len(first)} and {len(second)} queries, not the same ones")
    before = np.array([first[query_id] for query_id in first], np.float64)
    after = np.array([second[query_id] for query_id in first], np.float64)
    p_value = (paired_t_test if test == T_TEST else randomization_test)(before, after)
    means = float(before.mean()), float(after.mean())
    counts = ((after > before).sum(), (after == before).sum(), (after < before).sum())
    return Comparison(measure, len(first), *means, means[1] - means[0], p_value, p_value, *map(int, counts))


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons, made together, with their p-values corrected."""
    corrected = holm([each.p_value for each in comparisons])
    return [each._replace(corrected=float(p)) for each, p in zip(comparisons, corrected, strict=True)]


def paired_t_test(first: Values, second: Values) -> float:
    """Two-sided p-value of Student's paired t-test over float64[queries].

    1 for fewer than two queries, and where no query differs; 0 where all differ by the same.
    """
    differences = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    if len(differences) < 2 or not differences.any():
        return 1.0
    if np.ptp(differences) <= ROUNDING * np.abs(differences).max():
        return 0.0
    from scipy import stats

    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def randomization_test(first: Values, second: Values, samples: int = SAMPLES, seed: int = 0) -> float:
    """Two-sided p-value of the paired randomization test (Smucker, Allan, Carterette, CIKM 2007).

    The share of all assignments of signs to the differences whose mean is at least as far from 0. Up to 16 queries that
    differ, all are tried; else `samples` random ones, and the p-value is (1 + count) / (1 + samples).
    """
    differences = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    differences = differences[differences != 0]
    n = len(differences)
    if not n:
        return 1.0
    seen = abs(differences.sum()) - ROUNDING * np.abs(differences).sum()  # equal sums differ in the last digits
    if n <= ENUMERATED:
        signs = 1.0 - 2.0 * ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ differences) >= seen).mean())
    generator = np.random.default_rng(seed)
    count, done = 0, 0
    step = max(_AT_ONCE // n, 1)
    while done < samples:
        size = min(step, samples - done)
        signs = 1.0 - 2.0 * generator.integers(0, 2, (size, n), np.int8)
        count += int((np.abs(signs @ differences) >= seen).sum())
        done += size
    return (1 + count) / (1 + samples)


def holm(p_values: Sequence[float]) -> Values:
    """Holm's step-down correction (Scandinavian Journal of Statistics 1979), in the order given.

    The i-th smallest of m is multiplied by m - i + 1; none is below a smaller one's, nor above 1.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected
