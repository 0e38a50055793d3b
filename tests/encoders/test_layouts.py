"""read_layout: folders of bare language models, naver, light-splade and OpenSearch; what is wrong with damaged ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr import load_encoder
from lsr.encoders.folders.layouts import read_layout
from lsr.encoders.spec import EncoderSpec
from lsr.errors import EncoderError
from tests.encoders.models import ARCHITECTURES, DECODERS, SPECIAL, WORDS, change_json, splade_max, write_model
from tests.encoders.specs import language_model, lookup, write_json
from tests.processes import run_python


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_language_model(tmp_path: Path, kind: str) -> None:
    write_model(tmp_path, kind)
    # Padding is token 0 here, and these two number positions from the one after it on.
    longest = 95 if kind in ("roberta", "xlm-roberta") else 96
    side = language_model(tmp_path, longest, "causal-lm" if kind in DECODERS else "masked-lm")
    assert read_layout("name", tmp_path, None) == EncoderSpec("name", side, side, "language model")


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        ({"architectures": ["BertForPreTraining"]}, "masked-lm"),
        ({"architectures": ["BertModel", "BertForMaskedLM"]}, "masked-lm"),
        ({"architectures": None}, "masked-lm"),
        ({"architectures": []}, "masked-lm"),
        ({"architectures": ["Qwen2ForCausalLM"]}, "causal-lm"),
    ],
)
def test_architectures(tmp_path: Path, changes: dict[str, Any], task: str) -> None:
    write_model(tmp_path)
    change_json(tmp_path / "config.json", **changes)
    assert read_layout("name", tmp_path, None).document == language_model(tmp_path, task=task)


@pytest.mark.parametrize(
    ("config", "tokenizer", "asked", "longest"),
    [
        ({"max_position_embeddings": 512}, {}, None, 256),
        ({"max_position_embeddings": 512}, {}, 400, 400),
        ({"max_position_embeddings": 512}, {}, 4000, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": 128}, None, 128),
        ({"max_position_embeddings": 512}, {"model_max_length": 128}, 400, 128),
        ({"max_position_embeddings": 512}, {"model_max_length": 1e30}, 400, 400),
        ({"max_position_embeddings": 512}, {"model_max_length": "many"}, 400, 400),
        ({"max_position_embeddings": -1}, {}, 4000, 4000),
        ({"max_position_embeddings": None}, {}, None, 256),
        ({"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 1}, {}, 4000, 512),
        ({"max_position_embeddings": 514, "model_type": "mpnet"}, {}, 4000, 513),  # the padding written is 0
        ({"max_position_embeddings": 40, "model_type": "camembert", "pad_token_id": 7}, {}, None, 32),
    ],
)
def test_length(
    tmp_path: Path, config: dict[str, Any], tokenizer: dict[str, Any], asked: int | None, longest: int
) -> None:
    write_model(tmp_path)
    change_json(tmp_path / "config.json", **config)
    change_json(tmp_path / "tokenizer_config.json", **tokenizer)
    assert read_layout("name", tmp_path, asked).query == language_model(tmp_path, longest)


def test_padding_that_config_leaves_out_is_the_familys(tmp_path: Path) -> None:
    write_model(tmp_path, "roberta")
    config = json.loads((tmp_path / "config.json").read_text())
    del config["pad_token_id"]
    write_json(tmp_path / "config.json", config)
    assert read_layout("name", tmp_path, None).query == language_model(tmp_path, 94)


@pytest.mark.parametrize("suffix", [".json", ".txt"])
def test_opensearch(tmp_path: Path, suffix: str) -> None:
    write_model(tmp_path)
    path = tmp_path / "query_token_weights.txt"
    path.write_text("sea\t2.5\nthe\t0.5\n")
    if suffix == ".json":  # which wins
        path = tmp_path / "idf.json"
        write_json(path, {"sea": 2.5, "the": 0.5})
    query = lookup(tmp_path, table=str(path))
    assert read_layout("name", tmp_path, None) == EncoderSpec("name", query, language_model(tmp_path), "opensearch")
    vectors = load_encoder(tmp_path, device="cpu").encode_queries(["the sea of seas, the sea"])
    components = [(SPECIAL + WORDS).index(word) for word in ("the", "sea")]
    assert dict(zip(vectors.indices.tolist(), vectors.values.tolist(), strict=True)) == dict(
        zip(components, [0.5, 2.5], strict=True)
    )


@pytest.mark.parametrize(
    ("documents", "queries", "layout"),
    [("model", "model_q", "naver"), (".", "query", "naver"), (".", "query_model", "light-splade")],
)
def test_two_networks(tmp_path: Path, documents: str, queries: str, layout: str) -> None:
    write_model(tmp_path / documents)
    write_model(tmp_path / queries, "distilbert")
    found = read_layout("name", tmp_path, 20)
    expected = language_model(tmp_path / queries, 20), language_model(tmp_path / documents, 20)
    assert found == EncoderSpec("name", *expected, layout)
    encoder = load_encoder(tmp_path, device="cpu")
    texts = ["alpha beta of the sea"]
    for found_rows, folder in (
        (encoder.encode_queries(texts), tmp_path / queries),
        (encoder.encode_documents(texts), tmp_path / documents),
    ):
        np.testing.assert_allclose(found_rows.to_dense(), splade_max(folder, texts, 96), atol=1e-4)


@pytest.mark.parametrize("inside", ["", "model"])  # the folder of the model, or of the training above it
@pytest.mark.parametrize("lexical", ["none", "query", "document", "both"])
def test_lexical(tmp_path: Path, inside: str, lexical: str) -> None:
    folder = tmp_path / inside
    write_model(folder)
    write_json(folder / "training_args.json", {"lexical_type": lexical})
    query = language_model(folder, literal_only=lexical in ("query", "both"))
    document = language_model(folder, literal_only=lexical in ("document", "both"))
    assert read_layout("name", tmp_path, None) == EncoderSpec("name", query, document, "language model")


def test_splade_doc(tmp_path: Path) -> None:
    write_model(tmp_path)
    write_json(tmp_path / "model_args.json", {"splade_doc": True, "shared_weights": True})
    query = lookup(tmp_path, special_components=True)
    assert read_layout("name", tmp_path, None) == EncoderSpec("name", query, language_model(tmp_path), "naver")
    change_json(tmp_path / "model_args.json", splade_doc=False)
    assert read_layout("name", tmp_path, None).query == language_model(tmp_path)


def test_neither_torch_nor_transformers_is_loaded(tmp_path: Path) -> None:
    write_model(tmp_path)
    code = """
