"""LangChain: a vector store and a retriever over an index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from lsr.extras import need

need("lsr.bridges.langchain", "langchain_core")
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict, Field

from lsr.bridges.row_store import RowStore, content_of, present, where_of
from lsr.collections.sources import Document as Row
from lsr.encoders.load import EncoderLike
from lsr.errors import ParameterError
from lsr.retrieval.hits import Hit
from lsr.retrieval.searcher import Searcher

Filter = str | Mapping[str, Any] | None


def _document(hit: Hit, **more: Any) -> Document:
    if hit.passage is not None:
        more["start_index"] = hit.passage[0]  # the name that LangChain's text splitters use
    return Document(id=hit.doc_id, page_content=content_of(hit), metadata={**present(hit.metadata), **more})


class LsrVectorStore(VectorStore):
    """A vector store in the folder of an index. `lsr index`, or the first added documents, create the index.

    folder, encoder: see RowStore. Each change is committed before its call returns.
    The argument `filter` of searches: an SQL expression over metadata, or a dict of column -> value or list of values.

    A search returns only documents that share a term with the query. If the documents of the index are split, a search
    returns the best passage of a document as its content, and the place of the passage's first character in the text
    as "start_index" in its metadata. `get_by_ids` returns whole texts.
    """

    def __init__(self, folder: str | Path, encoder: EncoderLike | None = None) -> None:
        self.store = RowStore(folder, encoder)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts; returns their ids, new ones if none are given. Replaces texts with the same ids."""
        given = list(texts)
        names = [each or str(uuid4()) for each in (ids or [None] * len(given))]
        metadata = metadatas or [{}] * len(given)
        if not len(given) == len(names) == len(metadata):
            raise ParameterError(
                f"there are {len(given)} texts, {len(names)} ids and {len(metadata)} metadatas; give an id and a "
                "metadata for each text"
            )
        self.store.put([Row(*each) for each in zip(names, [""] * len(given), given, metadata, strict=True)])
        return names

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete the documents with these ids; None for all documents. Unknown ids are ignored."""
        self.store.remove([row.doc_id for row in self.store.get()] if ids is None else ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        return [Document(id=row.doc_id, page_content=row.text, metadata=row.metadata) for row in self.store.get(ids)]

    def similarity_search(self, query: str, k: int = 4, filter: Filter = None, **kwargs: Any) -> list[Document]:
        """The k best documents. kwargs: see Searcher.search."""
        return [document for document, _ in self.similarity_search_with_score(query, k, filter, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The k best documents with their scores: inner products, which have no upper limit."""
        hits = self.store.find(query, k, where_of(filter), **kwargs)
        return [(_document(hit), hit.score) for hit in hits]

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: EncoderLike,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        folder: str | Path = "lsr.index",
        **kwargs: Any,
    ) -> LsrVectorStore:
        """A store of texts. embedding: an encoder of lsr, such as "bm25" or "tiny" (LangChain's own are dense)."""
        store = cls(folder, embedding)
        store.add_texts(texts, metadatas, ids=ids)
        return store


class LsrRetriever(BaseRetriever):
    """A retriever that returns documents of a searcher, best first, with the score as "score" in their metadata.

    Passages and filter: see LsrVectorStore.
    k: the maximum number of documents. request: further arguments of Searcher.search, such as feedback.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    searcher: Searcher
    k: int = 4
    filter: str | dict[str, Any] | None = None
    request: dict[str, Any] = Field(default_factory=dict)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        hits = self.searcher.search(query, self.k, where=where_of(self.filter), **self.request)
        return [_document(hit, score=hit.score) for hit in hits]
