"""Recipes: each can be read, and the small ones train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lsr.encoders import load_encoder
from lsr.encoders.presets import PRESETS
from lsr.training.trainer import train
from lsr.training.training_config import read_training
from tests.data import REPOSITORY, data_path

RECIPES = sorted((REPOSITORY / "recipes").rglob("*.toml"))
SMALL = [path for path in RECIPES if path.parent.name == "small"]
NAMES = {"splade-max", "distil-splade", "efficient-splade", "splade-doc", "inference-free", "li-lsr", "unicoil",
         "deepimpact", "deepct", "tildev2", "prosper"}  # fmt: skip


def test_there_is_one_of_each_for_two_sizes() -> None:
    assert {path.stem for path in SMALL} == NAMES
    assert {path.stem for path in RECIPES if path not in SMALL} == NAMES
    for path in RECIPES:
        assert read_training(path).seed == 42


@pytest.mark.slow
@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_small_ones_train(path: Path, tmp_path: Path) -> None:
    config = read_training(path)
    optimizer = replace(config.optimizer, steps=2, batch_size=4)
    train(
        replace(config, optimizer=optimizer, evaluation=None), tmp_path / "out", offline_data=data_path(), device="cpu"
    )
    vectors = load_encoder(tmp_path / "out" / "encoder").encode_documents(["statins lower cholesterol"])
    assert vectors.nnz > 0


@pytest.mark.parametrize("path", [path for path in RECIPES if path not in SMALL], ids=lambda path: path.stem)
def test_full_ones_are_as_their_method_is_known(path: Path) -> None:
    config = read_training(path)
    preset = PRESETS[config.encoder.method]
    known, optimizer = preset.training, config.optimizer
    given = {
        "batch": optimizer.batch_size,
        "rate": optimizer.rate,
        "steps": optimizer.steps,
        "epochs": optimizer.epochs,
    }
    for name, value in given.items():
        assert getattr(known, name) in (None, value)
    if known.warm_up:
        amount, *unit = known.warm_up.replace(",", "").split()
        whole = {"steps": optimizer.steps, "epochs": optimizer.epochs}[unit[0]] if unit else 1
        assert whole is not None and optimizer.warm_up == pytest.approx(float(amount) / whole)
    # naver's trainer adds one term twice, and its strength is written once.
    times = 2 if "twice" in preset.doubt else 1
    chosen = config.regularizer
    for penalties, penalty, factor in (
        (chosen.query, preset.regularizer.query, 1),
        (chosen.document, preset.regularizer.document, times),
    ):
        assert len(penalties) == (penalty is not None)
        if penalty is not None:
            assert penalties[0].kind == penalty.kind.lower()
            assert penalty.strength is None or penalties[0].strength == pytest.approx(factor * penalty.strength)
    assert preset.regularizer.steps in (None, chosen.steps)
