"""BM25 vectors against the formula, against bm25s, and on text that is not English."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr import load_encoder
from lsr.collections.collection import load_collection
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.bm25_tokenizers import Words
from lsr.encoders.bm25_words import FUNCTION_WORDS, _word_pattern, tokenize
from lsr.errors import EncoderError, ParameterError
from lsr.vectors.sparse_vectors import SparseVectors
from tests.data import collection_path
from tests.processes import run_python

WORDS = st.sampled_from(["alpha", "beta", "gamma", "delta", "zeta", "Ọ̀rúnmìlà"])
TEXTS = st.lists(st.lists(WORDS, max_size=9).map(" ".join), min_size=1, max_size=8)


def scores_by_hand(documents: list[str], query: str, k1: float, b: float) -> list[float]:
    tokens = [tokenize(document) for document in documents]
    average = sum(map(len, tokens)) / len(tokens)
    scores = []
    for words in tokens:
        counts = Counter(words)
        score = 0.0
        for term in tokenize(query):
            df = sum(term in other for other in tokens)
            idf = math.log(1 + (len(tokens) - df + 0.5) / (df + 0.5))
            tf = counts[term]
            score += idf * tf / (tf + k1 * (1 - b + b * len(words) / average)) if tf else 0.0
        scores.append(score)
    return scores


@given(documents=TEXTS, query=st.lists(WORDS, max_size=5).map(" ".join), k1=st.floats(0, 3), b=st.floats(0, 1))
def test_the_dot_product_is_the_formula(documents: list[str], query: str, k1: float, b: float) -> None:
    if not any(documents):
        documents = [*documents, "alpha"]
    encoder = BM25Encoder(k1, b).fit(documents)
    found = encoder.encode_documents(documents).to_dense() @ encoder.encode_queries([query]).to_dense()[0]
    np.testing.assert_allclose(found, scores_by_hand(documents, query, k1, b), rtol=1e-5, atol=1e-6)


@pytest.mark.data
def test_equals_bm25s_on_a_real_collection(tmp_path: Path) -> None:
    collection = load_collection(collection_path("nfcorpus", tmp_path))
    texts = [document.full_text for document in collection.documents()]
    queries = list(collection.queries().values())[:50]
    encoder = BM25Encoder(k1=1.2, b=0.75).fit(texts)
    found = (encoder.encode_queries(queries).to_scipy() @ encoder.encode_documents(texts).to_scipy().T).toarray()

    peer = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    peer.index([tokenize(text) for text in texts], show_progress=False)
    expected = np.stack([peer.get_scores(tokenize(query)) for query in queries])
    assert expected.max() > 5
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_marks_stay_with_their_letters() -> None:
    assert tokenize("Ọ̀rúnmìlà, ẹ̀kọ́!") == ["ọ̀rúnmìlà", "ẹ̀kọ́"]
    assert tokenize("हिन्दी में") == ["हिन्दी", "में"]
    assert tokenize("ẹ̀kọ́") == tokenize("e\u0323\u0300ko\u0323\u0301")  # composed or not
    assert tokenize("The ﬁnal os.path_test of ＡＢＣ") == ["final", "os", "path_test", "abc"]
    assert tokenize("") == tokenize("… — !") == []


@pytest.mark.parametrize(
    ("text", "document", "query"),
    [
        ("果园", ["果", "园", "果园"], ["果园"]),
        ("茶", ["茶"], ["茶"]),
        (
            "東京タワー",
            ["東", "京", "タ", "ワ", "ー", "東京", "京タ", "タワ", "ワー"],
            ["東京", "京タ", "タワ", "ワー"],
        ),
        ("ﾀﾜｰ", ["タ", "ワ", "ー", "タワ", "ワー"], ["タワ", "ワー"]),
        ("ผึ้ง กิน", ["ผึ้", "ง", "ผึ้ง", "กิ", "น", "กิน"], ["ผึ้ง", "กิน"]),
        ("한국어", ["한", "국", "어", "한국", "국어"], ["한국", "국어"]),
        ("Größe 2023年", ["größe", "2023", "年"], ["größe", "2023", "年"]),
        ("iPhone手机x", ["iphone", "手", "机", "手机", "x"], ["iphone", "手机", "x"]),
        ("ລາວ", ["ລ", "າ", "ວ", "ລາ", "າວ"], ["ລາ", "າວ"]),
        ("ភាសា", ["ភា", "សា", "ភាសា"], ["ភាសា"]),
        ("မြန်မာ", ["မြ", "န်", "မာ", "မြန်", "န်မာ"], ["မြန်", "န်မာ"]),
    ],
)
def test_scripts_without_spaces_are_cut(text: str, document: list[str], query: list[str]) -> None:
    assert tokenize(text) == document
    assert tokenize(text, query=True) == query


def test_text_without_spaces_is_found() -> None:
    texts = [
        "月亮的引力造成潮汐",
        "村里的果园种满了苹果",
        "東京タワーは港区にある電波塔です",
        "ผึ้งเก็บน้ำหวานจากดอกไม้",
        "tides",
    ]
    encoder = BM25Encoder().fit(texts)
    documents = encoder.encode_documents(texts).to_dense()
    for row, queries in enumerate((["潮汐", "月"], ["果园"], ["東京タワー", "電波塔"], ["ผึ้ง", "น้ำหวาน"], ["tides"])):
        scores = encoder.encode_queries(queries).to_dense() @ documents.T
        assert (scores.argmax(1) == row).all()
        assert (scores.max(1) > 0).all()


def test_an_encoder_saved_before_keeps_its_tokens(tmp_path: Path) -> None:
    encoder = BM25Encoder()
    encoder._tokenizer = Words(cut_runs=False)  # as it was
    encoder.fit(["果园里有苹果", "tides"]).save(tmp_path)
    assert "unspaced" not in json.loads((tmp_path / "encoder.json").read_bytes())
    loaded = load_encoder(tmp_path)
    assert loaded.vocabulary.tokens == ("tides", "果园里有苹果")
    assert loaded.encode_queries(["果园里有苹果", "果园"]).to_scipy().getnnz(1).tolist() == [1, 0]
    assert loaded.describe() == encoder.describe()
    new = BM25Encoder().fit(["果园里有苹果"])
    new.save(tmp_path / "new")
    assert load_encoder(tmp_path / "new").encode_queries(["果园"]).nnz == 1
    assert load_encoder(tmp_path / "new").describe() == new.describe()


def test_unknown_tokens_and_empty_texts_give_empty_rows() -> None:
    encoder = BM25Encoder().fit(["alpha beta", ""])
    assert encoder.encode_queries(["gamma", "", "alpha"]).to_dense().astype(bool).tolist() == [
        [False, False],
        [False, False],
        [True, False],
    ]
    assert len(encoder.encode_documents([])) == 0


def test_fits_a_stream() -> None:
    texts = ["alpha beta", "beta gamma gamma"]
    assert BM25Encoder().fit(text for text in texts).describe() == BM25Encoder().fit(texts).describe()


@pytest.mark.parametrize(
    "use",
    [
        lambda encoder: encoder.encode_documents(["a"]),
        lambda encoder: encoder.encode_queries(["a"]),
        lambda encoder: encoder.dim,
        lambda encoder: encoder.describe(),
        lambda encoder: encoder.save("nowhere"),
        lambda encoder: encoder.check_saveable(),
    ],
)
def test_unfitted_use(use: object) -> None:
    assert not load_encoder("bm25").fitted
    with pytest.raises(EncoderError, match="not fitted.*call fit"):
        use(load_encoder("bm25"))  # type: ignore[operator]


def test_bad_input() -> None:
    for k1 in (-1, math.nan, math.inf):
        with pytest.raises(ParameterError, match="k1"):
            BM25Encoder(k1=k1)
    for b in (-0.1, 1.1, math.nan):
        with pytest.raises(ParameterError, match="b is"):
            BM25Encoder(b=b)
    with pytest.raises(EncoderError, match="none of the 2 texts has a word"):
        BM25Encoder().fit(["", "!!"])
    with pytest.raises(EncoderError, match="row 1: character 3.*surrogate"):
        BM25Encoder().fit(["a", "abc\ud800"])
    encoder = BM25Encoder().fit(["alpha"])
    with pytest.raises(EncoderError, match="row 1.*NoneType"):
        encoder.encode_documents(["alpha", None])  # type: ignore[list-item]
    with pytest.raises(EncoderError, match="single string"):
        encoder.encode_queries("alpha")
    with pytest.raises(ParameterError, match="batch_size"):
        encoder.encode_documents(["alpha"], batch_size=0)


def test_saved_and_loaded(tmp_path: Path) -> None:
    texts = ["alpha beta beta", "Ọ̀rúnmìlà gamma", ""]
    encoder = BM25Encoder(1.5, 0.3).fit(texts)
    encoder.save(tmp_path / "encoder")
    loaded = load_encoder(tmp_path / "encoder")
    assert loaded.describe() == encoder.describe()
    assert loaded.encode_documents(texts) == encoder.encode_documents(texts)
    assert loaded.encode_queries(texts) == encoder.encode_queries(texts)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("idf.npy", b""),
        ("idf.npy", b"\x93NUMPY foreign"),
        ("vocabulary.json", b'{"format_version": 1, "tokens": ["other", "words"]}'),
        ("vocabulary.json", b"{"),
        ("encoder.json", b"[]"),
        ("encoder.json", b'{"format_version": 1, "kind": "bm25"}'),
        ("encoder.json", b'{"format_version": 99, "kind": "bm25"}'),
        ("encoder.json", b'{"format_version": 1, "kind": "bm25", "k1": -1, "b": 0, "documents": 1, "tokens": 1}'),
    ],
)
def test_damaged(tmp_path: Path, file: str, content: bytes) -> None:
    BM25Encoder().fit(["alpha beta"]).save(tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(EncoderError, match=str(tmp_path)):
        load_encoder(tmp_path)


def test_an_idf_of_another_length(tmp_path: Path) -> None:
    BM25Encoder().fit(["alpha beta"]).save(tmp_path)
    np.save(tmp_path / "idf.npy", np.ones(3, np.float32))
    with pytest.raises(EncoderError, match="do not fit together"):
        load_encoder(tmp_path)
    assert json.loads((tmp_path / "encoder.json").read_text())["kind"] == "bm25"


def test_bm25_needs_no_torch() -> None:
    code = """
