"""The application over a small index, asked as a client would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lsr import build_index
from lsr.serve.app import create_app
from lsr.serve.request_examples import DOCUMENTS, EXPLAINS, FACETS, IDS, SEARCHES, VECTORS, WHYS
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import open_served

BONES = [
    {"id": "d0", "text": "Bone density falls with age.", "year": 2021, "tags": ["age"]},
    {"id": "d1", "title": "Calcium", "text": "Calcium makes bone dense.", "year": 2019, "tags": []},
    {"id": "sub/d2.md", "text": "Vitamin D and the density of bone.", "year": 2024, "tags": ["age", "diet"]},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_index(BONES, tmp_path / "bones.index", encoder="bm25")
    return tmp_path / "bones.index"


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(create_app(open_served([folder]), ServeSettings()), "http://localhost") as client:
        yield client


def search(client: TestClient, **body: Any) -> Any:
    answered = client.post("/v1/indexes/bones/search", json=body)
    assert answered.status_code == 200, answered.text
    return answered.json()


def ids(answer: Any) -> list[str]:
    return [hit["doc_id"] for hit in answer["hits"]]


def test_a_search_finds_what_the_searcher_finds(client: TestClient, folder: Path) -> None:
    [index] = open_served([folder]).values()
    asked = {"where": "year > 2020", "feedback": "rocchio"}
    expected = index.searcher.search("bone density", k=2, where="year > 2020", feedback="rocchio")
    answer = search(client, query="bone density", k=2, explain=True, snippet=40, **asked)
    assert all(hit.pop("expanded") for hit in answer["hits"])  # terms that the feedback added
    assert [{**hit, "rank": None} for hit in answer["hits"]] == [
        {"rank": None, **hit.as_dict(explain=True, snippet=40)} for hit in expected
    ]
    assert answer["generation"] == index.searcher.generation


def test_every_example_of_the_description_is_answered(client: TestClient) -> None:
    for example in SEARCHES:
        search(client, **example["value"])  # type: ignore[arg-type]
    for example in WHYS:
        assert client.post("/v1/indexes/bones/why", json=example["value"]).json()["verdict"] == "score too low"
    for example in EXPLAINS:
        assert client.post("/v1/indexes/bones/explain", json=example["value"]).json()["terms"]
    for example in FACETS:
        assert client.post("/v1/indexes/bones/facets", json=example["value"]).json()["facets"]["year"]
    for example in DOCUMENTS:
        assert client.put("/v1/indexes/bones/documents", json=example["value"]).json()["changed"] == 1
    for example in VECTORS:  # for an index of vectors, see test_documents_sent_again.py
        refused = client.put("/v1/indexes/bones/documents", json=example["value"])
        assert refused.status_code == 422 and "add documents" in refused.json()["detail"]
    for example in IDS:
        assert client.post("/v1/indexes/bones/delete", json=example["value"]).json()["deleted"] == 1


def test_changes_are_visible_when_they_are_answered(client: TestClient, folder: Path) -> None:
    added = client.post("/v1/indexes/bones/documents", json={"documents": [{"id": "new", "text": "marrow"}]})
    assert added.json() == {"added": 1, "generation": 2, "visible": True}
    assert ids(search(client, query="marrow")) == ["new"]
    again = client.post("/v1/indexes/bones/documents", json={"documents": [{"id": "new", "text": "marrow"}]})
    assert again.status_code == 422 and "'new' is already the id of a document" in again.json()["detail"]
    assert client.delete("/v1/indexes/bones/documents/sub/d2.md").json()["deleted"] == 1
    assert client.get("/v1/indexes/bones/documents/sub/d2.md").status_code == 404
    assert ids(search(client, query="vitamin")) == []
    [reopened] = open_served([folder]).values()
    assert [hit.doc_id for hit in reopened.searcher.search("marrow")] == ["new"]


def test_the_page_is_served(client: TestClient) -> None:
    assert client.get("/").headers["content-type"].startswith("text/html")
