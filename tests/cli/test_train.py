"""lsr train, from mined negatives to an encoder that is indexed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import Lsr, rejected
from tests.training.trained import write_config


def test_train_mine_and_index(lsr: Lsr, tmp_path: Path) -> None:
    path = write_config(tmp_path, "steps = 6")
    data = tmp_path / "data"
    assert lsr("index", data, tmp_path / "index", "--encoder", "bm25").status == 0
    mined = tmp_path / "mined.jsonl.gz"
    assert lsr("mine", tmp_path / "index", data, mined, "--negatives", 5).status == 0
    evaluation = '[evaluation]\ncollection = "data"\nsplit = "dev"\nevery = 3'
    negatives = f'collection = "data"\nnegatives = "{mined}"\ngroup = 4'
    path = write_config(tmp_path, "steps = 6", evaluation, data=negatives)
    done = lsr("train", path, tmp_path / "out", "--offline-data", tmp_path, "--device", "cpu", "--json")
    assert done.status == 0, done.err
    described = json.loads(done.out)
    assert described["step"] in (3, 6)
    assert described["config"]["data"][0]["group"] == 4
    assert described["versions"].keys() >= {"torch", "lsr-engine"}
    assert described == json.loads((tmp_path / "out" / "encoder" / "training.json").read_bytes())
    assert lsr("index", data, tmp_path / "trained", "--encoder", tmp_path / "out" / "encoder").status == 0
    found = lsr("evaluate", tmp_path / "trained", data, "--split", "dev", "--measures", "nDCG@10", "--json")
    assert found.json["measures"]["nDCG@10"] == pytest.approx(described["metrics"]["nDCG@10"], abs=2e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("steps = 8", "stepz = 8"), "optimizer.stepz is unknown; perhaps steps?"),
        (("group = 3", 'group = 3\nsplit = "test"'), "there is no split 'test'"),
        (('method = "splade-max"', 'method = "splad"'), "perhaps"),
        (("[[losses]]", "[[losses]]\nweight = 0"), "weight is 0"),
    ],
)
def test_errors_are_one_line(lsr: Lsr, tmp_path: Path, change: tuple[str, str], said: str) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace(*change))
    assert said in rejected(lsr("train", path, tmp_path / "out", "--device", "cpu"))
    assert not (tmp_path / "out" / "encoder").exists()
    assert "there is no such folder" in rejected(lsr("train", write_config(tmp_path), "--offline-data", "/no/such"))
    bare = write_config(tmp_path).rename(tmp_path / "bare")
    assert "bare: the name does not end with .toml" in rejected(lsr("train", bare))


def test_without_evaluation_the_command_says_how_to_measure(lsr: Lsr, tmp_path: Path) -> None:
    done = lsr("train", write_config(tmp_path, "steps = 1"), tmp_path / "out", "--device", "cpu")
    assert done.status == 0, done.err
    assert done.out == f"{tmp_path / 'out' / 'encoder'}: step 1\n"
    assert done.err.splitlines()[-1].startswith("without [evaluation], effectiveness was not measured")
