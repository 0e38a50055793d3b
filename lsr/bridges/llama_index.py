"""LlamaIndex: a retriever over an index, and an encoder as a sparse embedding."""

from __future__ import annotations

import asyncio
from typing import Any

from lsr.extras import need

need("lsr.bridges.llama_index", "llama_index")
from llama_index.core.base.embeddings.base_sparse import BaseSparseEmbedding
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pydantic import PrivateAttr

from lsr.bridges.row_store import content_of, present
from lsr.encoders.load import EncoderLike, as_encoder
from lsr.retrieval.hits import Hit
from lsr.retrieval.searcher import Searcher
from lsr.vectors.sparse_vectors import SparseVectors


class LsrNodeRetriever(BaseRetriever):
    """A retriever that returns documents of a searcher as nodes, best first.

    The id of a node is the id of its document. If documents are split, the text of a node is the best passage, and the
    node has the places of the passage's begin and end in the document.
    request: further arguments of Searcher.search, such as where="year >= 2020" or feedback="rocchio".
    """

    def __init__(self, searcher: Searcher, similarity_top_k: int = 10, **request: Any) -> None:
        super().__init__()
        self._searcher, self._k, self._request = searcher, similarity_top_k, request

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [
            NodeWithScore(node=_node(hit), score=hit.score)
            for hit in self._searcher.search(query_bundle.query_str, self._k, **self._request)
        ]


def _node(hit: Hit) -> TextNode:
    begin, end = hit.passage or (None, None)
    metadata = present(hit.metadata)
    return TextNode(id_=hit.doc_id, text=content_of(hit), start_char_idx=begin, end_char_idx=end, metadata=metadata)


class LsrSparseEmbedding(BaseSparseEmbedding):
    """A sparse embedding: component -> weight, for vector stores with sparse vectors.

    encoder: as build_index takes it, fitted. The scores of lsr are inner products of two embeddings; `similarity` of
        LlamaIndex is their cosine.
    """

    _encoder: Any = PrivateAttr()

    def __init__(self, encoder: EncoderLike, **settings: Any) -> None:
        chosen = as_encoder(encoder)
        super().__init__(**{"model_name": chosen.name, **settings})
        self._encoder = chosen

    @classmethod
    def class_name(cls) -> str:
        return "LsrSparseEmbedding"

    def _get_query_embedding(self, query: str) -> dict[int, float]:
        return _dicts(self._encoder.encode_queries([query]))[0]

    async def _aget_query_embedding(self, query: str) -> dict[int, float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> dict[int, float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> dict[int, float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[dict[int, float]]:
        return _dicts(self._encoder.encode_documents(texts))


def _dicts(vectors: SparseVectors) -> list[dict[int, float]]:
    rows = (vectors.row(row) for row in range(len(vectors)))
    return [dict(zip(components.tolist(), weights.tolist(), strict=True)) for components, weights in rows]
