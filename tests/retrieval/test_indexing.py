"""Building a searchable index: in one go, after an interruption, and from a collection that changes meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from lsr.collections.collection import load_collection
from lsr.collections.sources import NO_METADATA
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.build import build_encoder
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.sparse.tokens import FolderTokenizer
from lsr.encoders.sparse_collection import encode_collection
from lsr.errors import CollectionError, EncoderError, ParameterError, StorageError
from lsr.index.segments import merging
from lsr.index.seismic.build import trial
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.dense_building import build_dense
from lsr.retrieval.indexing import build_index
from lsr.retrieval.searcher import Searcher
from lsr.vectors.sparse_vectors import SparseVectors
from tests.data import LIBRARY


class Doc(NamedTuple):
    doc_id: str
    full_text: str
    metadata: Mapping[str, Any] = NO_METADATA


@dataclass
class Listed:
    """A collection in memory that counts how often it is read."""

    texts: list[Doc]
    name: str = "listed"
    passes: int = 0

    @property
    def count(self) -> int:
        return len(self.texts)

    def documents(self) -> Iterator[Doc]:
        self.passes += 1
        yield from self.texts


@dataclass
class Counting:
    """BM25 that remembers what it has encoded, and fails at a given text."""

    inner: BM25Encoder
    fail_at: str | None = None
    encoded: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        if self.fail_at in texts:
            raise KeyboardInterrupt
        self.encoded.extend(texts)
        return self.inner.encode_documents(texts, batch_size, progress)


@pytest.fixture
def collection() -> Listed:
    return Listed([Doc(f"d{i}", f"word{i} common text number {i % 7}") for i in range(100)])


@pytest.fixture
def fitted(collection: Listed) -> BM25Encoder:
    return BM25Encoder().fit(document.full_text for document in collection.texts)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_in_one_go(collection: Listed, tmp_path: Path) -> None:
    build_index(collection, tmp_path / "deep" / "index", "bm25")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["index"]
    hit = Searcher.open(tmp_path / "deep" / "index").search("word42")[0]
    assert (hit.doc_id, hit.row, hit.text) == ("d42", 42, "word42 common text number 0")
    assert collection.passes == 3  # to fit, to encode, to keep the texts


def test_by_way_of_the_disk(
    collection: Listed, fitted: BM25Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(SeismicIndex, "build", None)
        patch.setattr(merging, "BUILD_BYTES", 1 << 20)
        index = build_index(collection, tmp_path / "index", fitted, memory=1 << 28).index
    assert index.inverted
    hit = Searcher.open(tmp_path / "index").search("word42")[0]
    assert (hit.doc_id, hit.row, hit.text) == ("d42", 42, "word42 common text number 0")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_queries_that_are_looked_up_are_searched_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a merge, too."""
    monkeypatch.setattr(trial, "INVERTED_BELOW", 0)
    tiny = find_checkpoint("tiny").folder
    table = np.ones(len(FolderTokenizer(tiny).vocabulary), np.float32)
    build_encoder("opensearch-doc-v2-distill", tiny, idf=table).save_pretrained(tmp_path / "encoder")
    for encoder, inverted in ((str(tmp_path / "encoder"), True), ("tiny", False)):
        searcher = build_index(["the sea", "a river to the sea", "mountains"], tmp_path / "index", encoder)
        searcher.add([{"id": "more", "text": "of the sea"}])
        searcher.merge(everything=True)
        assert isinstance(searcher.index, SeismicIndex)
        assert searcher.index.inverted == inverted
        assert {hit.doc_id for hit in searcher.search("sea")} >= {"more"}


