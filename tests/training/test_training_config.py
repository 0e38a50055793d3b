"""What a training's file may say, and what is said of what it may not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from lsr.errors import ParameterError
from lsr.training.training_config import read_training
from tests.training.trained import write_config

MINIMAL = """
[encoder]
start = "tiny"
[data]
collection = "beir/scifact"
[[losses]]
name = "in-batch"
[optimiser]
steps = 10
"""


def read(tmp_path: Path, text: str):
    path = tmp_path / "train.toml"
    path.write_text(text, encoding="utf-8")
    return read_training(path)


def test_the_least_that_can_be_said(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL)
    assert config.data.split == "train"
    assert config.losses[0].weight == 1.0
    assert config.regulariser.document == ()
    assert asdict(config)["optimiser"]["steps"] == 10


def test_whole_numbers_are_numbers(tmp_path: Path) -> None:
    assert type(read(tmp_path, MINIMAL + "rate = 1\n").optimiser.rate) is float


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("steps = 10", "step = 10", "optimiser.step is unknown; perhaps steps?"),
        ("steps = 10", "steps = 10\nleraning_rate = 1", "optimiser.leraning_rate is unknown"),
        ("[optimiser]", "[optimizer]", "optimizer is unknown; perhaps optimiser?"),
        ("[encoder]", "sede = 3\n[encoder]", "sede is unknown; perhaps seed?"),
        ("steps = 10", 'steps = "ten"', "optimiser.steps is 'ten'; it must be a whole number"),
        ("steps = 10", "steps = true", "optimiser.steps is True"),
        ("steps = 10", "steps = 0", "[optimiser] steps is 0"),
        ("steps = 10", "", "give steps or epochs"),
        ("steps = 10", "steps = 10\nepochs = 2", "give steps or epochs"),
        ("steps = 10", "steps = 10\nrate = nan", "rate is nan"),
        ("steps = 10", "steps = 10\nrate = -1e-5", "rate is"),
        ("steps = 10", 'steps = 10\nprecision = "int8"', "precision is 'int8'"),
        ('start = "tiny"', "", "give start, an encoder to go on with, or method"),
        ('start = "tiny"', 'method = "splad-max"\nbackbone = "tiny"', "perhaps splade-max"),
        ('start = "tiny"', 'method = "splade-max"', "there is no backbone"),
        ('start = "tiny"', 'start = "tiny"\nbackbone = "tiny"', "leave backbone"),
        ('start = "tiny"', 'start = "tiny"\nquery_table = "free"', "query_table is 'free'"),
        ('collection = "beir/scifact"', "", "give collection, or records"),
        ('collection = "beir/scifact"', 'collection = "a"\nrecords = "b"', "one of the two"),
        ('collection = "beir/scifact"', 'records = "b"\ntitles = true', "leave them out"),
        ('collection = "beir/scifact"', 'collection = "a"\ngroup = 0', "group is 0"),
        ('[[losses]]\nname = "in-batch"', "", "there is no loss"),
        ('name = "in-batch"', 'name = "kl"', "needs a teacher"),
        ('name = "in-batch"', 'name = "in-batch"\nwieght = 2', "losses[0].wieght is unknown; perhaps weight?"),
        ('name = "in-batch"', "weight = 2", "losses[0].name is missing"),
        ('name = "in-batch"', 'name = "infonce"', "loss is 'infonce'"),
        ("[optimiser]", '[regulariser]\nquery = [{ kind = "flops", strength = 1, pooling = "slots" }]\n[optimiser]',
         "on queries it must be 'all'"),
        ("[optimiser]", '[regulariser]\ndocument = [{ kind = "flops" }]\n[optimiser]', "strength is missing"),
        ("[optimiser]", '[regulariser]\ndocument = [{ kind = "idf-flops", strength = 1 }]\n[optimiser]', "idf and the"),
        ("[optimiser]", '[regulariser]\nschedule = "cubic"\n[optimiser]', "schedule is 'cubic'"),
        ("[optimiser]", '[regulariser]\ndocument = 3\n[optimiser]', "regulariser.document is 3; it must be a list of"),
        ("[optimiser]", "[window]\nquery = [64, 128]\n[optimiser]", "falling"),
        ("[optimiser]", "[teacher]\n[optimiser]", "there is no teacher"),
        ("[optimiser]", '[teacher]\ndense = ["minilm"]\n[optimiser]', "no loss learns from the teacher"),
        ('name = "in-batch"', 'name = "kl"\n[teacher]\ndense = ["minilm"]\nstore = true',
         "teacher.store needs negatives"),
        ("[optimiser]", '[teacher]\ndense = ["minilm"]\nnormalise = "z"\n[optimiser]', "normalise is 'z'"),
        ("[optimiser]", "[evaluation]\nevery = 3\n[optimiser]", "evaluation.collection is missing"),
        ("[optimiser]", '[evaluation]\ncollection = "x"\nmeasure = "F1"\n[optimiser]', "F1"),
        ("[encoder]", "seed = -1\n[encoder]", "seed is -1"),
        ("[encoder]", "[[encoder]]", "encoder is [{"),
        ("[encoder]", "= 3", "no valid TOML"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_told_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in MINIMAL
    with pytest.raises(ParameterError) as told:
        read(tmp_path, MINIMAL.replace(old, new, 1))
    assert said in str(told.value)
    assert str(tmp_path / "train.toml") in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot be read"):
        read_training(tmp_path / "none.toml")


def test_the_tests_own_file_is_one(tmp_path: Path) -> None:
    assert read_training(write_config(tmp_path)).seed == 3
