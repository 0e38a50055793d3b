"""Folders of the unified framework, against its definitions in plain transformers code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from lsr import load_encoder
from lsr.encoders.folders.layouts import read_layout
from lsr.encoders.spec import BackboneSpec, EncoderSpec, HeadSpec, TransformerSpec
from lsr.errors import EncoderError
from tests.encoders.models import TEXTS, change_json, write_model
from tests.encoders.specs import COMPONENTS, lookup, write_json

MLM = {"model_type": "MLM", "activation": "relu", "norm": "log1p", "pool": "max"}
EPIC = {"activation": "softplus", "norm": "log1p"}
EPIC_DOCUMENTS = {**MLM, **EPIC, "term_importance": "epic", "doc_quality": "epic"}
CLS = {"model_type": "CLS_MLM", "activation": "relu", "norm": "log1p"}
BINARY = {"model_type": "BINARY", "vocab_size": COMPONENTS, "scale": 0.3}
SCALE = 0.375  # what training has made of it
IMPORTANCE = tuple((f"importance.{each}", f"term_importance.linear.{each}") for each in ("weight", "bias"))
QUALITY = tuple((f"quality.{each}", f"doc_quality.linear.{each}") for each in ("weight", "bias"))


def mlp(activation: str = "relu", norm: str = "identity") -> dict[str, Any]:
    return {"model_type": "MLP", "activation": activation, "norm": norm, "scale": 1.0}


def write_side(folder: Path, base: Path, config: dict[str, Any]) -> None:
    """As the framework saves an encoder: its backbone's weights under "model.", and its own beside them."""
    config = {"architectures": ["SparseEncoder"], **config}
    random = torch.Generator().manual_seed(3)
    tensors: dict[str, torch.Tensor] = {"scale": torch.tensor(SCALE)}
    if config["model_type"] != "BINARY":
        config["tf_base_model_name_or_dir"] = "base"
        weights = load_file(base / "model.safetensors")
        tensors |= {
            "model." + (key.removeprefix("bert.") if config["model_type"] == "MLP" else key): tensor
            for key, tensor in weights.items()
            if config["model_type"] != "MLP" or key.startswith("bert.")
        }
        own = {"MLP": ["linear"], "MLM": ["term_importance.linear", "doc_quality.linear"], "CLS_MLM": []}
        for name in own[config["model_type"]]:
            tensors[f"{name}.weight"] = torch.randn(1, 24, generator=random)
            tensors[f"{name}.bias"] = torch.randn(1, generator=random)
    write_json(folder / "config.json", config)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def write_encoder(folder: Path, query: dict[str, Any], document: dict[str, Any] | None = None) -> Path:
    """An encoder in `folder`; one for both sides where the documents have none. Its network whole is beside it."""
    whole = folder.with_name("whole")
    write_model(whole)
    write_json(folder / "config.json", {"model_type": "DualEncoder", "shared": document is None})
    write_json(folder / "base" / "config.json", json.loads((whole / "config.json").read_text()))
    (folder / "tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(whole / name, folder / "tokenizer")
    write_side(folder / ("shared_encoder" if document is None else "query_encoder"), whole, query)
    if document is not None:
        write_side(folder / "doc_encoder", whole, document)
    return folder


def network(folder: Path, side: str, head: HeadSpec, names: tuple[Any, ...] | None = None) -> TransformerSpec:
    place = folder / side
    task = "base" if head.kind == "mlp" else "masked-lm"
    backbone = BackboneSpec(str(folder / "base"), str(place), str(folder / "tokenizer"), "model.", task)
    own = None if names is None else str(place / "model.safetensors")
    return TransformerSpec(backbone, head, 96, head_weights=own, head_names=names or ())


def mlm_head(activation: str = "log1p", pooling: str = "max", **options: bool) -> HeadSpec:
    return HeadSpec("mlm", activation, pooling, special_positions=False, **options)


def mlp_head(activation: str, pooling: str) -> HeadSpec:
    return HeadSpec("mlp", activation, pooling, special_positions=False)


# Query and document as they are written, and as they should be read.
Methods = dict[str, tuple[dict[str, Any], dict[str, Any] | None, Callable[[Path], tuple[Any, Any]]]]
METHODS: Methods = {
    "uniCOIL": (
        mlp(),
        None,
        lambda folder: (
            network(folder, "shared_encoder", mlp_head("relu", "sum"), ()),
            network(folder, "shared_encoder", mlp_head("relu", "max"), ()),
        ),
    ),
    "DeepCT": (
        mlp("identity", "no"),  # the older name of identity
        None,
        lambda folder: (
            network(folder, "shared_encoder", mlp_head("identity", "sum"), ()),
            network(folder, "shared_encoder", mlp_head("identity", "max"), ()),
        ),
    ),
    "EPIC": (
        mlp(**EPIC),
        EPIC_DOCUMENTS,
        lambda folder: (
            network(folder, "query_encoder", mlp_head("log1p-softplus", "sum"), ()),
            network(
                folder,
                "doc_encoder",
                mlm_head("log1p-softplus", importance=True, quality=True),
                IMPORTANCE + QUALITY,
            ),
        ),
    ),
    "EPIC, importance alone": (
        BINARY,
        {**EPIC_DOCUMENTS, "doc_quality": "no"},
        lambda folder: (
            lookup(folder / "tokenizer", counts=True, special_components=True, scale=SCALE, max_length=512),
            network(folder, "doc_encoder", mlm_head("log1p-softplus", importance=True), IMPORTANCE),
        ),
    ),
    "SPLADE": (
        {**MLM, "term_importance": "no", "doc_quality": "no"},
        None,
        lambda folder: (
            network(folder, "shared_encoder", mlm_head()),
            network(folder, "shared_encoder", mlm_head()),
        ),
    ),
    "SPLADE with sums": (
        {**MLM, "pool": "abs"},  # nothing is below zero
        {**MLM, "pool": "sum"},
        lambda folder: (
            network(folder, "query_encoder", mlm_head()),
            network(folder, "doc_encoder", mlm_head(pooling="sum")),
        ),
    ),
    "TILDE": (
        BINARY,
        CLS,
        lambda folder: (
            lookup(folder / "tokenizer", counts=True, special_components=True, scale=SCALE, max_length=512),
            network(folder, "doc_encoder", HeadSpec(pooling="first")),
        ),
    ),
    "binary documents": (
        mlp(),
        BINARY,
        lambda folder: (
            network(folder, "query_encoder", mlp_head("relu", "sum"), ()),
            lookup(folder / "tokenizer", special_components=True, scale=SCALE, max_length=512),
        ),
    ),
}


@pytest.mark.parametrize("method", METHODS)
def test_methods(tmp_path: Path, method: str) -> None:
    query, document, expected = METHODS[method]
    folder = write_encoder(tmp_path / "encoder", query, document)
    assert read_layout("name", folder, None) == EncoderSpec("name", *expected(folder), "unified framework")
    encoder = load_encoder(folder, device="cpu")
    texts = [text for text in TEXTS if text.strip() and len(text) < 300]  # how much is read is another test's
    for found, config, side, pool in (
        (encoder.encode_queries(texts), query, "query_encoder", "sum"),
        (encoder.encode_documents(texts), document or query, "doc_encoder", "amax"),
    ):
        weights = load_file(folder / ("shared_encoder" if document is None else side) / "model.safetensors")
        rows = defined(tmp_path / "whole", config, weights, texts, pool)
        assert (rows > 0).any()
        np.testing.assert_allclose(found.to_dense(), rows.clip(min=0), atol=1e-4)


def defined(
    whole: Path, config: dict[str, Any], own: dict[str, torch.Tensor], texts: list[str], pool: str
) -> np.ndarray:
    """float [texts, components] of one side by the framework's definition. pool: of tokens that are repeated."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(whole)
    batch = tokenizer(
        texts,
        padding=True,
        truncation=True,
        max_length=96,
        return_special_tokens_mask=True,
        return_token_type_ids=False,
        return_tensors="pt",
    )
    counted = batch["attention_mask"] * (1 - batch.pop("special_tokens_mask"))
    functions = {"softplus": torch.nn.functional.softplus, "relu": torch.relu, "log1p": torch.log1p}

    def act(z: torch.Tensor) -> torch.Tensor:
        for name in (config["activation"], config["norm"]):
            z = functions.get(name, lambda same: same)(z)
        return z

    def linear(name: str, states: torch.Tensor) -> torch.Tensor:
        return states @ own[f"{name}.weight"].T + own[f"{name}.bias"]

    zeros = torch.zeros(len(texts), COMPONENTS)
    if config["model_type"] == "BINARY":
        return zeros.scatter_reduce_(1, batch["input_ids"], counted * own["scale"], pool).numpy()
    model = transformers.AutoModelForMaskedLM.from_pretrained(whole).eval()
    with torch.no_grad():
        output = model(**batch, output_hidden_states=True)
    states = output.hidden_states[-1]
    if config["model_type"] == "MLP":
        weights = act(linear("linear", states)[:, :, 0]) * counted
        return zeros.scatter_reduce_(1, batch["input_ids"], weights, pool).numpy()
    if config["model_type"] == "CLS_MLM":
        return act(output.logits[:, 0]).numpy()
    logits = output.logits * counted[:, :, None]
    if config.get("term_importance") == "epic":
        logits = logits * torch.log1p(functions["softplus"](linear("term_importance.linear", states)))
    weights = act(logits).sum(1) if config["pool"] == "sum" else act(logits).amax(1)
    if config.get("doc_quality") == "epic":
        weights = weights * torch.sigmoid(linear("doc_quality.linear", states[:, 0]))
    return weights.numpy()


@pytest.mark.parametrize(
    ("positions", "tokenizer", "asked", "query", "document"),
    [
        (1024, {}, None, 512, 512),
        (1024, {}, 2000, 2000, 1024),
        (1024, {"model_max_length": 300}, None, 300, 300),
        (100, {"model_max_length": 1e30}, 200, 200, 100),
        (1024, {}, 30, 30, 30),
    ],
)
def test_length(
    tmp_path: Path, positions: int, tokenizer: dict[str, Any], asked: int | None, query: int, document: int
) -> None:
    folder = write_encoder(tmp_path / "encoder", BINARY, MLM)
    change_json(folder / "base" / "config.json", max_position_embeddings=positions)
    write_json(folder / "tokenizer" / "tokenizer_config.json", tokenizer)
    spec = read_layout("name", folder, asked)
    assert (spec.query.max_length, spec.document.max_length) == (query, document)


@pytest.mark.parametrize("base", ["distilbert-base-uncased", "google-bert/bert-base-uncased"])
def test_backbone_on_hugging_face(tmp_path: Path, base: str) -> None:
    folder = write_encoder(tmp_path / "encoder", MLM)
    change_json(folder / "shared_encoder" / "config.json", tf_base_model_name_or_dir=base)
    document = read_layout("name", folder, None).document
    assert isinstance(document, TransformerSpec)
    assert (document.backbone.config, document.max_length) == (base, 512)


def side(folder: Path, **changes: Any) -> None:
    change_json(folder / "doc_encoder" / "config.json", **changes)


def save_scale(folder: Path, scale: torch.Tensor) -> None:
    save_file({"scale": scale}, folder / "query_encoder" / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: side(folder, model_type="bert"),
            "model_type is 'bert'; lsr supports BINARY, MLP, MLM, CLS_MLM",
        ),
        (lambda folder: side(folder, model_type=[]), r"model_type is \[\]"),
        (lambda folder: side(folder, activation="gelu"), "activation is 'gelu'; lsr supports identity, no, relu"),
        (lambda folder: side(folder, norm=False), "norm is False; lsr supports identity, no, relu, softplus, log1p"),
        (
            lambda folder: side(folder, activation="identity"),
            "activation identity with norm log1p is not supported; .* identity and identity, .*relu and log1p",
        ),
        (lambda folder: side(folder, pool="mean"), "pool is 'mean'; lsr supports max, sum, abs"),
        (
            lambda folder: side(folder, pool="abs", activation="no", norm="no"),
            "pool 'abs' is not supported for weights that can be",
        ),
        (lambda folder: side(folder, term_importance="all"), "term_importance is 'all'; lsr supports no, allone, epic"),
        (lambda folder: side(folder, doc_quality=3), "doc_quality is 3; lsr supports no, allone, epic"),
        *(
            (
                lambda folder, base=base: side(folder, tf_base_model_name_or_dir=base),
                "neither a Hugging Face id nor a folder inside .*encoder; copy config.json of the backbone",
            )
            for base in (None, "", "..", "../whole", "/models/bert", "a/../../whole", "a/..", ["base"])
        ),
        (lambda folder: (folder / "doc_encoder" / "config.json").unlink(), "doc_encoder/config.json: is missing"),
        (
            lambda folder: (folder / "doc_encoder" / "model.safetensors").rename(folder / "doc_encoder" / "model.pt"),
            "doc_encoder: its weights are in model.pt, a pickle",
        ),
        (lambda folder: (folder / "query_encoder" / "model.safetensors").unlink(), "query_encoder: has no model.safe"),
        (lambda folder: shutil.rmtree(folder / "tokenizer"), "tokenizer: is missing; copy the tokenizer"),
        (lambda folder: save_scale(folder, torch.ones(2)), "model.safetensors: has no number `scale`"),
        (lambda folder: save_scale(folder, torch.tensor(-0.1)), "scale is -0.1.*, so that no token has a weight"),
        (lambda folder: save_scale(folder, torch.tensor(float("nan"))), "scale is nan"),
        (lambda folder: save_file({}, folder / "query_encoder" / "model.safetensors"), "has no number `scale`"),
        (
            lambda folder: (folder / "query_encoder" / "model.safetensors").write_bytes(b"no tensors"),
            "model.safetensors: has no number `scale`",
        ),
        (lambda folder: change_json(folder / "config.json", shared=True), "shared_encoder/config.json: is missing"),
    ],
)
def test_damaged(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    folder = write_encoder(tmp_path / "encoder", BINARY, MLM)
    damage(folder)
    with pytest.raises(EncoderError, match=message) as raised:
        read_layout("name", folder, None)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_head_of_another_size(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "encoder", mlp())
    path = folder / "shared_encoder" / "model.safetensors"
    save_file({**load_file(path), "linear.weight": torch.zeros(1, 32)}, path, metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"linear.weight has the size \[1, 32\], but the backbone needs \[1, 24\]"):
        load_encoder(folder, device="cpu")
