"""Queries without a network: tokens, tables of weights, IDF, and what sentence-transformers makes of the same."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import save_file
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

from lsr import SparseVectors
from lsr.collections.collection import load_collection
from lsr.encoders.build import build_encoder
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.folders.model_files import limit_of
from lsr.encoders.idf import idf, idf_of_texts, idf_of_vectors, read_table, write_table
from lsr.encoders.sparse.lookup import LookupSide
from lsr.encoders.sparse.tokens import FolderTokenizer
from lsr.encoders.spec import LookupSpec
from lsr.errors import EncoderError
from lsr.retrieval.indexing import build_index
from tests.data import LIBRARY, data_path
from tests.encoders.models import change_json, write_model
from tests.processes import run_python

MS_MARCO = 8_841_823
ODD = [
    "what causes high blood pressure",
    "",
    " \n\t",
    "the the The THE the",
    "control \x00\x01\x1f characters \x7f",
    "emoji 😀 and accents é ü ñ Ω",
    "[SEP] typed [MASK] tokens [CLS]",
    "supercalifragilisticexpialidocious zzzzqqqq 漢字",
    "salt " * 100_000,
]


@pytest.fixture(scope="module")
def tiny() -> Path:
    return find_checkpoint("tiny").folder


@pytest.fixture(scope="module")
def library_idf(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = idf_of_texts(
        (document.full_text for document in load_collection(LIBRARY).documents()), FolderTokenizer(tiny)
    )
    path = tmp_path_factory.mktemp("idf") / "idf.json"
    write_table(path, found, LookupSide(LookupSpec(str(tiny))).vocabulary)
    return path


def terms(side: LookupSide, text: str) -> dict[str, float]:
    components, weights = side.encode([text]).row(0)
    return {side.vocabulary.token(int(c)): float(w) for c, w in zip(components, weights, strict=True)}


@pytest.mark.data
def test_golden_query_of_opensearch(tiny: Path, tmp_path: Path) -> None:
    ms_marco = tmp_path / "idf.json"
    ms_marco.write_bytes(gzip.decompress(data_path("idf", "msmarco-wordpiece-idf.json.gz").read_bytes()))
    query = terms(LookupSide(LookupSpec(str(tiny), str(ms_marco))), "What's the weather in ny now?")
    golden = {"?": 3.3313, "what": 2.7699, "in": 0.4989, "ny": 5.7729, "weather": 4.5684, "now": 3.5895}
    for token, weight in golden.items():
        assert query[token] == pytest.approx(weight, abs=5e-5)
    for document, score in (
        ({"ny": 1.4109, "weather": 1.4673, "now": 0.7473}, 17.5307),  # doc-v2-distill
        ({"ny": 0.8049, "weather": 0.9710, "now": 0.4720, "what": 0.0787, "in": 0.0417, "?": 0.0286}, 11.1105),  # v3
    ):
        assert sum(weight * query[token] for token, weight in document.items()) == pytest.approx(score, abs=1e-3)


def test_idf_of_ms_marco() -> None:
    found = idf(np.array([0, 1, 2, 3, MS_MARCO]), MS_MARCO)
    np.testing.assert_allclose(found, [1, 15.58954, 15.07871, 14.74224, 5.7e-8], rtol=1e-5, atol=1e-8)


def test_idf_of_a_collection(tiny: Path, tmp_path: Path) -> None:
    texts = [document.full_text for document in load_collection(LIBRARY).documents()]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(set(tokenizer(text, add_special_tokens=False)["input_ids"]))
    found = idf_of_texts(iter(texts), FolderTokenizer(tiny))
    for token in range(len(found)):
        n = counts[token]
        expected = np.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) if n else 1.0
        assert found[token] == pytest.approx(expected, rel=1e-6)
    side = LookupSide(LookupSpec(str(tiny)))  # every token once: the same counts as vectors
    vectors = side.encode(texts)
    known = np.unique(vectors.indices)
    np.testing.assert_allclose(idf_of_vectors(vectors)[known], found[known], rtol=1e-6)
    vectors.write(tmp_path / "vectors", side.vocabulary)
    assert np.array_equal(idf_of_vectors(tmp_path / "vectors"), idf_of_vectors(vectors))
    write_table(tmp_path / "idf.json", found, side.vocabulary)
    np.testing.assert_allclose(read_table(tmp_path / "idf.json", side.vocabulary), found, rtol=1e-7)


def test_idf_of_texts_without_tokens(tiny: Path) -> None:
    for texts in ([], ["", "  "]):
        with pytest.raises(EncoderError, match="no document has a token"):
            idf_of_texts(texts, FolderTokenizer(tiny))
    with pytest.raises(EncoderError, match="row 1: .* is of type int"):
        idf_of_texts(["salt", 7], FolderTokenizer(tiny))  # type: ignore[list-item]
    with pytest.raises(EncoderError, match="no document has a token"):
        idf_of_vectors(SparseVectors.empty(5))


def theirs(folder: Path, texts: list[str]) -> np.ndarray:
    module = SparseStaticEmbedding.load(str(folder))
    with torch.no_grad():
        return np.concatenate([module(module.preprocess([text]))["sentence_embedding"].numpy() for text in texts])


@pytest.mark.parametrize("special", [False, True])
def test_equals_sentence_transformers_both_ways(tiny: Path, library_idf: Path, special: bool, tmp_path: Path) -> None:
    ours = LookupSide(LookupSpec(str(tiny), str(library_idf), special_components=special))
    ours.save(tmp_path / "ours")
    spoken = [text for text in ODD if text.strip()]  # it cannot make a batch of nothing
    np.testing.assert_allclose(ours.encode(spoken).to_dense(), theirs(tmp_path / "ours", spoken), rtol=1e-6)

    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    SparseStaticEmbedding(tokenizer, torch.rand(ours.dim)).save(str(tmp_path / "theirs"))
    spec = LookupSpec(str(tmp_path / "theirs"), str(tmp_path / "theirs" / "model.safetensors"), special_components=True)
    found = LookupSide(spec).encode(spoken).to_dense()
    np.testing.assert_allclose(found, theirs(tmp_path / "theirs", spoken), rtol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"counts": True, "scale": 0.3},
        {"special_components": True},
        {"prompt": "the query: "},
        {"max_length": 3},
    ],
)
def test_one_text_is_encoded_as_one_of_many(tiny: Path, library_idf: Path, changes: dict[str, Any]) -> None:
    side = LookupSide(LookupSpec(str(tiny), str(library_idf), **changes))
    many = side.encode(ODD)
    assert many == SparseVectors.concatenate([side.encode([text]) for text in ODD])
    assert many == SparseVectors(many.indptr, many.indices, many.values, side.dim)
    assert many[1].nnz == many[2].nnz == 0
    assert side.encode([]) == SparseVectors.empty(side.dim)


def test_counts_and_scale(tmp_path: Path) -> None:
    write_model(tmp_path)
    side = LookupSide(LookupSpec(str(tmp_path), counts=True, scale=0.5, special_components=True))
    assert terms(side, "sea sea the nothing") == {"sea": 1.0, "the": 0.5, "[UNK]": 0.5}
    once = LookupSide(LookupSpec(str(tmp_path), components=20))
    assert terms(once, "sea sea the nothing [SEP]") == {"sea": 1.0, "the": 1.0}
    assert once.dim == 20
    assert once.vocabulary.tokens[17:] == ("<unnamed 17>", "<unnamed 18>", "<unnamed 19>")
    assert once.literal("sea sea [SEP]") == {once.vocabulary.id_of("sea")}


@pytest.mark.parametrize("lower", [True, False])
def test_vocab_txt_alone(lower: bool, tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sea", "Sea", "the", "##s", "e", "é", ",", "?"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower, "model_max_length": 9}))
    tokens = FolderTokenizer(tmp_path)
    assert tokens.vocabulary.tokens == tuple(words)
    assert tokens.special == frozenset(range(5))
    assert limit_of(tmp_path) == 9
    expected = [[5, 8, 12], [5]] if lower else [[6, 8, 12], [6]]
    assert tokens.ids(["Seas?", "Sea"], 5) == expected
    tokens.save(tmp_path, 7)
    assert FolderTokenizer(tmp_path).ids(["Seas?", "Sea"], 5) == expected


@pytest.mark.parametrize("lower", [True, False])
def test_lower_case_as_transformers_has_it(lower: bool, tiny: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        (tmp_path / name).write_bytes((tiny / name).read_bytes())
    change_json(tmp_path / "tokenizer_config.json", do_lower_case=lower)
    texts = ["The Heart of Éric", "NASA", *ODD[:-1]]
    expected = transformers.AutoTokenizer.from_pretrained(tmp_path)(texts, add_special_tokens=False)["input_ids"]
    assert FolderTokenizer(tmp_path).ids(texts, 10**6) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.json", b"{", "t.json: is not a table of weights, or is damaged"),
        ("t.json", b"[1, 2]", "t.json: is not a table"),
        ("t.json", b'{"sea": "x"}', "t.json: is not a table"),
        ("t.json", b'{"sea": NaN}', "the weight of 'sea' is nan"),
        ("t.json", b'{"sea": 1e999}', "the weight of 'sea' is inf"),
        ("t.txt", b"sea\n", "t.txt: is not a table"),
        ("t.safetensors", b"no tensors", "t.safetensors: is not a table"),
        ("missing.json", None, "missing.json: is not a table"),
    ],
)
def test_damaged_tables(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    write_model(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EncoderError, match=message):
        LookupSide(LookupSpec(str(tmp_path), str(tmp_path / name)))


def test_tables_that_do_not_fit(tmp_path: Path) -> None:
    write_model(tmp_path)
    vocabulary = FolderTokenizer(tmp_path).vocabulary
    for shape in ((18,), (17, 2)):
        save_file({"weight": np.ones(shape, np.float32)}, tmp_path / "t.safetensors")
        with pytest.raises(EncoderError, match="but the tokenizer has 17 tokens; use table and tokenizer"):
            read_table(tmp_path / "t.safetensors", vocabulary)
    save_file({"other": np.ones(17, np.float32)}, tmp_path / "t.safetensors")
    with pytest.raises(EncoderError, match="is not a table"):
        read_table(tmp_path / "t.safetensors", vocabulary)
    with pytest.raises(EncoderError, match="has 17 tokens, but vectors have 9 components"):
        FolderTokenizer(tmp_path, 9)
    # Tokens that the tokenizer lacks are in OpenSearch's tables; one that the table lacks has no weight.
    (tmp_path / "t.txt").write_text("sea 2.5\nnosuchtoken 3\nthe\t1\n")
    assert read_table(tmp_path / "t.txt", vocabulary).nonzero()[0].tolist() == sorted(
        vocabulary.tokens.index(token) for token in ("sea", "the")
    )


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_damaged_tokenizers(name: str, tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / name).write_text("[1]")
    with pytest.raises(EncoderError, match=f"{name}: damaged"):
        FolderTokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink(missing_ok=True)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(EncoderError, match=r"neither tokenizer.json nor vocab.txt"):
        FolderTokenizer(tmp_path)


def test_a_search_server_loads_no_torch(tmp_path: Path) -> None:
    encoder = build_encoder("opensearch-doc-v2-distill", "tiny", idf=np.ones(30522, np.float32), device="cpu")
    encoder.save_pretrained(tmp_path / "encoder")
    build_index(load_collection(LIBRARY), tmp_path / "index", tmp_path / "encoder")
    code = """
import sys
from lsr import Searcher, load_encoder
if sys.argv[1] == "encode":
    print(load_encoder(sys.argv[2]).encode_queries(["information retrieval"]).nnz)
else:
    print(len(Searcher.open(sys.argv[2]).search("information retrieval", k=3)))
print([name for name in ("torch", "transformers", "pyarrow") if name in sys.modules])
"""
    assert run_python(code, "encode", tmp_path / "encoder").stdout.split("\n") == ["2", "[]", ""]
    assert run_python(code, "search", tmp_path / "index").stdout.split("\n") == ["3", "[]", ""]
