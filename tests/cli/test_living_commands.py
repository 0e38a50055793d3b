"""lsr add, update, delete and merge: what they say and print as JSON, and that Python has what other commands do."""

from __future__ import annotations

from pathlib import Path

import pytest

import lsr as package
from tests.cli.commands import Lsr


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes" / "drinks").mkdir(parents=True)
    (tmp_path / "notes" / "backup.md").write_text("# Backup\n\nDisks are copied every night.\n")
    (tmp_path / "notes" / "drinks" / "coffee.md").write_text("# Coffee\n\nBeans are ground by hand.\n")
    return tmp_path / "notes"


@pytest.fixture
def index(lsr: Lsr, notes: Path, tmp_path: Path) -> Path:
    assert lsr("index", notes, tmp_path / "index", "--encoder", "bm25").status == 0
    return tmp_path / "index"


def lines(path: Path, *texts: str) -> Path:
    path.write_text("".join(f'{{"id": "{text[0]}", "text": "{text}"}}\n' for text in texts))
    return path


def generation(lsr: Lsr, index: Path) -> int:
    return int(lsr("info", index, "--json").json["generation"])


def test_changes_as_json_and_in_words(lsr: Lsr, index: Path, tmp_path: Path) -> None:
    first, second = lines(tmp_path / "1.jsonl", "x wine", "y tea"), lines(tmp_path / "2.jsonl", "z water")
    added = lsr("add", index, first, "--json")
    assert added.json == {"index": str(index), "added": 2, "documents": 4, "generation": generation(lsr, index)}
    assert added.err == ""
    assert lsr("add", index, second).out == f"{index}: 1 document added, 5 in all\n"
    deleted = lsr("delete", index, "z", "nowhere", "--json").json
    counts = {"deleted": 1, "unknown": ["nowhere"], "documents": 4}
    assert deleted == {"index": str(index), **counts, "generation": generation(lsr, index)}
    assert lsr("delete", index, "x", "a", "b").out == (
        f"{index}: 1 document deleted, 3 left\nnot in the index: 'a' and 1 more of the ids\n"
    )


def test_python_returns_what_commands_print(lsr: Lsr, index: Path, tmp_path: Path) -> None:
    lsr("add", index, lines(tmp_path / "1.jsonl", "x wine"))
    report = package.check_index(index)
    assert report.as_json() == lsr("check", index, "--json").json and "intact" in repr(report)
    repaired = package.repair_index(index, dry_run=True)
    assert repaired.as_json() == lsr("repair", index, "--dry-run", "--json").json and "3 documents" in repr(repaired)
    assert not package.upgrade_index(index)
    drift = package.refit_index(index)
    assert (drift.documents, drift.fitted_documents) == (3, 2)
    assert package.refit_index(index).idf_change == 0
