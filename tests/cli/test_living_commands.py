"""lsr add, update, delete and merge: what they say and print as JSON, and that Python has what other commands do."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

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
    assert lsr("add", index, second).out == f"{index}: 1 document added; 5 in total\n"
    deleted = lsr("delete", index, "z", "nowhere", "--json").json
    counts = {"deleted": 1, "unknown": ["nowhere"], "documents": 4}
    assert deleted == {"index": str(index), **counts, "generation": generation(lsr, index)}
    assert lsr("delete", index, "x", "a", "b").out == (
        f"{index}: 1 document deleted, 3 left\nnot in the index: 'a' and 1 more of the ids\n"
    )


def ids(lsr: Lsr, index: Path, query: str) -> list[str]:
    return [hit["doc_id"] for hit in lsr("search", index, query, "--json").json["hits"]]


def test_a_file_is_the_same_document_alone_and_in_its_folder(
    lsr: Lsr, index: Path, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coffee = notes / "drinks" / "coffee.md"
    for given in (coffee, notes / "drinks", notes / "drinks" / "*.md", Path("coffee.md"), notes, Path("../drinks")):
        monkeypatch.chdir(notes / "drinks")
        word = f"word{len(str(given))}"
        coffee.write_text(f"# Coffee\n\nBeans are {word}.\n")
        assert lsr("update", index, given).out.startswith(f"{index}: 0 documents added, 1 changed")
        assert ids(lsr, index, word) == ["drinks/coffee.md"]
    assert "is already the id of a document in the index" in lsr("add", index, coffee).err
    (notes / "drinks" / "tea.md").write_text("Leaves.")
    assert lsr("add", index, notes / "drinks" / "tea.md").status == 0
    assert ids(lsr, index, "leaves") == ["drinks/tea.md"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "water.md").write_text("Springs.")
    assert lsr("add", index, tmp_path / "other").status == 0
    assert lsr("update", index, tmp_path / "other" / "water.md").out.endswith("1 unchanged; 4 in total\n")
    assert ids(lsr, index, "springs") == ["water.md"]
    lsr("refit", index)
    assert lsr("info", index, "--json").json["folders"] == [str(notes), str(tmp_path / "other")]
    assert lsr("update", index, notes).out.startswith(f"{index}: 0 documents added, ")


def test_missing_documents_are_deleted_with_delete_missing(lsr: Lsr, index: Path, notes: Path) -> None:
    (notes / "backup.md").unlink()
    (notes / "tea.md").write_text("Leaves.")
    assert lsr("update", index, notes, "--dry-run").out.endswith(": 1 document added, 0 changed, 1 unchanged\n")
    planned = lsr("update", index, notes, "--delete-missing", "--dry-run")
    assert planned.out.endswith(": 1 document added, 0 changed, 1 unchanged, 1 deleted\n  backup.md deleted\n")
    assert generation(lsr, index) == 1
    assert "is only a part of the folder" in lsr("update", index, notes / "drinks", "--delete-missing").err
    assert "is only a part of the folder" in lsr("update", index, notes / "tea.md", "--delete-missing").err
    done = lsr("update", index, notes, "--delete-missing", "--json").json
    assert done["deleted"] == ["backup.md"] and (done["added"], done["unchanged"], done["documents"]) == (1, 1, 2)
    assert ids(lsr, index, "disks") == []


def test_tables_that_a_folder_leaves_out_are_not_deleted(lsr: Lsr, index: Path, notes: Path) -> None:
    for name in ("x", "y"):
        (notes / f"{name}.csv").write_text(f"key,answer\n{name}1,Springs\n{name}2,Wells\n")
    columns = ("--id", "key", "--text", "answer")
    added = lsr("add", index, notes / "*.csv", *columns)
    assert added.out == f"{index}: 4 documents added; 6 in total\n" and added.err == ""
    assert f"{notes}: 2 .csv files are left out, because the folder holds pages" in lsr("update", index, notes).err
    for dry in ((), ("--dry-run",)):
        refused = lsr("update", index, notes, "--delete-missing", *dry)
        assert refused.status == 2 and "files of tables in it are left out" in refused.err
    assert lsr("info", index, "--json").json["documents"] == 6
    (notes / "backup.md").unlink()
    patterns = shlex.split(refused.err.rpartition("folder: ")[2])
    assert patterns == [f"{notes}/**/*.md", f"{notes}/*.csv"]
    done = lsr("update", index, *patterns, *columns, "--delete-missing", "--json").json
    assert (done["deleted"], done["changed"], done["unchanged"], done["documents"]) == (["backup.md"], 0, 5, 5)


def test_a_matrix_of_scipy_is_added(lsr: Lsr, tmp_path: Path) -> None:
    scipy.sparse.save_npz(tmp_path / "m.npz", scipy.sparse.csr_array(np.eye(4)))
    assert lsr("index", tmp_path / "m.npz", tmp_path / "v.index").status == 0
    assert lsr("add", tmp_path / "v.index", tmp_path / "m.npz").out.endswith("4 documents added; 8 in total\n")


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
