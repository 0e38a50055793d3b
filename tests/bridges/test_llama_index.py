"""LlamaIndex's retriever and sparse embedding, against the searcher and the encoder themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode

from lsr import BM25Encoder, Searcher, build_index
from lsr.bridges.llama_index import LsrNodeRetriever, LsrSparseEmbedding
from lsr.errors import EncoderError

TEXTS = ["bread and salt", "bread and butter", "the salt of the sea"]


@pytest.fixture
def searcher(tmp_path: Path) -> Searcher:
    documents = [{"id": f"d{i}", "text": text, "year": 2019 + i} for i, text in enumerate(TEXTS)]
    return build_index(documents, tmp_path / "index", "bm25")


def test_nodes_are_the_hits(searcher: Searcher) -> None:
    hits = searcher.search("salt bread", 2)
    for found in (
        LsrNodeRetriever(searcher, 2).retrieve("salt bread"),
        asyncio.run(LsrNodeRetriever(searcher, 2).aretrieve("salt bread")),
    ):
        assert [(each.node_id, each.score) for each in found] == [(hit.doc_id, hit.score) for hit in hits]
        assert found[0].node.get_content() == TEXTS[0] and found[0].metadata == {"year": 2019}
    [only] = LsrNodeRetriever(searcher, where="year > 2020").retrieve("salt bread")
    assert only.node_id == "d2"


def test_a_node_is_the_best_passage(tmp_path: Path) -> None:
    text = "Bread with butter, every morning before school.\n\nSalt comes from warm water near quiet sea coasts."
    searcher = build_index([{"id": "a", "text": text}], tmp_path / "index", "bm25", passages=8)
    [found] = LsrNodeRetriever(searcher).retrieve("sea")
    node = found.node
    assert isinstance(node, TextNode) and node.start_char_idx and "sea" in node.text
    assert node.text == text[node.start_char_idx : node.end_char_idx]


def test_llama_index_fuses_the_retriever_with_others(searcher: Searcher) -> None:
    both = [LsrNodeRetriever(searcher), LsrNodeRetriever(searcher, feedback="rocchio")]
    fused = QueryFusionRetriever(both, llm=MockLLM(), mode="reciprocal_rerank", num_queries=1, use_async=False)
    assert fused.retrieve("salt bread")[0].node_id == "d0"


def test_embeddings_are_rows_of_the_encoder() -> None:
    encoder = BM25Encoder().fit(TEXTS)
    embedding = LsrSparseEmbedding(encoder)
    documents, query = embedding.get_text_embedding_batch(TEXTS), embedding.get_query_embedding("salt bread")
    products = (encoder.encode_documents(TEXTS).to_dense() @ encoder.encode_queries(["salt bread"]).to_dense().T)[:, 0]
    for document, product in zip(documents, products, strict=True):
        assert sum(weight * query.get(component, 0) for component, weight in document.items()) == pytest.approx(product)
    assert all(type(component) is int for component in query)
    assert (
        asyncio.run(embedding.aget_text_embedding(TEXTS[1])) == documents[1] == embedding.get_text_embedding(TEXTS[1])
    )
    assert asyncio.run(embedding.aget_query_embedding("salt bread")) == query
    assert embedding.model_name == "bm25"
    with pytest.raises(EncoderError):
        LsrSparseEmbedding(BM25Encoder()).get_query_embedding("salt")  # it is not fitted
