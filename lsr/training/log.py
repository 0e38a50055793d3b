"""What a training says of itself: figures beside its progress, a CSV file, and TensorBoard's."""

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

from lsr.storage.files import replacing_file

LOG_FILE = "log.jsonl"
CSV_FILE = "log.csv"
TENSORBOARD = "tensorboard"
RECENT_STEPS = 100  # the loss of a single step is noise


class Log:
    """Figures by step.

    log.jsonl holds a line for each call of `write`; what a killed training wrote after its last checkpoint is cut off
    when it goes on. log.csv is made of it, with a column for every figure, whenever a checkpoint is written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path, self._csv = folder / LOG_FILE, folder / CSV_FILE
        lines = [line for line in _lines(self._path) if line["step"] <= step]
        with replacing_file(self._path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
        self._board: Any = SummaryWriter(str(folder / TENSORBOARD), purge_step=step + 1)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")
        for name, value in figures.items():
            self._board.add_scalar(name.replace(" ", "/", 1), value, step)

    def flush(self) -> None:
        """Write log.csv anew."""
        lines = _lines(self._path)
        names = list(dict.fromkeys(name for line in lines for name in line))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        with replacing_file(self._csv) as file:
            file.write(text.getvalue().encode())
        self._board.flush()

    def close(self) -> None:
        self.flush()
        self._board.close()


class Rates:
    """Means of figures, and examples a second, since they were last asked for; and means over the last steps."""

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
        """What stands beside the steps: means over the last RECENT_STEPS. Short enough for 80 columns."""
        loss, queries, documents = (
            statistics.fmean(figures[name] for figures in self._recent)
            for name in ("loss", "query nnz", "document nnz")
        )
        return f"mean loss {loss:.4g}, nnz {queries:.0f}/{documents:.0f}"


def _lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines alone: a kill may leave half of one."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found