def test_less_memory_than_any_way_takes(
    collection: Listed, fitted: BM25Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "BUILD_BYTES", 1 << 20)
    with pytest.raises(ParameterError, match=r"memory is 1\.0 MB; .* give at least"):
        build_index(collection, tmp_path / "index", fitted, memory=1_000_000)
    assert [path.name for path in tmp_path.iterdir()] == ["index.encoding"]
    build_index(collection, tmp_path / "index", fitted)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_killed_while_encoding(collection: Listed, fitted: BM25Encoder, tmp_path: Path) -> None:
    build_index(collection, tmp_path / "whole", fitted)
    encoder = Counting(fitted, fail_at="word60 common text number 4")
    pairs = [(document.doc_id, document.full_text) for document in collection.texts]
    with pytest.raises(KeyboardInterrupt):
        encode_collection(encoder, pairs, tmp_path / "index.encoding", rows_per_part=25)
    encoder = Counting(fitted)
    build_index(collection, tmp_path / "index", encoder)
    assert sorted(encoder.encoded) == sorted(document.full_text for document in collection.texts[50:])
    assert files(tmp_path / "index") == files(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "whole"]


def test_killed_while_building(
    collection: Listed, fitted: BM25Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(SeismicIndex, "save", fail)
        build_index(collection, tmp_path / "index", fitted)
    assert not (tmp_path / "index").exists()
    encoder = Counting(fitted)
    build_index(collection, tmp_path / "index", encoder)
    assert encoder.encoded == []
    assert Searcher.open(tmp_path / "index").search("word7")[0].text == "word7 common text number 0"


@pytest.mark.parametrize("change", ["more", "fewer", "other"])
def test_a_collection_that_changes_between_two_passes(fitted: BM25Encoder, tmp_path: Path, change: str) -> None:
    class Changing(Listed):
        def documents(self) -> Iterator[Doc]:
            yield from super().documents()
            if self.passes == 1:
                changed = {"more": [*self.texts, Doc("new", "")], "fewer": self.texts[:-1], "other": self.texts[::-1]}
                self.texts = changed[change]

    collection = Changing([Doc("d1", "common"), Doc("d2", "text")])
    with pytest.raises(CollectionError, match=r"listed: .*the collection has changed since it was encoded"):
        build_index(collection, tmp_path / "index", fitted)
    assert not (tmp_path / "index").exists()


def test_a_foreign_folder_is_refused_before_any_work(collection: Listed, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(StorageError, match="mine"):
        build_index(collection, tmp_path / "mine", "bm25")
    assert collection.passes == 0
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.tex"]


def test_text_needs_an_encoder(collection: Listed, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="listed: holds texts, so an encoder is needed"):
        build_index(collection, tmp_path / "index")


@pytest.mark.parametrize("source", [None, 7, b"bytes", {"train": [{"text": "a"}]}])
def test_invalid_documents_are_refused_before_a_model_is_loaded(source: Any, tmp_path: Path) -> None:
    with patch("lsr.encoders.load.load_encoder", side_effect=AssertionError):
        with pytest.raises(CollectionError, match="the documents are"):
            build_index(source, tmp_path / "index", "tiny")
    with pytest.raises(CollectionError, match="the documents are"):
        build_dense(source, tmp_path / "index", "minilm")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", [["a text"], [{"_id": "0", "text": "a text"}], pd.DataFrame({"text": ["a text"]})])
def test_texts_dicts_and_frames_are_indexed(source: Any, tmp_path: Path) -> None:
    hit = build_index(source, tmp_path / "index", "bm25").search("text")[0]
    assert (hit.doc_id, hit.text) == ("0", "a text")


def test_a_collection_may_be_given_by_its_path(tmp_path: Path) -> None:
    for name, source in (("path", LIBRARY), ("text", str(LIBRARY)), ("collection", load_collection(LIBRARY))):
        build_index(source, tmp_path / name, "bm25")
    hits = [Searcher.open(tmp_path / name).search("information retrieval") for name in ("path", "text", "collection")]
    assert len(hits[0]) == 10
    assert hits[0] == hits[1] == hits[2]


def test_an_index_saved_without_texts_or_encoder(tmp_path: Path, fitted: BM25Encoder, collection: Listed) -> None:
    vectors = fitted.encode_documents([document.full_text for document in collection.texts])
    SeismicIndex.build(vectors).save(tmp_path / "index")
    with pytest.raises(EncoderError, match="has no encoder"):
        Searcher.open(tmp_path / "index")
