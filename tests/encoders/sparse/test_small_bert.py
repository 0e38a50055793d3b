"""Queries in NumPy against the same network in transformers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr import load_encoder
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.folders.layouts import splade_max
from lsr.encoders.sparse.small_bert import SmallBert
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.encoders.sparse.transformer import TransformerSide
from lsr.encoders.spec import HeadSpec, TransformerSpec
from lsr.errors import EncoderError
from tests.encoders.models import TEXTS, change_json, write_model
from tests.processes import run_python

QUERIES = [
    *TEXTS,
    "What causes high blood pressure?",
    "Ünïcode, 東京 and [SEP] in the text",
    "covid-19 " * 200,
    "é" * 3,
]


def assert_equal(spec: TransformerSpec, tolerance: float = 2e-5) -> None:
    """tolerance: of weights of about 1; the random networks, whose weights are large, enlarge what is rounded."""
    ours, theirs = SmallBert(spec), TransformerSide("model", spec, "cpu")
    assert ours.vocabulary.tokens == theirs.vocabulary.tokens
    found, expected = ours.encode(QUERIES), theirs.encode(QUERIES)
    np.testing.assert_allclose(
        found.to_scipy().toarray(), expected.to_scipy().toarray(), rtol=tolerance, atol=tolerance
    )


def test_tiny() -> None:
    assert_equal(splade_max(find_checkpoint("tiny").folder, None), 1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_hidden_layers": 1, "num_attention_heads": 1, "layer_norm_eps": 1e-3},
        {"num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 8, "intermediate_size": 7},
        {"max_position_embeddings": 12},
        {"components": 40},
    ],
    ids=str,
)
def test_random_networks(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert_equal(splade_max(write_model(tmp_path, **changes), None))


def test_prompts_and_lengths(tmp_path: Path) -> None:
    spec = splade_max(write_model(tmp_path), None)
    assert_equal(replace(spec, max_length=5, prompt="sea: ", lower_case=True))


@pytest.mark.parametrize(
    "changes", [{"kind": "roberta"}, {"kind": "distilbert"}, {"hidden_act": "relu"}, {"hidden_size": 384}], ids=str
)
def test_other_networks_are_left_to_transformers(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError)):
        SmallBert(splade_max(write_model(tmp_path, **changes), None))


@pytest.mark.parametrize("changes", [{"head": HeadSpec(activation="relu")}, {"echo": True}], ids=str)
def test_other_heads_are_left_to_transformers(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="head"):
        SmallBert(replace(splade_max(write_model(tmp_path), None), **changes))


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    folder = write_model(tmp_path, initializer_range=1e30)
    with pytest.raises(EncoderError, match="NaN or infinite"):
        SmallBert(splade_max(folder, None))


def test_an_index_searches_without_torch(tmp_path: Path) -> None:
    encoder = load_encoder(write_model(tmp_path / "model"), device="cpu")
    encoder.save(tmp_path / "saved")
    code = """
import sys
from lsr import load_encoder
encoder = load_encoder(sys.argv[1])
few = encoder.encode_queries(["alpha beta"])
print("torch" in sys.modules)
many = encoder.encode_queries(["alpha beta"] * 20)
print("torch" in sys.modules, abs(many.to_scipy()[3] - few.to_scipy()[0]).max() < 1e-5)
print(encoder.encode_documents(["alpha beta"]).nnz == few.nnz)
"""
    done = run_python(code, tmp_path / "saved")
    assert (done.stdout.split(), done.stderr) == (["False", "True", "True", "True"], "")


def test_many_queries_without_torch(tmp_path: Path) -> None:
    load_encoder(write_model(tmp_path / "model"), device="cpu").save(tmp_path / "saved")
    code = """
import sys
sys.modules["torch"] = None
from importlib import util
find = util.find_spec
util.find_spec = lambda name, *rest: None if name == "torch" else find(name, *rest)
from lsr import load_encoder
encoder = load_encoder(sys.argv[1])
print(encoder.encode_queries(["alpha beta"] * 20).nnz == 20 * encoder.encode_queries(["alpha beta"]).nnz)
"""
    done = run_python(code, tmp_path / "saved")
    assert (done.stdout.split(), done.stderr) == (["True"], "")


def test_an_index_s_encoder_that_is_trained_on(tmp_path: Path) -> None:
    load_encoder(write_model(tmp_path / "model"), device="cpu").save(tmp_path / "saved")
    encoder = load_encoder(tmp_path / "saved", device="cpu")
    assert isinstance(encoder, SparseEncoder) and isinstance(encoder.query_side, TransformerSide)
    before = encoder.encode_queries(["alpha beta"])
    encoder.query_side.set_window(2)
    encoder.update_spec()
    assert before.nnz > 2
    assert encoder.encode_queries(["alpha beta"]).to_scipy().nnz == 2


def test_errors_are_those_of_the_transformers_side(tmp_path: Path) -> None:
    encoder = load_encoder(write_model(tmp_path / "model"), device="cpu")
    assert isinstance(encoder, SparseEncoder)
    encoder.save(tmp_path / "saved")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_encoder(tmp_path / "saved")


def test_an_index_whose_model_has_changed(tmp_path: Path) -> None:
    encoder = load_encoder(write_model(tmp_path / "model"), device="cpu")
    encoder.save(tmp_path / "saved")
    change_json(tmp_path / "model" / "tokenizer_config.json", model_max_length=7)
    with pytest.raises(EncoderError, match="has changed since"):
        load_encoder(tmp_path / "saved")
