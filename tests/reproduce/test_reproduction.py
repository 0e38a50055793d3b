"""Reproductions that run: whole, killed and gone on with, with something missing, and refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lsr.collections.collection import load_collection
from lsr.collections.runs import read_run
from lsr.encoders.load import load_encoder
from lsr.errors import CollectionError, ParameterError, StorageError
from lsr.eval.measures import evaluate_queries
from lsr.eval.tables import Table
from lsr.experiment import experiment_report
from lsr.reproduce import mined_negatives
from lsr.reproduce import reproduction as run
from lsr.reproduce.finding import Plan
from lsr.reproduce.reference_rows import BM25, REFERENCES
from lsr.reproduce.reproduction import reproduce
from lsr.training.trainer import train
from tests.reproduce.made_up import write_plan

pytestmark = pytest.mark.usefixtures("unplotted")

NAMES = ["plain-1", "taught-1", "plain-2", "taught-2"]


class Killed(BaseException):
    pass


class Recorded:
    """Trains, and remembers what; killed at the training of this number."""

    def __init__(self, killed_at: int = 0) -> None:
        self.names: list[str] = []
        self._killed_at = killed_at

    def __call__(self, config: Any, folder: Path, **options: Any) -> Any:
        self.names.append(folder.name)
        if len(self.names) == self._killed_at:
            raise Killed
        return train(config, folder, **options)


class Finished(NamedTuple):
    plan: Plan
    folder: Path
    trained: list[list[str]]

    @property
    def part(self) -> Path:
        return self.folder / "words"

    def again(self, plan: Plan | None = None, seeds: int = 2) -> list[str | Table]:
        return reproduce(plan or self.plan, self.folder, seeds=seeds, device="cpu", threads=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The plan, run with two seeds: killed in the third training, then gone on with."""
    folder = tmp_path_factory.mktemp("made-up")
    plan = write_plan(folder)
    trained = []
    for killed_at in (3, 0):
        recorded = Recorded(killed_at)
        with pytest.MonkeyPatch.context() as context:
            context.setattr(run, "train", recorded)
            context.setattr(experiment_report, "_plot", lambda *_: None)
            try:
                reproduce(plan, folder / "out", seeds=2, device="cpu", threads=1)
            except Killed:
                assert killed_at
        trained.append(recorded.names)
    return Finished(plan, folder / "out", trained)


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("this was not to be done")


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def described(finished: Finished, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished.part / "trainings" / name / "encoder" / "training.json").read_bytes())
    return found


def weights(finished: Finished, name: str) -> dict[str, torch.Tensor]:
    return load_file(next((finished.part / "trainings" / name / "encoder").rglob("model.safetensors")))


