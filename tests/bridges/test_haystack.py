"""Haystack's own tests of document stores, and its pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.dataclasses import ByteStream
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.testing.document_store import DocumentStoreBaseTests

from lsr import Searcher, load_encoder
from lsr.bridges.haystack import LsrDocumentEmbedder, LsrDocumentRetriever, LsrDocumentStore, LsrTextEmbedder


class TestTheirStore(DocumentStoreBaseTests):
    @pytest.fixture
    def document_store(self, tmp_path: Path) -> LsrDocumentStore:
        return LsrDocumentStore(str(tmp_path / "index"))

    def test_write_documents(self, document_store: Any) -> None:
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])


DOCUMENTS = [
    Document(id="a", content=" bread and salt ", meta={"year": 2019, "id": 7, "of": {"x": [1, "y"]}}),
    Document(id="b", content="bread and butter", meta={"year": "2021"}, embedding=[0.5, 1.5]),
    Document(id="c", content=None, blob=ByteStream(b"\x00\xff"), meta={}),
]


@pytest.fixture
def store(tmp_path: Path) -> LsrDocumentStore:
    store = LsrDocumentStore(str(tmp_path / "index"))
    assert store.write_documents(DOCUMENTS) == 3
    return store


def test_documents_come_back_as_they_were(store: LsrDocumentStore) -> None:
    assert store.filter_documents() == DOCUMENTS
    again = LsrDocumentStore.from_dict(store.to_dict())
    assert again.filter_documents() == DOCUMENTS
    assert again.write_documents([*DOCUMENTS, Document(id="d", content="x")], DuplicatePolicy.SKIP) == 1


def test_a_serialized_pipeline(store: LsrDocumentStore, tmp_path: Path) -> None:
    pipeline = Pipeline()
    pipeline.add_component("retriever", LsrDocumentRetriever(store, top_k=1))
    pipeline = Pipeline.loads(pipeline.dumps(), allowed_modules=["lsr.bridges.haystack"])
    hits = Searcher.open(tmp_path / "index").search("salt bread")
    for top_k in (1, 5):
        found = pipeline.run({"retriever": {"query": "salt bread", "top_k": top_k}})["retriever"]["documents"]
        assert [(each.id, each.score) for each in found] == [(hit.doc_id, hit.score) for hit in hits[:top_k]]
    chosen = {"field": "meta.year", "operator": "==", "value": "2021"}
    [only] = pipeline.run({"retriever": {"query": "salt bread", "filters": chosen}})["retriever"]["documents"]
    assert only.id == "b" and only.embedding == [0.5, 1.5]
    nothing = {"field": "meta.year", "operator": "==", "value": "1"}
    assert store.search("salt", nothing) == []


def test_embedders_give_the_rows_of_the_encoder() -> None:
    encoder = load_encoder("tiny")
    query = LsrTextEmbedder("tiny").run("salt bread")["sparse_embedding"]
    [document, *_] = LsrDocumentEmbedder("tiny").run(DOCUMENTS)["documents"]
    for embedding, rows in (
        (query, encoder.encode_queries(["salt bread"])),
        (document.sparse_embedding, encoder.encode_documents([DOCUMENTS[0].content or ""])),
    ):
        assert embedding.indices == rows.indices.tolist()
        np.testing.assert_allclose(embedding.values, rows.values, rtol=1e-4)
    assert document.meta == DOCUMENTS[0].meta and DOCUMENTS[0].sparse_embedding is None
