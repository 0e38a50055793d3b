"""Chunk by chunk, a batch gives the gradients that it gives as a whole, and holds the states of one chunk."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lsr.encoders.build import build_encoder
from lsr.training.gradient_cache import cached_gradients
from lsr.training.losses import LossSpec
from lsr.training.model import FIXED, LEARNED, TABLE, TextBatch, TrainableEncoder, Weights
from lsr.training.objective import Cost, Objective, TrainingBatch
from lsr.training.regularizers import Penalty
from lsr.training.training_config import (
    DataConfig,
    EncoderConfig,
    OptimizerConfig,
    RegularizerConfig,
    TrainingConfig,
)
from tests.encoders.models import write_model
from tests.training.trained import NO_DROPOUT, PLAIN, log_of, train_here, write_config

QUERIES, GROUP, STEP = 7, 3, 5
METHODS = {"splade-max": FIXED, "distilsplade-sep": FIXED, "splade-doc": TABLE, "li-lsr": LEARNED, "unicoil": FIXED,
           "epic": FIXED, "prosper-bert": FIXED}  # fmt: skip


def make(method: str, folder: Path, dropout: float = 0.0) -> tuple[TrainableEncoder, TrainingBatch, Any]:
    """A model, a batch with a teacher's scores of all its documents, and a fresh objective for each call."""
    changes = NO_DROPOUT if not dropout else dict.fromkeys(NO_DROPOUT, dropout)
    model = TrainableEncoder(build_encoder(method, write_model(folder, **changes)), METHODS[method], seed=2).train()
    random = np.random.default_rng(5)

    def texts(count: int, longest: int) -> list[str]:
        return [" ".join(random.choice(PLAIN, random.integers(1, longest))) for _ in range(count)]

    batch = TrainingBatch(
        tuple(f"q{number}" for number in range(QUERIES)),
        model.batch(texts(QUERIES, 4), True),
        model.batch(texts(QUERIES * GROUP, 12), False),
        torch.from_numpy(random.normal(size=(QUERIES, QUERIES * GROUP)).astype(np.float32)),
        torch.from_numpy(random.random((QUERIES, QUERIES * GROUP)) < 0.1),
    )
    config = TrainingConfig(
        EncoderConfig(method=method, backbone="b"),
        (DataConfig(records="r", group=GROUP),),
        OptimizerConfig(steps=10),
        losses=(LossSpec("in-batch"), LossSpec("kl", 0.5), LossSpec("margin-mse", 0.01)),
        regularizer=RegularizerConfig(
            (Penalty("l1", 0.01), Penalty("flops", 0.1)),
            (Penalty("flops", 0.1, "halves"), Penalty("df-flops", 0.1), Penalty("flops", 0.1, "slots", above=2)),
        ),
    )
    return model, batch, lambda: Objective(config, model.encoder.dim, None, 10, torch.device("cpu"))


def gradients(model: TrainableEncoder) -> dict[str, Tensor]:
    return {name: each.grad for name, each in model.named_parameters() if each.grad is not None}


def cached(model: TrainableEncoder, batch: TrainingBatch, objective: Objective, chunk: int) -> tuple[Cost, Any]:
    model.zero_grad()
    ended: list[bool] = []

    def around(last: bool) -> Any:
        ended.append(last)
        return nullcontext()

    def encode(some: TrainingBatch) -> tuple[Weights, Weights]:
        weights: tuple[Weights, Weights] = model(some.queries, some.documents)
        return weights

    cost, queries, documents = cached_gradients(
        batch, chunk, encode, lambda q, d: objective(q, d, batch, STEP), lambda total: total.backward(), around
    )
    assert ended == [False] * (-(-QUERIES // chunk) - 1) + [True]
    assert (len(queries.final), len(documents.final)) == (QUERIES, QUERIES * GROUP)
    return cost, gradients(model)


def close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    largest = max(float(each.abs().max()) for each in expected.values())
    assert largest > 1e-3
    for name, each in expected.items():
        torch.testing.assert_close(found[name], each, atol=2e-6 * max(1, largest), rtol=2e-4, msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_the_gradients_are_those_of_the_whole_batch(method: str, tmp_path: Path) -> None:
    model, batch, objective = make(method, tmp_path)
    cost = objective()(*model(batch.queries, batch.documents), batch, STEP)
    cost.total.backward()
    expected = {name: each.clone() for name, each in gradients(model).items()}
    for chunk in (1, 3, QUERIES - 1):
        found_cost, found = cached(model, batch, objective(), chunk)
        close(found, expected)
        for name, figure in cost.figures.items():
            assert float(found_cost.figures[name]) == pytest.approx(float(figure), rel=1e-4), name


@pytest.mark.parametrize("method", ["splade-max", "distilsplade-sep", "prosper-bert"])
def test_both_passes_drop_the_same_states(method: str, tmp_path: Path) -> None:
    """Against one backward over all chunks, each computed once, with gradients, from the same random numbers."""
    model, batch, objective = make(method, tmp_path, dropout=0.3)
    found = []
    for seed in (3, 4):
        model.zero_grad()
        torch.manual_seed(seed)
        parts = [batch.part(start, start + 2) for start in range(0, QUERIES, 2)]
        pairs = [model(part.queries, part.documents) for part in parts]
        whole = [
            Weights(torch.cat([pair[side].final for pair in pairs]), torch.cat([pair[side].base for pair in pairs]))
            for side in range(2)
        ]
        objective()(*whole, batch, STEP).total.backward()
        expected = {name: each.clone() for name, each in gradients(model).items()}
        torch.manual_seed(seed)
        found.append(cached(model, batch, objective(), 2)[1])
        close(found[-1], expected)
    assert any(not torch.allclose(found[0][name], found[1][name], rtol=0.1) for name in found[0])


def test_a_training_is_the_same_and_holds_one_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []

    def watched(self: TrainableEncoder, queries: TextBatch, documents: TextBatch) -> tuple[Weights, Weights]:
        sizes.append((queries.size, documents.size))
        return forward(self, queries, documents)

    forward = TrainableEncoder.forward
    monkeypatch.setattr(TrainableEncoder, "forward", watched)
    for name, more in (("whole", ""), ("chunks", "\ngrad_cache = 4")):
        sizes.clear()
        train_here(write_config(tmp_path, f"steps = 3\naccumulate = 2{more}"), name)
        assert sizes == ([(6, 18)] * 6 if name == "whole" else [(4, 12), (2, 6)] * 12)
    whole, chunks = (log_of(tmp_path / name) for name in ("whole", "chunks"))
    for one, other in zip(whole, chunks, strict=True):
        assert {name: float(value) for name, value in one.items()} == pytest.approx(
            {name: float(value) for name, value in other.items()}, rel=1e-3, abs=1e-6
        )
