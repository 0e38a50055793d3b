"""LangChain's own tests of vector stores, and filters and the retriever."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from lsr import Searcher, build_index, encoder_from
from lsr.bridges.langchain import LsrRetriever, LsrVectorStore
from lsr.errors import ParameterError


def words_and_one_more(texts: Sequence[str]) -> list[dict[int, float]]:
    """A component for each word, and one that all texts share: LangChain's tests expect k results of any query."""
    return [{0: 0.1, **{1 + zlib.crc32(word.encode()) % 999: 1.0 for word in text.split()}} for text in texts]


ENCODER = encoder_from(words_and_one_more, dim=1000)


for each in vars(VectorStoreIntegrationTests).values():
    if iscoroutinefunction(each):
        pytest.mark.asyncio(each)


class TestTheirStandard(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Any:
        return LsrVectorStore(tmp_path / "index", ENCODER)


TEXTS = ["bread and salt", "bread and butter", "salt of the sea"]
METADATA: list[dict[str, Any]] = [
    {"year": 2019, "kind": "baker's"},
    {"year": 2021, "kind": "dairy"},
    {"year": 2021, "kind": "sea", "deep": True},
]


@pytest.fixture
def store(tmp_path: Path) -> LsrVectorStore:
    return LsrVectorStore.from_texts(TEXTS, "bm25", METADATA, ids=["a", "b", "c"], folder=tmp_path / "index")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, {"a", "b"}),
        ({"year": 2021}, {"b"}),
        ({"kind": "baker's"}, {"a"}),
        ({"kind": ["sea", "dairy"], "year": 2021}, {"b"}),
        ({"deep": None}, {"a", "b"}),
        ({"deep": True}, set()),
        ({"kind": []}, set()),
        ({}, {"a", "b"}),
        ("year < 2020 or kind = 'sea'", {"a"}),
    ],
)
def test_filters(store: LsrVectorStore, chosen: Any, expected: set[str]) -> None:
    assert {each.id for each in store.similarity_search("bread", filter=chosen)} == expected
    retriever = store.as_retriever(search_kwargs={"k": 5, "filter": chosen})
    assert {each.id for each in retriever.invoke("bread")} == expected


def test_invalid_filters_are_refused(store: LsrVectorStore) -> None:
    with pytest.raises(ParameterError, match="'year'"):
        store.similarity_search("bread", filter={"year": {"$gt": 1}})
    with pytest.raises(ParameterError, match="SQL expression"):
        store.similarity_search("bread", filter=3)  # type: ignore[arg-type]


def test_scores_are_those_of_a_search_and_the_folder_is_an_index(store: LsrVectorStore, tmp_path: Path) -> None:
    hits = Searcher.open(tmp_path / "index").search("salt bread")
    found = store.similarity_search_with_score("salt bread")
    assert [(document.id, score) for document, score in found] == [(hit.doc_id, hit.score) for hit in hits]
    assert found[0][0].page_content == "bread and salt" and found[0][0].metadata == METADATA[0]
    assert [each.id for each in LsrVectorStore(tmp_path / "index").similarity_search("butter")] == ["b"]


def test_changes_are_in_the_index_when_the_call_returns(store: LsrVectorStore, tmp_path: Path) -> None:
    [made] = store.add_texts(["a salt lake"], [{"year": 2024}])
    store.delete(["c"])
    assert set(Searcher.open(tmp_path / "index").search("salt").ids) == {"a", made}
    with pytest.raises(ParameterError, match="there are 2 texts, 1 ids"):
        store.add_texts(["x", "y"], ids=["x"])
    store.delete()
    assert store.similarity_search("salt") == [] and store.get_by_ids([made, "a"]) == []


def test_the_retriever_of_a_searcher(tmp_path: Path) -> None:
    searcher = build_index([{"id": "1", "text": "salt", "n": 1}, {"id": "2", "text": "salt", "n": 2}], tmp_path, "bm25")
    retriever = LsrRetriever(searcher=searcher, k=1, filter={"n": 2}, request={"feedback": "rocchio"})
    [document] = retriever.invoke("salt")
    assert (document.id, document.page_content, document.metadata["n"]) == ("2", "salt", 2)
    score = searcher.search("salt", 1, where="n = 2", feedback="rocchio")[0].score
    assert document == Document(id="2", page_content="salt", metadata={"n": 2, "score": score})


def test_the_content_is_the_best_passage(tmp_path: Path) -> None:
    text = "Bread with butter, every morning before school.\n\nSalt comes from warm water near quiet sea coasts."
    searcher = build_index([{"id": "a", "text": text}], tmp_path / "index", "bm25", passages=8)
    store = LsrVectorStore(tmp_path / "index")
    for [document] in (LsrRetriever(searcher=searcher).invoke("sea"), store.similarity_search("sea")):
        begin = document.metadata["start_index"]
        assert document.id == "a" and "sea" in document.page_content and "butter" not in document.page_content
        assert begin > 0 and text[begin:].startswith(document.page_content)
    assert store.get_by_ids(["a"])[0].page_content == text
