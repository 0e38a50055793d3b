"""One document by its id: what is stored, what its score is made of, and why it was returned or not."""

from __future__ import annotations

from pathlib import Path

import pytest

import lsr
from lsr import ParameterError, SearchParams, ShardedSearcher, SparseVectors

DOCUMENTS = [  # of different lengths, so that no two scores are equal
    {"id": f"d{n}", "title": f"w{n % 4}", "text": f"w{n % 3} w{n % 5} new{n}{' long' * n}", "year": 2000 + n}
    for n in range(12)
]
QUERY = "w1 new7 w2 nothing"


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> lsr.Searcher:
    return lsr.build_index(DOCUMENTS, tmp_path_factory.mktemp("one") / "index", "bm25")


def test_a_document_by_its_id(single: lsr.Searcher) -> None:
    for hit in single.search(QUERY):
        stored, explained = single.document(hit.doc_id), single.explain(QUERY, hit.doc_id)
        assert stored is not None and (stored.text, stored.metadata) == (hit.text, hit.metadata)
        assert explained.score == hit.score
        assert {term["term"]: term["contribution"] for term in explained.terms} == hit.explain()
        for term in explained.terms:
            assert term["document"] == stored.vector[term["term"]]
            assert term["query"] * term["document"] == pytest.approx(term["contribution"])
        assert explained.lacking.keys() | hit.explain().keys() == {"w1", "new7", "w2"}
        assert not explained.lacking.keys() & stored.vector.keys()
        told = single.why(QUERY, hit.doc_id)
        assert told.why.verdict == "returned" and told.why.score == pytest.approx(hit.score)
    assert single.document("none") is None


def test_why_takes_the_words_of_a_search(single: lsr.Searcher) -> None:
    best = single.search(QUERY).ids
    told = single.why(QUERY, best[-1], k=1)
    assert told.why.verdict == "score too low" and told.reason == "its score is too low"
    assert told.why.remedy is not None
    assert best[-1] in single.search(QUERY, told.why.remedy.k, told.why.remedy.params).ids
    assert {each["token"] for each in told.as_dict()["terms"]} == {"w1", "new7", "w2"}
    assert single.why(QUERY, "d1", where="year > 2005").why.verdict == "filtered out"
    assert single.why(QUERY, "d1", allowed=["d2"]).why.verdict == "filtered out"
    assert single.why("new7", "d1", params=SearchParams(exact=True)).why.verdict == "no shared term"


def test_shards_tell_the_same(single: lsr.Searcher, tmp_path: Path) -> None:
    lsr.build_sharded_index(DOCUMENTS, tmp_path / "index", "bm25", 3)
    vector = single.encoder.encode_queries([QUERY])
    with ShardedSearcher.open(tmp_path / "index") as sharded:
        for query in (QUERY, vector, vector.to_scipy()):
            for document in DOCUMENTS:
                doc_id = str(document["id"])
                assert sharded.document(doc_id) == single.document(doc_id)
                assert sharded.explain(query, doc_id) == single.explain(query, doc_id)
                ours, theirs = (each.why(query, doc_id, 3, where="year < 2010") for each in (sharded, single))
                assert {**ours.as_dict(), "row": None} == {**theirs.as_dict(), "row": None}
            assert sharded.search(query).ids == single.search(query).ids


def test_unknown_documents_and_indexes_without_stages(single: lsr.Searcher) -> None:
    two = SparseVectors([0, 1, 2], [0, 1], [1.0, 1.0], single.index.dim)
    with pytest.raises(ParameterError, match="there is no document 'none'; check the id"):
        single.explain(QUERY, "none")
    with pytest.raises(ParameterError, match="there is no document 'none'"):
        single.why(QUERY, "none")
    with pytest.raises(ParameterError, match="there are 2 queries"):
        single.why(two, "d1")
    with pytest.raises(ParameterError, match="the id"):
        single.document(1)  # type: ignore[arg-type]
    exact = lsr.Searcher(lsr.ExactIndex.build(two), None)
    assert exact.explain(two[[0]], "0").score == 1.0
    with pytest.raises(ParameterError, match="ExactIndex has no stages"):
        exact.why(two[[0]], "0")
