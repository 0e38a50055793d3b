"""How objects show themselves: short lines, escaped tables, records, JSON and data frames."""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import polars
import pytest

import lsr
import lsr.eval
import lsr.training
from lsr import (
    BM25Encoder,
    DenseIndex,
    ExactIndex,
    Hits,
    MissingExtraError,
    ParameterError,
    Searcher,
    SearchParams,
    SearchResult,
    SeismicIndex,
    SparseVectors,
    encoder_from,
    load_encoder,
)
from lsr.training import read_training

TEXTS = ["aspirin thins <b>blood</b> & more", "the heart\npumps blood " + "word " * 300, "salt", "blood"]
IDS = ["<script>", "heart", "salt", "d4"]


@pytest.fixture(scope="module")
def searcher() -> Searcher:
    encoder = BM25Encoder().fit(TEXTS)
    return Searcher(SeismicIndex.build(encoder.encode_documents(TEXTS), ids=IDS), encoder, TEXTS)


@pytest.fixture(scope="module")
def hits(searcher: Searcher) -> Hits:
    return searcher.search("blood")


@pytest.fixture(scope="module")
def result(searcher: Searcher) -> SearchResult:
    return searcher.index.search(searcher.encoder.encode_queries(["blood", "nothing", "salt"]), k=2)


def test_lines_are_short_and_say_what_there_is(searcher: Searcher, result: SearchResult) -> None:
    training = read_training("small/splade-max")
    for shown, line in (
        (
            SparseVectors.from_dicts([{0: 1.0, 2: 1.0}], ids=["a"]),
            "SparseVectors(1 rows, 3 components, 2 non-zeros, ids)",
        ),
        (SparseVectors.empty(3), "SparseVectors(0 rows, 3 components, 0 non-zeros)"),
        (BM25Encoder(), "BM25Encoder(k1 0.9, b 0.4, not fitted)"),
        (encoder_from(len, dim=1234), "OwnEncoder(len, 1,234 components)"),
        (result, "SearchResult(3 queries, 3 hits, k 2)"),
        (ExactIndex.build(SparseVectors.empty(3)), "ExactIndex(0 documents, 3 components, 0 non-zeros, size 0.0 MB)"),
    ):
        assert repr(shown) == line
    dense = DenseIndex.build(np.eye(3, dtype=np.float32))
    queries = searcher.encoder.encode_queries(TEXTS * 10)
    assert isinstance(searcher.index, SeismicIndex)
    for shown, words in (
        (searcher, ["4 documents", "encoder bm25", "texts", "SeismicIndex"]),
        (searcher.index, ["4 documents", "9 components", "ids", "posting lists"]),
        (dense, ["DenseIndex(3 documents, 3 components", "kind flat"]),
        (load_encoder("tiny", prune_documents="top-k:3"), ["tiny", "30,522 components", "prune_documents top-k:3"]),
        (searcher.index.tune(queries, [0.9]), ["40 queries", "1 points", "recall 0.9", " µs"]),
        (searcher.index.why(queries[0], 2), ["verdict no shared term", "row 2"]),
        (training, ["encoder tiny", "400 steps", "losses in-batch", "penalties flops"]),
    ):
        assert len(repr(shown)) < 200 and "\n" not in repr(shown)
        table = shown._repr_html_()
        assert table.startswith("<table>") and type(shown).__name__ in table
        for word in words:
            assert word in repr(shown)


def test_every_public_class_shows_itself() -> None:
    for package in (lsr, lsr.eval, lsr.training):
        for name in package.__all__:
            kind = getattr(package, name)
            if isinstance(kind, type) and not getattr(kind, "_is_protocol", False):
                assert kind.__repr__ is not object.__repr__, name


def test_hits_are_a_list_of_plain_data(hits: Hits) -> None:
    assert isinstance(hits, list) and isinstance(hits[1:], Hits)
    assert hits.ids == [hit.doc_id for hit in hits] == ["d4", "<script>", "heart"]
    assert hits.scores == [hit.score for hit in hits]
    assert repr(hits[0]) == f"Hit('d4', {hits[0].score:.6g}, 'blood')"
    assert repr(hits[2]).endswith("word word ...')") and len(repr(hits)) < 300
    assert repr(Hits(hits[:1] * 5)).endswith("... 2 more]")
    names = ("doc_id", "score", "row", "scores", "text")
    expected: list[dict[str, Any]] = [{name: getattr(hit, name) for name in names} for hit in hits]
    assert hits.to_dicts() == json.loads(hits.to_json()) == expected
    assert hits.to_dicts(explain=True)[0]["terms"] == hits[0].explain()
    assert dataclasses.asdict(hits[0]) == {**expected[0], "metadata": {}}
    assert tuple(get_type_hints(type(hits[0]))) == (*names, "metadata")  # as polars reads them
    frame = hits.to_pandas()
    assert frame.to_dict("records") == expected
    assert list(hits[:0].to_pandas().columns) == list(names)
    assert pd.DataFrame(hits)["text"].tolist() == [hit.text for hit in hits]
    again = pickle.loads(pickle.dumps(hits))
    assert isinstance(again, Hits) and again.to_dicts(explain=True) == hits.to_dicts(explain=True)


