"""What is printed of texts and ids that others wrote: JSON under every encoding, and nothing that a terminal obeys."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from lsr.cli.output import print_columns, print_json, printable
from tests.cli.commands import Lsr, rejected

HOSTILE = "\x1b[2J\x1b]0;title\x07\x1b]8;;http://x\x1b\\\x9b31m\u202e\r\x08"


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "ascii", "latin-1", "cp1252", "utf-16", "shift-jis"])
def test_json_is_utf8_or_ascii(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    value = {"text": "tides \xe9 \U0001f30a \u65e5 \udc80"}
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding, errors="backslashreplace"))
    print_json(value)
    sys.stdout.flush()
    written = raw.getvalue()
    text = written.decode("utf-16" if encoding == "utf-16" else "utf-8")
    assert json.loads(text) == value
    assert ("\xe9" in text) == encoding.lower().startswith("utf") - (encoding == "utf-16")


def test_control_characters_are_escaped(lsr: Lsr, tmp_path: Path) -> None:
    doc_id = f"d{HOSTILE}1"
    (tmp_path / "c").mkdir()
    for name, identifier in (("corpus", doc_id), ("queries", f"q{HOSTILE}")):
        text = f"tides {HOSTILE} nim\u200cfasele"
        (tmp_path / "c" / f"{name}.jsonl").write_text(json.dumps({"_id": identifier, "text": text}) + "\n")
    (tmp_path / "c" / "qrels").mkdir()
    (tmp_path / "c" / "qrels" / "test.tsv").write_bytes(f"q{HOSTILE}\td{HOSTILE}1\t1\n".replace("\r", "").encode())
    (tmp_path / "c" / "queries.tsv").write_text("q\tmountains\n")
    index, evil, written = tmp_path / "i", tmp_path / f"x{HOSTILE}", tmp_path / f"w{HOSTILE}"
    assert lsr("index", tmp_path / "c", index, "--encoder", "bm25").status == 0
    found = lsr("search", index, "tides", "--explain")
    assert "nim\u200cfasele" in found.out  # a joiner of letters is a part of the text
    assert "d\\x1b[2J\\x1b]0;title" in found.out
    printed = [
        found.out.replace("\u200c", ""),
        lsr("why", index, "tides", doc_id).out,
        lsr("inspect", index / "encoder-000001", f"tides {HOSTILE}").out,
        rejected(lsr("search", evil, "tides")),
        rejected(lsr("why", index, "tides", evil)),
        rejected(lsr("index", evil, tmp_path / "j", "--encoder", "bm25")),
        rejected(lsr("index", tmp_path / "c", tmp_path / "j", "--encoder", evil)),
        lsr("index", tmp_path / "c", written / "i", "--encoder", "bm25").out,
        lsr("run", index, tmp_path / "c" / "queries.tsv", written / "run").out,
        lsr("encode", tmp_path / "c", written / "v", "--encoder", "bm25").out,
        lsr("new", written / "new").out,
    ]
    assert all(printed), printed
    for text in printed:
        assert all(each.isprintable() for each in text.replace("\n", "")), ascii(text)
    assert lsr("search", index, "tides", "--json").json["hits"][0]["doc_id"] == doc_id


def test_cells_of_tables_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    print_columns([("query", "RR"), (f"q{HOSTILE}", "1.0")])
    header, row = capsys.readouterr().out.splitlines()
    assert (len(header), row) == (len(row), f"{printable('q' + HOSTILE)}  1.0")
