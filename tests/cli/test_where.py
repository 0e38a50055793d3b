from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import Lsr, rejected

DOCUMENTS = [
    {"id": "a", "text": "red apples", "year": 2019, "kind": "fruit"},
    {"id": "b", "text": "red wine", "year": 2020, "kind": "drink"},
    {"id": "c", "text": "red tea", "year": 2021, "kind": "drink"},
]


@pytest.fixture
def index(lsr: Lsr, tmp_path: Path) -> str:
    file = tmp_path / "documents.jsonl"
    file.write_text("".join(f"{json.dumps(each)}\n" for each in DOCUMENTS))
    lsr("index", str(file), str(tmp_path / "index"), "--encoder", "bm25")
    return str(tmp_path / "index")


def test_search_info_and_why(lsr: Lsr, index: str) -> None:
    shown = lsr("search", index, "red", "--where", "year >= 2020", "--facet", "kind").out
    assert "year 2020, kind drink" in shown
    assert "apples" not in shown
    assert shown.splitlines()[-1].split() == ["drink", "2", "2"]
    found = lsr("search", index, "red", "--where", "kind = 'drink'", "--facet", "year", "--json").json
    assert [hit["metadata"] for hit in found["hits"]] == [
        {"year": 2020, "kind": "drink"},
        {"year": 2021, "kind": "drink"},
    ]
    assert found["facets"]["year"] == [
        {"value": 2020, "hits": 1, "documents": 1},
        {"value": 2021, "hits": 1, "documents": 1},
    ]
    assert "no document that matches the filter" in lsr("search", index, "red", "--where", "year > 3000").out
    assert "year int64, kind string" in lsr("info", index).out
    assert lsr("info", index, "--json").json["metadata"] == {"year": "int64", "kind": "string"}
    assert "the filter excludes it" in lsr("why", index, "red", "a", "--where", "year > 2019").out


def test_invalid_conditions_are_refused(lsr: Lsr, index: str) -> None:
    said = rejected(lsr("search", index, "red", "--where", "yeer > 2019"))
    assert said.endswith("there is no column 'yeer'; columns: year (int64), kind (string)")
    assert "sleep_ms is not allowed" in rejected(lsr("search", index, "red", "--where", "sleep_ms(1000)"))
    assert "there is no column 'x'" in rejected(lsr("search", index, "red", "--facet", "x"))
