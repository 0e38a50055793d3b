"""What trackers are told: by a tracker that remembers, and by Weights & Biases as it keeps runs without a network."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accelerate.state import PartialState
from accelerate.tracking import GeneralTracker, WandBTracker

from lsr.errors import ParameterError
from lsr.training.checkpoint import save_checkpoint
from lsr.training.log import Log
from lsr.training.training_config import read_training
from tests.training.trained import log_of, train_here, write_config

BLOCK, FILE_HEADER, HEADER = 32768, 7, 7  # of LevelDB's log format, in which runs are kept


class Remembering(GeneralTracker):
    name = "remembering"
    requires_logging_directory = False

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, float]]] = []
        self.finished = 0

    @property
    def tracker(self) -> None:
        return None

    def log(self, values: dict[str, float], step: int | None = None, **options: Any) -> None:
        assert step is not None
        self.told.append((step, values))

    def finish(self) -> None:
        self.finished += 1


def test_a_tracker_is_told_what_is_logged(tmp_path: Path) -> None:
    PartialState(cpu=True)
    tracker = Remembering()
    log = Log(tmp_path, 0, tracker)
    log.write(1, {"loss": 2.0, "query nnz": 3.0})
    log.write(2, {"dev nDCG@10 a set": 0.5})
    log.close()
    assert tracker.told == [(1, {"loss": 2.0, "query/nnz": 3.0}), (2, {"dev/nDCG@10 a set": 0.5})]
    assert tracker.finished == 1
    assert [int(row["step"]) for row in log_of(tmp_path)] == [1, 2]


def test_errors_of_wandb_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: WandBTracker) -> None:
        raise RuntimeError("No API key configured.\nUse `wandb login`")

    monkeypatch.setattr(WandBTracker, "start", refuse)
    path = write_config(tmp_path, top='tracker = "wandb"')
    with pytest.raises(ParameterError, match=r"wandb cannot start \(No API key configured.*WANDB_MODE=offline") as told:
        train_here(path)
    assert "\n" not in str(told.value)
    with pytest.raises(ParameterError, match="tracker is 'mlflow'"):
        read_training(write_config(tmp_path, top='tracker = "mlflow"'))


def records(path: Path) -> Iterator[Any]:
    """The protocol buffers of a run's file."""
    from wandb.proto import wandb_internal_pb2

    content, at, held = path.read_bytes(), FILE_HEADER, b""
    while at + HEADER <= len(content):
        room = BLOCK - at % BLOCK
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        if room < HEADER or not kind:
            at += room
            continue
        held += content[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # whole, or the last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(held)
            held = b""
            yield record


@pytest.mark.slow
def test_wandb_keeps_one_run_of_a_training_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any) -> None:
        save_checkpoint(*arguments)
        if arguments[3]["step"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    more = f'[evaluation]\ncollection = "{tmp_path / "data"}"\nevery = 2\nmeasure = "RR@10"'
    path = write_config(tmp_path, "steps = 4", more, top='seed = 3\nlog_every = 1\nsave_every = 2\ntracker = "wandb"')
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr("lsr.training.trainer.save_checkpoint", interrupted)
        train_here(path)
    train_here(path)

    run = json.loads((tmp_path / "out" / "training.json").read_bytes())["run"]
    files = sorted((tmp_path / "out" / "wandb").glob(f"offline-run-*/run-{run}.wandb"))
    assert len(files) == 2
    told: dict[int, dict[str, float]] = {}
    for file in files:
        deadline = time.monotonic() + 60
        while not any(each.WhichOneof("record_type") == "exit" for each in records(file)):
            assert time.monotonic() < deadline  # a process of wandb's writes it
            time.sleep(0.1)
        every = list(records(file))
        [begun] = [each.run for each in every if each.WhichOneof("record_type") == "run"]
        assert (begun.project, begun.display_name, begun.run_id) == ("lsr", "out", run)
        for each in every:
            if each.WhichOneof("record_type") == "history":
                items = {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in each.history.item
                }
                told.setdefault(items.pop("_step"), {}).update(items)
    assert sorted(told) == [0, 1, 2, 3, 4]
    for row in log_of(tmp_path / "out"):
        for name, value in row.items():
            if value and name != "step":
                assert told[int(row["step"])][name.replace(" ", "/", 1)] == pytest.approx(float(value))
    assert not (tmp_path / "out" / "tensorboard").exists()
