"""Haystack: a document store, its retriever, and embedders, as components of pipelines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lsr.extras import need

need("lsr.bridges.haystack", "haystack")
from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter

from lsr.bridges.row_store import RowStore
from lsr.collections.sources import Document as Row
from lsr.encoders.load import as_encoder

STORED = "haystack"  # column with a whole Haystack document, except its text, as JSON


class LsrDocumentStore:
    """A document store of Haystack in the folder of an index.

    folder: see RowStore. encoder: the name of an encoder for a new index, which serialized pipelines can store.

    Documents are returned as they were written, with their embeddings. Haystack's own code applies a filter to each
    document before the search. Documents without content are stored, but no search returns them.
    """

    def __init__(self, folder: str, encoder: str = "bm25") -> None:
        self.folder, self.encoder = str(folder), encoder
        self.store = RowStore(Path(folder), encoder)

    def to_dict(self) -> dict[str, Any]:
        return dict(default_to_dict(self, folder=self.folder, encoder=self.encoder))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LsrDocumentStore:
        made: LsrDocumentStore = default_from_dict(cls, data)
        return made

    def count_documents(self) -> int:
        return len(self.store)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """The documents that match. Raises FilterError for an invalid filter."""
        matches = _matching(filters)
        return [document for document in map(_document, self.store.get()) if matches(document)]

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Write documents; returns their number. With NONE or FAIL, none is written if one of them exists.

        Raises ValueError for anything but a list of Documents, DuplicateDocumentError.
        """
        if not isinstance(documents, list) or not all(isinstance(each, Document) for each in documents):
            raise ValueError("documents is not a list of haystack.Document; give such a list")
        if policy != DuplicatePolicy.OVERWRITE:
            known = {row.doc_id for row in self.store.get([each.id for each in documents])}
            new = dict[str, Document]()
            for each in documents:
                if each.id not in known and each.id not in new:
                    new[each.id] = each
                elif policy != DuplicatePolicy.SKIP:
                    raise DuplicateDocumentError(
                        f"document {each.id!r} already exists; choose the policy OVERWRITE or SKIP"
                    )
            documents = list(new.values())
        self.store.put([_row(each) for each in documents])
        return len(documents)

    def delete_documents(self, document_ids: list[str]) -> None:
        self.store.remove(document_ids)

    def search(self, query: str, filters: dict[str, Any] | None = None, top_k: int = 10) -> list[Document]:
        """The best documents for a query, with their scores."""
        allowed = [each.id for each in self.filter_documents(filters)] if filters else None
        if allowed == []:
            return []
        hits = self.store.find(query, top_k, allowed=allowed)
        return [replace(_document(Row(hit.doc_id, "", "", hit.metadata)), score=hit.score) for hit in hits]


def _matching(filters: dict[str, Any] | None) -> Callable[[Document], bool]:
    if not filters:
        return lambda document: True
    if "operator" not in filters and "conditions" not in filters:
        raise FilterError("the filter is invalid; give {'field', 'operator', 'value'}, or {'operator', 'conditions'}")
    return lambda document: bool(document_matches_filter(filters, document))


def _row(document: Document) -> Row:
    return Row(document.id, "", document.content or "", {STORED: json.dumps(document.to_dict(flatten=False))})


def _document(row: Row) -> Document:
    stored: Mapping[str, Any] = {"id": row.doc_id, "content": row.text, "meta": dict(row.metadata)}
    if isinstance(row.metadata.get(STORED), str):
        stored = json.loads(row.metadata[STORED])
    return Document.from_dict({**stored})


@component
class LsrDocumentRetriever:
    """A component that returns the best documents of a store for a query."""

    def __init__(
        self, document_store: LsrDocumentStore, filters: dict[str, Any] | None = None, top_k: int = 10
    ) -> None:
        self.document_store, self.filters, self.top_k = document_store, filters, top_k

    def to_dict(self) -> dict[str, Any]:
        store = self.document_store.to_dict()
        return dict(default_to_dict(self, document_store=store, filters=self.filters, top_k=self.top_k))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LsrDocumentRetriever:
        settings = data["init_parameters"]
        store = LsrDocumentStore.from_dict(settings["document_store"])
        return cls(**{**settings, "document_store": store})

    @component.output_types(documents=list[Document])
    def run(self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None) -> dict[str, Any]:
        """The best documents. filters, top_k: replace those of the retriever."""
        return {"documents": self.document_store.search(query, filters or self.filters, top_k or self.top_k)}


@component
class LsrTextEmbedder:
    """A component for the sparse embedding of a query. encoder: a name or folder, as load_encoder takes it."""

    def __init__(self, encoder: str) -> None:
        self.encoder = encoder
        self._loaded = as_encoder(encoder)

    @component.output_types(sparse_embedding=SparseEmbedding)
    def run(self, text: str) -> dict[str, Any]:
        return {"sparse_embedding": _embedding(*self._loaded.encode_queries([text]).row(0))}


@component
class LsrDocumentEmbedder:
    """A component that adds sparse embeddings to documents. encoder: see LsrTextEmbedder."""

    def __init__(self, encoder: str) -> None:
        self.encoder = encoder
        self._loaded = as_encoder(encoder)

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        vectors = self._loaded.encode_documents([each.content or "" for each in documents])
        embedded = [replace(each, sparse_embedding=_embedding(*vectors.row(i))) for i, each in enumerate(documents)]
        return {"documents": embedded}


def _embedding(components: Any, weights: Any) -> SparseEmbedding:
    return SparseEmbedding(indices=components.tolist(), values=weights.tolist())
