"""The searcher over a fixed small encoder, with an exhaustive and an approximate index."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lsr.encoders.bm25 import BM25Encoder
from lsr.errors import EncoderError, ParameterError
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.request import Feedback, SearchRequest
from lsr.retrieval.searcher import Searcher
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")
TEXTS = ["alpha beta", "beta beta gamma", "", "alpha alpha alpha", "delta beta alpha", "gamma"]
IDS = ["d0", "d1", "d2", "d3", "d4", "d5"]


class WordEncoder:
    """A document weighs each word by its count, a query by 1.5 times it; unknown words weigh nothing."""

    name = "words"
    vocabulary = Vocabulary(WORDS)
    dim = len(WORDS)

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        rows = [{word: float(text.split().count(word)) for word in WORDS} for text in texts]
        return SparseVectors.from_dicts(rows, self.vocabulary)

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        counts = self.encode_documents(texts)
        return SparseVectors(counts.indptr, counts.indices, counts.values * 1.5, counts.dim)

    def describe(self) -> dict[str, Any]:
        return {"kind": "words"}

    def save(self, folder: Path) -> None:
        raise NotImplementedError


@pytest.fixture(params=[ExactIndex, SeismicIndex])
def searcher(request: pytest.FixtureRequest) -> Searcher:
    encoder = WordEncoder()
    index = request.param.build(encoder.encode_documents(TEXTS), IndexConfig(), ids=IDS)
    return Searcher(index, encoder, TEXTS)


def test_hits_carry_id_score_row_and_text(searcher: Searcher) -> None:
    hits = searcher.search("beta gamma unknown", k=3)
    assert [(hit.doc_id, hit.row, hit.text) for hit in hits] == [
        ("d1", 1, "beta beta gamma"),
        ("d0", 0, "alpha beta"),
        ("d4", 4, "delta beta alpha"),
    ]
    assert [hit.score for hit in hits] == pytest.approx([4.5, 1.5, 1.5], rel=1e-4)


def test_explanations_are_the_products_and_sum_to_the_score(searcher: Searcher) -> None:
    hit = searcher.search("gamma beta beta alpha", k=1)[0]
    assert hit.doc_id == "d1"
    terms = hit.explain()
    assert list(terms) == ["beta", "gamma"]
    assert terms == pytest.approx({"beta": 6.0, "gamma": 1.5}, rel=1e-4)
    assert sum(terms.values()) == pytest.approx(hit.score, rel=1e-5)


def test_explanations_of_random_vectors_sum_to_their_scores() -> None:
    random = np.random.default_rng(3)
    dim = 200
    matrix = random.random((300, dim), np.float32) * (random.random((300, dim)) < 0.2)
    rows, columns = np.nonzero(matrix)
    indptr = np.searchsorted(rows, np.arange(301))
    vectors = SparseVectors(indptr, columns, matrix[rows, columns], dim)

    class Lookup(WordEncoder):
        vocabulary = Vocabulary([f"t{i}" for i in range(200)])
        dim = 200

        def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
            return vectors[[int(text) for text in texts]]

    searcher = Searcher(SeismicIndex.build(vectors, IndexConfig()), Lookup())
    for hits in searcher.search_batch([str(row) for row in range(0, 300, 17)], k=20):
        assert len(hits) == 20
        for hit in hits:
            contributions = list(hit.explain().values())
            assert contributions == sorted(contributions, reverse=True)
            assert sum(contributions) == pytest.approx(hit.score, rel=1e-5)
            assert hit.doc_id == str(hit.row)
            assert hit.text is None


def test_a_pickled_hit_holds_text_and_terms_and_no_index(searcher: Searcher) -> None:
    hit = searcher.search("gamma beta beta alpha", k=1)[0]
    stored = pickle.dumps(hit)
    assert b"Searcher" not in stored
    read = pickle.loads(stored)
    assert read == hit
    assert (read.text, read.explain(), read.scores) == (hit.text, hit.explain(), hit.scores)
    assert read.as_dict(explain=True) == {
        "doc_id": "d1", "score": hit.score, "row": hit.row,
        "scores": {"sparse": hit.score}, "text": hit.text, "terms": hit.explain(),
    }  # fmt: skip


def test_every_search_takes_the_same_words_in_the_same_order(searcher: Searcher) -> None:
    order = [list(signature(each).parameters) for each in (searcher.search, searcher.search_batch, searcher.run)]
    shared = ["k", "params", "allowed", "side", "feedback", "interpolate", "fusion"]
    for names in order:
        assert names[1:3] == shared[:2]
        assert [name for name in names if name in shared] == shared
    by_keywords = searcher.search("alpha beta", 3, feedback="rocchio", allowed=["d0", "d1", "d3"])
    request = SearchRequest(3, allowed=["d0", "d1", "d3"], feedback=Feedback())
    assert by_keywords == searcher.hits(["alpha beta"], request)[0]
    assert searcher.search_batch(["alpha beta"], 3, threads=None) == [searcher.search("alpha beta", 3)]


def test_a_query_without_known_words_finds_nothing(searcher: Searcher) -> None:
    assert searcher.search("nothing known here") == []
    assert searcher.search("") == []
    assert searcher.search_batch([]) == []
    assert searcher.run({}) == {}


def test_k_larger_than_the_collection_gives_the_matching_documents(searcher: Searcher) -> None:
    assert [hit.doc_id for hit in searcher.search("alpha", k=1000)] == ["d3", "d0", "d4"]


def test_batches_keep_the_order_of_the_queries(searcher: Searcher) -> None:
    texts = ["gamma", "", "alpha", "delta"] * 50
    batch = searcher.search_batch(texts, k=2, threads=2)
    assert [[hit.doc_id for hit in hits] for hits in batch] == [["d1", "d5"], [], ["d3", "d0"], ["d4"]] * 50


def test_runs_hold_every_query_and_may_drop_the_query_itself(searcher: Searcher) -> None:
    queries = {"d3": "alpha", "q2": "gamma", "none": "?"}
    assert {q: list(docs) for q, docs in searcher.run(queries, k=2).items()} == {
        "d3": ["d3", "d0"],
        "q2": ["d1", "d5"],
        "none": [],
    }
    dropped = searcher.run(queries, k=2, drop_same_id=True)
    assert {q: list(docs) for q, docs in dropped.items()} == {"d3": ["d0", "d4"], "q2": ["d1", "d5"], "none": []}
    assert dropped["q2"] == searcher.run(queries, k=2)["q2"]


def test_more_queries_than_are_searched_at_once(searcher: Searcher) -> None:
    run = searcher.run({f"q{i}": "alpha" if i % 2 else "gamma" for i in range(2500)}, k=1)
    assert [list(docs) for docs in run.values()] == [["d1"], ["d3"]] * 1250


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one(searcher: Searcher, k: int) -> None:
    for call in (
        lambda: searcher.search("alpha", k=k),
        lambda: searcher.search_batch([], k=k),
        lambda: searcher.run({"q": "alpha"}, k=k, drop_same_id=True),
        lambda: searcher.run({"q": "alpha"}, k=k),
    ):
        with pytest.raises(ParameterError, match=f"k is {k}"):
            call()


def test_params_reach_the_index(searcher: Searcher) -> None:
    exact = searcher.run({"q": "alpha beta gamma"}, k=10, params=SearchParams(exact=True))
    assert list(exact["q"]) == ["d1", "d3", "d0", "d4", "d5"]


def test_an_encoder_of_another_dimension_is_refused(searcher: Searcher) -> None:
    class Wider(WordEncoder):
        vocabulary = Vocabulary([*WORDS, "zeta"])
        dim = 6

    with pytest.raises(EncoderError, match="6 components, but those of the index have 5"):
        Searcher(searcher.index, Wider())


def test_a_query_that_is_no_valid_text(searcher: Searcher) -> None:
    with pytest.raises(ParameterError, match=r"query 1: .*'caf\\udce9' is not valid UTF-8"):
        searcher.search_batch(["alpha", "caf\udce9"])
    for text in (None, float("nan"), pd.NA, 7, b"alpha", ["alpha"]):
        with pytest.raises(ParameterError, match=f"the query: .* is of type {type(text).__name__}; "):
            searcher.search(text)  # type: ignore[arg-type]
        with pytest.raises(ParameterError, match=r"query 1: .* is of type"):
            searcher.search_batch(["alpha", text])  # type: ignore[list-item]
        with pytest.raises(ParameterError, match=r"query 'q2': .* is of type"):
            searcher.run({"q1": "alpha", "q2": text})  # type: ignore[dict-item]


def test_texts_that_are_no_list(searcher: Searcher) -> None:
    for texts, message in (
        ("alpha beta", r"a single string, 'alpha beta'; give a list: \[text\]"),
        ({"q": "alpha"}, r"list\(the_dict.values\(\)\)"),
        (pd.DataFrame({"text": ["alpha"]}), "DataFrame; give one column of it"),
        (None, "of type NoneType; give a list"),
        ({"alpha"}, "of type set; give a list"),
    ):
        with pytest.raises(ParameterError, match=message):
            searcher.search_batch(texts)  # type: ignore[arg-type]
        with pytest.raises(EncoderError, match=message):
            BM25Encoder().fit(["alpha"]).encode_documents(texts)  # type: ignore[arg-type]
    for queries in (["alpha"], "alpha", None):
        with pytest.raises(ParameterError, match="give a dict of id -> text"):
            searcher.run(queries)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="id 7 of a query"):
        searcher.run({7: "alpha"})  # type: ignore[dict-item]


def test_columns_of_data_frames_are_texts(searcher: Searcher) -> None:
    expected = searcher.search_batch(["alpha", "gamma"])
    for texts in (
        pd.Series(["alpha", "gamma"], index=[5, 3]),
        np.array(["alpha", "gamma"]),
        ("alpha", "gamma"),
        iter(["alpha", "gamma"]),
        pa.chunked_array([["alpha"], ["gamma"]]),
    ):
        assert searcher.search_batch(texts) == expected  # type: ignore[arg-type]


def test_texts_beside_an_index(searcher: Searcher) -> None:
    column = pd.Series(TEXTS, index=range(10, 16))
    assert Searcher(searcher.index, searcher.encoder, column).search("gamma")[0].text == "beta beta gamma"
    for texts, message in (
        (TEXTS[:2], "there are 2 texts for 6 documents; give one text per document"),
        ("alphabet", "the texts are a single string"),
        ([*TEXTS[:5], None], "text 5: None is of type NoneType"),
    ):
        with pytest.raises(ParameterError, match=message):
            Searcher(searcher.index, searcher.encoder, texts)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="the index is of type SparseVectors; give a SparseIndex, such as"):
        Searcher(searcher.encoder.encode_documents(TEXTS), searcher.encoder)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="give one text, or several to search_batch"):
        searcher.search(TEXTS)  # type: ignore[arg-type]


def test_filters_of_data_frames(searcher: Searcher) -> None:
    expected = [hit.doc_id for hit in searcher.search("alpha", allowed=["d0", "d4"])]
    assert len(expected) == 2
    frame = pd.DataFrame({"id": IDS, "old": [True, False, False, False, True, False]}, index=range(5, 11))
    for allowed in (frame["old"], frame["old"].tolist(), frame["id"][frame["old"]], frame["old"].to_numpy()):
        assert [hit.doc_id for hit in searcher.search("alpha", allowed=allowed)] == expected
    with pytest.raises(ParameterError, match="allowed has neither only texts"):
        searcher.search("alpha", allowed=pd.Series([True, None]))


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int64])
def test_whole_numbers_of_numpy_are_whole_numbers(searcher: Searcher, kind: type) -> None:
    expected = searcher.search_batch(TEXTS, 2, feedback="rocchio")
    assert searcher.search_batch(TEXTS, kind(2), threads=kind(1), feedback="rocchio") == expected
    assert searcher.run({"q": "alpha"}, kind(2), drop_same_id=True) == searcher.run({"q": "alpha"}, 2)
