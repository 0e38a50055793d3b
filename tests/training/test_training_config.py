"""What a training's file may say, and what is said of what it may not."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, replace
from pathlib import Path
from typing import Any

import pytest

from lsr.errors import ParameterError
from lsr.training.training_config import OptimizerConfig, read_training
from tests.training.trained import write_config

MINIMAL = """
[encoder]
start = "tiny"
[data]
collection = "beir/scifact"
[[losses]]
name = "in-batch"
[optimizer]
steps = 10
"""


def read(tmp_path: Path, text: str):
    path = tmp_path / "train.toml"
    path.write_text(text, encoding="utf-8")
    return read_training(path)


def test_the_least_that_can_be_said(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL)
    assert config.data[0].split == "train"
    assert config.losses[0].weight == 1.0
    assert config.regularizer.document == ()
    assert asdict(config)["optimizer"]["steps"] == 10


def test_whole_numbers_are_numbers(tmp_path: Path) -> None:
    assert type(read(tmp_path, MINIMAL + "rate = 1\n").optimizer.rate) is float


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("steps = 10", "step = 10", "optimizer.step is unknown; perhaps steps?"),
        ("steps = 10", "steps = 10\nleraning_rate = 1", "optimizer.leraning_rate is unknown"),
        ("[optimizer]", "[optimiser]", "optimiser is now called optimizer; rename it"),
        ("[optimizer]", "[regulariser]\n[optimizer]", "regulariser is now called regularizer"),
        ("[optimizer]", '[teacher]\nnormalise = "none"\n[optimizer]', "teacher.normalise is now called normalize"),
        ("[encoder]", "sede = 3\n[encoder]", "sede is unknown; perhaps seed?"),
        ("steps = 10", 'steps = "ten"', "optimizer.steps is 'ten'; it must be a whole number"),
        ("steps = 10", "steps = true", "optimizer.steps is True"),
        ("steps = 10", "steps = 0", "optimizer.steps is 0; it must be greater than 0"),
        ("steps = 10", "", "set either steps or epochs"),
        ("steps = 10", "steps = 10\nepochs = 2", "set either steps or epochs"),
        ("steps = 10", "steps = 10\nrate = nan", "rate is nan"),
        ("steps = 10", "steps = 10\nrate = -1e-5", "rate is"),
        ("steps = 10", 'steps = 10\nprecision = "int8"', "precision is 'int8'"),
        ('start = "tiny"', "", "set either start (an encoder to train further), or method"),
        ('start = "tiny"', 'method = "splad-max"\nbackbone = "tiny"', "perhaps splade-max"),
        ('start = "tiny"', 'method = "splade-max"', "there is no backbone"),
        ('start = "tiny"', 'start = "tiny"\nbackbone = "tiny"', "remove backbone"),
        ('start = "tiny"', 'start = "tiny"\nquery_table = "free"', "query_table is 'free'"),
        ('collection = "beir/scifact"', "", "set either collection or records"),
        ('collection = "beir/scifact"', 'collection = "a"\nrecords = "b"', "set either collection or records"),
        ('collection = "beir/scifact"', 'records = "b"\ntitles = true', "remove them, or"),
        ('collection = "beir/scifact"', 'collection = "a"\ngroup = 0', "group is 0"),
        ('[[losses]]\nname = "in-batch"', "", "there is no loss"),
        ('name = "in-batch"', 'name = "kl"', "needs a teacher"),
        ('name = "in-batch"', 'name = "in-batch"\nwieght = 2', "losses[0].wieght is unknown; perhaps weight?"),
        ('name = "in-batch"', "weight = 2", "losses[0].name is missing"),
        ('name = "in-batch"', 'name = "infonce"', "loss is 'infonce'"),
        ("[optimizer]", '[regularizer]\nquery = [{ kind = "flops", strength = 1, pooling = "slots" }]\n[optimizer]',
         "on queries it must be 'all'"),
        ("[optimizer]", '[regularizer]\ndocument = [{ kind = "flops" }]\n[optimizer]', "strength is missing"),
        ("[optimizer]", '[regularizer]\ndocument = [{ kind = "idf-flops", strength = 1 }]\n[optimizer]', "idf and the"),
        ("[optimizer]", '[regularizer]\nschedule = "cubic"\n[optimizer]', "schedule is 'cubic'"),
        ("[optimizer]", '[regularizer]\ndocument = 3\n[optimizer]', "regularizer.document is 3; it must be a list"),
        ("[optimizer]", "[window]\nquery = [64, 128]\n[optimizer]", "widths must decrease"),
        ("[optimizer]", "[teacher]\n[optimizer]", "there is no teacher"),
        ("[optimizer]", '[teacher]\ndense = ["minilm"]\n[optimizer]', "no loss uses the scores of"),
        ('name = "in-batch"', 'name = "kl"\n[teacher]\ndense = ["minilm"]\nstore = true',
         "add negatives or records to [data]"),
        ("[optimizer]", '[teacher]\ndense = ["minilm"]\nnormalize = "z"\n[optimizer]', "normalize is 'z'"),
        ("[optimizer]", "[evaluation]\nevery = 3\n[optimizer]", "evaluation.collection is missing"),
        ("[optimizer]", '[evaluation]\ncollection = "x"\nmeasure = "F1"\n[optimizer]', "F1"),
        ("[encoder]", "seed = -1\n[encoder]", "seed is -1"),
        ("[encoder]", "[[encoder]]", "encoder is [{"),
        ("[encoder]", "= 3", "not valid TOML"),
    ],
)  # fmt: skip
def test_errors_name_the_place_in_the_configuration(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in MINIMAL
    with pytest.raises(ParameterError) as told:
        read(tmp_path, MINIMAL.replace(old, new, 1))
    assert said in str(told.value)
    assert str(tmp_path / "train.toml") in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"steps": 0}, "steps is 0; it must be greater than 0"),
        ({"steps": 10, "precision": "int8"}, "precision is 'int8'"),
        ({"steps": True}, "steps is True; it must be a whole number"),
        ({"steps": 10, "epochs": 1.0}, "set either steps or epochs"),
        ({"step": 10}, "step is unknown; perhaps steps?"),
    ],
)
def test_python_is_checked_like_a_file(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError) as told:
        OptimizerConfig(**values)
    assert said in str(told.value)


def test_tables_are_frozen_and_can_be_replaced() -> None:
    optimizer = OptimizerConfig(steps=10)
    assert replace(optimizer, rate=1).rate == 1.0
    with pytest.raises(FrozenInstanceError):
        optimizer.rate = 2.0  # type: ignore[misc]
    with pytest.raises(ParameterError, match="rate is -1"):
        replace(optimizer, rate=-1)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no such file, and no such recipe; recipes are deepct, "):
        read_training(tmp_path / "none.toml")


def test_the_tests_own_file_is_one(tmp_path: Path) -> None:
    assert read_training(write_config(tmp_path)).seed == 3
