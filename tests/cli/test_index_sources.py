"""lsr index of what users have: pages, tables, several files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Lsr, rejected


def test_pages_by_folder_pattern_and_name(lsr: Lsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("news").mkdir()
    Path("news/a.md").write_text("# Tides\n\nThe sea rises at night.\n")
    Path("news/b.md").write_text("# Salt\n\nSalt raises blood pressure.\n")
    for sources in (["news"], ["news/*.md"], ["news/a.md", "news/b.md"]):
        assert lsr("index", *sources, "i", "--encoder", "bm25").status == 0
        hits = lsr("search", "i", "tides at night", "--json").json["hits"]
        assert [hit["doc_id"] for hit in hits] == ["a.md"]


def test_tables_by_the_names_of_their_columns(lsr: Lsr, tmp_path: Path) -> None:
    faq = tmp_path / "faq.csv"
    faq.write_text("number,question,answer\n7,When?,at night\n8,Where?,in the sea\n")
    assert "no column has a usual name of texts" in rejected(lsr("index", faq, tmp_path / "i", "--encoder", "bm25"))
    columns = ("--id", "number", "--text", "answer", "--title", "question")
    assert lsr("index", faq, tmp_path / "i", "--encoder", "bm25", *columns).status == 0
    assert [hit["doc_id"] for hit in lsr("search", tmp_path / "i", "sea", "--json").json["hits"]] == ["8"]
    assert "the column 'nr' of --id does not exist" in rejected(
        lsr("index", faq, tmp_path / "i", "--encoder", "bm25", "--id", "nr", "--text", "answer")
    )
