"""`lsr mcp` as a process, asked by the SDK's client."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from lsr import Searcher, build_index

DOCUMENTS = [
    {"id": "a", "text": "bread and salt", "year": 2019},
    {"id": "b", "text": "bread and butter", "year": 2021},
    {"id": "c", "text": "the sea"},
]
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("search", {"query": "salt bread", "k": 2}),
    ("search", {"query": "salt bread", "where": "year > 2020"}),
    ("get", {"ids": ["c", "b"]}),
    ("why", {"query": "salt bread", "document": "b"}),
    ("why", {"query": "salt bread", "document": "c"}),
    ("get", {"ids": ["nobody"]}),
    ("search", {"query": "salt", "where": "nonsense > 1"}),
    ("search", {"query": "salt", "k": 101}),
    ("search", {"query": "sea"}),
]


async def asked(server: Any, calls: list[tuple[str, dict[str, Any]]]) -> tuple[dict[str, Any], list[Any]]:
    async with Client(server) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        return tools, [await client.call_tool(name, arguments) for name, arguments in calls]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[Any]]:
    folder = tmp_path_factory.mktemp("mcp") / "index"
    build_index(DOCUMENTS, folder, "bm25")
    server = StdioServerParameters(command=sys.executable, args=["-m", "lsr", "mcp", str(folder)])
    return folder, *asyncio.run(asked(server, CALLS))


def content(answer: Any) -> Any:
    assert not answer.is_error, answer
    structured = answer.structured_content
    if isinstance(structured, Mapping):
        return structured.get("result", structured)
    return json.loads(answer.content[0].text)


def test_the_tools(answers: Any) -> None:
    tools = answers[1]
    assert set(tools) == {"search", "get", "why"}
    assert "year" in tools["search"].description
    assert set(tools["search"].input_schema["properties"]) == {"query", "k", "where"}


def test_search_get_and_why(answers: Any) -> None:
    folder, _, [first, filtered, got, returned, lost, *_, last] = answers
    hits = Searcher.open(folder).search("salt bread", 2)
    assert [(each["doc_id"], each["score"]) for each in content(first)] == [(hit.doc_id, hit.score) for hit in hits]
    assert "salt" in content(first)[0]["snippet"]["text"] and "text" not in content(first)[0]
    assert [each["doc_id"] for each in content(filtered)] == ["b"]
    assert [(each["doc_id"], each["text"]) for each in content(got)] == [("c", "the sea"), ("b", "bread and butter")]
    assert content(got)[1]["metadata"] == {"year": 2021}
    assert (content(returned)["verdict"], content(returned)["rank"]) == ("returned", 2)
    assert "bread" in {term["token"] for term in content(returned)["terms"]}
    assert content(lost)["verdict"] == "no shared term"
    assert [each["doc_id"] for each in content(last)] == ["c"]


@pytest.mark.parametrize(("call", "said"), [(5, "nobody"), (6, "nonsense"), (7, "at most 100")])
def test_errors_are_reported_and_the_server_continues(answers: Any, call: int, said: str) -> None:
    answer = answers[2][call]
    assert answer.is_error and said in answer.content[0].text
