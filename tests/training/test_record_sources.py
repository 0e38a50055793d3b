"""Judgments and titles as sources of examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsr.errors import CollectionError, ParameterError
from lsr.training.data import Example, Judgments, Titles
from lsr.training.losses import LossSpec
from lsr.training.training_batches import open_streams
from lsr.training.training_config import DataConfig, EncoderConfig, OptimizerConfig, TrainingConfig
from tests.training.written import Qrels, real, with_store, write_collection, write_letters


def judged(folder: Path, relevant: int = 1, **splits: Qrels) -> Judgments:
    return Judgments(*with_store(write_letters(folder / "c", **splits), "train"), relevant)


def documents_of(examples: list[Example]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return [(example.query_id, example.positives, tuple(sorted(example.relevant))) for example in examples]


def test_grades(tmp_path: Path) -> None:
    train = {"q1": {"a": 2, "b": 1, "c": 0, "d": -1}, "q2": {"e": 1}}
    source = judged(tmp_path, train=train, test={"q1": {"f": 1, "g": 0}})
    assert documents_of(list(source.examples())) == [("q1", ("a", "b"), ("f",)), ("q2", ("e",), ())]
    assert (source.count(), source.left_out) == (2, 0)
    strict = judged(tmp_path / "strict", 2, train=train, test={"q1": {"f": 1, "g": 0}})
    assert documents_of(list(strict.examples())) == [("q1", ("a",), ("b", "f"))]
    assert (strict.count(), strict.left_out) == (1, 0)  # q2 has nothing of that grade: nothing is missing


def test_documents_that_are_not_there_or_empty(tmp_path: Path) -> None:
    documents = [("a", "", "text"), ("empty", " ", "")]
    queries = {"q1": "one", "q2": "two"}
    train = {"q1": {"a": 1, "gone": 1, "empty": 1}, "q2": {"gone": 1}}
    source = Judgments(*with_store(write_collection(tmp_path / "c", documents, queries, train=train), "train"))
    assert [example.positives for example in source.examples()] == [("a",)]
    assert source.left_out == 1


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"c \(train\): no query has a document of grade 1 or more"):
        judged(tmp_path, train={"q1": {"a": 0, "gone": 1}})
    with pytest.raises(ParameterError, match="relevant is 0; it must be at least 1"):
        judged(tmp_path / "zero", 0, train={"q1": {"a": 1}})


def test_an_empty_query_is_named(tmp_path: Path) -> None:
    folder = write_collection(tmp_path / "c", [("a", "", "text")], {"q1": " "}, train={"q1": {"a": 1}})
    with pytest.raises(CollectionError, match=r"judgments of c \(train\), query 'q1':1: the query is empty"):
        Judgments(*with_store(folder, "train"))


@pytest.mark.data
def test_arguana_queries_are_not_their_own_negatives(tmp_path: Path) -> None:
    source = Judgments(*real("arguana", None, tmp_path))
    assert source.count() == 1401
    assert source.left_out == 5  # their documents are not in the corpus
    assert all(example.query_id in example.relevant for example in source.examples())


@pytest.mark.data
def test_a_real_split(tmp_path: Path) -> None:
    collection, store = real("scifact", "train", tmp_path)
    examples = list(Judgments(collection, store).examples())
    assert len(examples) == 809
    assert {example.query_id: set(example.positives) for example in examples} == {
        query_id: set(documents) for query_id, documents in collection.qrels().items()
    }
    assert all(example.query == collection.queries()[example.query_id] for example in examples)


def test_titles(tmp_path: Path) -> None:
    documents = [("a", "What?", "This."), ("b", "", "no title"), ("c", "What?", "That."), ("d", "no text", " ")]
    collection, store = with_store(write_collection(tmp_path / "c", documents, {}))
    source = Titles(collection, store)
    found = list(source.examples())
    assert [(example.query, example.positives) for example in found] == [("What?", ("a",)), ("What?", ("c",))]
    assert found[0].query_id == found[1].query_id
    assert source.corpus.text(0) == "This."
    # Neither a document of the same title is an opposite, nor one without a text.
    assert [source.corpus.opposes(row, "What?") for row in range(4)] == [False, True, False, False]


def test_titles_are_of_no_split(tmp_path: Path) -> None:
    documents, queries = [("a", "What?", "This."), ("b", "Who?", "They.")], {"q": "what is this"}
    folder = write_collection(tmp_path / "c", documents, queries, test={"q": {"a": 1}})
    data = DataConfig(str(folder), titles=True, group=1)
    config = TrainingConfig(EncoderConfig("tiny"), (data,), OptimizerConfig(steps=1), (LossSpec("in-batch"),))
    (stream,) = open_streams(config, tmp_path / "cache", False)
    assert sorted(group.query for group in stream.groups(0)) == ["What?", "Who?"]


@pytest.mark.data
def test_titles_of_questions_and_answers(tmp_path: Path) -> None:
    collection, store = real("medquad-liveqa", None, tmp_path)
    source = Titles(collection, store)
    examples = list(source.examples())
    rows = store.ids.rows([example.positives[0] for example in examples])
    pairs = [(example.query, source.corpus.text(row)) for example, row in zip(examples, rows.tolist(), strict=True)]
    assert pairs == [(each.title, each.text) for each in collection.documents() if each.title and each.text]
    assert len(pairs) > 15_000


@pytest.mark.data
def test_a_collection_without_titles(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="squad-nqg: no document has both a title and a text"):
        Titles(*real("squad-nqg", "dev", tmp_path))
