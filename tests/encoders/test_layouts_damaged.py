"""Folders of sentence-transformers that hold something else, or are damaged: EncoderError says what, where, and why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder, SpladePooling

from lsr.encoders.folders.layouts import read_layout
from lsr.encoders.spec import TransformerSpec
from lsr.errors import EncoderError
from tests.encoders.models import change_json
from tests.encoders.modules import DOCUMENT, POOLING, QUERY, inference_free, plain, static, write_models, write_modules
from tests.encoders.specs import write_json


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def written(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inference-free model; not to be changed."""
    folder = tmp_path_factory.mktemp("written")
    SparseEncoder(modules=inference_free(models)).save(str(folder))
    return folder


def multiplied(models: Path) -> list[Any]:
    return [Router.for_query_document([*plain(models), static(models / "bert")], plain(models))]


def compressed(models: Path) -> list[Any]:
    return [Transformer(str(models / "bert")), Pooling(24), SparseAutoEncoder(24, 96, 4)]


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (multiplied, "Transformer, SpladePooling, SparseStaticEmbedding, which multiplies .*; lsr reads a Transformer"),
        (compressed, "Transformer, Pooling, SparseAutoEncoder, whose components are not tokens; lsr reads"),
        (
            lambda models: [Transformer(str(models / "bert")), SpladePooling("max")],
            "sentence_bert_config.json: transformer_task is 'feature-extraction'; lsr supports fill-mask, ",
        ),
    ],
)
def test_other_sparse_encoders(
    models: Path, tmp_path: Path, modules: Callable[[Path], list[Any]], message: str
) -> None:
    SparseEncoder(modules=modules(models)).save(str(tmp_path))
    with pytest.raises(EncoderError, match=message):
        read_layout("name", tmp_path, None)


def test_dense_models(models: Path, tmp_path: Path) -> None:
    SentenceTransformer(modules=[Transformer(str(models / "bert")), Pooling(24)]).save(str(tmp_path))
    for _ in range(2):
        with pytest.raises(
            EncoderError, match="a dense model .*Transformer, Pooling.*load it with lsr.load_dense_encoder"
        ):
            read_layout("name", tmp_path, None)
        (tmp_path / "config_sentence_transformers.json").unlink(missing_ok=True)  # as models before version 2


def router(folder: Path, **changes: Any) -> None:
    change_json(folder / "router_config.json", **changes)


