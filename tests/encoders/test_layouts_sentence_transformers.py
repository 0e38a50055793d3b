"""Folders of sentence-transformers: those that it writes now, read as it reads them, and the forms that it had."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router
from sentence_transformers.sparse_encoder.modules import SpladePooling

from lsr import load_encoder
from lsr.encoders.folders.layouts import read_layout
from lsr.encoders.spec import EncoderSpec
from tests.encoders.models import SPECIAL, TEXTS, WORDS, change_json, write_model
from tests.encoders.modules import (
    DOCUMENT,
    POOLING,
    QUERY,
    decoder,
    inference_free,
    named_routes,
    one_network_in_two_routes,
    plain,
    router_before_pooling,
    static,
    transformer,
    two_networks,
    write_models,
    write_modules,
)
from tests.encoders.specs import COMPONENTS, language_model, lookup, write_json

OLD = "sentence_transformers.sparse_encoder.models."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


# how: what its modules are, and the query side and the document side that they should be read as.
WRITTEN: dict[str, tuple[Callable[[Path], list[Any]], Callable[[Path], tuple[Any, Any]]]] = {
    "plain": (plain, lambda folder: (language_model(folder), language_model(folder))),
    "causal": (
        lambda models: [decoder(models / "qwen2"), SpladePooling("max")],
        lambda folder: (language_model(folder, task="causal-lm"), language_model(folder, task="causal-lm")),
    ),
    "table": (lambda models: [static(models / "bert")], lambda folder: (embedding(folder), embedding(folder))),
    "inference-free": (
        inference_free,
        lambda folder: (
            embedding(folder / QUERY, COMPONENTS),
            language_model(folder / DOCUMENT, activation="log1p-log1p"),
        ),
    ),
    "two networks": (
        two_networks,
        lambda folder: (
            language_model(folder / "query_0_Transformer", pooling="sum"),
            language_model(folder / DOCUMENT),
        ),
    ),
    "one network in two routes": (
        one_network_in_two_routes,
        lambda folder: (
            language_model(folder / "query_0_Transformer", pooling="sum"),
            language_model(folder / "query_0_Transformer"),
        ),
    ),
    "router before pooling": (
        router_before_pooling,
        lambda folder: (language_model(folder / "query_0_Transformer"), language_model(folder / DOCUMENT)),
    ),
    "named routes": (
        named_routes,
        lambda folder: (
            embedding(folder / "short_0_SparseStaticEmbedding", COMPONENTS),
            language_model(folder / "long_0_Transformer"),
        ),
    ),
}


def embedding(folder: Path, components: int | None = None, longest: int = 96) -> Any:
    file = str(folder / "model.safetensors")
    return lookup(folder, table=file, special_components=True, components=components, max_length=longest)


@pytest.fixture(scope="module")
def written(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model of WRITTEN; not to be changed."""
    above = tmp_path_factory.mktemp("written")

    def folder(how: str) -> Path:
        path = above / how
        if not path.exists():
            SparseEncoder(modules=WRITTEN[how][0](models)).save(str(path))
        return path

    return folder


def assert_same_vectors(folder: Path) -> None:
    """lsr's vectors are those of sentence-transformers' encode_query and encode_document."""
    texts = [text for text in TEXTS if text.strip()]
    theirs, ours = SparseEncoder(str(folder), device="cpu"), load_encoder(folder, device="cpu")
    with torch.no_grad():
        for expected, found in (
            (theirs.encode_query(texts), ours.encode_queries(texts)),
            (theirs.encode_document(texts), ours.encode_documents(texts)),
        ):
            dense = expected.to_dense().numpy()
            assert (dense > 0).any(1).all()
            np.testing.assert_allclose(found.to_dense(), dense, atol=1e-4)


@pytest.mark.parametrize("how", WRITTEN)
def test_written(written: Callable[[str], Path], how: str) -> None:
    folder = written(how)
    query, document = WRITTEN[how][1](folder)
    assert read_layout("name", folder, None) == EncoderSpec("name", query, document, "sentence-transformers")
    if how != "causal":
        assert_same_vectors(folder)


