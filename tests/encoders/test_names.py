"""What a name means does not depend on what lies in the working directory, where it need not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsr import load_encoder
from lsr.encoders.folders.find import BUNDLED, absolute_name, find_checkpoint, named_checkpoint
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.errors import EncoderError
from tests.encoders.models import change_json, write_model


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with models of several names."""
    for name in (*BUNDLED, "bm25", "some/model"):
        write_model(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize("name", ["tiny", "minilm"])
def test_bundled_names_stay_bundled(models: Path, name: str) -> None:
    assert find_checkpoint(name).name == name
    assert models not in find_checkpoint(name).folder.parents
    assert find_checkpoint(f"./{name}").folder == models / name


@pytest.mark.parametrize("name", ["~nobody-of-this-name/model", "m" * 5000, "/" + "m" * 300, "nul\0", ""])
def test_odd_names(models: Path, name: str) -> None:
    assert absolute_name(name) == name
    with pytest.raises(EncoderError, match="no such encoder"):
        load_encoder(name)


def test_bm25_stays_bm25(models: Path) -> None:
    assert load_encoder("bm25").name == "bm25"
    assert load_encoder("./bm25", device="cpu").name == str(models / "bm25")


def test_a_folder_is_named_in_full(models: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert absolute_name("some/model") == str(models / "some/model")
    encoder = load_encoder("some/model", device="cpu")
    encoder.save("saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        assert load_encoder(models / "saved", device="cpu").describe() == encoder.describe()


def test_an_id_that_was_saved_is_never_a_folder(models: Path) -> None:
    encoder = load_encoder("some/model", device="cpu")
    assert isinstance(encoder, SparseEncoder)
    encoder.save("saved")
    change_json(models / "saved" / "encoder.json", name="some/model")
    with pytest.raises(EncoderError, match="cannot be downloaded from Hugging Face"):
        load_encoder("saved", device="cpu")
    with pytest.raises(EncoderError, match="cannot be downloaded from Hugging Face"):
        named_checkpoint("some/model")
