"""Negatives of a reproduction: the same documents for every teacher, each of which scores them once."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.collections.collection import load_collection
from lsr.encoders.load import load_encoder
from lsr.reproduce import shared_negatives as mining
from lsr.reproduce.shared_negatives import _Remembered, mine_for
from lsr.training.distillation import Scores, Teacher, TextGroup
from lsr.training.training_config import TeacherConfig
from tests.reproduce.made_up import write_plan
from tests.training.teachers import Letters, texts

NEGATIVES = 5


class Counted:
    """A teacher that counts how often it is asked for a group."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self.asked: Counter[tuple[str, tuple[str, ...]]] = Counter()

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        self.asked.update((group.query, group.documents) for group in groups)
        return self._teacher.scores(groups, whole_batch)

    def describe(self) -> dict[str, Any]:
        return self._teacher.describe()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_teachers_score_the_same_negatives_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = write_plan(tmp_path).parts[0]
    [one, other] = (part.mined[name].sparse[0] for name in ("one", "other"))
    configs = {
        "one": TeacherConfig(sparse=(one,), normalize="none", scale=1.0),
        "other": TeacherConfig(sparse=(other,), normalize="none", scale=1.0),
        "sum": TeacherConfig(sparse=(one, other), normalize="none", scale=2.0),
        "both": TeacherConfig(sparse=(other, one), scale=3.0),
    }
    opened: list[Counted] = []
    original = mining.open_teachers

    def counting(config: TeacherConfig, device: str | None) -> Any:
        ensemble = original(config, device)
        opened.extend(map(Counted, ensemble.teachers))
        return replace(ensemble, teachers=tuple(opened[-len(ensemble.teachers) :]))

    monkeypatch.setattr(mining, "open_teachers", counting)
    collection = load_collection(tmp_path / "data", "train")
    taught = {tmp_path / f"{name}.jsonl.gz": config for name, config in configs.items()}

    def mine(start: str) -> dict[str, list[dict[str, Any]]]:
        mine_for(taught, collection, tmp_path / "index", start, 16, NEGATIVES, "cpu", 1, False)
        return {path.name.partition(".")[0]: read(path) for path in taught}

    found = mine(part.start)

    queries = collection.queries()
    assert len(opened) == 2
    for teacher in opened:
        assert set(teacher.asked.values()) == {1}
        assert sorted(query for query, _ in teacher.asked) == sorted(queries.values())

    chosen = [[(each["query_id"], each["positive_ids"], each["negative_ids"]) for each in of] for of in found.values()]
    assert chosen == [chosen[0]] * 4
    assert [query_id for query_id, *_ in chosen[0]] == list(queries)
    text_of = {document.doc_id: document.full_text for document in collection.documents()}
    scores = {name: [np.array(each["scores"]) for each in of] for name, of in found.items()}
    encoders = {"one": load_encoder(one), "other": load_encoder(other)}
    for at, (query_id, positives, negatives) in enumerate(chosen[0]):
        assert len(set(negatives)) == NEGATIVES
        assert positives == list(collection.qrels()[query_id])
        documents = [text_of[doc_id] for doc_id in (*positives, *negatives)]
        for name, encoder in encoders.items():
            products = (
                encoder.encode_documents(documents).to_dense()
                @ encoder.encode_queries([queries[query_id]]).to_dense().ravel()
            )
            np.testing.assert_allclose(scores[name][at], products, rtol=1e-3, atol=1e-3)
        of_both = np.stack([scores["one"][at], scores["other"][at]])
        np.testing.assert_allclose(scores["sum"][at], of_both.sum(0), rtol=1e-5)
        ranges = np.ptp(of_both, axis=1, keepdims=True)
        scaled = (of_both - of_both.min(1, keepdims=True)) / ranges
        np.testing.assert_allclose(scores["both"][at], 3 * scaled.mean(0), rtol=1e-3, atol=1e-3)

    # What is there stays as it is, and what is missing becomes what it was.
    (tmp_path / "sum.jsonl.gz").unlink()
    before = {path: path.stat().st_mtime_ns for path in taught if path.exists()}
    assert mine(part.start) == found
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert mine("nothing to load") == found


GROUPS = st.lists(
    st.builds(
        texts, st.sampled_from(["apple", "banana", "plum"]), st.sampled_from(["a", "abba"]), st.sampled_from(["b", "p"])
    ),
    min_size=1,
    max_size=3,
)


@given(calls=st.lists(GROUPS, max_size=8))
def test_a_remembered_teacher_says_what_the_teacher_says_and_asks_it_once(calls: list[Any]) -> None:
    plain, asked = Letters(2.0), Letters(2.0)
    remembered = _Remembered(asked)
    for groups in calls:
        np.testing.assert_array_equal(remembered.scores(groups), plain.scores(groups))
    distinct = {tuple((group.query, group.documents) for group in groups) for groups in calls}
    assert asked.scored == sum(len(documents) for groups in distinct for _, documents in groups)
    assert remembered.describe() == plain.describe()


def test_scores_of_the_whole_batch_are_not_taken_for_those_of_own_documents() -> None:
    groups = [texts("apple", "a", "abba"), texts("banana", "b", "p")]
    remembered = _Remembered(Letters())
    for whole_batch in (False, True, False):
        expected = Letters().scores(groups, whole_batch)
        np.testing.assert_array_equal(remembered.scores(groups, whole_batch), expected)
