"""Measures against values worked out by hand, and against ir_measures on the same files."""

from __future__ import annotations

import math
from pathlib import Path

import ir_measures
import numpy as np
import pytest

from lsr.collections.runs import read_qrels, read_run, write_run
from lsr.errors import ParameterError, RunError
from lsr.eval.measures import DEFAULT_MEASURES, aggregate, evaluate, evaluate_queries
from lsr.eval.significance import compare

QRELS = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"a": 1}, "q3": {"z": 1}}
RUN = {"q1": {"x": 9.0, "a": 8.0, "c": 7.0, "b": 6.0}, "q2": {"b": 2.0, "a": 1.0}, "unjudged": {"a": 1.0}}


def test_values_by_hand() -> None:
    values = evaluate_queries(QRELS, RUN, ["nDCG@10", "RR@10", "AP", "R@2", "P@2"])
    ideal = 2 + 1 / math.log2(3)
    found = 2 / math.log2(3) + 1 / math.log2(5)
    assert values["nDCG@10"] == pytest.approx({"q1": found / ideal, "q2": 1 / math.log2(3), "q3": 0})
    assert values["RR@10"] == {"q1": 0.5, "q2": 0.5, "q3": 0}
    assert values["AP"] == pytest.approx({"q1": (1 / 2 + 2 / 4) / 2, "q2": 0.5, "q3": 0})
    assert values["R@2"] == {"q1": 0.5, "q2": 1, "q3": 0}
    assert values["P@2"] == {"q1": 0.5, "q2": 0.5, "q3": 0}
    # three judged queries, though the run has results for two of them: q3 counts as zero, "unjudged" not at all
    assert evaluate(QRELS, RUN, ["RR@10"]) == {"RR@10": pytest.approx(1 / 3)}


def test_names_are_kept_as_given_and_counts_are_summed() -> None:
    assert list(evaluate(QRELS, RUN, ["MAP", "AP", "Recall@5"])) == ["MAP", "AP", "Recall@5"]
    assert evaluate(QRELS, RUN, ["NumRet", "MAP"])["NumRet"] == 6
    assert list(evaluate(QRELS, RUN)) == list(DEFAULT_MEASURES)


def test_a_run_without_any_result_scores_zero() -> None:
    assert evaluate(QRELS, {}, ["nDCG@10", "RR@10"]) == {"nDCG@10": 0, "RR@10": 0}
    assert evaluate(QRELS, {"q1": {}}, ["nDCG@10"]) == {"nDCG@10": 0}


def test_the_written_run_gives_ir_measures_the_same_figures(tmp_path: Path) -> None:
    """With graded and negative judgments, ties, missing queries, and scores that differ in the last bit only."""
    random = np.random.default_rng(7)
    qrels = {f"q{i}": {f"d{j}": int(g) for j, g in enumerate(random.integers(-1, 4, 30))} for i in range(40)}
    run = {}
    for i in range(5, 50):
        base = np.float32(random.integers(1, 4)) + random.integers(0, 40, 60) * np.spacing(np.float32(2))
        run[f"q{i}"] = {f"d{j}": float(score) for j, score in enumerate(base.astype(np.float32))}
    assert any(len(set(ranking.values())) < len(ranking) for ranking in run.values())

    names = ["nDCG@10", "RR@10", "AP", "R@20", "RR", "P@5", "Success@3", "AP(rel=2)", "Judged@10", "NumRet"]
    write_run(tmp_path / "run.trec", run)
    (tmp_path / "qrels").write_text(
        "".join(f"{q} 0 {d} {grade}\n" for q, judged in qrels.items() for d, grade in judged.items())
    )
    theirs = ir_measures.calc_aggregate(
        [ir_measures.parse_measure(name) for name in names],
        ir_measures.read_trec_qrels(str(tmp_path / "qrels")),
        ir_measures.read_trec_run(str(tmp_path / "run.trec")),
    )
    expected = {str(measure): value for measure, value in theirs.items()}
    assert evaluate(qrels, run, names) == pytest.approx(expected, abs=1e-12)
    assert evaluate(read_qrels(tmp_path / "qrels"), read_run(tmp_path / "run.trec"), names) == pytest.approx(expected)


def test_per_query_values_add_up() -> None:
    per_query = evaluate_queries(QRELS, RUN, ["nDCG@10", "AP"])
    assert aggregate(per_query) == evaluate(QRELS, RUN, ["nDCG@10", "AP"])


@pytest.mark.parametrize(
    "name",
    [
        "nDCG@x",
        "nDCG@0",
        "R@-1",
        "R@True",
        "R",
        "ndcg@10",
        "",
        "nDCG@10.5",
        "AP(foo=1)",
        "AP(rel=0)",
        "AP(",
        "a b",
        "AP(rel=2147483647)",
        "AP(rel=2147483648)",
        "nDCG@99999999999999999999",
        "R@1000001",
    ],
)
def test_measures_that_are_not_understood(name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        evaluate(QRELS, RUN, [name])
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_measures_without_a_value_for_every_query() -> None:
    with pytest.raises(ParameterError, match="Accuracy"):
        evaluate({"1": {"a": 1}, "2": {"b": 1}}, {"1": {"a": 1.0}}, ["Accuracy"])


def test_no_measures_no_judgments_nothing_in_common() -> None:
    with pytest.raises(ParameterError, match="no measures"):
        evaluate(QRELS, RUN, [])
    with pytest.raises(RunError, match="no judgments"):
        evaluate({}, RUN)
    with pytest.raises(RunError, match=r"no query in common .*'other'.*'q1'"):
        evaluate(QRELS, {"other": {"a": 1.0}})


@pytest.mark.parametrize("missing", [math.nan, np.float32("nan"), None])
def test_a_missing_score_or_grade_is_refused(missing: float) -> None:
    for qrels, run in (({"q1": {"d1": 1}}, {"q1": {"d1": missing}}), ({"q1": {"d1": missing}}, {"q1": {"d1": 1.0}})):
        with pytest.raises(RunError, match=r"'q1' has 'd1': "):
            evaluate(qrels, run, ["RR@10"])  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"'RR@10' has 'q1': "):
        compare({"RR@10": {"q1": missing}}, {"RR@10": {"q1": 1.0}})


def test_grades_are_whole_numbers_of_any_type() -> None:
    expected = evaluate(QRELS, RUN)
    for of_type in (np.int64, np.float32, float):
        assert evaluate({q: {d: of_type(g) for d, g in judged.items()} for q, judged in QRELS.items()}, RUN) == expected
    for grade in (0.5, math.inf, 1001):
        with pytest.raises(RunError, match=rf"'q1' has 'd1': {grade}; grades are whole numbers"):
            evaluate({"q1": {"d1": grade}}, {"q1": {"d1": 1.0}})  # type: ignore[dict-item]
