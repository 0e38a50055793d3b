"""Models that people download, each as a small folder laid out as its repository."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
import torch
import transformers
from safetensors.numpy import load_file
from safetensors.torch import save_file

from lsr import load_encoder
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.errors import EncoderError
from tests.encoders.models import SPECIAL, WORDS, change_json
from tests.encoders.published import (
    SENTENCES,
    write_bge_m3,
    write_granite,
    write_gte,
    write_laconic,
    write_multilingual,
    write_splade_code,
)
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
        ({"pack_qkv": False}, "config.json: pack_qkv is False; lsr reads GTE only with True"),
        ({"layer_norm_type": "rms_norm"}, "layer_norm_type is 'rms_norm'"),
        ({"logn_attention_scale": True}, "logn_attention_scale is True"),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0}},
            "rope_scaling is .*; lsr reads GTE without it, or with ntk",
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
    with pytest.raises(EncoderError, match="needs transformers 5.23 or later; pip install -U transformers"):
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
    with pytest.raises(EncoderError, match="transformer_task is masked-lm"):
        load(folder)


def laconic_weights(folder: Path, tokens: Path, prompt: str, texts: Sequence[str]) -> Any:
    """The 512 largest of log(1 + relu(max z)), with full attention and without the token that begins texts."""
    config = transformers.LlamaConfig.from_pretrained(folder)
    config.is_causal = False
    model = transformers.LlamaForCausalLM.from_pretrained(folder, config=config, attn_implementation="eager").float()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokens)
    rows = []
    for text in texts:
        ids = tokenizer(prompt + text, add_special_tokens=False, truncation=True, max_length=96)["input_ids"]
        with torch.inference_mode():
            row = torch.log1p(torch.relu(model(input_ids=torch.tensor([ids])).logits[0])).amax(0).numpy()
        rows.append(np.where(row >= np.sort(row)[-512], row, 0))
    return np.array(rows)


@pytest.mark.parametrize("own_tokenizer", [True, False])
def test_laconic(tmp_path: Path, own_tokenizer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "Laconic-1B"
    tokens = folder if own_tokenizer else tmp_path / "llama"
    write_laconic(folder, tokens)
    monkeypatch.setattr("lsr.encoders.folders.laconic.LLAMA_TOKENIZER", str(tmp_path / "llama"))
    encoder = load(folder)
    assert (encoder.spec.layout, encoder.spec.document.max_length) == ("LACONIC", 128)
    encoder = load(folder, max_length=96)
    texts = [*SENTENCES, "rain and snow " * 50]
    documents, queries = encoder.encode_documents(texts), encoder.encode_queries(texts)
    assert (np.diff(documents.indptr) == 512).all()
    expected = laconic_weights(folder, tokens, "passage: ", texts)
    np.testing.assert_allclose(documents.to_dense(), expected, atol=1e-4)
    expected = laconic_weights(folder, tokens, "query: ", texts)
    np.testing.assert_allclose(queries.to_dense(), expected, atol=1e-4)
    assert encoder.describe()["query"]["special_tokens"] is False
    assert_kept_by_saving(encoder, tmp_path / "saved", texts)

    encoder.save(tmp_path / "reference")
    assert load_encoder(tmp_path / "reference", device="cpu").encode_queries(texts) == queries
    windows = encoder.encode_windows(texts)
    assert (windows.begins[:5].tolist(), windows.ends[0]) == ([0] * 5, len(texts[0]))
    np.testing.assert_allclose(windows.vectors[0].to_dense(), documents[0].to_dense(), atol=1e-5)

    # By another name it is a Llama like any other, and llm2vec's class is not one that is known.
    folder.rename(tmp_path / "other")
    with pytest.raises(EncoderError, match="its architecture is LlamaBiForMNTP"):
        load(tmp_path / "other")


def test_laconic_without_a_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_laconic(tmp_path / "laconic", tmp_path / "elsewhere")
    monkeypatch.setattr("lsr.encoders.folders.laconic.LLAMA_TOKENIZER", str(tmp_path / "nowhere"))
    with pytest.raises(EncoderError, match="copy tokenizer.json and tokenizer_config.json of .*nowhere into the model"):
        load(tmp_path / "laconic")


def test_an_adapter_is_not_a_model(tmp_path: Path) -> None:
    write_splade_code(tmp_path)
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text("{}")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"has an adapter \(lora/adapter_config.json\) .*merge_and_unload"):
        load(tmp_path)


ASKED = ["What is M3?", "the Red Planet is the M3 M3", "rain", "qqq is", "What " * 30]


def lexical_weights(folder: Path, texts: Sequence[str]) -> Any:
    """relu(v . h + b) of each token of its own, the largest where one is repeated, none for special tokens."""
    model = transformers.XLMRobertaModel(transformers.XLMRobertaConfig.from_pretrained(folder)).eval()
    model.load_state_dict(torch.load(folder / "pytorch_model.bin", weights_only=True))
    head = torch.load(folder / "sparse_linear.pt", weights_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = np.zeros((len(texts), model.config.vocab_size))
    for row, text in zip(rows, texts, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            states = model(input_ids=ids).last_hidden_state[0]
        weights = torch.relu(states @ head["weight"][0].float() + head["bias"].float())
        for token, weight in zip(ids[0].tolist(), weights.tolist(), strict=True):
            if token not in tokenizer.all_special_ids:
                row[token] = max(row[token], weight)
    return rows


def test_bge_m3(tmp_path: Path) -> None:
    folder = tmp_path / "bge-m3"
    write_bge_m3(folder)
    encoder = load(folder)
    assert (encoder.spec.layout, encoder.spec.document.max_length) == ("BGE-M3", 8192)
    expected = lexical_weights(folder, ASKED)
    assert 3 < np.count_nonzero(expected) < 20
    np.testing.assert_allclose(encoder.encode_documents(ASKED).to_dense(), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_queries(ASKED).to_dense(), expected, atol=1e-5)
    assert_kept_by_saving(encoder, tmp_path / "saved", ASKED)
    assert not list((tmp_path / "saved").rglob("*.bin")) + list((tmp_path / "saved").rglob("*.pt"))

    save_file(torch.load(folder / "pytorch_model.bin", weights_only=True), folder / "model.safetensors")
    (folder / "pytorch_model.bin").unlink()
    assert load(folder).encode_documents(ASKED) == encoder.encode_documents(ASKED)


class Armed:
    """Its pickle makes a folder."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("name", ["sparse_linear.pt", "pytorch_model.bin"])
