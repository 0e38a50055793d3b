"""What a batch knows of its documents, and what DeepCT learns from it."""

from __future__ import annotations

from pathlib import Path

import torch

from lsr.encoders.build import build_encoder
from lsr.training.data import Group
from lsr.training.model import TrainableEncoder
from lsr.training.objective import TrainingBatch, known_relevant, term_recall
from tests.encoders.models import write_model


def group(query: str, documents: str, relevant: str) -> Group:
    return Group(query, query, tuple(documents), tuple(documents), None, tuple(relevant))


def test_relevant_documents_of_other_queries_are_known() -> None:
    groups = [group("q", "ab", "a"), group("r", "cb", "cb"), group("s", "ac", "a")]
    expected = [
        [True, False, False, False, True, False],
        [False, True, True, True, False, True],
        [True, False, False, False, True, False],
    ]
    assert known_relevant(groups).tolist() == expected


def test_records_of_one_query_know_of_each_other() -> None:
    assert known_relevant([group("q", "a", "a"), group("q", "b", "b")]).all()


def test_term_recall_is_of_the_tokens_that_the_query_has(tmp_path: Path) -> None:
    for method in ("deepct", "deepimpact"):  # queries by a network, and looked up
        model = TrainableEncoder(build_encoder(method, write_model(tmp_path / method)))
        queries, documents = ["alpha sea", "run"], ["sea beta sea", "gamma", "delta", "run run of"]
        batch = TrainingBatch(
            tuple(queries), model.batch(queries, True), model.batch(documents, False), None, torch.zeros(0)
        )
        found = term_recall(batch, 2, model.encoder.dim)
        tokens = [model.encoder.vocabulary.token(int(component)) for component in found.components]
        assert list(zip(found.texts.tolist(), tokens, strict=True)) == [(0, "sea")]
        assert found.weights.tolist() == [1.0]
