"""Judgments whose ids have another form than those of the documents: figures would be 0 without a word."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from lsr.errors import LsrWarning, RunError
from lsr.eval import evaluate, evaluate_queries
from lsr.eval.judged_documents import check_index, check_run

RUN = {"q1": {"d1": 2.0, "d2": 1.0}, "q2": {"d3": 1.0}}


def test_numbers_at_the_end_of_names_are_part_of_them() -> None:
    with pytest.warns(LsrWarning, match="no document of the run is judged"):
        check_run({"q1": {"report-1.0": 1, "0x": 1}}, {"q1": {"report-1": 1.0, "x": 1.0}})


def test_a_run_without_any_judged_document_is_told() -> None:
    qrels = {"q1": {"1.0": 1}, "q2": {"3.0": 1}}
    for measure in (evaluate_queries, evaluate):
        with pytest.warns(
            LsrWarning, match="the judgments have '1.0', the run 'd1'; check that the judgments belong"
        ) as told:
            measure(qrels, RUN, ["nDCG@10"])
        assert len(told) == 1


@pytest.mark.parametrize(
    ("judged", "found"), [("1.0", "1"), ("7", "007"), ("D1", "d1"), ("d1 ", "d1"), ("MED-10", "med-10")]
)
def test_the_same_ids_written_in_two_ways_are_an_error(judged: str, found: str) -> None:
    with pytest.raises(RunError, match=f"{judged!r} in the judgments is {found!r} in the run; use one form"):
        evaluate({"q1": {judged: 1}}, {"q1": {found: 1.0}}, ["nDCG@10"])


@pytest.mark.parametrize("qrels", [{"q1": {"d9": 1, "d2": 0}}, {"q2": {"d1": 1}}, {"q1": {}, "q2": {"d3": 1}}])
def test_runs_that_miss_some_are_as_runs_are(qrels: dict[str, dict[str, int]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_run(qrels, RUN)
        check_run(qrels, {})
        check_run(qrels, {"q1": {}})


def rows_of(doc_ids: list[str]) -> np.ndarray:
    return np.array([int(doc_id[1:]) if doc_id in ("d0", "d1") else -1 for doc_id in doc_ids])


def test_documents_that_an_index_lacks_are_counted() -> None:
    with pytest.warns(LsrWarning, match="^1 of 3 judged documents are not in i, such as 'x'$"):
        check_index({"q1": {"d0": 1, "x": 0}, "q2": {"x": 1, "d1": 1}}, rows_of, "i", "d0")
    with pytest.raises(RunError, match="none of the 2 judged documents is in i: the judgments have '0', the"):
        check_index({"q1": {"0": 1, "1": 0}}, rows_of, "i", "d0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_index({"q1": {"d0": 1}}, rows_of, "i", "d0")