def test_vectors_of_causal_models(written: Callable[[str], Path]) -> None:
    # encode, there, looks at the last position alone, and at nothing where a text is padded.
    folder = written("causal")
    model = SparseEncoder(str(folder), device="cpu")
    texts = [text for text in TEXTS if text.strip()]
    with torch.no_grad():
        expected = model({**model.preprocess(texts), "logits_to_keep": 0})["sentence_embedding"].numpy()
    found = load_encoder(folder, device="cpu").encode_documents(texts)
    assert (expected > 0).any(1).all()
    np.testing.assert_allclose(found.to_dense(), expected, atol=1e-4)


def test_length(models: Path, tmp_path: Path) -> None:
    model = SparseEncoder(modules=inference_free(models))
    model.max_seq_length = 7
    model.save(str(tmp_path))
    document = language_model(tmp_path / DOCUMENT, 7, activation="log1p-log1p")
    query = embedding(tmp_path / QUERY, COMPONENTS)  # there it changes nothing that is written or computed
    assert read_layout("name", tmp_path, None) == EncoderSpec("name", query, document, "sentence-transformers")
    assert_same_vectors(tmp_path)
    spec = read_layout("name", tmp_path, 20)
    assert (spec.query, spec.document) == (replace(query, max_length=20), document)
    spec = read_layout("name", tmp_path, 5)
    assert (spec.query, spec.document) == (replace(query, max_length=5), replace(document, max_length=5))


@pytest.mark.parametrize(
    ("settings", "tokenizer", "positions", "asked", "longest"),
    [
        ({"max_seq_length": 300, "do_lower_case": False}, {"model_max_length": 512}, 512, None, 300),
        ({"max_seq_length": 300}, {"model_max_length": 512}, 512, 400, 400),
        ({"max_seq_length": 300}, {"model_max_length": 512}, 512, 4000, 512),
        ({"max_seq_length": 300}, {"model_max_length": 1e30}, 200, None, 200),
        ({"max_seq_length": None}, {"model_max_length": 400}, 512, None, 400),
        ({}, {"model_max_length": 1e30}, 512, None, 512),
        ({}, {}, None, None, 256),
    ],
)
def test_lengths_stated_elsewhere(
    written: Callable[[str], Path],
    tmp_path: Path,
    settings: dict[str, Any],
    tokenizer: dict[str, Any],
    positions: int | None,
    asked: int | None,
    longest: int,
) -> None:
    folder = shutil.copytree(written("plain"), tmp_path / "model")
    write_json(folder / "sentence_bert_config.json", {"transformer_task": "fill-mask", **settings})
    write_json(folder / "tokenizer_config.json", tokenizer)
    change_json(folder / "config.json", max_position_embeddings=positions)
    assert read_layout("name", folder, asked).query == language_model(folder, longest)


def test_a_table_without_limit(written: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(written("table"), tmp_path / "model")
    change_json(folder / "tokenizer_config.json", model_max_length=1e30)
    assert read_layout("name", folder, None).query == embedding(folder, longest=1_000_000)
    assert read_layout("name", folder, 30).query == embedding(folder, longest=30)


@pytest.mark.parametrize(
    ("prompts", "query", "document"),
    [
        ({"query": "sea ", "document": "the run: "}, "sea ", "the run: "),
        ({"query": "sea ", "document": "", "passage": "run "}, "sea ", ""),
        ({"query": "", "document": None, "passage": "run "}, "", ""),
        ({"document": "beta ", "passage": "run "}, "", "beta "),
        ({"other": "beta "}, "", ""),
        ({}, "", ""),
        (None, "", ""),
    ],
)
def test_prompts(
    written: Callable[[str], Path], tmp_path: Path, prompts: dict[str, str] | None, query: str, document: str
) -> None:
    folder = shutil.copytree(written("plain"), tmp_path / "model")
    default = "other" if prompts and "other" in prompts else None
    change_json(folder / "config_sentence_transformers.json", prompts=prompts or {}, default_prompt_name=default)
    side = language_model(folder)
    assert read_layout("name", folder, None) == EncoderSpec(
        "name", replace(side, prompt=query), replace(side, prompt=document), "sentence-transformers"
    )
    assert_same_vectors(folder)


@pytest.mark.parametrize(
    ("prompts", "document"),
    [({"passage": "run ", "corpus": "e "}, "run "), ({"corpus": "e "}, "e "), ({"query": "q ", "passage": ""}, "")],
)
def test_older_names_of_document_prompts(
    written: Callable[[str], Path], tmp_path: Path, prompts: dict[str, str], document: str
) -> None:
    # sentence-transformers 6 adds an empty "document" to these before it looks, and so reads no prompt.
    folder = shutil.copytree(written("plain"), tmp_path / "model")
    change_json(folder / "config_sentence_transformers.json", prompts=prompts)
    assert read_layout("name", folder, None).document == replace(language_model(folder), prompt=document)


def older(folder: Path) -> None:
    """What version 5 wrote: other names of classes and keys."""
    modules = [("", OLD + "MLMTransformer"), ("1_SpladePooling", OLD + "SpladePooling")]
    write_modules(folder, modules)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 60, "do_lower_case": True})
    pooling = {"pooling_strategy": "sum", "activation_function": "log1p_relu", "word_embedding_dimension": None}
    write_json(folder / "1_SpladePooling" / "config.json", pooling)