import sys
from pathlib import Path
from lsr.encoders.folders.layouts import read_layout
print(read_layout("name", Path(sys.argv[1]), None).layout)
print([name for name in ("torch", "transformers", "sentence_transformers") if name in sys.modules])
"""
    done = run_python(code, tmp_path)
    assert done.stdout.splitlines() == ["language model", "[]"], done.stderr


def rename(folder: Path, old: str, new: str) -> None:
    (folder / old).rename(folder / new)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has neither config.json nor modules.json"),
        (lambda folder: (folder / "config.json").write_text('{"vocab_size": 3'), "config.json: damaged"),
        (lambda folder: (folder / "config.json").write_bytes(b'"\xff"'), "config.json: damaged"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "config.json: damaged"),
        (lambda folder: (folder / "config.json").write_text("3"), r"config.json: damaged \(not a JSON object\)"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("no"), "tokenizer_config.json: damaged"),
        (
            lambda folder: change_json(folder / "config.json", architectures="BertForMaskedLM"),
            "config.json: damaged .architectures is not a list",
        ),
        (
            lambda folder: change_json(folder / "config.json", architectures=["T5ForConditionalGeneration"]),
            "architecture is T5ForConditionalGeneration, which has no output layer over its vocabulary",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
        (
            lambda folder: rename(folder, "model.safetensors", "pytorch_model.bin"),
            "its weights are in pytorch_model.bin, a pickle, .* save_pretrained, which writes model.safetensors",
        ),
        (
            lambda folder: write_json(folder / "training_args.json", {"lexical_type": "some"}),
            "training_args.json: lexical_type is 'some'; lsr supports none, query, document, both",
        ),
        (lambda folder: (folder / "model_args.json").write_text("{"), "model_args.json: damaged"),
        (lambda folder: write_json(folder / "query" / "config.json", {}), "query: has no model.safetensors"),
    ],
)
def test_damaged(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    write_model(tmp_path)
    damage(tmp_path)
    with pytest.raises(EncoderError, match=message) as raised:
        read_layout("name", tmp_path, None)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_weights_in_several_files(tmp_path: Path) -> None:
    write_model(tmp_path)
    rename(tmp_path, "model.safetensors", "model-00001-of-00001.safetensors")
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {}})
    assert read_layout("name", tmp_path, None).query == language_model(tmp_path)
