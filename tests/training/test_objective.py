"""What a batch knows of its documents, and what DeepCT learns from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import mse_loss

from lsr.encoders.build import build_encoder
from lsr.training.data import Group
from lsr.training.model import TrainableEncoder
from lsr.training.objective import Objective, TrainingBatch, known_relevant, term_recall
from lsr.training.training_config import DataConfig, EncoderConfig, OptimizerConfig, TrainingConfig
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
    for method in ("deepct", "deepimpact", "qmlp-dbin"):  # by networks, and looked up
        model = TrainableEncoder(build_encoder(method, write_model(tmp_path / method)))
        queries, documents = ["alpha sea", "run"], ["sea beta sea", "gamma", "delta", "run run of"]
        batch = TrainingBatch(
            tuple(queries), model.batch(queries, True), model.batch(documents, False), None, torch.zeros(0)
        )
        found = term_recall(batch, 2, model.encoder.dim)
        tokens = [model.encoder.vocabulary.token(int(component)) for component in found.components]
        assert list(zip(found.texts.tolist(), tokens, strict=True)) == [(0, "sea")]
        assert found.weights.tolist() == [1.0]


@pytest.mark.parametrize(("method", "sides"), [("deepct", "qd"), ("deepimpact", "d"), ("qmlp-dbin", "q")])
def test_term_recall_is_learned_by_each_side_that_has_a_network(method: str, sides: str, tmp_path: Path) -> None:
    """mse(queries, targets) + mse(documents, targets), as the unified framework's TermMSELoss."""
    model = TrainableEncoder(build_encoder(method, write_model(tmp_path)))
    queries, documents = model.batch(["alpha sea", "run"], True), model.batch(["sea beta sea", "run run of"], False)
    batch = TrainingBatch(("a", "b"), queries, documents, None, torch.zeros(2, 2, dtype=torch.bool))
    config = TrainingConfig(
        EncoderConfig(method=method, backbone="-"), DataConfig("-", group=1), OptimizerConfig(steps=1), term_recall=2.0
    )
    weights = model(queries, documents)
    cost = Objective(config, model.encoder.dim, None, 1, torch.device("cpu"))(*weights, batch, 1)
    targets = torch.zeros(2, model.encoder.dim)
    for row, token in enumerate(("sea", "run")):
        component = model.encoder.vocabulary.id_of(token)
        assert component is not None
        targets[row, component] = 1
    trained = [each.final.detach() for each, side in zip(weights, "qd", strict=True) if side in sides]
    expected = sum(float(mse_loss(each, targets)) for each in trained)
    assert cost.figures["term-mse"].item() == pytest.approx(expected)
    assert cost.total.item() == pytest.approx(2 * expected)