import sys
from lsr import load_encoder
encoder = load_encoder("bm25").fit(["some words"])
encoder.encode_documents(["words"])
print([name for name in ("torch", "numba", "transformers") if name in sys.modules])
"""
    done = run_python(code)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_texts_need_no_pattern_of_marks(text: str) -> None:
    assert tokenize(text) == [word for word in _word_pattern().findall(text.lower()) if word not in FUNCTION_WORDS]


@given(fitted=TEXTS, added=TEXTS, k1=st.floats(0, 3), b=st.floats(0, 1))
def test_further_texts_give_it_tokens_and_change_no_weight(
    fitted: list[str], added: list[str], k1: float, b: float
) -> None:
    fitted = [*fitted, "alpha"]
    encoder = BM25Encoder(k1, b).fit(fitted)
    grown = encoder.extended(text for text in added)
    lacking = dict.fromkeys(word for text in added for word in tokenize(text) if word not in encoder.vocabulary.tokens)
    assert grown.vocabulary.tokens == (*encoder.vocabulary.tokens, *lacking)
    assert (grown is encoder) == (not lacking)
    assert grown.vocabulary.tokens[: len(encoder.vocabulary)] == encoder.vocabulary.tokens
    for before, after in (
        (encoder.encode_documents(fitted), grown.encode_documents(fitted)),
        (encoder.encode_queries(fitted), grown.encode_queries(fitted)),
    ):
        assert np.array_equal(before.to_dense(), after.to_dense()[:, : encoder.dim])
    counts = [len(set(tokenize(text))) for text in added]
    assert np.diff(grown.encode_documents(added).indptr).tolist() == counts
    assert grown.idf.tolist()[encoder.dim :] == [
        pytest.approx(math.log1p((len(fitted) - 0.5) / 1.5), rel=1e-6) for _ in lacking
    ]
    one_by_one = encoder
    for text in added:
        one_by_one = one_by_one.extended([text])
    assert one_by_one.describe() == grown.describe()


def test_added_tokens_are_saved(tmp_path: Path) -> None:
    encoder = BM25Encoder().fit(["beta delta"])
    assert encoder.extended([]) is encoder is encoder.extended(["delta", "beta, beta"])
    grown = encoder.extended(["gamma alpha"]).extended(["beta 果园"])
    assert grown.vocabulary.tokens == ("beta", "delta", "gamma", "alpha", "果", "园", "果园")
    assert encoder.dim == 2
    grown.save(tmp_path)
    loaded = load_encoder(tmp_path)
    assert loaded.describe() == grown.describe()
    assert loaded.describe()["fitted_components"] == 2
    assert "fitted_components" not in encoder.describe()
    assert loaded.encode_queries(["alpha 果园"]) == grown.encode_queries(["alpha 果园"])
    assert isinstance(loaded, BM25Encoder)
    assert loaded.extended(["beta 园"]) is loaded
    with pytest.raises(EncoderError, match="row 1"):
        loaded.extended(["alpha", 3])  # type: ignore[list-item]
    with pytest.raises(EncoderError, match="call fit"):
        BM25Encoder().extended(["alpha"])
    description = json.loads((tmp_path / "encoder.json").read_text())
    for damaged in ({"fitted_components": 8}, {"documents": 10**400}):
        (tmp_path / "encoder.json").write_text(json.dumps({**description, **damaged}))
        with pytest.raises(EncoderError, match="do not fit together"):
            load_encoder(tmp_path)


@pytest.mark.parametrize("weight", [0, -1, np.nan, np.inf])
def test_an_idf_that_none_can_be(weight: float, tmp_path: Path) -> None:
    BM25Encoder().fit(["the deep sea", "a river"]).save(tmp_path)
    table = np.load(tmp_path / "idf.npy")
    table[0] = weight
    np.save(tmp_path / "idf.npy", table)
    with pytest.raises(EncoderError, match="do not fit together"):
        load_encoder(tmp_path)


@given(st.lists(st.text("ab 1é潮汐"), max_size=4))
def test_queries_are_in_normal_form(texts: list[str]) -> None:
    encoder = BM25Encoder().fit(["a b ab ba aa bb 1 é 潮汐", "a"])
    vectors = encoder.encode_queries(texts)
    assert vectors == SparseVectors(vectors.indptr, vectors.indices, vectors.values, encoder.dim)
    for row, text in enumerate(texts):
        counts = Counter(tokenize(text, query=True))
        expected = {encoder.vocabulary.id_of(word): times for word, times in counts.items()}
        expected.pop(None, None)
        components, weights = vectors.row(row)
        assert components.tolist() == sorted(expected)
        times = np.array([expected[component] for component in components.tolist()])
        assert weights.tolist() == (times * encoder.idf[components].astype(np.float64)).astype(np.float32).tolist()
