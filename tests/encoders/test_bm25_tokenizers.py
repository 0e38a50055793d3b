"""BM25 over stems and over the tokens of a model, against PyStemmer and the tokenizers library themselves."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import Stemmer
from tokenizers import Tokenizer

from lsr.collections.collection import load_collection
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.bm25_words import FUNCTION_WORDS, tokenize
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.load import load_encoder
from lsr.encoders.snowball import snowball_languages, stems
from lsr.errors import EncoderError, LsrError, LsrWarning, ParameterError
from lsr.experiment.experiment_file import NamedEncoder
from lsr.experiment.indexes import Indexes
from lsr.retrieval.indexing import build_index
from lsr.retrieval.refit import refit_index
from lsr.retrieval.searcher import Searcher
from tests.data import LIBRARY
from tests.encoders.models import SPECIAL, WORDS, write_tokenizer

TEXTS = ["The runners were running in 2020", "Häuser und Gärten der Städte", "果园 relational databases", "", "?!"]


def texts() -> list[str]:
    return [document.full_text for document in load_collection(LIBRARY).documents()]


@pytest.mark.parametrize("language", ["english", "porter", "german", "french"])
def test_stems_are_those_of_snowball(language: str) -> None:
    stemmer = Stemmer.Stemmer(language)
    left_out = FUNCTION_WORDS if language in ("english", "porter") else frozenset[str]()
    encoder = load_encoder("bm25", tokenizer=language, k1=1.2).fit([*texts(), *TEXTS])
    for text in TEXTS:
        expected = [stemmer.stemWord(word) for word in tokenize(text, left_out=()) if word not in left_out]
        row, _ = encoder.encode_documents([text]).row(0)
        found = Counter(encoder.vocabulary.token(int(component)) for component in row)
        assert set(found) == set(expected)
        spans = encoder.spans(text)
        assert spans is not None
        assert [encoder.vocabulary.token(each) for each in spans.components.tolist()] == expected
    assert {"run", "runner"} <= {*encoder.vocabulary.tokens} or language not in ("english", "porter")


def test_one_stem_finds_all_of_its_words() -> None:
    encoder = BM25Encoder(tokenizer="english").fit(["library catalogue", "libraries", "librarian", "果园"])
    scores = (
        encoder.encode_queries(["the library", "园"]).to_dense()
        @ encoder.encode_documents(["library catalogue", "libraries", "librarian", "果园"]).to_dense().T
    )
    assert (scores > 0).tolist() == [[True, True, False, False], [False, False, False, True]]


def test_a_span_is_the_word_and_not_its_stem() -> None:
    encoder = BM25Encoder(tokenizer="english").fit(TEXTS)
    spans = encoder.spans(TEXTS[0])
    assert [TEXTS[0][begin:end] for begin, end in zip(spans.begins, spans.ends, strict=True)] == [
        "runners",
        "running",
        "2020",
    ]


def test_tokens_of_a_model_are_those_of_its_tokenizer() -> None:
    folder = find_checkpoint("tiny").folder
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.no_truncation()
    theirs.no_padding()
    many = [*texts(), *TEXTS, "hydroxychloroquine " * 3, "☃ [SEP] x"]
    encoder = load_encoder("bm25", tokenizer="tiny").fit(many)
    special = {"[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"}
    for text in many:
        encoded = theirs.encode(text, add_special_tokens=False)
        expected = [token for token in encoded.tokens if token not in special]
        spans = encoder.spans(text)
        assert [encoder.vocabulary.token(each) for each in spans.components.tolist()] == expected
        places = [place for token, place in zip(encoded.tokens, encoded.offsets, strict=True) if token not in special]
        assert list(zip(spans.begins.tolist(), spans.ends.tolist(), strict=True)) == places
        counts = Counter(expected)
        row, weights = encoder.encode_documents([text]).row(0)
        saturation = encoder.saturation(len(expected))
        assert {encoder.vocabulary.token(int(c)): w for c, w in zip(row, weights.tolist(), strict=True)} == (
            pytest.approx({token: n / (n + saturation) for token, n in counts.items()}, rel=1e-6)
        )


@pytest.mark.parametrize("tokenizer", ["english", "tiny", "folder", "file"])
def test_an_index_keeps_its_tokenizer(tmp_path: Path, tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model"
    if tokenizer in ("folder", "file"):
        write_tokenizer(model, [*SPECIAL, *WORDS, *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefgh")])
    place = {"folder": model, "file": model / "tokenizer.json"}.get(tokenizer, tokenizer)
    encoder = BM25Encoder(tokenizer=place)
    built = build_index(load_collection(LIBRARY), tmp_path / "index", encoder)
    queries = ["alpha running seas", *list(load_collection(LIBRARY).queries().values())[:4]]
    expected = built.run({str(n): text for n, text in enumerate(queries)}, k=5)
    if model.exists():
        model.rename(tmp_path / "gone")  # nothing outside the index is needed
    opened = Searcher.open(tmp_path / "index")
    assert opened.run({str(n): text for n, text in enumerate(queries)}, k=5) == expected
    assert opened.encoder.describe() == built.encoder.describe()
    # New words are cut alike, and statistics are renewed over the same tokens.
    opened.add([{"id": "new", "text": "sailing boats sail alpha gamma"}])
    opened.commit()
    opened.refresh()
    asked = {"english": "a boat that sailed", "tiny": "sailing boats sail"}.get(tokenizer, "alphas, gammas")
    assert opened.search(asked, 1)[0].doc_id == "new"
    refit_index(tmp_path / "index")
    again = Searcher.open(tmp_path / "index").encoder.describe()
    assert again["tokenizer"] == built.encoder.describe()["tokenizer"]
    pickled = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(pickled.encode_queries(queries).values, encoder.encode_queries(queries).values)


def test_plain_words_are_described_as_before() -> None:
    encoder = BM25Encoder().fit(TEXTS)
    assert "tokenizer" not in encoder.describe()
    assert encoder.describe() == BM25Encoder(tokenizer="plain").fit(TEXTS).describe()


def test_many_threads_stem_at_once() -> None:
    words = [
        f"{word}{ending}" for word in ("walk", "talk", "jump", "paint") for ending in ("ing", "ed", "er", "s")
    ] * 50
    expected = stems("english", list(words))
    with ThreadPoolExecutor(8) as pool:
        assert all(found == expected for found in pool.map(lambda _: stems("english", list(words)), range(64)))


def test_another_snowball_is_told(tmp_path: Path) -> None:
    BM25Encoder(tokenizer="english").fit(TEXTS).save(tmp_path)
    path = tmp_path / "encoder.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "snowball": "1.0.0"}))
    with pytest.warns(LsrWarning, match=r"Snowball 1\.0\.0"):
        load_encoder(tmp_path)
    path.write_text(json.dumps({**content, "tokenizer": "klingon"}))
    with pytest.raises(EncoderError, match="stemmer 'klingon' is unknown; upgrade PyStemmer"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("klingon", "tokenizer is 'klingon'; give plain, a language .*english.*such as tiny"),
        ("", "no such encoder"),
        (5, "type int"),
        ("/nowhere/at-all", "no such encoder"),
    ],
)
def test_bad_tokenizers(given: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LsrError, match=said):
        load_encoder("bm25", tokenizer=given)
    with pytest.raises(ParameterError, match="tiny has no tokenizer"):
        load_encoder("tiny", tokenizer="english")


def test_a_folder_wins_over_a_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_tokenizer(tmp_path / "english", [*SPECIAL, *WORDS])
    assert BM25Encoder(tokenizer="english").fit(["alphas"]).vocabulary.tokens == ("##s", "alpha")
    assert "english" in snowball_languages()


def test_experiments_tell_tokenizers_apart(tmp_path: Path) -> None:
    indexes = Indexes(tmp_path, None, 1, False)
    write_tokenizer(tmp_path / "words", [*SPECIAL, *WORDS])
    keys = [
        indexes.key(NamedEncoder("bm25", {"tokenizer": each})) for each in ("english", "tiny", str(tmp_path / "words"))
    ]
    assert len({*keys, indexes.key(NamedEncoder("bm25"))}) == 4
    write_tokenizer(tmp_path / "words", [*SPECIAL, *WORDS, "more"])
    assert indexes.key(NamedEncoder("bm25", {"tokenizer": str(tmp_path / "words")})) not in keys
