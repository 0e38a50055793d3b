from __future__ import annotations

import datetime as dt
import gc
import json
import math
import pickle
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.errors import CollectionError, ParameterError
from lsr.index.inverted.exact_index import ExactIndex
from lsr.retrieval.request import SearchRequest
from lsr.retrieval.searcher import Searcher
from lsr.vectors.sparse_vectors import SparseVectors

DOCUMENTS: list[dict[str, Any]] = [
    {"id": "a", "text": "red apples", "year": 2019, "kind": "fruit", "tags": ["x", "y"], "day": dt.date(2020, 1, 2)},
    {"id": "b", "text": "red wine", "year": 2020, "kind": "drink", "tags": ["x"], "price": 2.5},
    {"id": "c", "text": "red tea and green tea", "year": 2021, "kind": "drink", "price": float("nan")},
    {"id": "d", "text": "red paint", "kind": "it's"},
]


@pytest.fixture
def searcher(tmp_path: Path) -> Searcher:
    return lsr.build_index(DOCUMENTS, tmp_path / "index", encoder="bm25")


def test_a_generation_that_nobody_reads_is_let_go_at_once(searcher: Searcher, tmp_path: Path) -> None:
    snapshot = searcher.snapshot
    assert snapshot.generation is not None and len(searcher.search("red", where="year >= 2020")) == 2
    known = snapshot, snapshot.generation, snapshot.metadata, snapshot.generation.segments[0].metadata
    kept = [weakref.ref(each) for each in known]
    gc.disable()
    try:
        del known, snapshot
        lsr.build_index(DOCUMENTS, tmp_path / "index", encoder="bm25")
        assert searcher.refresh() and [each() for each in kept] == [None] * 4
    finally:
        gc.enable()


def test_searches_find_what_matches(searcher: Searcher) -> None:
    def found(**options: Any) -> set[str]:
        return set(searcher.search("red", **options).ids)

    assert found() == {"a", "b", "c", "d"}
    assert found(where="year >= 2020") == {"b", "c"}
    assert found(where="kind = 'it''s' or list_contains(tags, 'y')") == {"a", "d"}
    assert found(where="year >= 2020", allowed=["a", "b"]) == {"b"}
    assert found(where="id in ('a', 'd')") == {"a", "d"}
    assert found(where="year > 3000") == set()
    assert [hits.ids for hits in searcher.search_batch(["wine", "tea"], where="kind = 'drink'")] == [["b"], ["c"]]
    assert searcher.run({"q": "red"}, where="day is not null").keys() == {"q"}
    assert list(searcher.run({"q": "red"}, where="day is not null")["q"]) == ["a"]
    assert found(where="year = 2020", feedback="rocchio") == {"b"}
    assert searcher.snapshot.filter("year >= 2020") is searcher.snapshot.filter("year >= 2020")


def test_hits_have_their_metadata(searcher: Searcher) -> None:
    hit = searcher.search("apples")[0]
    nothing = dict.fromkeys(("year", "kind", "tags", "day", "price"))
    assert hit.metadata == {**nothing, "year": 2019, "kind": "fruit", "tags": ["x", "y"], "day": dt.date(2020, 1, 2)}
    assert hit.as_dict()["metadata"]["day"] == "2020-01-02"
    hits = searcher.search("red")
    assert {each["metadata"]["kind"] for each in json.loads(hits.to_json())} == {"fruit", "drink", "it's"}
    assert {str(each["metadata"]["price"]) for each in hits.to_dicts()} == {"None", "2.5", "nan"}
    frame = hits.to_pandas()
    assert dict(zip(frame.doc_id, frame.kind, strict=True)) == {"a": "fruit", "b": "drink", "c": "drink", "d": "it's"}
    assert pickle.loads(pickle.dumps(hit)).metadata == hit.metadata


