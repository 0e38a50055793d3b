"""The log of a training: figures beside its progress bar, a CSV file, and those of a tracker."""

from __future__ import annotations

import csv
import io
import json
import statistics
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker, TensorBoardTracker, WandBTracker

from lsr.encoders.base import first_line
from lsr.errors import ParameterError
from lsr.extras import need
from lsr.storage.files import replacing_file

LOG_FILE = "log.jsonl"
CSV_FILE = "log.csv"
TENSORBOARD, WANDB = "tensorboard", "wandb"
PROJECT = "lsr"  # the project in Weights & Biases
RECENT_STEPS = 100  # the loss of a single step is noise


class Log:
    """Figures by step.

    log.jsonl has a line for each call of `write`. When a killed training resumes, the lines after its last checkpoint
    are removed. log.csv is made of it, with a column for every figure, whenever a checkpoint is written.
    tracker: a started tracker that gets the same figures.
    """

    def __init__(self, folder: Path, step: int, tracker: GeneralTracker) -> None:
        self._path, self._csv = folder / LOG_FILE, folder / CSV_FILE
        # Without a checkpoint, the lines may be those of another configuration.
        lines = [line for line in _lines(self._path) if line["step"] <= step] if step else []
        with replacing_file(self._path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
        self._tracker = tracker

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")
        self._tracker.log({name.replace(" ", "/", 1): value for name, value in figures.items()}, step=step)

    def flush(self) -> None:
        """Write log.csv again."""
        lines = _lines(self._path)
        names = list(dict.fromkeys(name for line in lines for name in line))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        with replacing_file(self._csv) as file:
            file.write(text.getvalue().encode())

    def close(self) -> None:
        self.flush()
        self._tracker.finish()


def start_tracker(kind: str, folder: Path, step: int, run: str, config: Mapping[str, Any]) -> GeneralTracker:
    """One of accelerate's trackers, which continues after `step`.

    kind: "tensorboard" writes into the folder; "wandb" sends to Weights & Biases, configured by `wandb login` and its
        variables, such as WANDB_MODE=offline.
    run: an id of the training, which is the same when it resumes.

    Raises MissingExtraError, and ParameterError if Weights & Biases cannot start.
    """
    tracker: GeneralTracker
    if kind == TENSORBOARD:
        tracker = TensorBoardTracker(TENSORBOARD, folder, purge_step=step + 1)
        tracker.start()
        return tracker
    need("the tracker wandb", "wandb")
    tracker = WandBTracker(PROJECT, name=folder.name, dir=str(folder), id=run, resume="allow")
    try:
        tracker.start()
        tracker.store_init_configuration(dict(config))
    except Exception as error:  # any error of a service or its library
        raise ParameterError(
            f"the tracker wandb cannot start ({first_line(error)}); log in with `wandb login`, or set "
            "WANDB_MODE=offline"
        ) from error
    return tracker


class Rates:
    """Means of figures over steps.

    `take` returns the means, and the examples per second, since its last call. `shown` has means of RECENT_STEPS.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._recent: deque[Mapping[str, float]] = deque(maxlen=RECENT_STEPS)
        self._count = 0
        self._examples = 0
        self._since = time.perf_counter()

    def add(self, figures: Mapping[str, float], examples: int) -> None:
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        self._examples += examples
        self._recent.append(figures)

    def take(self) -> dict[str, float]:
        now = time.perf_counter()
        means = {name: value / self._count for name, value in self._sums.items()} if self._count else {}
        means["examples/s"] = self._examples / max(now - self._since, 1e-9)
        self._sums, self._count, self._examples, self._since = {}, 0, 0, now
        return means

    def shown(self) -> str:
        """The text beside the steps: means over the last RECENT_STEPS. Short enough for 80 columns."""
        loss, queries, documents = (
            statistics.fmean(figures[name] for figures in self._recent)
            for name in ("loss", "query nnz", "document nnz")
        )
        return f"mean loss {loss:.4g}, nnz {queries:.0f}/{documents:.0f}"


def _lines(path: Path) -> list[dict[str, Any]]:
    """Only whole lines: a killed process can leave half of one."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found
