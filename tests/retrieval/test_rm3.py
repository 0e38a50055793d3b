"""RM3 against the formula by hand, a naive twin, and counts of words in texts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.collections.collection import load_collection
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.bm25_words import tokenize
from lsr.errors import ParameterError
from lsr.index.rows import GatheredRows
from lsr.retrieval.feedback import FREQUENT, rm3
from lsr.retrieval.indexing import build_index
from lsr.retrieval.request import Feedback, SearchRequest
from lsr.retrieval.searcher import Searcher
from lsr.vectors.sparse_vectors import SparseVectors
from tests.data import LIBRARY
from tests.naive import feedback as twin
from tests.retrieval.test_feedback import as_dict, rows_of, sparse

vectors = st.dictionaries(st.integers(0, 9) | st.just(2**31), st.floats(2.0**-7, 10, width=32), max_size=8)
scored = st.lists(st.tuples(vectors, st.floats(-1, 9, width=32)), max_size=4)


def fed_back(
    queries: list[dict[int, float]], documents: list[list[tuple[dict[int, float], float]]], feedback: Feedback
) -> SparseVectors:
    flat = [document for each in documents for document, _ in each]
    scores = np.array([score for each in documents for _, score in each])
    counts = np.array([len(each) for each in documents], np.int64)
    return rm3(sparse(queries), rows_of(flat), scores, counts, feedback.on_side("sparse"))


def test_by_hand() -> None:
    """Two documents of score 3 and 1: shares (.75, .25) and (.5, .5), so that the model is (2.25, 1.25, .5) / 4."""
    documents = [({1: 3.0, 2: 1.0}, 3.0), ({2: 4.0, 7: 4.0}, 1.0)]
    found = as_dict(fed_back([{1: 2.0, 5: 6.0}], [documents], Feedback("rm3", alpha=0.4)), 0)
    expected = {1: 0.4 * 0.25 + 0.6 * 2.25 / 4, 5: 0.4 * 0.75, 2: 0.6 * 1.25 / 4, 7: 0.6 * 0.5 / 4}
    assert found == pytest.approx(expected)
    assert sum(found.values()) == pytest.approx(1)
    # One term each: shares are 1, and the model is the first document's term.
    found = as_dict(fed_back([{1: 2.0, 5: 6.0}], [documents], Feedback("rm3", alpha=0.4, terms=1)), 0)
    assert found == pytest.approx({1: 0.4 * 0.25 + 0.6, 5: 0.4 * 0.75})


@settings(deadline=None)
@given(st.lists(st.tuples(vectors, scored), max_size=4), st.sampled_from([0.0, 0.3, 1.0]), st.integers(1, 5))
def test_equals_the_naive_twin(
    cases: list[tuple[dict[int, float], list[tuple[dict[int, float], float]]]], alpha: float, terms: int
) -> None:
    feedback = Feedback("rm3", alpha=alpha, terms=terms)
    found = fed_back([query for query, _ in cases], [documents for _, documents in cases], feedback)
    assert len(found) == len(cases)
    for row, (query, documents) in enumerate(cases):
        expected = twin.rm3(query, documents, alpha, terms) or query
        actual = as_dict(found, row)
        for component in expected.keys() | actual.keys():
            assert actual.get(component, 0.0) == pytest.approx(expected.get(component, 0.0), rel=1e-5, abs=1e-6)
        assert (np.diff(found.row(row)[0].astype(np.int64)) > 0).all()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    encoder = BM25Encoder(k1=1.3, b=0.7)
    return build_index(load_collection(LIBRARY), tmp_path_factory.mktemp("library") / "index", encoder)


def test_bm25s_documents_are_models_of_their_words(library: Searcher) -> None:
    """As from the texts: counts of tokens, without those in more than a tenth of the documents."""
    encoder = library.encoder
    assert isinstance(encoder, BM25Encoder)
    texts = [document.full_text for document in load_collection(LIBRARY).documents()]
    counted = [Counter(tokenize(text)) for text in texts]
    frequency = Counter(word for words in counted for word in words)
    most = FREQUENT * len(texts)
    assert {word for word in frequency if frequency[word] > most} == {
        encoder.vocabulary.token(int(each)) for each in np.flatnonzero(encoder.is_frequent(FREQUENT))
    }
    queries = list(load_collection(LIBRARY).queries().values())
    feedback = Feedback("rm3", depth=4, terms=7, alpha=0.3)
    found = library.snapshot.find(library.snapshot.encode(queries), SearchRequest(k=5, feedback=feedback))
    first = library.snapshot.find(library.snapshot.encode(queries), SearchRequest(k=4)).lists
    id_of = encoder.vocabulary.id_of
    differing = 0
    for query, text in enumerate(queries):
        documents = [
            ({id_of(word): n for word, n in counted[row].items() if frequency[word] <= most}, float(score))
            for row, score in zip(first.rows[query].tolist(), first.scores[query].tolist(), strict=True)
            if row >= 0
        ]
        asked = {known: n for word, n in Counter(tokenize(text)).items() if (known := id_of(word)) is not None}
        model = twin.rm3(asked, documents, 0.3, 7)
        expected = {component: weight * float(encoder.idf[component]) for component, weight in model.items()}
        actual = as_dict(found.queries["sparse"], query)
        # Weights of 16 bits may turn which of several equally frequent words is the last of the seven.
        assert sum(actual.values()) == pytest.approx(sum(expected.values()), rel=0.2)
        differing += actual != pytest.approx(expected, rel=2e-3)
    assert differing <= len(queries) // 10, (differing, len(queries))


def test_vectors_as_queries_are_fed_back_like_texts(library: Searcher, tmp_path: Path) -> None:
    queries = list(load_collection(LIBRARY).queries().values())[:5]
    folder = library._checked_reader.folder
    by_vectors = Searcher.open_for_vectors(folder).search_batch(
        library.encoder.encode_queries(queries), 5, feedback="rm3"
    )
    by_texts = library.search_batch(queries, 5, feedback="rm3")
    assert [[(hit.doc_id, hit.score) for hit in hits] for hits in by_vectors] == [
        [(hit.doc_id, hit.score) for hit in hits] for hits in by_texts
    ]


def test_without_repetitions_words_count_alike() -> None:
    """k1 = 0 knows no counts."""
    encoder = BM25Encoder(k1=0).fit([f"alpha beta {number}" for number in range(40)])
    documents = encoder.encode_documents(["5 5 5 7"])
    rows = GatheredRows(documents.indptr, documents.indices.astype(np.uint32), documents.values)
    query = encoder.encode_queries(["9"])
    feedback = Feedback("rm3", alpha=0.5).on_side("sparse")
    found = as_dict(rm3(query, rows, np.ones(1), np.ones(1, np.int64), feedback, encoder), 0)
    id_of, idf = encoder.vocabulary.id_of, encoder.idf
    assert found == pytest.approx(
        {id_of(word): share * idf[id_of(word)] for word, share in (("5", 0.25), ("7", 0.25), ("9", 0.5))}
    )


def test_documents_with_only_frequent_words_do_not_change_the_query() -> None:
    encoder = BM25Encoder().fit(["alpha beta", "alpha gamma", "alpha delta"])
    documents = encoder.encode_documents(["alpha alpha"])
    rows = GatheredRows(documents.indptr, documents.indices.astype(np.uint32), documents.values)
    query = encoder.encode_queries(["alpha beta beta"])
    found = rm3(query, rows, np.ones(1), np.ones(1, np.int64), Feedback("rm3").on_side("sparse"), encoder)
    assert as_dict(found, 0) == pytest.approx(as_dict(query, 0))


def test_published_values() -> None:
    feedback = Feedback("rm3").on_side("sparse")
    assert (feedback.depth, feedback.terms, feedback.alpha, feedback.beta) == (10, 10, 0.5, None)
    assert Feedback("rm3", alpha=0.0).on_side("sparse").alpha == 0.0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"beta": 0.5}, "rm3 has no beta or gamma"),
        ({"gamma": 0.1, "negatives": 2}, "rm3 has no beta or gamma"),
    ],
)
def test_invalid_values_are_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Feedback("rm3", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="rm3 works on sparse vectors only"):
        Feedback("rm3").on_side("dense")
