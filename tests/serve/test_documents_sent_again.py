"""What a document is answered as can be sent again, and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

import lsr
from lsr import PassageSplit, SeismicIndex, build_index
from lsr.serve.app import create_app
from lsr.serve.request_examples import VECTORS
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import open_served

TABLE = pa.table(
    {
        "id": ["a", "b/c"],
        "title": ["Bones", ""],
        "answer": ["Calcium makes bones dense. " * 9, "Vitamin D"],
        "text": ["a column of this name", None],
        "day": [date(2024, 5, 1), None],
        "time": [datetime(2024, 5, 1, 12, 30, 1), datetime(1999, 1, 1)],
        "weight": [np.inf, 0.5],
        "tags": [["x", "y"], []],
        "place": [{"city": "Köln", "zip": 50667}, None],
    }
)


@contextmanager
def serving(folder: Path) -> Iterator[TestClient]:
    with TestClient(create_app(open_served([folder]), ServeSettings()), "http://localhost") as client:
        yield client


def send(client: TestClient, method: str, *documents: Mapping[str, Any]) -> Any:
    answered = client.request(method, "/v1/indexes/x/documents", json={"documents": documents})
    return answered.json()["detail"] if answered.status_code == 422 else answered.json()


@pytest.mark.parametrize("passages", [None, PassageSplit(8, 2)])
def test_documents_with_texts(passages: PassageSplit | None, tmp_path: Path) -> None:
    build_index(TABLE, tmp_path / "x.index", "bm25", text="answer", passages=passages)
    with serving(tmp_path / "x.index") as client:

        def get(name: str, **asked: Any) -> Any:
            return client.get(f"/v1/indexes/x/documents/{name}", params=asked).json()

        given = [get(name) for name in ("a", "b/c")]
        assert given[0]["metadata"]["day"] == "2024-05-01" and given[0]["metadata"]["weight"] == "inf"
        assert send(client, "put", *given)["unchanged"] == 2
        assert send(client, "put", {**given[0], "text": "Marrow."})["changed"] == 1
        assert get("a") == {**given[0], "text": "Marrow."}
        client.delete("/v1/indexes/x/documents/a")
        assert send(client, "post", given[0])["added"] == 1
        assert get("a") == given[0]
        hits = client.post("/v1/indexes/x/search", json={"query": "calcium", "where": "day > '2024-01-01'"}).json()
        assert [hit["doc_id"] for hit in hits["hits"]] == ["a"]

        whole = get("a", vector=True)
        assert whole.keys() - given[0].keys() == {"vector"} and "calcium" in whole["vector"]
        assert "remove `vector`" in send(client, "put", whole)
        assert "documents[1] has `metadata` and year" in send(client, "put", given[0], {**given[1], "year": 1})
        assert "metadata is 'x'; give an object" in send(client, "put", {**given[0], "metadata": "x"})
        assert "the text: None" in send(client, "put", {"id": "a", "metadata": {}})
        refused = client.get("/v1/indexes/x/documents/a", params={"vector": "much"})
        assert refused.status_code == 422 and refused.json()["detail"].startswith("vector is 'much'")
        assert get("a") == given[0]


def of_vectors(folder: Path) -> lsr.BM25Encoder:
    texts = ["bone density", "calcium and bone"]
    encoder = lsr.BM25Encoder().fit(texts)
    vectors = encoder.encode_documents(texts)
    SeismicIndex.build(vectors, ids=["a", "b"], vocabulary=encoder.vocabulary).save(folder)
    return encoder


def test_documents_with_vectors(tmp_path: Path) -> None:
    of_vectors(tmp_path / "x.index")
    with serving(tmp_path / "x.index") as client:
        given = client.get("/v1/indexes/x/documents/a").json()
        assert given.keys() == {"id", "vector"}
        assert send(client, "put", given)["changed"] == 1
        assert client.get("/v1/indexes/x/documents/a").json() == given
        assert send(client, "post", *VECTORS[0]["value"]["documents"])["added"] == 1  # type: ignore[index]
        assert "token 'marrow' is not in the vocabulary" in send(client, "put", {"id": "a", "vector": {"marrow": 1.0}})
        assert "documents[1] does not have exactly" in send(client, "put", given, {"id": "b", "text": "bone"})


def test_an_encoder_that_is_attached_is_taken_up(tmp_path: Path) -> None:
    folder = tmp_path / "x.index"
    of_vectors(folder).save(tmp_path / "encoder")
    with serving(folder) as client:
        search = {"query": "calcium"}
        refused = client.post("/v1/indexes/x/search", json=search)
        assert refused.status_code == 422 and "lsr attach INDEX --encoder NAME" in refused.json()["detail"]
        lsr.attach(folder, tmp_path / "encoder")
        for _ in range(200):
            if client.get("/v1/indexes/x").json()["encoder"] is not None:
                break
            time.sleep(0.05)
        assert {hit["doc_id"] for hit in client.post("/v1/indexes/x/search", json=search).json()["hits"]} == {"b"}


def test_unknown_shapes_are_named_in_words_of_json(tmp_path: Path) -> None:
    build_index([{"id": "a", "text": "bone"}], tmp_path / "x.index", "bm25")
    with serving(tmp_path / "x.index") as client:
        for path, body, said in (
            ("search", {"vector": [1]}, "vector is [1]; it must be an object"),
            ("documents", {"documents": ["x"]}, "documents[0] is 'x'; it must be an object"),
        ):
            assert client.post(f"/v1/indexes/x/{path}", json=body).json()["detail"].startswith(said)
