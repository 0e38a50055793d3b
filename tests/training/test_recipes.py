"""Recipes: each can be read, and the small ones train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lsr.collections.ir_datasets_source import IrDataset
from lsr.encoders.load import load_encoder
from lsr.encoders.presets import PRESETS
from lsr.encoders.spec import HeadSpec
from lsr.errors import ParameterError
from lsr.recipes import find_training, recipe_names
from lsr.training.trainer import train
from lsr.training.training_config import WindowConfig, read_training
from tests.data import LIBRARY

SMALL = [name for name in recipe_names() if name.startswith("small/")]
# tests/cli/test_expand.py trains these, and searches with them.
EXPANDED = {"small/tilde", "small/tildev2", "small/unicoil-tilde", "small/deepimpact"}
FULL = [name for name in recipe_names() if name not in SMALL]
NAMES = {"splade-max", "distil-splade", "efficient-splade", "splade-doc", "inference-free", "li-lsr", "unicoil",
         "unicoil-dt5q", "unicoil-tilde", "deepimpact", "deepct", "tilde", "tildev2", "epic", "sparta",
         "distilsplade-max", "distilsplade-sep", "qmlp-dmlm", "qmlm-dmlp", "prosper",
         "inference-free-pretraining", "efficient-splade-middle"}  # fmt: skip


def test_there_is_one_of_each_for_two_sizes() -> None:
    assert set(FULL) == NAMES
    assert set(SMALL) == {f"small/{name}" for name in NAMES}
    for name in recipe_names():
        assert read_training(name).seed == 42


def test_the_window_of_prosper_is_the_papers_and_stays() -> None:
    """arXiv 2510.18527: 256 components of a query and 512 of a document, in place of which narrowing gained nothing."""
    for name in ("prosper", "small/prosper"):
        config = read_training(name)
        assert config.window == WindowConfig(query=(256,), document=(512,))
        preset = PRESETS[config.encoder.method]
        assert isinstance(preset.query, HeadSpec) and isinstance(preset.document, HeadSpec)
        assert (preset.query.window, preset.document.window) == (256, 512)


def test_a_recipe_stays_one_whatever_lies_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "splade-max").mkdir()  # as a training of that recipe leaves it
    assert find_training("splade-max").is_file()
    with pytest.raises(ParameterError, match=r"^splade-maxx: there is no such file.* deepct, .* small/deepct, "):
        find_training("splade-maxx")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*SMALL} - EXPANDED))
def test_small_ones_train(name: str, tmp_path: Path) -> None:
    config = read_training(name)
    optimizer = replace(config.optimizer, steps=2, batch_size=4)
    collection = tmp_path / "nfcorpus"
    (collection / "qrels").mkdir(parents=True)
    for file in ("corpus.jsonl", "queries.jsonl"):
        (collection / file).symlink_to(LIBRARY / file)
    (collection / "qrels" / "train.tsv").symlink_to(LIBRARY / "qrels" / "test.tsv")
    (tmp_path / "nfcorpus-expanded").symlink_to(collection)
    config = replace(config, optimizer=optimizer, evaluation=None)
    train(config, tmp_path / "out", offline_data=tmp_path, device="cpu")
    vectors = load_encoder(tmp_path / "out" / "encoder").encode_documents(["the library catalog"])
    assert vectors.nnz > 0


def test_the_pretraining_is_as_it_is_known() -> None:
    """Geng et al. 2024 and its model's card: thirteen sets, of which none is named twice."""
    config, fine = read_training("inference-free-pretraining"), read_training("inference-free")
    assert config.encoder == fine.encoder
    assert len({data.records for data in config.data}) == 13
    assert {(data.group, data.weight) for data in config.data} == {(8, None)}  # seven hard negatives
    how, teacher = config.optimizer, config.teacher
    assert (how.batch_size, how.steps, how.rate) == (48, 150_000, 5e-5)
    assert how.warm_up * how.steps == pytest.approx(5000)
    assert [(each.kind, each.strength) for each in config.regularizer.document] == [("flops", 1e-7)]
    assert teacher is not None and fine.teacher is not None
    assert config.evaluation is not None
    assert all(IrDataset(name).splits == () for name in config.evaluation.collection)  # which raises for other ids
    assert (teacher.scale, teacher.weights, fine.teacher.scale) == (10, (0.5, 0.5), 30)


@pytest.mark.parametrize("name", sorted({*FULL} - {"inference-free-pretraining", "efficient-splade-middle"}))
def test_full_ones_are_as_their_method_is_known(name: str) -> None:
    config = read_training(name)
    preset = PRESETS[config.encoder.method]
    known, optimizer = preset.training, config.optimizer
    given = {
        "batch": optimizer.batch_size,
        "rate": optimizer.rate,
        "steps": optimizer.steps,
        "epochs": optimizer.epochs,
    }
    for setting, value in given.items():
        assert getattr(known, setting) in (None, value)
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
