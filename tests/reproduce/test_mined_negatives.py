"""Negatives of a reproduction, and their scores: of several indexes, for some queries, by each teacher once."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lsr.collections.collection import load_collection
from lsr.encoders.load import load_encoder
from lsr.reproduce import mined_negatives as mining
from lsr.reproduce.mined_negatives import mine_for, store_teachers
from lsr.training.stored_scores import StoredScores
from lsr.training.training_config import TeacherConfig, TrainingConfig
from tests.reproduce.made_up import write_plan

NEGATIVES, QUERIES = 2, 9


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def mine(folder: Path, name: str, queries: int | None) -> list[dict[str, Any]]:
    path = folder / "negatives" / name
    collection = load_collection(folder / "data", "train")
    mine_for(path, collection, ("bm25", str(folder / "model")), NEGATIVES, queries, 16, "cpu", 1, False)
    return read(path)


def test_negatives_are_of_all_miners_and_some_queries(tmp_path: Path) -> None:
    write_plan(tmp_path)
    every, some = mine(tmp_path, "every.jsonl.gz", None), mine(tmp_path, "some.jsonl.gz", QUERIES)
    collection = load_collection(tmp_path / "data", "train")
    relevant = collection.relevant()
    assert [each["query_id"] for each in every] == list(collection.queries())
    assert len(some) == QUERIES
    assert [each for each in every if each in some] == some
    for each in every:
        assert NEGATIVES <= len(each["negative_ids"]) <= 2 * NEGATIVES
        assert not {*each["negative_ids"]} & {*relevant[each["query_id"]]}
    assert any(len(each["negative_ids"]) > NEGATIVES for each in every)


def test_teachers_score_once_and_what_is_trained_on_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = write_plan(tmp_path)
    [_, variant] = plan.parts[0].variants
    mine(tmp_path, "some.jsonl.gz", QUERIES)
    path = str(tmp_path / "negatives" / "some.jsonl.gz")
    data = replace(variant.config.data[0], negatives=path, cache=str(tmp_path / "cache"))
    models = (str(tmp_path / "model"), str(tmp_path / "other"))
    teacher = TeacherConfig(sparse=models, weights=(1.0, 3.0), store=True)
    config = replace(variant.config, data=(data,), teacher=teacher)
    opened: list[TeacherConfig] = []
    original = mining.open_teachers

    def counting(teacher: TeacherConfig, device: str | None) -> Any:
        opened.append(teacher)
        return original(teacher, device)

    monkeypatch.setattr(mining, "open_teachers", counting)

    def stored() -> TrainingConfig:
        return store_teachers(config, tmp_path / "scores", None, "cpu", False)

    found = stored()
    assert stored() == found
    assert [each.sparse for each in opened] == [(name,) for name in models]
    assert found.teacher is not None
    assert replace(found, teacher=teacher) == config
    assert replace(found.teacher, sparse=models, store=True, scores=()) == teacher

    collection = load_collection(tmp_path / "data", "train")
    texts = {document.doc_id: document.full_text for document in collection.documents()}
    for name, place in zip(models, found.teacher.scores, strict=True):
        scores, encoder = StoredScores(place), load_encoder(name)
        for record in read(Path(path)):
            ids = [*record["positive_ids"], *record["negative_ids"]]
            query = encoder.encode_queries([collection.queries()[record["query_id"]]]).to_dense().ravel()
            products = encoder.encode_documents([texts[doc_id] for doc_id in ids]).to_dense() @ query
            expected = dict(zip(ids, products.tolist(), strict=True))
            assert scores.of_query(record["query_id"]) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_without_a_teacher_to_store_nothing_changes(tmp_path: Path) -> None:
    for variant in write_plan(tmp_path).parts[0].variants:
        plain = replace(variant.config, teacher=None)
        assert store_teachers(plain, tmp_path / "scores", None, "cpu", False) is plain
    assert not (tmp_path / "scores").exists()
