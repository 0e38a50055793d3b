"""Whatever number a request has where numbers are, it is answered or refused, and never fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr import build_index
from lsr.serve.app import create_app
from lsr.serve.bodies import FacetsBody, SearchBody
from lsr.serve.problems import PROBLEM
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import open_served

# As JSON: integers of up to 400 digits, and floats, among them those that no float holds.
NUMBERS = st.one_of(
    st.integers().map(str),
    st.sampled_from([0, 1, 2**31, 2**32, 2**53, 2**63, 2**64]).flatmap(
        lambda base: st.integers(base - 2, base + 2).map(str)
    ),
    st.integers(10**307, 10**400).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["1e309", "-1e309", "1e-400", "-0.0", "1E2", "-" + "9" * 400, "9" * 4200, "9" * 5000]),
)


def takes_numbers(kind: type) -> list[str]:
    return [each.name for each in fields(kind) if any(word in str(each.type) for word in ("int", "float"))]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("numbers") / "notes.index"
    documents = [{"id": f"d{n}", "text": f"bone density {n}", "year": 2000 + n, "weight": n / 4} for n in range(9)]
    build_index(documents, folder, encoder="bm25")
    with TestClient(create_app(open_served([folder]), ServeSettings()), "http://localhost") as client:
        yield client


def check(client: TestClient, method: str, path: str, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answered = client.request(method, f"/v1/indexes/notes/{path}", content=body, headers=headers)
    assert answered.status_code in (200, 422, 504), (body[:200], answered.text[:500])
    if answered.status_code != 200:
        assert answered.headers["content-type"] == PROBLEM and len(answered.text) < 2000


@pytest.mark.parametrize("name", takes_numbers(SearchBody))
@settings(max_examples=25, deadline=None)
@given(number=NUMBERS)
def test_numbers_of_a_search(client: TestClient, name: str, number: str) -> None:
    beside: dict[str, Any] = {"query": "bone density", "snippet": 40, "explain": True}
    if name in ("feedback_depth", "feedback_terms", "alpha", "beta", "gamma", "negatives"):
        beside |= {"feedback": "rocchio", "gamma": 0.1, "negatives": 2}
    if name == "vector":
        del beside["query"]
        number = f'{{"bone": {number}}}'
    beside.pop(name, None)
    check(client, "POST", "search", f'{json.dumps(beside)[:-1]}, "{name}": {number}}}')


@settings(max_examples=25, deadline=None)
@given(number=NUMBERS)
def test_numbers_of_other_requests(client: TestClient, number: str) -> None:
    [name] = takes_numbers(FacetsBody)
    check(client, "POST", "facets", f'{{"columns": ["year"], "{name}": {number}}}')
    check(client, "POST", "facets", f'{{"columns": ["year"], "where": "year > {number}"}}')
    check(client, "POST", "why", f'{{"query": "bone", "id": "d1", "max_blocks": {number}}}')


@pytest.mark.parametrize("number", ["9" * 400, str(2**63), str(-(2**64)), "1e308", "1e309"])
@pytest.mark.parametrize("column", ["year", "weight", "other", "list"])
def test_numbers_of_documents(client: TestClient, column: str, number: str) -> None:
    value = f"[{number}]" if column == "list" else number
    check(client, "PUT", "documents", f'{{"documents": [{{"id": "d1", "text": "bone", "{column}": {value}}}]}}')
