"""Recipes: each can be read, and the small ones train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lsr.encoders import load_encoder
from lsr.training.config import read_training
from lsr.training.trainer import train
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
    optimiser = replace(config.optimiser, steps=2, batch_size=4)
    train(
        replace(config, optimiser=optimiser, evaluation=None), tmp_path / "out", offline_data=data_path(), device="cpu"
    )
    vectors = load_encoder(tmp_path / "out" / "encoder").encode_documents(["statins lower cholesterol"])
    assert vectors.nnz > 0
