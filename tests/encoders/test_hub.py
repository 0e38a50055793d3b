"""What is put on the hub, in one commit, by a hub that only remembers; and what is refused before it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.errors import LocalTokenNotFoundError

import lsr
from lsr.encoders.build import build_encoder
from lsr.errors import EncoderError
from tests.encoders.models import write_model
from tests.test_wrong_types import foreign_errors


class Url(NamedTuple):
    repo_id: str


class Commit(NamedTuple):
    repo_url: str


class Hub:
    """Takes what HfApi takes, and keeps it."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.made: list[tuple[str, dict[str, Any]]] = []
        self.commits: list[tuple[str, dict[str, bytes], str]] = []
        self.failure = failure

    def create_repo(self, repo_id: str, **options: Any) -> Url:
        if self.failure is not None:
            raise self.failure
        self.made.append((repo_id, options))
        return Url(f"resolved/{repo_id.rpartition('/')[2]}")

    def create_commit(self, repo_id: str, operations: list[Any], *, commit_message: str) -> Commit:
        files = {}
        for each in operations:
            with each.as_file() as file:
                files[each.path_in_repo] = file.read()
        self.commits.append((repo_id, files, commit_message))
        return Commit(f"https://huggingface.co/{repo_id}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    return hub


@pytest.mark.parametrize("method", ["splade++-ed", "splade-doc", "prosper-bert"])
def test_the_upload_loads_as_the_same_encoder(method: str, hub: Hub, tmp_path: Path) -> None:
    encoder = build_encoder(method, write_model(tmp_path / "model"))
    encoder.save_pretrained(tmp_path / "saved", {"step": 3})
    (tmp_path / "saved" / ".cache").mkdir()
    (tmp_path / "saved" / ".cache" / "mine").write_text("secret")
    url = lsr.push_to_hub(tmp_path / "saved", "me/mine", private=True, message="First")
    assert url == "https://huggingface.co/resolved/mine"
    assert hub.made == [("me/mine", {"private": True, "exist_ok": True})]
    [(repository, files, message)] = hub.commits
    assert (repository, message) == ("resolved/mine", "First")
    assert "training.json" in files and not any(name.startswith(".") for name in files)
    for name, content in files.items():  # as a download would leave it
        place = tmp_path / "downloaded" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    card = (tmp_path / "downloaded" / "README.md").read_text()
    assert 'lsr.load_encoder("me/mine")' in card and "USER/NAME" not in card
    again = lsr.load_encoder(tmp_path / "downloaded")
    texts = ["alpha sea", "run the delta"]
    np.testing.assert_allclose(
        again.encode_documents(texts).to_dense(), encoder.encode_documents(texts).to_dense(), rtol=1e-6
    )


def test_incomplete_encoders_are_refused(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderError, match="has no saved encoder"):
        lsr.push_to_hub(tmp_path / "empty", "me/mine")
    with pytest.raises(EncoderError, match="has no saved encoder"):
        lsr.push_to_hub(tmp_path / "gone", "me/mine")
    lsr.load_encoder(write_model(tmp_path / "model")).save(tmp_path / "reference")
    with pytest.raises(EncoderError, match="only a reference to an encoder"):
        lsr.push_to_hub(tmp_path / "reference", "me/mine")
    assert not hub.made and not hub.commits


def test_wrong_arguments_are_told(hub: Hub, tmp_path: Path) -> None:
    build_encoder("splade++-ed", write_model(tmp_path / "model")).save_pretrained(tmp_path / "saved")
    right = {"folder": tmp_path / "saved", "repository": "me/mine", "private": None, "message": "First"}
    assert lsr.push_to_hub(**right)
    assert [error for name in right for error in foreign_errors(lsr.push_to_hub, right, name)] == []


def test_a_hub_that_refuses_is_told_in_one_line(hub: Hub, tmp_path: Path) -> None:
    build_encoder("splade++-ed", write_model(tmp_path / "model")).save_pretrained(tmp_path / "saved")
    for failure in (LocalTokenNotFoundError("no token"), OSError("403\nForbidden"), RuntimeError("unreachable")):
        hub.failure = failure
        with pytest.raises(EncoderError, match=r"cannot be uploaded to 'me/mine' \(.*hf auth whoami") as told:
            lsr.push_to_hub(tmp_path / "saved", "me/mine")
        assert "\n" not in str(told.value)
    assert not hub.commits
