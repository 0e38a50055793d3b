"""ANCE: Transformer, Pooling, Dense and LayerNorm, against sentence-transformers."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as parts

from lsr.errors import EncoderError
from tests.encoders.dense.test_dense_encoder import TEXTS, assert_same, load, reference, write_dense
from tests.encoders.models import change_json


def write_ance(folder: Path, *layers: Any, normalize: bool = False) -> Path:
    """A RoBERTa with these layers behind it, as sentence-transformers saves it; none of their weights is 0 or 1."""
    plain = write_dense(folder / "plain", "roberta", "cls", normalize=False)
    torch.manual_seed(11)
    for layer in layers:
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter, std=0.7)
    modules = [*reference(plain), *layers, *([parts.Normalize()] if normalize else [])]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "model"))
    return folder / "model"


def ance(folder: Path, **options: Any) -> Path:
    dense = parts.Dense(24, 16, activation_function=torch.nn.Identity())
    return write_ance(folder, dense, parts.LayerNorm(16), **options)


def test_equals_sentence_transformers(tmp_path: Path) -> None:
    folder = ance(tmp_path)
    kinds = [each["type"].rsplit(".", 1)[-1] for each in json.loads((folder / "modules.json").read_text())]
    assert kinds == ["Transformer", "Pooling", "Dense", "LayerNorm"]
    encoder, model = load(folder), reference(folder)
    assert encoder.dim == 16
    found = encoder.encode_documents(TEXTS)
    assert_same(found, model.encode_document(TEXTS))
    assert_same(encoder.encode_queries(TEXTS), model.encode_query(TEXTS))
    assert found.std(0).max() > 0.5  # rows that differ, or equality would show little
    assert encoder.describe()["layers"] == ["Dense", "LayerNorm"]
    again = pickle.loads(pickle.dumps(encoder))
    assert_same(again.encode_documents(TEXTS), found)
    encoder.save(tmp_path / "saved")
    assert_same(load(tmp_path / "saved").encode_documents(TEXTS), found)


@pytest.mark.parametrize("activation", ["Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid"])
def test_activations(tmp_path: Path, activation: str) -> None:
    dense = parts.Dense(24, 5, bias=activation != "GELU", activation_function=getattr(torch.nn, activation)())
    folder = write_ance(tmp_path, dense, normalize=True)
    assert_same(load(folder).encode_documents(TEXTS), reference(folder).encode_document(TEXTS))


def test_several_layers_and_a_row_cut_off(tmp_path: Path) -> None:
    folder = write_ance(tmp_path, parts.LayerNorm(24), parts.Dense(24, 30), parts.Dense(30, 9), normalize=True)
    change_json(folder / "config_sentence_transformers.json", truncate_dim=7)
    encoder = load(folder)
    assert encoder.dim == 7
    assert_same(encoder.encode_documents(TEXTS), reference(folder).encode_document(TEXTS))


@pytest.mark.parametrize(
    ("layer", "changes", "message"),
    [
        (
            "2_Dense",
            {"activation_function": "torch.nn.modules.activation.Softmax"},
            "activation Softmax is not supported.*Identity",
        ),
        ("2_Dense", {"activation_function": "os.system"}, "activation system is not supported"),
        ("2_Dense", {"use_residual": True}, "adds its input"),
        ("2_Dense", {"module_input_name": "token_embeddings"}, "another input than sentence_embedding"),
        ("2_Dense", {"in_features": 25}, "rows of 25 components, but gets 24"),
        ("2_Dense", {"in_features": None}, "rows of None components"),
        ("2_Dense", {"out_features": 0}, "out_features is 0"),
        ("2_Dense", {"out_features": 1 << 40}, "out_features is"),
        ("2_Dense", {"out_features": 17}, "model.safetensors: does not fit"),
        ("2_Dense", {"bias": False}, "model.safetensors: does not fit"),
        ("3_LayerNorm", {"dimension": 24}, "rows of 24 components, but gets 16"),
    ],
)
def test_bad_layers(tmp_path: Path, layer: str, changes: dict[str, Any], message: str) -> None:
    folder = ance(tmp_path)
    change_json(folder / layer / "config.json", **changes)
    with pytest.raises(EncoderError, match=message):
        load(folder)


def test_bad_weights_of_layers(tmp_path: Path) -> None:
    folder = ance(tmp_path)
    path = folder / "2_Dense" / "model.safetensors"
    tensors = load_file(path)
    save_file({"linear.weight": tensors["linear.weight"]}, path)
    with pytest.raises(EncoderError, match="does not fit"):
        load(folder)
    path.write_bytes(b"half")
    with pytest.raises(EncoderError, match="2_Dense.*does not fit"):
        load(folder)
    path.rename(path.with_name("pytorch_model.bin"))
    with pytest.raises(EncoderError, match="2_Dense: its weights are in pytorch_model.bin, a pickle"):
        load(folder)
