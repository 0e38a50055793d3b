"""What a browser gets from "/", and what the page asks of the server, without a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lsr import build_index
from lsr.encoders.load import load_encoder
from lsr.index.parameters import SearchParams
from lsr.retrieval.searcher import Searcher
from lsr.serve.app import create_app
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import open_served
from tests.data import LIBRARY

PAGE = files("lsr.serve") / "page"
QUERY = "library classification scheme"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "library.index"
    build_index(LIBRARY, folder, encoder="tiny")
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(create_app(open_served([folder]), ServeSettings()), "http://localhost") as client:
        yield client


@pytest.mark.parametrize("name", ["", *sorted(each.name for each in PAGE.iterdir())])
def test_files_may_load_and_run_nothing_of_others(client: TestClient, name: str) -> None:
    response = client.get(f"/{name}")
    assert response.status_code == 200
    policy = dict(each.split(" ", 1) for each in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_the_page_needs_no_other_host_and_nothing_inline() -> None:
    page = (PAGE / "index.html").read_text()
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page)
    for each in PAGE.iterdir():
        urls = set(re.findall(r"(?:https?:)?//[\w.]+\.\w+[^\s\"']*", each.read_text()))
        assert urls <= {"http://www.w3.org/2000/svg"}, each.name


def test_scripts_write_no_html() -> None:
    scripts = "".join(each.read_text() for each in PAGE.iterdir() if each.name.endswith(".js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", scripts)


def test_terms_of_expansion_are_those_that_the_encoder_added(client: TestClient, folder: Path) -> None:
    """The oracle is the encoder, asked of each text by itself."""
    encoder = load_encoder("tiny")
    token = Searcher.open(folder).snapshot.token
    in_query = {token(each) for each in encoder.literal(QUERY, query=True)}
    answer = client.post("/v1/indexes/library/search", json={"query": QUERY, "explain": True}).json()
    kinds = set()
    for hit in answer["hits"]:
        in_text = {token(each) for each in encoder.literal(hit["text"])}
        for term in hit["terms"]:
            sides = [s for s, known in (("query", in_query), ("document", in_text)) if term not in known]
            assert hit.get("expanded", {}).get(term, []) == sides
            kinds.add(tuple(sides))
    assert kinds >= {(), ("query",)}  # otherwise nothing has been shown


def test_why_tells_what_an_exact_search_would_find(client: TestClient, folder: Path) -> None:
    ranking = Searcher.open(folder).search(QUERY, k=5, params=SearchParams(exact=True))
    asked = {"query": QUERY, "k": 3, "id": ranking[4].doc_id}
    told = client.post("/v1/indexes/library/why", json=asked).json()
    assert told["rank"] is None and told["exact_rank"] == 5
    assert told["score"] == pytest.approx(ranking[4].score) and told["threshold"] == pytest.approx(ranking[2].score)
    assert told["reason"] == "its score is too low" and told["remedy"]["k"] >= 5
    first = client.post("/v1/indexes/library/why", json={**asked, "id": ranking[0].doc_id}).json()
    assert first["verdict"] == "returned" and first["rank"] == 1
    assert client.post("/v1/indexes/library/why", json={**asked, "id": "nowhere"}).status_code == 404
    refused = client.post("/v1/indexes/library/why", json={**asked, "feedback": "rocchio"})
    assert refused.status_code == 422 and "without feedback" in refused.json()["detail"]
