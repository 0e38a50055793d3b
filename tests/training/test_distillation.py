"""Ensembles of teachers: worked examples, the naive twin, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import ParameterError
from lsr.training.distillation import Ensemble, combined_scores, pairs_of
from tests.naive import losses as twin
from tests.training.teachers import Letters, texts

GROUPS = [texts("alpha", "aaa", "a", ""), texts("beta", "abba", "bb", "b")]


def test_min_max_by_hand() -> None:
    first, second = np.array([[1.0, 3, 2]]), np.array([[-40.0, 0, -60]])
    found = combined_scores([first, second], scale=30)
    assert found.dtype == np.float32
    assert found.tolist() == [pytest.approx([30 * (0 + 1 / 3) / 2, 30, 30 * (0.5 + 0) / 2], rel=1e-5)]
    assert combined_scores([first, second], "none", scale=1).tolist() == [[-19.5, 1.5, -29]]
    assert combined_scores([first, second], "none", 2, weights=(3, 1)).tolist() == [[-18.5, 4.5, -27]]


def test_equal_scores_are_all_zero_and_finite() -> None:
    assert combined_scores([np.full((1, 3), 7.0)]).tolist() == [[0, 0, 0]]


@given(
    st.integers(0, 1 << 30),
    st.integers(1, 3),
    st.sampled_from(["min-max", "none"]),
    st.sampled_from([0.5, 30.0]),
    st.booleans(),
)
def test_equals_the_naive_twin(seed: int, teachers: int, normalize: str, scale: float, weighted: bool) -> None:
    random = np.random.default_rng(seed)
    scores = [random.normal(scale=10.0**k, size=(2, 4)) for k in range(teachers)]
    weights = random.uniform(0.1, 3, teachers).tolist() if weighted else None
    found = combined_scores(scores, normalize, scale, weights)
    expected = twin.combined_scores(scores, normalize, scale, weights)
    assert found.tolist() == [pytest.approx(row, rel=1e-4, abs=1e-5) for row in expected]


@given(st.integers(0, 1 << 30), st.floats(0.1, 100), st.floats(-50, 50))
def test_no_teachers_scale_or_origin_matters(seed: int, scale: float, shift: float) -> None:
    random = np.random.default_rng(seed)
    first, second = random.normal(size=(2, 3, 5))
    expected = combined_scores([first, second])
    assert combined_scores([first * scale + shift, second]) == pytest.approx(expected, abs=1e-2)


def test_own_candidates_and_the_whole_batch() -> None:
    ensemble = Ensemble((Letters(), Letters(10.0)), scale=3.0)
    assert ensemble.scores(GROUPS) == pytest.approx(np.array([[3, 1, 0], [3, 3, 0]]), abs=1e-4)
    whole = ensemble.scores(GROUPS, whole_batch=True)
    assert whole == pytest.approx(np.array([[3, 1, 0, 2, 0, 0], [0, 0, 0, 3, 3, 1.5]]), abs=1e-4)
    assert whole.dtype == np.float32


def test_texts_without_ids_are_scored_whatever_their_number() -> None:
    scores = Ensemble((Letters(), Letters(10.0)), scale=3.0).score(["a", "b", "c"], [["a", "aaa", ""], ["b"], []])
    assert scores == [pytest.approx([1, 3, 0], abs=1e-4), [0], []]


def test_pairs_hold_every_text_once() -> None:
    groups = [texts("q", "x", "y"), texts("r", "y", "z"), texts("q", "x")]
    own = pairs_of(groups, whole_batch=False)
    assert (own.queries, own.documents) == (["q", "r"], ["x", "y", "z"])
    assert list(zip(own.query_of.tolist(), own.document_of.tolist(), strict=True)) == [
        (0, 0), (0, 1), (1, 1), (1, 2), (0, 0),
    ]  # fmt: skip
    whole = pairs_of(groups, whole_batch=True)
    assert whole.query_of.tolist() == [0] * 5 + [1] * 5 + [0] * 5
    assert whole.document_of.tolist() == [0, 1, 1, 2, 0] * 3


def test_groups_of_several_sizes_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"\[1, 3\]"):
        Ensemble((Letters(),)).scores([GROUPS[0], texts("q", "x")])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"teachers": ()}, "no teacher"),
        ({"normalize": "z-score"}, "normalize"),
        ({"scale": 0.0}, "scale"),
        ({"scale": math.inf}, "scale"),
        ({"weights": (1.0, 2.0)}, "weights"),
        ({"weights": (0.0,)}, "weights"),
    ],
)
def test_invalid_values_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Ensemble(**{"teachers": (Letters(),), **wrong})
