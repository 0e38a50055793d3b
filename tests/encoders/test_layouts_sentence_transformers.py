"""Folders of sentence-transformers: those that it writes now, read as it reads them, and the forms that it had."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder, SparseStaticEmbedding, SpladePooling

from lsr import load_encoder
from lsr.encoders.folders.layouts import read_layout
from lsr.encoders.spec import EncoderSpec, TransformerSpec
from lsr.errors import EncoderError
from tests.encoders.models import SPECIAL, TEXTS, WORDS, change_json, write_model
from tests.encoders.specs import COMPONENTS, language_model, lookup, write_json

OLD = "sentence_transformers.sparse_encoder.models."
DOCUMENT, QUERY, POOLING = "document_0_Transformer", "query_0_SparseStaticEmbedding", "document_1_SpladePooling"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "bert", max_position_embeddings=96)
    write_model(folder / "distilbert", "distilbert")
    write_model(folder / "qwen2", "qwen2")
    return folder


def transformer(folder: Path, **options: Any) -> Transformer:
    return Transformer(str(folder), transformer_task="fill-mask", **options)


def decoder(folder: Path) -> Transformer:
    return Transformer(
        str(folder),
        transformer_task="text-generation",
        modality_config={"text": {"method": "forward", "method_output_name": "logits"}},
        module_output_name="token_embeddings",
    )


def static(folder: Path) -> SparseStaticEmbedding:
    weights = torch.rand(COMPONENTS, generator=torch.manual_seed(1)) * 3
    return SparseStaticEmbedding(transformer(folder).tokenizer, weights, frozen=True)


def plain(models: Path) -> list[Any]:
    return [transformer(models / "bert"), SpladePooling("max")]


def inference_free(models: Path) -> list[Any]:
    documents = [transformer(models / "bert"), SpladePooling("max", "log1p_relu")]
    return [Router.for_query_document([static(models / "bert")], documents)]


def two_networks(models: Path) -> list[Any]:
    queries = [transformer(models / "distilbert", do_lower_case=True), SpladePooling("sum")]
    return [Router.for_query_document(queries, plain(models))]


def one_network_in_two_routes(models: Path) -> list[Any]:
    network = transformer(models / "bert")
    return [Router.for_query_document([network, SpladePooling("sum")], [network, SpladePooling("max")])]


def router_before_pooling(models: Path) -> list[Any]:
    router = Router.for_query_document([transformer(models / "distilbert")], [transformer(models / "bert")])
    return [router, SpladePooling("max")]


def named_routes(models: Path) -> list[Any]:
    mappings: dict[Any, str] = {("query", "text"): "short", ("document", None): "long", (None, None): "short"}
    return [Router({"short": [static(models / "bert")], "long": plain(models)}, route_mappings=mappings)]


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
            replace(language_model(folder / "query_0_Transformer", pooling="sum"), lower_case=True),
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
    assert_same_vectors(folder)


def test_length(models: Path, tmp_path: Path) -> None:
    model = SparseEncoder(modules=inference_free(models))
    model.max_seq_length = 7
    model.save(str(tmp_path))
    document = language_model(tmp_path / DOCUMENT, 7, activation="log1p-log1p")
    query = embedding(tmp_path / QUERY, COMPONENTS, 7)
    for asked in (None, 20):
        spec = read_layout("name", tmp_path, asked)
        assert spec == EncoderSpec("name", query, document, "sentence-transformers")
    assert_same_vectors(tmp_path)
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


def write_modules(folder: Path, modules: list[tuple[str, str]]) -> None:
    listed = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)]
    write_json(folder / "modules.json", listed)


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


def test_network_larger_than_its_tokeniser(models: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "bert", components=24)
    documents = [transformer(tmp_path / "bert"), SpladePooling("max")]
    router = Router.for_query_document([static(models / "bert")], documents)
    SparseEncoder(modules=[router]).save(str(tmp_path / "model"))
    assert read_layout("name", tmp_path / "model", None).query == embedding(tmp_path / "model" / QUERY, 24)
    encoder = load_encoder(tmp_path / "model", device="cpu")
    assert encoder.encode_queries(["sea"]).dim == encoder.encode_documents(["sea"]).dim == 24


def multiplied(models: Path) -> list[Any]:
    return [Router.for_query_document([*plain(models), static(models / "bert")], plain(models))]


def compressed(models: Path) -> list[Any]:
    return [Transformer(str(models / "bert")), Pooling(24), SparseAutoEncoder(24, 96, 4)]


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (multiplied, "Transformer, SpladePooling, SparseStaticEmbedding, which multiplies .*; lsr reads a Transformer"),
        (compressed, "Transformer, Pooling, SparseAutoEncoder, whose components stand for no tokens; lsr reads"),
        (
            lambda models: [Transformer(str(models / "bert")), SpladePooling("max")],
            "sentence_bert_config.json: transformer_task is 'feature-extraction'; lsr knows fill-mask, text-generation",
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
        with pytest.raises(EncoderError, match="a dense model .*Transformer, Pooling.*load_dense_encoder reads those"):
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
        (lambda folder: write_json(folder / "modules.json", []), "modules.json: damaged .no list of modules"),
        (lambda folder: write_json(folder / "modules.json", {"a": 1}), "modules.json: damaged"),
        (lambda folder: write_json(folder / "modules.json", ["Router"]), "modules.json: damaged"),
        (lambda folder: write_json(folder / "modules.json", [{"path": ""}]), "modules.json: damaged .*has no type"),
        (lambda folder: write_modules(folder, [("..", "a.Router")]), "refers to '..', which is no place inside it"),
        (lambda folder: write_modules(folder, [("/etc", "a.Router")]), "refers to '/etc'"),
        (lambda folder: write_modules(folder, [("a/../..", "a.Router")]), "refers to 'a/../..'"),
        (lambda folder: write_modules(folder, [("nowhere", "a.Router")]), "nowhere/router_config.json: is missing"),
        (
            lambda folder: write_modules(folder, [("", "a.Router"), ("", "a.Normalize")]),
            "SpladePooling, Normalize; lsr",
        ),
        (lambda folder: (folder / "router_config.json").write_text("{"), "router_config.json: damaged"),
        (lambda folder: router(folder, types=[]), "router_config.json: damaged .no types or no structure"),
        (lambda folder: router(folder, types={}), "router_config.json: damaged .*has no type"),
        (lambda folder: router(folder, parameters={"route_mappings": [1]}), "route_mappings is no JSON object"),
        (
            lambda folder: router(folder, parameters={"route_mappings": {"('query', None)": "nowhere"}}),
            "has no route for query, only query, document",
        ),
        (lambda folder: router(folder, structure={"query": []}), "made of nothing"),
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
            "config_sentence_transformers.json: prompts are no texts",
        ),
        (lambda folder: (folder / POOLING / "config.json").unlink(), "config.json: is missing"),
        (
            lambda folder: change_json(folder / POOLING / "config.json", pooling_strategy="mean"),
            "pooling_strategy is 'mean'; lsr knows max, sum",
        ),
        (
            lambda folder: change_json(folder / POOLING / "config.json", activation_function=["relu"]),
            r"activation_function is \['relu'\]; lsr knows relu, log1p_relu",
        ),
        (
            lambda folder: change_json(folder / DOCUMENT / "sentence_bert_config.json", transformer_task="retrieval"),
            "transformer_task is 'retrieval'; lsr knows fill-mask, text-generation",
        ),
        (
            lambda folder: change_json(folder / DOCUMENT / "config.json", architectures=["Qwen2ForCausalLM"]),
            "sentence_bert_config.json: transformer_task makes it a masked-lm model, config.json .* a causal-lm one",
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
        (lambda folder: write_json(folder / QUERY / "config.json", {"path": "../../a.json"}), "is no place inside it"),
    ],
)
def test_damaged(
    written: Callable[[str], Path], tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    folder = shutil.copytree(written("inference-free"), tmp_path / "model")
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
def test_any_value_anywhere(written: Callable[[str], Path], data: st.DataObject) -> None:
    """Whatever stands where in a JSON file: an encoder, or EncoderError."""
    folder = written("inference-free")
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
