"""Documents on disk: read by row and by id, shared by collections of one corpus, whole or absent."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.collections.collection import Collection, Document, load_collection
from lsr.errors import CollectionError, IndexFormatError, StorageError
from lsr.storage.id_column import IdColumn
from lsr.training.data import DocumentStore
from lsr.training.data.store import Corpus
from tests.data import LIBRARY
from tests.processes import FULL_DISK, KILLED_IN_WRITE, run_python
from tests.training.written import names, real, with_store, write_collection, write_letters

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4).filter(lambda each: bool(each.strip()))

BUILD = """
import sys
from lsr.collections.collection import load_collection
from lsr.training.data import DocumentStore
DocumentStore.of(load_collection(sys.argv[1]), sys.argv[2])
"""


@given(st.dictionaries(IDS, st.tuples(TEXT, TEXT), max_size=8))
def test_written_is_read(tmp_path_factory: pytest.TempPathFactory, rest: dict[str, tuple[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("store")
    documents = [*((doc_id, *texts) for doc_id, texts in rest.items()), ("a longer id", "title", "text")]
    collection, documents_of = with_store(write_collection(folder / "c", documents, {}))
    kept = [document for document in collection.documents() if document.full_text.strip()]
    assert list(collection.documents()) == [Document(*document) for document in documents]
    assert [documents_of[row] for row in range(len(documents_of))] == kept
    kept_ids = [document.doc_id for document in kept]
    assert list(documents_of.ids) == kept_ids
    assert documents_of.ids.rows(kept_ids).tolist() == list(range(len(kept)))
    others = ["", "unknown", *(doc_id for doc_id, *texts in documents if not " ".join(texts).strip())]
    assert set(documents_of.ids.rows(others).tolist()) == {-1}


@pytest.mark.data
def test_a_real_collection(tmp_path: Path) -> None:
    collection, documents = real("nfcorpus", "train", tmp_path)
    assert len(documents) == 3633
    for row, document in enumerate(collection.documents()):
        if row % 100 == 0:
            assert documents.ids.rows([document.doc_id]) == [row]
            assert documents[row] == document
            assert Corpus(documents).text(row) == document.full_text
            assert Corpus(documents, titles=False).text(row) == document.text


def test_one_store_for_one_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_store(write_letters(tmp_path / "one", dev={"q1": {"a": 1}}))
    first = names(tmp_path / "cache")
    monkeypatch.setattr(Collection, "documents", lambda self: pytest.fail("the documents are read again"))
    with_store(write_letters(tmp_path / "two", test={"q2": {"b": 1}}))
    assert names(tmp_path / "cache") == first


def test_another_corpus_has_another_store(tmp_path: Path) -> None:
    with_store(write_letters(tmp_path / "one"))
    with_store(write_collection(tmp_path / "two", [("a", "", "other text")], {}))
    assert len(names(tmp_path / "cache")) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("documents.json", b"{"),
        ("documents.json", b'{"format_version": 99, "corpus": "", "documents": 10}'),
        ("documents.json", b'{"format_version": 2, "corpus": "other", "documents": 10}'),
        ("documents.text.npy", b""),
        ("ids.rows.npy", None),
    ],
)
def test_a_damaged_store_is_written_again(tmp_path: Path, name: str, content: bytes | None) -> None:
    collection, documents = with_store(write_letters(tmp_path / "c"))
    [folder] = (tmp_path / "cache").iterdir()
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(IndexFormatError):
        DocumentStore.open(folder, collection.corpus)
    assert len(DocumentStore.of(collection, tmp_path / "cache")) == len(documents) == 10
    assert DocumentStore.open(folder, collection.corpus).ids.rows(["c"]) == [2]


def test_arrays_that_do_not_fit(tmp_path: Path) -> None:
    with_store(write_letters(tmp_path / "c"))
    [folder] = (tmp_path / "cache").iterdir()
    IdColumn.write(folder, "ids", "abcdefghi")
    with pytest.raises(IndexFormatError, match="documents are damaged; delete the folder"):
        DocumentStore.open(folder)


@pytest.mark.parametrize("prelude", [FULL_DISK, KILLED_IN_WRITE])
def test_nothing_is_left_half_written(tmp_path: Path, prelude: str) -> None:
    write_collection(tmp_path / "c", [(f"d{at}", "", "word " * 100) for at in range(1000)], {})
    ended = run_python(prelude.format(limit=100_000) + BUILD, tmp_path / "c", tmp_path / "cache")
    assert ended.returncode != 0
    assert [name for name in names(tmp_path / "cache") if not name.startswith(".")] == []
    _, documents = with_store(tmp_path / "c")
    assert len(documents) == 1000
    assert len(names(tmp_path / "cache")) == 1  # what the killed process left is gone, too


def test_a_collection_that_breaks_off(tmp_path: Path) -> None:
    folder = write_letters(tmp_path / "c")
    with (folder / "corpus.jsonl").open("a") as file:
        file.write("{\n")
    with pytest.raises(CollectionError, match=r"corpus\.jsonl:11: not valid JSON"):
        with_store(folder)
    assert names(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StorageError, match="cannot be written"):
        with_store(write_letters(tmp_path / "c"))


def test_documents_without_a_word(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="c: no document has a word"):
        with_store(write_collection(tmp_path / "c", [("a", "", ""), ("b", " ", "\t")], {}))


def test_another_process_maps_the_same_files(tmp_path: Path) -> None:
    documents = DocumentStore.of(load_collection(LIBRARY), tmp_path / "cache")
    pickled = pickle.dumps(documents)
    assert len(pickled) < 1000
    assert pickle.loads(pickled)[17] == documents[17]


def test_memory_does_not_grow_with_the_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def documents(self: Collection) -> Iterator[Document]:
        return (Document(f"d{at}", "", f"text {at} " * 40) for at in range(40_000))

    folder = write_letters(tmp_path / "c")
    monkeypatch.setattr(Collection, "documents", documents)
    collection = load_collection(folder)
    tracemalloc.start()
    try:
        stored = DocumentStore.of(collection, tmp_path / "cache")
        texts = sum(len(stored[row].text) for row in range(len(stored)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000 < texts
