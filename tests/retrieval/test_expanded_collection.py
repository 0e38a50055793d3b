"""Collections with expanded documents: what is in them, and that nothing stops or loses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lsr import encoder_from, expand_collection, load_collection, load_encoder
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.encoders.term_expander import TermExpander
from lsr.errors import CollectionError, StorageError
from lsr.storage import parts
from tests.data import LIBRARY
from tests.training.written import names, write_collection, write_lines

DOCUMENTS = [("a", "Salt", "raises blood pressure"), ("b", "", "the deep sea"), ("c", "Empty", "")]
QUERIES = {"q1": "blood", "q2": "sea", "q3": "nobody judged it"}
WORDS = ["ocean", "heart", "sea"]


def by_hand(texts: list[str]) -> list[dict[str, float]]:
    found = {"Salt raises blood pressure": {"heart": 2.0, "ocean": 1.0}, "the deep sea": {"ocean": 1.0}}
    return [found.get(text, {}) for text in texts]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_collection(
        tmp_path / "data", DOCUMENTS, QUERIES, train={"q1": {"a": 2, "b": 0}}, test={"q2": {"b": 1}}
    )


def test_documents_get_words_and_all_else_stays(source: Path, tmp_path: Path) -> None:
    lines = (source / "corpus.jsonl").read_text().replace('"b"', '"b", "year": 1999').splitlines()
    write_lines(source / "corpus.jsonl", map(json.loads, lines))
    written = expand_collection(load_collection(source), tmp_path / "out", encoder_from(by_hand, vocabulary=WORDS))
    assert written == (3, 3)
    before, after = load_collection(source, "train"), load_collection(tmp_path / "out", "train")
    texts = {"a": "raises blood pressure heart ocean", "b": "the deep sea ocean", "c": ""}
    assert [*after.documents()] == [document._replace(text=texts[document.doc_id]) for document in before.documents()]
    assert (after.splits, after.qrels(), after.queries()) == (before.splits, before.qrels(), before.queries())
    assert load_collection(tmp_path / "out").qrels() == {"q2": {"b": 1}}
    assert len((tmp_path / "out" / "queries.jsonl").read_text().splitlines()) == 3
    assert names(tmp_path) == ["data", "out"]
    said = json.loads((tmp_path / "out" / "expansion.json").read_text())
    assert (said["collection"], said["k"], said["encoder"]["kind"]) == ("data", 200, "own")


@pytest.mark.parametrize("stop", ["while expanding", "while writing"])
def test_stopped_it_resumes(stop: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SECONDS_PER_PART", 0.0)  # a part for each step
    monkeypatch.setattr("lsr.encoders.sparse_collection.ROWS_PER_STEP", 20)
    encode, read = SparseEncoder.encode_documents, []

    def counted(self: SparseEncoder, texts: list[str], *rest: Any, **named: Any) -> Any:
        if stop == "while expanding" and len(read) == 60:
            raise KeyboardInterrupt
        read.extend(texts)
        return encode(self, texts, *rest, **named)

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    collection, encoder = load_collection(LIBRARY), load_encoder("tiny")
    with monkeypatch.context() as patched:
        patched.setattr(SparseEncoder, "encode_documents", counted)
        if stop == "while writing":
            patched.setattr("lsr.retrieval.expanded_collection._write_queries", killed)
        with pytest.raises(KeyboardInterrupt) as stopped:
            expand_collection(collection, tmp_path / "out", encoder)
    kept = 60 if stop == "while expanding" else 82
    assert stopped.value.__notes__[0].startswith(f"{kept} documents are kept in ")
    assert names(tmp_path) == ["data", "out.expanding"]
    begun = len(read)
    stop = ""
    monkeypatch.setattr(SparseEncoder, "encode_documents", counted)
    written = expand_collection(collection, tmp_path / "out", encoder)
    assert len(read) - begun == 82 - kept
    assert written.documents == 82
    assert names(tmp_path) == ["data", "out"]
    documents = [*collection.documents()]
    words = TermExpander(encoder)([document.full_text for document in documents])
    found = [document.text for document in load_collection(tmp_path / "out").documents()]
    # What was encoded together differs by rounding; so may terms that are equally heavy.
    expected = [f"{document.text} {added}".strip() for document, added in zip(documents, words, strict=True)]
    assert [sorted(text.split()) for text in found] == [sorted(text.split()) for text in expected]
    assert sum(one == other for one, other in zip(found, expected, strict=True)) > 75


def test_foreign_folders_are_not_replaced(source: Path, tmp_path: Path) -> None:
    encoder = encoder_from(by_hand, vocabulary=WORDS)
    with pytest.raises(StorageError, match=r"files that lsr did not write \(there is no expansion.json\)"):
        expand_collection(load_collection(source), source, encoder)
    expand_collection(load_collection(source), tmp_path / "out", encoder)
    before = (tmp_path / "out" / "corpus.jsonl").read_bytes()
    assert expand_collection(load_collection(source), tmp_path / "out", encoder, k=1).words == 2  # its own it does
    assert (tmp_path / "out" / "corpus.jsonl").read_bytes() != before


def test_a_collection_that_has_changed_meanwhile(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, collection = encoder_from(by_hand, vocabulary=WORDS), load_collection(source)
    documents = [*collection.documents()]
    for later in (documents[:2], [*documents, documents[0]._replace(doc_id="d")], documents[::-1]):
        passes = iter([documents, later])
        monkeypatch.setattr(type(collection), "documents", lambda _, passes=passes: iter(next(passes)))
        with pytest.raises(CollectionError, match="data: has changed during the expansion; run the same call again"):
            expand_collection(collection, tmp_path / "out", encoder)
        assert names(tmp_path) == ["data", "out.expanding"]


def test_documents_without_queries(tmp_path: Path) -> None:
    write_lines(tmp_path / "corpus.jsonl", [{"_id": "1", "text": "the deep sea"}])
    expand_collection(
        load_collection(tmp_path / "corpus.jsonl"), tmp_path / "out", encoder_from(by_hand, vocabulary=WORDS)
    )
    assert names(tmp_path / "out") == ["corpus.jsonl", "expansion.json"]
