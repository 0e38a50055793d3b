"""lsr experiment: what it says, and what it refuses. What it does is tested in tests/experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsr.collections.runs import read_qrels, read_run
from lsr.eval.measures import evaluate
from tests.cli.commands import Lsr, rejected
from tests.data import FIXTURES, LIBRARY


def described(folder: Path, text: str) -> Path:
    path = folder / "bm25.toml"
    path.write_text(text + '\n[systems.bm25]\nencoder = "bm25"\n')
    return path


@pytest.mark.usefixtures("unplotted")
def test_results_are_written_next_to_the_file_and_printed(lsr: Lsr, tmp_path: Path) -> None:
    path = described(tmp_path, 'collections = ["library"]')
    flags = ("--offline-data", FIXTURES, "--threads", 1)
    outcome = lsr("experiment", path, *flags)
    header, row, blank, summary, methods = outcome.out.splitlines()
    assert header.split()[:3] == ["collection", "system", "nDCG@10"]
    assert row.split()[:2] == ["library", "bm25"]
    assert blank == ""
    assert summary.endswith(f"in {tmp_path / 'bm25' / 'tables'}; plots in {tmp_path / 'bm25' / 'plots'}")
    assert str(tmp_path / "bm25" / "methods.tex") in methods
    (found,) = lsr("experiment", path, *flags, "--json").json
    run = read_run(tmp_path / "bm25" / "runs" / "library" / "bm25.run.gz")
    assert found["measures"] == pytest.approx(evaluate(read_qrels(LIBRARY / "qrels" / "test.tsv"), run))


def test_the_plan_lists_downloads_and_runs_nothing(lsr: Lsr, tmp_path: Path) -> None:
    path = described(tmp_path, 'suite = "beir"')
    shown = lsr("experiment", path, "--plan").out
    assert "scifact" in shown
    assert "GB" in shown
    found = lsr("experiment", path, "--plan", "--json").json
    assert len(found["collections"]) == 25  # 13, and 12 forums of CQADupStack
    assert found["downloads"]["beir/scifact"] == 2816079
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "scifact").symlink_to(LIBRARY)
    offline = lsr("experiment", path, "--plan", "--json", "--offline-data", tmp_path / "data").json
    assert "beir/scifact" not in offline["downloads"]
    assert {each.name for each in tmp_path.iterdir()} == {"bm25.toml", "data"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("collections = [", "bm25.toml"),
        ('collections = ["nowhere"]', "nowhere"),
        ("collections = []", "at least one collection"),
        ('collections = ["library"]\nbaseline = "tiny"', "tiny"),
        ('suite = "trec"', "trec"),
    ],
)
def test_errors_in_files_are_one_line(lsr: Lsr, tmp_path: Path, text: str, said: str) -> None:
    assert said in rejected(lsr("experiment", described(tmp_path, text), "--offline-data", FIXTURES))
    assert [each.name for each in tmp_path.iterdir()] == ["bm25.toml"]


def test_a_plan_with_missing_collections_is_refused(lsr: Lsr, tmp_path: Path) -> None:
    for entry in ('"no-such-set"', '"/no/such"', f'{{ path = "{LIBRARY}", split = "train" }}'):
        path = tmp_path / "experiment.toml"
        path.write_text(f'collections = [{entry}]\n[systems.bm25]\nencoder = "bm25"\n')
        assert rejected(lsr("experiment", path, "--plan"))
    path.rename(tmp_path / "experiment")
    found = lsr("experiment", tmp_path / "experiment")
    assert "give --output" in rejected(found)


def test_missing_files_and_folders(lsr: Lsr, tmp_path: Path) -> None:
    assert "none.toml" in rejected(lsr("experiment", tmp_path / "none.toml"))
    path = described(tmp_path, 'collections = ["library"]')
    assert "--offline-data" in rejected(lsr("experiment", path, "--offline-data", tmp_path / "none"))