def test_older_names(written: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(written("plain"), tmp_path / "model")
    older(folder)
    side = language_model(folder, 60, activation="log1p-log1p", pooling="sum")
    side = replace(side, lower_case=True)
    assert read_layout("name", folder, None) == EncoderSpec("name", side, side, "sentence-transformers")
    assert_same_vectors(folder)
    (folder / "config_sentence_transformers.json").unlink()
    assert read_layout("name", folder, None).query == side


@pytest.mark.parametrize("file", ["router_config.json", "0_Asym/config.json"])
def test_inference_free_models_of_opensearch(written: Callable[[str], Path], tmp_path: Path, file: str) -> None:
    """The network in the root of the repository, the rest in folders of their own."""
    folder = shutil.copytree(written("inference-free") / DOCUMENT, tmp_path / "model")
    router = (folder / file).parent
    shutil.copytree(written("inference-free") / QUERY, router / "query_0_IDF")
    shutil.copytree(written("inference-free") / POOLING, router / POOLING)
    network = "" if router == folder else "document_0_MLMTransformer"
    if network:
        shutil.copytree(written("inference-free") / DOCUMENT, router / network)
    types = {network: OLD + "MLMTransformer", POOLING: OLD + "SpladePooling", "query_0_IDF": OLD + "IDF"}
    structure = {"query": ["query_0_IDF"], "document": [network, POOLING]}
    write_json(router / file.split("/")[-1], {"types": types, "structure": structure})
    write_modules(folder, [(router.relative_to(folder).as_posix().strip("."), "sentence_transformers.models.Asym")])
    write_json(folder / "idf.json", {})  # the table that counts is the module's
    query = embedding(router / "query_0_IDF", COMPONENTS)
    document = language_model(router / network, activation="log1p-log1p")
    assert read_layout("name", folder, None) == EncoderSpec("name", query, document, "sentence-transformers")


@pytest.mark.parametrize("place", [QUERY, ""])
def test_table_in_json(written: Callable[[str], Path], tmp_path: Path, place: str) -> None:
    folder = shutil.copytree(written("inference-free"), tmp_path / "model")
    write_json(folder / QUERY / "config.json", {"frozen": True, "path": "idf.json"})
    (folder / QUERY / "model.safetensors").unlink()
    write_json(folder / place / "idf.json", {"sea": 2.5, "the": 0.5})
    query = read_layout("name", folder, None).query
    assert query == replace(embedding(folder / QUERY, COMPONENTS), table=str(folder / place / "idf.json"))
    vectors = load_encoder(folder, device="cpu").encode_queries(["the sea, the sea", "run"])
    weights = np.zeros((2, COMPONENTS))
    weights[0, [(SPECIAL + WORDS).index("the"), (SPECIAL + WORDS).index("sea")]] = 0.5, 2.5
    assert (vectors.to_dense() == weights).all()


def test_network_larger_than_its_tokenizer(models: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "bert", components=24)
    documents = [transformer(tmp_path / "bert"), SpladePooling("max")]
    router = Router.for_query_document([static(models / "bert")], documents)
    SparseEncoder(modules=[router]).save(str(tmp_path / "model"))
    assert read_layout("name", tmp_path / "model", None).query == embedding(tmp_path / "model" / QUERY, 24)
    encoder = load_encoder(tmp_path / "model", device="cpu")
    assert encoder.encode_queries(["sea"]).dim == encoder.encode_documents(["sea"]).dim == 24