def structure(folder: Path, **changes: Any) -> None:
    path = folder / "router_config.json"
    router(folder, structure={**json.loads(path.read_text())["structure"], **changes})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: write_json(folder / "modules.json", []), "modules.json: damaged .not a list of modules"),
        (lambda folder: write_json(folder / "modules.json", {"a": 1}), "modules.json: damaged"),
        (lambda folder: write_json(folder / "modules.json", ["Router"]), "modules.json: damaged"),
        (lambda folder: write_json(folder / "modules.json", [{"path": ""}]), "modules.json: damaged .*has no type"),
        (lambda folder: write_modules(folder, [("..", "a.Router")]), "refers to '..', which is not inside the folder"),
        (lambda folder: write_modules(folder, [("/etc", "a.Router")]), "refers to '/etc'"),
        (lambda folder: write_modules(folder, [("a/../..", "a.Router")]), "refers to 'a/../..'"),
        (lambda folder: write_modules(folder, [("nowhere", "a.Router")]), "nowhere/router_config.json: is missing"),
        (
            lambda folder: write_modules(folder, [("", "a.Router"), ("", "a.Normalize")]),
            "made of SparseStaticEmbedding, Normalize; lsr",
        ),
        (lambda folder: (folder / "router_config.json").write_text("{"), "router_config.json: damaged"),
        (lambda folder: router(folder, types=[]), "router_config.json: damaged .no types or no structure"),
        (lambda folder: router(folder, types={}), "router_config.json: damaged .*has no type"),
        (lambda folder: router(folder, parameters={"route_mappings": [1]}), "route_mappings is not a JSON object"),
        (
            lambda folder: router(folder, parameters={"route_mappings": {"('query', None)": "nowhere"}}),
            "has no route for query, only query, document",
        ),
        (lambda folder: structure(folder, query=[]), "made of nothing; lsr reads"),
        (lambda folder: structure(folder, document="all"), "has no route for document"),
        (lambda folder: structure(folder, query=[["a"]]), "router_config.json: damaged"),
        (lambda folder: structure(folder, query=[POOLING]), "made of SpladePooling; lsr reads"),
        (
            lambda folder: router(folder, types={"../x": "IDF"}, structure={"query": ["../x"], "document": []}),
            "refers to '../x'",
        ),
        (
            lambda folder: change_json(folder / "config_sentence_transformers.json", model_type="CrossEncoder"),
            "model_type is 'CrossEncoder'; lsr reads SparseEncoder",
        ),
        (
            lambda folder: change_json(folder / "config_sentence_transformers.json", prompts={"query": 3}),
            "config_sentence_transformers.json: prompts are not texts",
        ),
        (lambda folder: (folder / POOLING / "config.json").unlink(), "config.json: is missing"),
        (
            lambda folder: change_json(folder / POOLING / "config.json", pooling_strategy="mean"),
            "pooling_strategy is 'mean'; lsr supports max, sum",
        ),
        (
            lambda folder: change_json(folder / POOLING / "config.json", activation_function=["relu"]),
            r"activation_function is \['relu'\]; lsr supports relu, log1p_relu",
        ),
        (
            lambda folder: change_json(folder / DOCUMENT / "sentence_bert_config.json", transformer_task="retrieval"),
            "transformer_task is 'retrieval'; lsr supports fill-mask, text-generation",
        ),
        (
            lambda folder: change_json(folder / DOCUMENT / "config.json", architectures=["Qwen2ForCausalLM"]),
            "sentence_bert_config.json: transformer_task is masked-lm, but config.json .* says causal-lm",
        ),
        (lambda folder: (folder / DOCUMENT / "config.json").unlink(), "document_0_Transformer/config.json: is missing"),
        (
            lambda folder: (folder / DOCUMENT / "model.safetensors").unlink(),
            "document_0_Transformer: has no model.safe",
        ),
        (lambda folder: (folder / QUERY / "model.safetensors").unlink(), "StaticEmbedding: has no model.safetensors"),
        (
            lambda folder: (folder / QUERY / "model.safetensors").rename(folder / QUERY / "pytorch_model.bin"),
            "are in pytorch_model.bin, a pickle",
        ),
        (lambda folder: write_json(folder / QUERY / "config.json", {"path": "a.json"}), "a.json: is missing"),
        (lambda folder: write_json(folder / QUERY / "config.json", {"path": "/etc/a.json"}), "refers to '/etc/a.json'"),
        (
            lambda folder: write_json(folder / QUERY / "config.json", {"path": "../../a.json"}),
            "is not inside the folder",
        ),
    ],
)
def test_damaged(written: Path, tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    folder = shutil.copytree(written, tmp_path / "model")
    damage(folder)
    with pytest.raises(EncoderError, match=message) as raised:
        read_layout("name", folder, None)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2**70)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["..", "/"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def places(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield from places(content[key], (*place, key))


def replaced(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = dict(content) if isinstance(content, dict) else list(content)
    changed[place[0]] = replaced(content[place[0]], place[1:], value)
    return changed


@settings(max_examples=300)
@given(data=st.data())
def test_any_value_anywhere(written: Path, data: st.DataObject) -> None:
    """Whatever stands where in a JSON file: an encoder, or EncoderError."""
    folder = written
    files = sorted(path for path in folder.rglob("*.json") if path.name != "tokenizer.json")
    path = data.draw(st.sampled_from(files))
    original = path.read_text()
    content = json.loads(original)
    place = data.draw(st.sampled_from(list(places(content))))
    try:
        path.write_text(json.dumps(replaced(content, place, data.draw(JSON))))
        spec = read_layout("name", folder, None)
        assert isinstance(spec.document, TransformerSpec)
        assert spec.document.max_length >= 1
    except EncoderError as error:
        assert str(folder) in str(error)
    finally:
        path.write_text(original)
