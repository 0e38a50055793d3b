"""An update leaves documents alone that have not changed, and deletes those that are missing, if asked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from lsr import (
    CollectionError,
    IndexFormatError,
    Searcher,
    SeismicIndex,
    SparseVectors,
    UpdateReport,
    build_index,
)
from lsr.encoders.bm25 import BM25Encoder
from lsr.index.segments.index_writer import IndexWriter

DOCUMENTS = [
    {"id": f"d{i}", "text": f"word{i} common", "year": 2000 + i, "tag": "x" if i % 2 else None} for i in range(9)
]


def test_only_what_has_changed_is_encoded(tmp_path: Path) -> None:
    searcher = build_index(DOCUMENTS, tmp_path / "index", "bm25")
    assert searcher.update(DOCUMENTS) == (0, 0, 9, [])
    assert searcher.commit() == 1
    text, year, added = dict(DOCUMENTS[3], text="other"), dict(DOCUMENTS[5], year=1), {"id": "new", "text": "more"}
    changed = [*DOCUMENTS[:3], text, DOCUMENTS[4], year, *DOCUMENTS[6:], added]
    with patch.object(
        BM25Encoder, "encode_documents", autospec=True, side_effect=BM25Encoder.encode_documents
    ) as encode:
        assert searcher.update(changed) == (1, 2, 7, [])
    assert [each for call in encode.call_args_list for each in call.args[1]] == ["other", "word5 common", "more"]
    searcher.commit()
    assert searcher.documents == 10
    assert searcher.search("word5")[0].metadata == {"year": 1, "tag": "x"}
    assert searcher.search("other").ids == ["d3"] and searcher.search("word3").ids == []


def test_after_other_changes_all_are_encoded(tmp_path: Path) -> None:
    searcher = build_index(DOCUMENTS, tmp_path / "index", "bm25")
    searcher.delete("d1")
    assert searcher.update(DOCUMENTS[:3]) == (1, 2, 0, [])
    searcher.commit()
    assert searcher.documents == 9 and searcher.search("word1").ids == ["d1"]


@pytest.mark.parametrize("passages", [None, 8])
def test_an_index_becomes_what_is_given(tmp_path: Path, passages: int | None) -> None:
    """Against a dict of id -> text, in which several segments and deletions have part."""
    random, words = Random(1), [f"word{number}" for number in range(40)]
    state = {f"d{number}": " ".join(random.choices(words, k=20)) for number in range(30)}
    searcher = build_index(_as_documents(state), tmp_path / "index", "bm25", passages=passages)
    for _ in range(4):
        given = {name: text for name, text in state.items() if random.random() < 0.8}
        given |= {name: " ".join(random.choices(words, k=20)) for name in random.sample(sorted(given), 3)}
        given |= {f"d{number}": " ".join(["word1"] * 20) for number in random.sample(range(60), 4)}
        expected = UpdateReport(
            len(given.keys() - state.keys()),
            sum(state[name] != text for name, text in given.items() if name in state),
            sum(state.get(name) == text for name, text in given.items()),
            sorted(state.keys() - given.keys()),
        )
        before = searcher.generation
        planned = searcher.update(_as_documents(given), delete_missing=True, dry_run=True)
        assert planned._replace(deleted=sorted(planned.deleted)) == expected
        IndexWriter.open(tmp_path / "index").close()  # a plan keeps nobody from writing
        assert searcher.commit() == before
        assert searcher.update(_as_documents(given), delete_missing=True) == planned
        searcher.commit()
        searcher.close()
        searcher.refresh()
        found = {hit.doc_id: hit.text for word in words for hit in searcher.search(word, k=100)}
        assert found == given and searcher.documents == len(given)
        state = given


def _as_documents(texts: dict[str, str]) -> list[dict[str, str]]:
    return [{"id": name, "text": text} for name, text in texts.items()]


def test_vectors_become_what_is_given(tmp_path: Path) -> None:
    vectors = SparseVectors.from_dense(np.eye(4, dtype=np.float32), ids=["a", "b", "c", "d"])
    SeismicIndex.build(vectors).save(tmp_path / "index")
    searcher = Searcher.open_for_vectors(tmp_path / "index")
    given = np.eye(4, dtype=np.float32)[:2]
    planned = searcher.update(given, ids=["b", "new"], delete_missing=True, dry_run=True)
    assert planned == (1, 1, 0, ["a", "c", "d"]) and searcher.generation in (None, 1)
    assert searcher.update(given, ids=["b", "new"], delete_missing=True) == planned
    searcher.commit()
    assert searcher.index.ids is not None and sorted(searcher.index.ids) == ["b", "new"]


def test_values_are_compared_in_the_type_of_their_column(tmp_path: Path) -> None:
    first = [
        {"id": "a", "text": "one", "year": 2020, "when": date(2024, 5, 1), "size": 1, "tags": ["x"], "ratio": math.nan},
        {"id": "b", "text": "two", "year": "soon", "when": datetime(2024, 5, 1, 12), "size": 2.5, "tags": "y"},
        {"id": "c", "text": "three", "year": True, "when": None, "size": 2**70, "tags": {"of": 1}, "ratio": 0.5},
    ]
    searcher = build_index(first, tmp_path / "index", "bm25")
    assert searcher.update(first) == (0, 0, 3, [])
    for name, value in (("year", 2021), ("when", date(2024, 5, 2)), ("size", 1.5), ("tags", ["y"]), ("ratio", 1.0)):
        changed = [{**first[0], name: value}, *first[1:]]
        assert searcher.update(changed, dry_run=True) == (0, 1, 2, []), name
        del changed[0][name]
        assert searcher.update(changed, dry_run=True) == (0, 1, 2, []), name
    assert searcher.update([{**first[1], "new": 1}], dry_run=True) == (0, 1, 0, [])


def test_nothing_given_deletes_nothing(tmp_path: Path) -> None:
    searcher = build_index(DOCUMENTS, tmp_path / "index", "bm25")
    with pytest.raises(CollectionError, match="has no documents"):
        searcher.update([], delete_missing=True)
    empty = SimpleNamespace(name="mine", count=0, documents=lambda: iter(()))
    with pytest.raises(CollectionError, match="mine: has no documents, so all documents of the index would be deleted"):
        searcher.update(empty, delete_missing=True)
    assert searcher.commit() == 1 and searcher.documents == len(DOCUMENTS)


def test_conflicts_of_types_are_told_with_their_place_before_anything_is_encoded(tmp_path: Path) -> None:
    searcher = build_index(DOCUMENTS, tmp_path / "index", "bm25")
    lines = [*({"id": f"n{i}", "text": "more", "year": i} for i in range(1500)), {"id": "x", "text": "y", "year": "?"}]
    path = tmp_path / "more.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    (tmp_path / "more.csv").write_text("id,text,year\na,one,2000\nb,two,soon\n")
    with patch.object(BM25Encoder, "encode_documents", side_effect=AssertionError):
        for given, place in (
            (path, rf"{path}:1501"),
            (tmp_path / "more.csv", rf"{tmp_path / 'more.csv'}:3"),
            (pd.DataFrame({"id": ["a", "b"], "text": ["x", "y"], "year": ["2001", "never"]}), "row 1"),
            ([{"id": "a", "text": "x", "year": 1}, {"id": "b", "text": "x", "year": [1]}], "the list: row 1"),
        ):
            for put in (searcher.add, searcher.update):
                with pytest.raises(CollectionError, match=f"{place}: the column 'year' of the index has type int64"):
                    put(given)
        path.write_text('{"id": "n", "text": "more"}\n{"id": "d3", "text": "more"}\n')
        with pytest.raises(CollectionError, match=rf"{path}:2: 'd3' is already the id of a document in the index"):
            searcher.add(path)
    IndexWriter.open(tmp_path / "index").close()  # others may write


def test_progress_counts_what_is_encoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searcher = build_index(DOCUMENTS, tmp_path / "index", "bm25")
    totals = []

    @contextmanager
    def bar(what: str, total: int | None, unit: str, shown: bool) -> Iterator[object]:
        totals.append((what, total))
        yield lambda done, note="", resumed=False: None

    with (
        patch("lsr.retrieval.chosen_documents.progress_bar", bar),
        patch("lsr.encoders.sparse_collection.progress_bar", bar),
    ):
        searcher.update([*DOCUMENTS, {"id": "new", "text": "more"}], progress=True)
    assert totals == [("comparing", 10), ("encoding", 1)]


@pytest.mark.parametrize("how", ["full", "sample"])
def test_changed_bytes_are_found_when_opened(tmp_path: Path, how: str) -> None:
    build_index(DOCUMENTS, tmp_path / "index", "bm25")
    path = tmp_path / "index" / "segment-000001" / "weights.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    Searcher.open(tmp_path / "index")
    with pytest.raises(IndexFormatError, match=r"weights\.npy"):
        Searcher.open(tmp_path / "index", verify=how)
