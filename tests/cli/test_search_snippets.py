"""What `lsr search` shows of a text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import Lsr

TEXT = "A first sentence about nothing. " * 20 + "The heart\x1b[31m pumps\n blood. " + "More about nothing. " * 20


@pytest.fixture
def index(tmp_path: Path, lsr: Lsr) -> Path:
    texts = {"a": TEXT, "b": "我们今天去海边玩。" * 40 + "月亮和潮汐的关系非常复杂。"}
    lines = (json.dumps({"_id": doc_id, "text": text}) for doc_id, text in texts.items())
    (tmp_path / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert lsr("index", tmp_path / "texts.jsonl", tmp_path / "index", "--encoder", "bm25").status == 0
    return tmp_path / "index"


def test_the_matching_part_is_shown(index: Path, lsr: Lsr, monkeypatch: pytest.MonkeyPatch) -> None:
    piped = lsr("search", index, "blood of the heart").out.splitlines()[1]
    assert piped.startswith("     ... ") and piped.endswith(" ...") and len(piped) < 330
    assert "The heart\\x1b[31m pumps blood." in piped and "\x1b" not in piped
    monkeypatch.setattr("lsr.cli.search.bold", lambda: ("<", ">"))
    assert "The <heart>\\x1b[31m pumps <blood>." in lsr("search", index, "blood of the heart").out
    assert "<月亮>和<潮汐>的" in lsr("search", index, "月亮潮汐").out


def test_json_has_the_text_and_highlights(index: Path, lsr: Lsr) -> None:
    (hit,) = lsr("search", index, "blood of the heart", "--json").json["hits"]
    snippet = hit["snippet"]
    assert set(snippet) == {"text", "highlights"} and snippet["text"] in hit["text"] == TEXT.strip()
    assert [snippet["text"][begin:end] for begin, end in snippet["highlights"]] == ["heart", "blood"]


def test_a_stopped_search_prints_a_note(lsr: Lsr, index: Path) -> None:
    stopped = lsr("search", index, "vitamin calcium bone", "--budget-us", "1")
    assert stopped.status == 0 and "reached --budget-us" in stopped.err and "no document" not in stopped.out
    answer = lsr("search", index, "vitamin calcium bone", "--budget-us", "1", "--json").json
    assert answer["complete"] is False and answer["estimated_recall"] < 1
    assert "reached" not in lsr("search", index, "vitamin calcium bone", "--budget-us", "60000000").err
