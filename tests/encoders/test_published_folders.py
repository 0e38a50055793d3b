"""Models that people download, each as a small folder laid out as its repository."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
import torch
import transformers
from safetensors.numpy import load_file

from lsr import load_encoder
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.errors import EncoderError
from tests.encoders.models import SPECIAL, WORDS, change_json
from tests.encoders.published import SENTENCES, write_granite, write_gte, write_multilingual, write_splade_code
from tests.naive import gte

TOKENS = SPECIAL + WORDS
SHORT = ["alpha beta of the sea", "running alphas", "sea sea the", "delta " * 40]


def load(folder: Path, **options: Any) -> SparseEncoder:
    encoder = load_encoder(folder, device="cpu", **options)
    assert isinstance(encoder, SparseEncoder)
    return encoder


def assert_kept_by_saving(encoder: SparseEncoder, folder: Path, texts: Sequence[str]) -> None:
    encoder.save_pretrained(folder)
    again = load(folder)
    for found, expected in (
        (again.encode_documents(texts), encoder.encode_documents(texts)),
        (again.encode_queries(texts), encoder.encode_queries(texts)),
    ):
        np.testing.assert_allclose(found.to_dense(), expected.to_dense(), atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rope_scaling": {"factor": 2.0, "type": "ntk"}, "rope_theta": 500000},
        {"type_vocab_size": 0, "rope_scaling": {"factor": 8, "type": "ntk"}, "rope_theta": 10},
    ],
)
@pytest.mark.filterwarnings("error")
def test_gte(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = tmp_path / "gte"
    config = write_gte(folder, TOKENS, **changes)
    encoder = load(folder)
    assert (encoder.dim, encoder.spec.document.max_length) == (config["vocab_size"], 8192)

    tensors = {name: tensor.astype(np.float64) for name, tensor in load_file(folder / "model.safetensors").items()}
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "query_0_SparseStaticEmbedding")
    expected = []
    for text in SHORT:
        largest = gte.logits(tensors, config, tokenizer(text)["input_ids"]).max(0)
        expected.append(np.log1p(np.log1p(np.maximum(largest, 0))))
    found = encoder.encode_documents(SHORT).to_dense()
    assert 5 < np.count_nonzero(found) < found.size
    np.testing.assert_allclose(found, np.array(expected), atol=2e-5)

    weights = load_file(folder / "query_0_SparseStaticEmbedding" / "model.safetensors")["weight"]
    query = encoder.encode_queries(["the sea, the sea"])
    assert query.indices.tolist() == sorted(TOKENS.index(word) for word in ("[UNK]", "the", "sea"))  # a comma
    np.testing.assert_array_equal(query.values, weights[query.indices])

    assert_kept_by_saving(encoder, tmp_path / "saved", SHORT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pack_qkv": False}, "config.json: pack_qkv is False; lsr reads GTE with True alone"),
        ({"layer_norm_type": "rms_norm"}, "layer_norm_type is 'rms_norm'"),
        ({"logn_attention_scale": True}, "logn_attention_scale is True"),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0}},
            "rope_scaling is .*; lsr reads GTE with none, or with ntk",
        ),
        ({"rope_scaling": {"type": "ntk", "factor": 2.0, "mixed_b": 0.6}}, "rope_scaling is"),
        ({"rope_scaling": "ntk"}, "rope_scaling is 'ntk'"),
        ({"rope_scaling": {"type": "ntk"}}, "cannot be loaded"),
        ({"num_attention_heads": 0}, "cannot be loaded"),
    ],
)
def test_gte_of_another_kind(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_gte(tmp_path, TOKENS, **changes)
    with pytest.raises(EncoderError, match=message):
        load(tmp_path).encode_documents(SHORT)


def test_gte_needs_a_transformers_that_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gte(tmp_path, TOKENS)
    encoder = load(tmp_path)
    monkeypatch.setattr("lsr.encoders.sparse.backbone.CONFIG_MAPPING", {})
    with pytest.raises(EncoderError, match="transformers has from version 5.23 on; pip install -U transformers"):
        encoder.encode_documents(SHORT)


def assert_as_sentence_transformers(folder: Path, texts: list[str]) -> SparseEncoder:
    exact = {"model_kwargs": {"dtype": torch.float32}}
    theirs, ours = sentence_transformers.SparseEncoder(str(folder), device="cpu", **exact), load(folder)
    for expected, found in (
        (theirs.encode_query(texts), ours.encode_queries(texts)),
        (theirs.encode_document(texts), ours.encode_documents(texts)),
    ):
        dense = expected.to_dense().float().cpu().numpy()
        assert (dense > 0).any(1).all()
        np.testing.assert_allclose(found.to_dense(), dense, atol=1e-4)
    return ours


def test_multilingual(tmp_path: Path) -> None:
    """Its 105,879 components need more than 16 bits."""
    folder = tmp_path / "multilingual"
    tokens = write_multilingual(folder, 105_879)
    texts = ["the seas w70000", "天 气 w105000 w6", "w9"]
    encoder = assert_as_sentence_transformers(folder, texts)
    query = encoder.encode_queries(["天 气 w105000"])
    assert query.indices.tolist() == [tokens.index(token) for token in ("天", "气", "w105000")]
    assert query.indices.max() > 1 << 16

    # As OpenSearch publishes it, without the files for sentence-transformers.
    for name in ("modules.json", "router_config.json", "config_sentence_transformers.json"):
        (folder / name).unlink()
    shutil.rmtree(folder / "query_0_SparseStaticEmbedding")
    bare = load(folder)
    assert bare.spec.layout == "opensearch"
    assert bare.encode_queries(texts) == encoder.encode_queries(texts)
    assert bare.encode_documents(texts) == encoder.encode_documents(texts)


def test_granite(tmp_path: Path) -> None:
    write_granite(tmp_path / "granite")
    encoder = assert_as_sentence_transformers(tmp_path / "granite", SENTENCES)
    assert encoder.spec.document.max_length == 64
    assert_kept_by_saving(encoder, tmp_path / "saved", SENTENCES)


def test_splade_code(tmp_path: Path) -> None:
    folder = tmp_path / "splade-code"
    write_splade_code(folder)
    encoder = load(folder)

    # No mask at all is full attention, to a network that is told to compute it step by step.
    config = transformers.Qwen3Config.from_pretrained(folder)
    model = transformers.Qwen3ForCausalLM.from_pretrained(folder, config=config, attn_implementation="eager").float()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def expected(text: str) -> Any:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            return torch.log1p(torch.relu(model(input_ids=ids).logits[0])).amax(0).numpy()

    rows = np.array([expected(text) for text in SENTENCES])
    np.testing.assert_allclose(encoder.encode_documents(SENTENCES).to_dense(), rows, atol=1e-4)
    np.testing.assert_allclose(encoder.encode_queries(SENTENCES).to_dense(), rows, atol=1e-4)
    assert_kept_by_saving(encoder, tmp_path / "saved", SENTENCES)

    change_json(folder / "config.json", is_causal=True)
    config.is_causal = model.config.is_causal = True
    assert np.abs(np.array([expected(text) for text in SENTENCES]) - rows).max() > 0.1
    with pytest.raises(EncoderError, match="transformer_task makes it a masked-lm model"):
        load(folder)


def test_an_adapter_is_not_a_model(tmp_path: Path) -> None:
    write_splade_code(tmp_path)
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text("{}")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"has an adapter \(lora/adapter_config.json\) .*merge_and_unload"):
        load(tmp_path)
