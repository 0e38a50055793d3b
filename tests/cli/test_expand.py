"""uniCOIL, DeepImpact and TILDEv2 from end to end: documents expanded, networks trained, indexes searched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lsr.collections.collection import load_collection
from lsr.training.trainer import train
from lsr.training.training_config import read_training
from tests.cli.commands import Lsr, rejected


@pytest.fixture(scope="module")
def trained_tilde(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tilde")
    return trained("small/tilde", library, folder)


def trained(recipe: str, collection: Path, folder: Path) -> Path:
    """Two steps of a recipe on a collection that has one split."""
    config = read_training(recipe)
    data = tuple(replace(each, collection=str(collection), split="test") for each in config.data)
    optimizer = replace(config.optimizer, steps=2, batch_size=4)
    train(replace(config, data=data, optimizer=optimizer, evaluation=None), folder / "out", device="cpu")
    return folder / "out" / "encoder"


@pytest.mark.parametrize("method", ["unicoil-tilde", "deepimpact", "tildev2"])
def test_expanded_trained_indexed_and_searched(
    lsr: Lsr, trained_tilde: Path, library: Path, method: str, tmp_path: Path
) -> None:
    expanded = tmp_path / "library-expanded"
    done = lsr("expand", library, expanded, "--by", trained_tilde, "--top-k", 30)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"{expanded}: 82 documents, ")
    assert " 0.0 words" not in done.out
    longer = zip(load_collection(expanded).documents(), load_collection(library).documents(), strict=True)
    assert all(new.text.startswith(old.text) for new, old in longer)
    encoder = trained(f"small/{method}", expanded, tmp_path)
    assert lsr("index", expanded, tmp_path / "index", "--encoder", encoder).status == 0
    measured = lsr("evaluate", tmp_path / "index", expanded, "--measures", "RR@10", "--json")
    assert measured.json["queries"] == 35
    assert measured.json["measures"]["RR@10"] > 0.5  # a head begins as a bag of words
    hits = lsr("search", tmp_path / "index", "library catalog", "--json").json["hits"]
    assert hits[0]["score"] > 0


def test_bad_input(lsr: Lsr, library: Path, tmp_path: Path) -> None:
    said = rejected(lsr("expand", library, tmp_path / "out", "--by", "bm25"))
    assert said.startswith("bm25: is not fitted and has no terms")
    assert "there is no expansion.json" in rejected(lsr("expand", library, library, "--by", "tiny"))
    assert rejected(lsr("expand", library, tmp_path / "out", "--by", "tilde")).startswith(
        "'tilde' is a method without trained weights"
    )
    assert not any(tmp_path.iterdir())