def written(folder: Path) -> dict[Path, int]:
    """When each file was."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_report_is_written_and_checkpoints_are_removed(finished: Finished) -> None:
    found = {path.name for path in finished.folder.iterdir()}
    tables = {"results.csv", "words-overview.csv", "words-contrasts.csv"}
    assert found == {"words", "report.md", "reproduction.json", *tables}
    assert {path.name for path in (finished.part / "trainings").iterdir()} == set(NAMES)
    negatives = sorted(path.name for path in (finished.part / "negatives").iterdir())
    assert [name.split("-")[0] for name in negatives] == ["index", "index", "negatives.jsonl.gz", "scores", "scores"]
    assert (finished.part / "experiment" / "tables" / "results.csv").exists()
    assert not list(finished.folder.rglob("checkpoint"))


def test_a_killed_one_goes_on_with_what_is_missing_seed_by_seed(finished: Finished) -> None:
    assert finished.trained == [NAMES[:3], NAMES[2:]]


def test_trainings_are_the_variants_with_seeds_and_negatives_of_their_own(finished: Finished) -> None:
    for variant, teachers in (("plain", 0), ("taught", 2)):
        for seed in (1, 2):
            config = described(finished, f"{variant}-{seed}")["config"]
            assert config["seed"] == seed
            assert Path(config["encoder"]["backbone"]) == finished.part / "backbone"
            assert Path(config["data"][0]["negatives"]) == finished.part / "negatives" / "negatives.jsonl.gz"
            assert len((config["teacher"] or {"scores": ()})["scores"]) == teachers
    all_weights = [weights(finished, name) for name in NAMES]
    for at, first in enumerate(all_weights):
        for second in all_weights[:at]:
            assert any(not torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_results_are_those_of_every_encoder_on_every_test(finished: Finished) -> None:
    rows = read_csv(finished.folder / "results.csv")
    names = [*((name, 0) for name in REFERENCES), *((name[:-2], int(name[-1])) for name in NAMES)]
    assert sorted((row["collection"], row["variant"], int(row["seed"])) for row in rows) == sorted(
        (test, *name) for test in ("asked", "seen") for name in names
    )
    part = finished.plan.parts[0]
    for row in rows:
        system = row["variant"] if row["seed"] == "0" else f"{row['variant']}-{row['seed']}"
        judged = next(each for each in part.tests if each.name == row["collection"])
        collection = load_collection(judged.path, judged.split)
        found = read_run(finished.part / "experiment" / "runs" / judged.name / f"{system}.run.gz")
        values = evaluate_queries(collection.qrels(), found, ["nDCG@10", "R@100"])
        for measure, of_queries in values.items():
            assert float(row[measure]) == pytest.approx(np.mean(list(of_queries.values())))
        if row["variant"] == BM25:
            continue
        place = finished.part / ("references" if row["seed"] == "0" else "trainings") / system
        encoder = load_encoder(str(place if row["seed"] == "0" else place / "encoder"), max_length=16)
        documents = encoder.encode_documents([document.full_text for document in collection.documents()])
        queries = encoder.encode_queries(list(collection.queries().values()))
        assert float(row["document nnz"]) == pytest.approx(np.diff(documents.indptr).mean(), rel=1e-3)
        assert float(row["query nnz"]) == pytest.approx(np.diff(queries.indptr).mean(), rel=1e-3)


def test_finished_parts_are_reused(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "train", never)
    monkeypatch.setattr(mined_negatives, "mine_negatives", never)
    monkeypatch.setattr(mined_negatives, "store_scores", never)
    report = finished.folder / "report.md"
    text = report.read_bytes()
    done = [finished.part / place for place in ("negatives", "trainings", "experiment/indexes", "experiment/runs")]
    before = [written(place) for place in done]
    report.unlink()
    title, question, *_ = finished.again()
    assert text.decode().startswith(f"{title}\n\n{question}\n\n## ")
    assert report.read_bytes() == text
    assert [written(place) for place in done] == before


@pytest.mark.parametrize(
    "lose",
    [shutil.rmtree, lambda training: (training / "encoder" / "training.json").write_bytes(b'{"config": ')],
    ids=["all of it", "half of a file"],
)
def test_a_training_that_is_missing_is_done_again(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, lose: Callable[[Path], object]
) -> None:
    before, kept = weights(finished, "plain-2"), written(finished.part / "trainings" / "plain-1")
    results = read_csv(finished.folder / "results.csv")
    lose(finished.part / "trainings" / "plain-2")
    recorded = Recorded()
    monkeypatch.setattr(run, "train", recorded)
    finished.again()
    assert recorded.names == ["plain-2"]
    after = weights(finished, "plain-2")
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert written(finished.part / "trainings" / "plain-1") == kept
    assert all(row in results for row in read_csv(finished.folder / "results.csv"))
    assert not list(finished.folder.rglob("checkpoint"))


def test_more_seeds_are_added_to_those_that_are_there(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    monkeypatch.setattr(run, "train", recorded)
    finished.again(seeds=3)
    assert recorded.names == ["plain-3", "taught-3"]
    assert len(read_csv(finished.folder / "results.csv")) == 2 * (3 + 6)


def test_another_reproduction_in_the_folder_is_refused(finished: Finished) -> None:
    before = written(finished.folder)
    with pytest.raises(ParameterError, match="has results of another plan"):
        finished.again(replace(finished.plan, name="another"))
    assert written(finished.folder) == before


def test_the_same_one_of_other_steps_is_refused_too(finished: Finished) -> None:
    kept = written(finished.part / "trainings")
    with pytest.raises(ParameterError, match="another"):
        finished.again(write_plan(finished.folder.parent, steps=4))
    assert written(finished.part / "trainings") == kept


def test_files_of_others_stay_as_they_are(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StorageError, match="has no reproduction"):
        reproduce(finished.plan, tmp_path, seeds=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("seeds", [0, -1])
def test_there_must_be_a_seed(finished: Finished, tmp_path: Path, seeds: int) -> None:
    with pytest.raises(ParameterError, match=f"seeds is {seeds}"):
        reproduce(finished.plan, tmp_path / "out", seeds=seeds)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("of", ["a test", "a training"])
def test_a_missing_collection_of_the_last_part_is_told_before_anything_runs(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    monkeypatch.setattr(run, "train", never)
    monkeypatch.setattr(mined_negatives, "mine_negatives", never)
    monkeypatch.setattr(mined_negatives, "store_scores", never)
    part = finished.plan.parts[0]
    if of == "a test":
        second = replace(part, name="second", tests=(*part.tests, part.tests[0]._replace(path="nowhere")))
    else:
        configs = [
            replace(each.config, data=(replace(each.config.data[0], collection="nowhere"),)) for each in part.variants
        ]
        variants = [replace(each, config=config) for each, config in zip(part.variants, configs, strict=True)]
        second = replace(part, name="second", variants=tuple(variants))
    with pytest.raises(CollectionError, match="nowhere"):
        reproduce(replace(finished.plan, parts=(part, second)), tmp_path / "out", seeds=1, device="cpu", threads=1)
    assert not (tmp_path / "out").exists()
