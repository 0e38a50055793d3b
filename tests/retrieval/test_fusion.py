"""Fusion against hand-computed examples, naive twins and the laws it should obey."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import ParameterError, RunError
from lsr.retrieval.fusion import Fused, Ranking, fuse, fuse_runs, interpolate, normalized, reciprocal_rank_fusion
from lsr.retrieval.request import Fusion
from tests.naive import fusion as twin

SPARSE = {"a": 12.0, "b": 8.0, "c": 4.0}
DENSE = {"b": 0.9, "d": 0.7, "a": 0.5}

scores = st.floats(-50, 50, width=32)
lists = st.dictionaries(st.sampled_from("abcdefgh"), scores, max_size=8)


def ranking(found: dict[str, float]) -> Ranking:
    return Ranking(np.array(list(found), object), np.array(list(found.values()), np.float64))


def as_dict(fused: Fused) -> dict[str, float]:
    return dict(zip(fused.documents.tolist(), fused.scores.tolist(), strict=True))


def test_min_max_interpolation_by_hand() -> None:
    # sparse: a 1, b .5, c 0; dense: b 1, d .5, a 0; each lacks one, which gets its minimum, 0.
    fused = interpolate(ranking(SPARSE), ranking(DENSE), Fusion(weight=0.25))
    assert fused.documents.tolist() == ["b", "d", "a", "c"]
    assert fused.scores.tolist() == pytest.approx([0.875, 0.375, 0.25, 0.0])
    assert fused.places.tolist() == [[1, 0], [-1, 1], [0, 2], [2, -1]]


def test_a_missing_document_gets_the_minimum_or_zero() -> None:
    by_minimum = as_dict(fuse([ranking(SPARSE), ranking(DENSE)], (0.5, 0.5), missing="minimum"))
    assert by_minimum == pytest.approx({"a": 6.25, "b": 4.45, "c": 2.25, "d": 2.35})
    by_zero = as_dict(fuse([ranking(SPARSE), ranking(DENSE)], (0.5, 0.5), missing="zero"))
    assert by_zero == pytest.approx({"a": 6.25, "b": 4.45, "c": 2.0, "d": 0.35})


def test_reciprocal_ranks_by_hand() -> None:
    fused = as_dict(reciprocal_rank_fusion([ranking(SPARSE), ranking(DENSE)]))
    assert fused == pytest.approx({"a": 1 / 61 + 1 / 63, "b": 1 / 62 + 1 / 61, "c": 1 / 63, "d": 1 / 62})
    assert list(fused) == ["b", "a", "d", "c"]


def test_z_scores_by_hand() -> None:
    assert normalized(np.array([1.0, 2.0, 3.0]), "z-score").tolist() == pytest.approx(
        [-math.sqrt(1.5), 0, math.sqrt(1.5)]
    )


@pytest.mark.parametrize(("how", "value"), [("min-max", 1.0), ("z-score", 0.0), ("none", 7.1)])
def test_equal_scores_divide_by_nothing(how: str, value: float) -> None:
    assert normalized(np.full(3, 7.1), how).tolist() == [value] * 3


def test_ties_are_ordered_by_document_whatever_the_lists() -> None:
    tied = {"c": 1.0, "a": 1.0, "b": 1.0}
    for order in (tied, dict(reversed(tied.items()))):
        assert fuse([ranking(order), ranking({})]).documents.tolist() == ["a", "b", "c"]
    rows = Ranking(np.array([10, 9, 2]), np.ones(3))
    assert fuse([rows]).documents.tolist() == [2, 9, 10]


@given(st.lists(lists, min_size=1, max_size=4), st.data())
def test_equals_the_naive_twin(rankings: list[dict[str, float]], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0, 2), min_size=len(rankings), max_size=len(rankings)))
    how = data.draw(st.sampled_from(["none", "min-max", "z-score"]))
    missing = data.draw(st.sampled_from(["minimum", "zero"]))
    found = fuse([ranking(each) for each in rankings], weights, how, missing)
    expected = twin.fuse(rankings, weights, how, missing)
    # A deviation of nearly nothing is a matter of rounding.
    assert as_dict(found) == pytest.approx(expected, rel=1e-6, abs=1e-6 if how != "z-score" else 1e-3)
    assert (np.diff(found.scores) <= 0).all()


@given(st.lists(lists, min_size=1, max_size=4))
def test_reciprocal_ranks_equal_the_naive_twin(rankings: list[dict[str, float]]) -> None:
    found = reciprocal_rank_fusion([ranking(each) for each in rankings])
    assert as_dict(found) == pytest.approx(twin.reciprocal_rank_fusion(rankings))


varied = lists.filter(lambda scores: len(set(scores.values())) > 1)


@given(varied, varied, st.floats(0, 1), st.booleans())
def test_equals_pyserinis_hybrid_searcher(
    sparse: dict[str, float], dense: dict[str, float], alpha: float, normalize: bool
) -> None:
    """Its normalization is centered on 0, ours begins there: half the sum of the weights lies between them."""
    found = fuse([ranking(sparse), ranking(dense)], (alpha, 1), "min-max" if normalize else "none", "minimum")
    shift = (alpha + 1) / 2 if normalize else 0
    expected = {doc: score + shift for doc, score in twin.hybrid_searcher(dense, sparse, alpha, normalize).items()}
    assert as_dict(found) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(lists, lists)
def test_weight_one_is_the_sparse_list_and_zero_the_dense(sparse: dict[str, float], dense: dict[str, float]) -> None:
    for weight, alone in ((1.0, sparse), (0.0, dense)):
        fused = as_dict(interpolate(ranking(sparse), ranking(dense), Fusion(weight=weight, normalize="none")))
        assert {doc: fused[doc] for doc in alone} == pytest.approx(alone)


@given(lists, st.floats(0.01, 100), st.floats(-20, 20))
def test_min_max_does_not_depend_on_scale_or_origin(scores: dict[str, float], scale: float, shift: float) -> None:
    values = np.array(list(scores.values()))
    if len(values) and np.ptp(values) > 1e-3:
        moved = normalized(values * scale + shift, "min-max")
        assert moved == pytest.approx(normalized(values, "min-max"), abs=1e-6)


def test_runs_are_fused_query_by_query() -> None:
    fused = fuse_runs([{"1": SPARSE}, {"1": DENSE, "2": {"z": 3.0}}], normalize="min-max", k=2)
    assert fused == {"1": pytest.approx({"b": 1.5, "a": 1.0}), "2": {"z": 1.0}}
    by_rank = fuse_runs([{"1": SPARSE}, {"1": DENSE}], method="rrf")
    assert list(by_rank["1"]) == ["b", "a", "d", "c"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": 1.1},
        {"weight": math.nan},
        {"weight": True},
        {"normalize": "minmax"},
        {"missing": "least"},
        {"fusion": "max"},
        {"depth": 0},
        {"depth": 10.0},
    ],
)
def test_invalid_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Fusion(**{"method" if name == "fusion" else name: value for name, value in wrong.items()})  # type: ignore[arg-type]


def test_invalid_rankings_are_refused() -> None:
    with pytest.raises(ParameterError, match="nothing to fuse"):
        fuse([])
    with pytest.raises(RunError, match="'q' has 'a': nan"):
        fuse_runs([{"q": {"a": float("nan")}}])
    for score in (float("inf"), 1e308):
        with pytest.raises(ParameterError, match="a ranking has a score that is NaN"):
            fuse_runs([{"q": {"a": score}}, {"q": {"a": 1.0}}])
    with pytest.raises(ParameterError, match="weights? (are|is)"):
        fuse_runs([{"q": {"a": 1.0}}], weights=[float("nan")])
    with pytest.raises(ParameterError, match="rrf has no weights"):
        fuse_runs([{"q": {"a": 1.0}}], weights=[1.0], method="rrf")
    with pytest.raises(ParameterError, match="k is -1"):
        fuse_runs([{"q": {"a": 1.0}}], k=-1)
    near = fuse_runs([{"q": {"a": 1e100, "b": -1e100}}, {"q": {"a": 1.0}}], normalize="min-max")
    assert near["q"] == {"a": 2.0, "b": 1.0}


def test_a_weight_for_each_list() -> None:
    with pytest.raises(ParameterError, match="for 1 rankings; give one finite number per ranking"):
        fuse([ranking(SPARSE)], (1, 1))