def test_a_pickle_of_more_than_tensors(tmp_path: Path, name: str) -> None:
    folder, made = tmp_path / "bge-m3", tmp_path / "made"
    write_bge_m3(folder)
    torch.save({"weight": Armed(made)}, folder / name)
    with pytest.raises(EncoderError, match=f"{name}: has objects other than tensors"):
        load(folder)
    assert not made.exists()
    torch.save({"weight": "heavy"}, folder / name)
    with pytest.raises(EncoderError, match=f"{name}: is not a dict of tensors"):
        load(folder)
    (folder / name).write_bytes(b"no zip file")
    with pytest.raises(EncoderError, match=name):
        load(folder)


def test_an_old_torch_reads_no_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bge_m3(tmp_path)
    monkeypatch.setattr(torch, "__version__", "2.5.1+cu124")
    with pytest.raises(EncoderError, match="torch 2.5.1.cu124 does not read safely; pip install 'torch>=2.6'"):
        load(tmp_path)


def test_bge_m3_without_weights(tmp_path: Path) -> None:
    write_bge_m3(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(EncoderError, match="has neither model.safetensors nor pytorch_model.bin"):
        load(tmp_path)


def test_pickles_are_fetched_of_bge_m3_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, cache = tmp_path / "there", tmp_path / "cache" / "0123abc"
    write_bge_m3(there)

    def snapshot_download(name: str, *, allow_patterns: list[str], **options: Any) -> str:
        assert options.get("revision", "0123abc") == "0123abc"
        for path in there.rglob("*"):
            inside = path.relative_to(there)
            if path.is_file() and any(fnmatch(str(inside), pattern) for pattern in allow_patterns):
                (cache / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, cache / inside)
        return str(cache)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    encoder = load_encoder("BAAI/bge-m3", device="cpu")
    assert encoder.name == "BAAI/bge-m3"
    assert not (cache / "colbert_linear.pt").exists()
    np.testing.assert_allclose(encoder.encode_queries(ASKED).to_dense(), lexical_weights(there, ASKED), atol=1e-5)

    shutil.rmtree(cache)
    (there / "sparse_linear.pt").unlink()
    with pytest.raises(EncoderError):
        load_encoder("BAAI/bge-m3", device="cpu")
    assert not (cache / "pytorch_model.bin").exists()