def test_a_hit_has_its_text_and_hides_no_error(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    [hit] = searcher.search("salt")
    assert "text" in dir(hit) and "text" not in vars(hit) and not hasattr(hit, "texts")
    assert (hit.text, vars(hit)["text"]) == ("salt", "salt")
    monkeypatch.setattr(searcher.index.engine, "gather", lambda rows: rows.nonsense)
    with pytest.raises(AttributeError, match="'numpy.ndarray' object has no attribute 'nonsense'"):
        hit.explain()


def test_results_are_sequences_and_tables(result: SearchResult) -> None:
    assert len(result) == len(list(result)) == 3
    assert [documents.ids for documents in result] == [["d4", "<script>"], [], ["salt"]]
    assert result[-1][0] == ("salt", result.scores[2, 0], 2)
    assert result[0].scores == result.scores[0].tolist()
    assert [documents.ids for documents in result[1:]] == [[], ["salt"]]
    for key, error in ((3, IndexError), (-4, IndexError), ("d4", ParameterError), (True, ParameterError)):
        with pytest.raises(error):
            _ = result[key]  # type: ignore[call-overload]
    records = result.to_dicts()
    assert [(each["query"], each["rank"], each["doc_id"]) for each in records] == [
        (0, 1, "d4"), (0, 2, "<script>"), (2, 1, "salt")
    ]  # fmt: skip
    assert json.loads(result.to_json()) == records == result.to_pandas().to_dict("records")


def test_polars_takes_the_same_table(hits: Hits, result: SearchResult, monkeypatch: pytest.MonkeyPatch) -> None:
    for table in (hits, result, hits[:0], result[1:2]):
        frame = table.to_polars()
        assert isinstance(frame, polars.DataFrame)
        assert (tuple(frame.columns), frame.to_dicts()) == (table.columns, table.to_dicts())
    assert polars.DataFrame(hits).drop("metadata").to_dicts() == hits.to_dicts()
    for package in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=f"a data frame needs {package}; install it: pip install {package}"):
            getattr(hits, f"to_{package}")()


def test_tables_show_texts_and_do_not_obey_them(hits: Hits, result: SearchResult) -> None:
    for table in (hits._repr_html_(), result._repr_html_()):
        assert "<script>" not in table and "&lt;script&gt;" in table and "<b>" not in table
    assert "aspirin thins &lt;b&gt;blood" in hits._repr_html_()
    assert len(hits._repr_html_()) < 1500
    many = Hits(hits[:1] * 1000)
    assert "50 of 1,000 are shown" in many._repr_html_() and many._repr_html_().count("<tr>") == 51


def test_a_table_makes_no_more_than_it_shows() -> None:
    class Counted:
        asked = 0

        def __getitem__(self, row: int) -> str:
            self.asked += 1
            return f"d{row}"

    rows = np.tile(np.arange(30), (1000, 1))
    rows[0, 20:] = -1
    ids: Any = Counted()
    result = SearchResult(np.ones(rows.shape, np.float32), rows, ids)
    table = result._repr_html_()
    assert "50 of 29,990 are shown" in table and table.count("<tr>") == 51
    assert table.count("<td>d29</td>") == 1 and ids.asked == 50
    assert result.to_dicts()[20] == {"query": 1, "rank": 1, "doc_id": "d0", "score": 1.0, "row": 0}
    assert result[-1].ids == result[999].ids == [f"d{row}" for row in range(30)]


def test_a_pickled_result_holds_the_ids_found_alone() -> None:
    vectors = SparseVectors.from_dense(np.ones((20_000, 1)), [f"a long name of document {i}" for i in range(20_000)])
    for kind in (SeismicIndex, ExactIndex):
        result = kind.build(vectors).search(vectors[:1], 10, SearchParams(exact=True))
        stored = pickle.dumps(result)
        assert len(stored) < 1500
        again: Any = pickle.loads(stored)
        assert again.ids.tolist() == result.ids.tolist() == [[f"a long name of document {i}" for i in range(10)]]
        assert again[0] == result[0] and again[:1].ids.tolist() == result.ids.tolist()
