"""lsr new: what it writes is read by the commands that it names, and runs."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import pytest

from lsr.collections.collection import load_collection
from lsr.experiment import read_experiment
from lsr.training.training_config import read_training
from tests.cli.commands import Lsr, rejected


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_written_files_can_be_read(lsr: Lsr, tmp_path: Path) -> None:
    folder = tmp_path / "a folder" / "starter"
    assert lsr("new", folder).status == 0
    described = read_experiment(folder / "experiment.toml")
    assert [system.name for system in described.systems] == ["bm25", "tiny", "tiny-feedback"]
    training = read_training(folder / "training.toml")
    named = [judged.path for judged in described.collections] + [training.data[0].records]
    assert training.evaluation is not None
    assert all((folder / name).exists() for name in [*named, *training.evaluation.collection])
    assert all(path.read_text().count("#") > 10 for path in folder.glob("*.toml"))

    tuned, reported = (load_collection(folder / "collection", split) for split in ("dev", "test"))
    documents = {document.doc_id: document.full_text for document in reported.documents()}
    for collection in (tuned, reported):
        assert set(collection.qrels()) == set(collection.queries())
        assert all(set(judged) <= set(documents) for judged in collection.qrels().values())
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert not {record["query"] for record in records} & {*tuned.queries().values(), *reported.queries().values()}


def test_nothing_is_replaced(lsr: Lsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiment.toml").write_text("mine")
    monkeypatch.chdir(tmp_path)
    for folder in (".", "experiment.toml"):
        assert "give a new folder" in rejected(lsr("new", folder))
    assert files(tmp_path) == {"experiment.toml"}
    assert (tmp_path / "experiment.toml").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.usefixtures("unplotted")
def test_the_commands_that_it_names_run(lsr: Lsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = lsr("new", "my project").out.splitlines()
    change, *commands = map(shlex.split, lines[lines.index("") + 1 :])
    assert change == ["cd", "my project"]
    monkeypatch.chdir(change[1])
    training = Path("training.toml")
    training.write_text(
        training.read_text().replace("steps = 20 ", "steps = 2 ").replace("every = 10\n", "every = 1\n")
    )
    assert read_training(training).optimizer.steps == 2
    outcomes = [lsr(*words) for _, *words in commands]
    assert [outcome.status for outcome in outcomes] == [0] * len(commands) == [0, 0, 0]
    with open("experiment/tables/results.csv", encoding="utf-8") as file:
        figures = {row["system"]: float(row["nDCG@10"]) for row in csv.DictReader(file)}
    assert all(0.6 < figure <= 1 for figure in figures.values()), figures
    assert len(figures) == 3
    assert lsr("inspect", "training/encoder", "bread", "--json").json["terms"]