def test_facets(searcher: Searcher) -> None:
    assert searcher.facets("kind") == {"drink": 2, "fruit": 1, "it's": 1}
    assert list(searcher.facets("kind")) == ["drink", "fruit", "it's"]
    assert searcher.facets("kind", k=1) == {"drink": 2}
    assert searcher.facets("tags", where="year < 2021") == {"x": 2, "y": 1}
    hits = searcher.search("red", where="year >= 2019")
    assert searcher.facets("kind", hits) == {"drink": 2, "fruit": 1}
    assert searcher.facets("tags", hits, k=None) == {"x": 2, "y": 1}
    assert searcher.facets("kind", []) == {}
    for column in ("nothing", 3):
        with pytest.raises(ParameterError, match="there is no column"):
            searcher.facets(column, hits)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="k is 0"):
        searcher.facets("kind", k=0)


def test_nan_is_one_value_of_facets(tmp_path: Path) -> None:
    documents = [{"text": "red", "price": price} for price in (math.nan, float("nan"), 2.0)]
    searcher = lsr.build_index(documents, tmp_path / "index", encoder="bm25")
    for counts in (searcher.facets("price"), searcher.facets("price", searcher.search("red"))):
        assert [(str(value), count) for value, count in counts.items()] == [("nan", 2), ("2.0", 1)]


def test_changes_of_the_index(searcher: Searcher) -> None:
    assert searcher.search("red", where="year = 2020").ids == ["b"]
    before = searcher.snapshot
    searcher.add([{"id": "e", "text": "red wood", "year": 2020.5, "new": True}, {"id": "f", "text": "red"}])
    searcher.delete(["b"])
    searcher.commit()
    assert sorted(searcher.search("red", where="year between 2020 and 2021").ids) == ["c", "e"]
    assert searcher.search("red", where="new").ids == ["e"]
    assert searcher.search("wood")[0].metadata["kind"] is None
    assert searcher.search("paint")[0].metadata == {
        **dict.fromkeys(searcher.snapshot.metadata.schema.names),
        "kind": "it's",
    }
    assert before.hits(["red"], SearchRequest(where="year = 2020"))[0].ids == ["b"]
    searcher.merge(everything=True)
    assert sorted(searcher.search("red", where="year between 2020 and 2021").ids) == ["c", "e"]
    assert searcher.facets("kind") == {"drink": 1, "fruit": 1, "it's": 1}
    with pytest.raises(
        CollectionError, match="the column 'year' of the index has type double, but a document has 'n.d.'"
    ):
        searcher.add([{"id": "g", "text": "red", "year": "n.d."}])


def test_passages(tmp_path: Path) -> None:
    long = [
        {"id": str(i), "text": ". ".join(f"word{i} sentence {j} of many words" for j in range(40)), "even": i % 2 == 0}
        for i in range(6)
    ]
    searcher = lsr.build_index(long, tmp_path / "index", encoder="bm25", passages=40)
    assert len(searcher.index) > searcher.documents
    hits = searcher.search("sentence", where="even")
    assert sorted(hits.ids) == ["0", "2", "4"]
    assert all(hit.metadata == {"even": True} for hit in hits)
    assert searcher.facets("even") == {False: 3, True: 3}


def test_an_index_without_metadata(tmp_path: Path) -> None:
    vectors = SparseVectors.from_dense(np.array([[1.0, 0], [2, 0]]), ids=["a", "b"])
    searcher = Searcher(ExactIndex.build(vectors), None)
    query = SparseVectors.from_dense(np.array([[1.0, 0]]))
    assert searcher.search(query, where="id = 'a'").ids == ["a"]
    assert searcher.search(query)[0].metadata == {}
    assert "metadata" not in searcher.search(query)[0].as_dict()
    with pytest.raises(ParameterError, match="the index stores no metadata"):
        searcher.search(query, where="year = 2020")
    with pytest.raises(ParameterError, match="the index stores no metadata"):
        searcher.facets("year")


@pytest.mark.parametrize("where", ["year >", "", "random() > 1", 3, "1; select 2"])
def test_invalid_conditions_are_refused(searcher: Searcher, where: Any) -> None:
    with pytest.raises(ParameterError, match="where"):
        searcher.search("red", where=where)


def test_words() -> None:
    assert SearchRequest.from_words({"where": "year > 1"}).where == "year > 1"
    assert SearchRequest.from_words({}).where is None
