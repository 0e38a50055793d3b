"""The folder of a training. It belongs to one process and one configuration at a time.

OUT/training.json      the configuration, and an id of this training; written first
OUT/encoder/           the best encoder so far (without evaluation, the last), and its own training.json
OUT/checkpoint/        the state of the training
OUT/cache/, teacher/   documents by id, and stored scores of teachers
OUT/log.csv, log.jsonl, tensorboard/, wandb/
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from lsr.errors import ParameterError, StorageError
from lsr.spelling import american
from lsr.storage.files import DAMAGE, own_folder, replacing_file
from lsr.training.training_config import TrainingConfig

TRAINING = "training.json"
ENCODER, CHECKPOINT, CACHE, TEACHER = "encoder", "checkpoint", "cache", "teacher"
PACKAGE = "lsr-engine"


@contextmanager
def own_training(folder: Path, config: TrainingConfig, main: bool) -> Iterator[str]:
    """Reserve the folder for this training; yields an id that is the same when it resumes.

    Raises StorageError, and ParameterError for a folder of another training.
    """
    if not main:
        yield ""
        return
    lock, marker = own_folder(folder, TRAINING, "training"), folder / TRAINING
    try:
        described = {"version": version(PACKAGE), "config": json.loads(json.dumps(asdict(config)))}
        described["run"] = uuid4().hex
        before = _described(marker, described)
        begun = any((folder / each).exists() for each in (CHECKPOINT, ENCODER))
        if begun and before["config"] != described["config"]:
            by = "" if before["version"] == described["version"] else f", started by lsr {before['version']}"
            raise ParameterError(
                f"{folder}: has a training with another configuration{by}; use that configuration to resume it, or "
                "choose another folder"
            )
        if begun:
            described["run"] = before.get("run", described["run"])
        with replacing_file(marker) as file:
            file.write(json.dumps(described, indent=1).encode())
        yield str(described["run"])
    finally:
        os.close(lock)


def _described(marker: Path, default: dict[str, Any]) -> dict[str, Any]:
    """Version and configuration of the existing training; the default without one. Raises StorageError."""
    try:
        found = dict(american(json.loads(marker.read_bytes())))
        if "version" not in found:  # the format of earlier versions
            return {"version": "before 0.1.0", "config": found}
        return {**found, "version": str(found["version"]), "config": found["config"]}
    except FileNotFoundError:
        return default
    except DAMAGE as error:
        raise StorageError(f"{marker}: is damaged ({error!r}); delete the folder to start over") from error
