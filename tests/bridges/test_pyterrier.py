"""PyTerrier's pipelines with an indexer and a retriever, without Java."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyterrier as pt
import pytest

from lsr import Searcher
from lsr.bridges.pyterrier import LsrIndexer, LsrTransformer

DOCUMENTS = [
    {"docno": "a", "text": "bread and salt", "year": 2019},
    {"docno": "b", "text": "bread and butter", "year": 2021},
    {"docno": "c", "text": "the salt of the sea", "year": 2021},
]
QUERIES = pd.DataFrame([["q1", "salt bread"], ["q2", "nothing"], ["q3", "sea"]], columns=["qid", "query"])


@pytest.fixture
def retriever(tmp_path: Path) -> Any:
    return LsrIndexer(tmp_path / "index", "bm25").index(iter(DOCUMENTS))


def test_a_frame_of_queries_becomes_a_ranking(retriever: Any, tmp_path: Path) -> None:
    found = retriever(QUERIES)
    assert list(found.columns) == ["qid", "query", "docno", "score", "rank"]
    searcher = Searcher.open(tmp_path / "index")
    expected = [
        (qid, text, hit.doc_id, hit.score, rank)
        for qid, text in QUERIES.itertuples(index=False)
        for rank, hit in enumerate(searcher.search(text))
    ]
    assert list(found.itertuples(index=False, name=None)) == expected and len(expected) == 4
    assert retriever.search("sea")["docno"].tolist() == ["c"]
    assert list(retriever(QUERIES[:0]).columns) == list(found.columns)


def test_operators(retriever: Any) -> None:
    best = retriever % 1
    assert best(QUERIES)["docno"].tolist() == ["a", "c"]
    assert best.compile().num_results == 1  # no more is searched
    with_text = LsrTransformer(retriever.searcher, texts=True, where="year > 2020")
    longer = with_text >> pt.apply.doc_score(lambda row: len(row["text"]))
    assert longer(QUERIES[:1]).sort_values("rank")["docno"].tolist() == ["c", "b"]
    both = (retriever + with_text)(QUERIES[:1]).set_index("docno")["score"]
    assert both["c"] == pytest.approx(2 * retriever(QUERIES[:1]).set_index("docno")["score"]["c"])


def test_declared_input_and_output_columns(retriever: Any, tmp_path: Path) -> None:
    assert pt.inspect.transformer_outputs(retriever, ["qid", "query"]) == ["qid", "query", "docno", "score", "rank"]
    assert ["qid", "query"] in pt.inspect.transformer_inputs(retriever)
    assert pt.inspect.indexer_inputs(LsrIndexer(tmp_path, "bm25")) == [["docno", "text"]]
    with pytest.raises(pt.validate.InputValidationError):
        retriever(QUERIES[["qid"]])


def test_an_experiment(retriever: Any) -> None:
    qrels = pd.DataFrame([["q1", "a", 1], ["q3", "c", 1]], columns=["qid", "docno", "label"])
    measured = pt.Experiment([retriever % 1], QUERIES, qrels, ["recip_rank"], names=["lsr"])
    assert measured["recip_rank"].tolist() == [pytest.approx(1.0)]
