"""Tests and corrections against scipy, enumeration and naive twins."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lsr.errors import ParameterError, RunError
from lsr.eval.significance import compare, holm, paired_t_test, randomization_test

pairs = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=12)
probabilities = st.lists(st.floats(0, 1), max_size=12)


def arrays(found: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([a for a, _ in found]) / 20, np.array([b for _, b in found]) / 20


@given(pairs)
def test_t_test_equals_scipys(found: list[tuple[int, int]]) -> None:
    first, second = arrays(found)
    differences = second - first
    if np.ptp(differences) > 1e-9:
        assert paired_t_test(first, second) == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-6)
    assert paired_t_test(first, second) == pytest.approx(paired_t_test(second, first))


def test_t_tests_without_a_spread() -> None:
    assert paired_t_test(np.array([0.1]), np.array([0.9])) == 1.0
    assert paired_t_test(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 1.0
    assert paired_t_test(np.array([0.0, 0.0]), np.array([0.25, 0.25])) == 0.0


@given(st.lists(st.integers(-5, 5), max_size=9))
def test_few_queries_are_enumerated(differences: list[int]) -> None:
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    expected = np.mean([each >= abs(sum(differences)) for each in sums])
    found = randomization_test(np.zeros(len(differences)), np.array(differences, float))
    assert found == pytest.approx(expected)


def test_many_queries_are_sampled_near_the_t_test() -> None:
    random = np.random.default_rng(0)
    first = random.random(300)
    second = first + random.normal(0.01, 0.1, 300)
    sampled = randomization_test(first, second)
    assert sampled == pytest.approx(paired_t_test(first, second), abs=0.01)
    assert sampled == randomization_test(first, second)
    assert randomization_test(first, first + random.random(300), samples=999) == pytest.approx(1 / 1000)


def naive_holm(p_values: list[float]) -> list[float]:
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for step, at in enumerate(sorted(range(len(p_values)), key=lambda each: p_values[each])):
        largest = max(largest, min(1.0, p_values[at] * (len(p_values) - step)))
        corrected[at] = largest
    return corrected


@given(probabilities)
def test_holm_equals_the_naive_twin(p_values: list[float]) -> None:
    found = holm(p_values).tolist()
    assert found == pytest.approx(naive_holm(p_values))
    assert all(p <= corrected <= 1 for p, corrected in zip(p_values, found, strict=True))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]).tolist() == pytest.approx([0.04, 0.09, 0.09, 0.5])


FIRST = {"AP": {"1": 0.1, "2": 0.5, "3": 0.5}, "P@5": {"1": 0.2, "2": 0.2, "3": 0.2}}
SECOND = {"AP": {"3": 0.4, "2": 0.5, "1": 0.9}, "P@5": {"1": 0.2, "2": 0.2, "3": 0.2}}


def test_comparisons_pair_queries_by_id() -> None:
    ap, precision = compare(FIRST, SECOND)
    assert (ap.measure, ap.queries, ap.wins, ap.ties, ap.losses) == ("AP", 3, 1, 1, 1)
    assert (ap.first, ap.second, ap.difference) == pytest.approx((1.1 / 3, 0.6, 0.6 - 1.1 / 3))
    assert ap.p_value == pytest.approx(stats.ttest_rel([0.1, 0.5, 0.5], [0.9, 0.5, 0.4]).pvalue)
    assert (precision.p_value, precision.corrected) == (1.0, 1.0)
    assert ap.corrected == pytest.approx(min(1, 2 * ap.p_value))
    # Of the four assignments of signs to .8 and -.1 none has a sum nearer to 0 than .7.
    assert compare(FIRST, SECOND, "randomization")[0].p_value == 1.0


def test_runs_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(RunError, match="evaluate both with the same measures"):
        compare(FIRST, {"AP": SECOND["AP"]})
    with pytest.raises(RunError, match="not the same ones"):
        compare({"AP": {"1": 0.1}}, {"AP": {"2": 0.1}})
    with pytest.raises(RunError, match="not the same ones"):
        compare({"AP": {}}, {"AP": {}})
    with pytest.raises(ParameterError, match="wilcoxon"):
        compare(FIRST, SECOND, "wilcoxon")
