"""An index in a separate process, which times searches on request: python benchmarks/remote.py.

Each request, and each answer, is a line of JSON. So engines can take turns without sharing memory, threads or faults. A
batch of fast searches takes some milliseconds, which other work on the machine disturbs: it is searched again until
LEAST seconds have passed, and the fastest time counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from peers import ENGINES, Parameters
from search_common import Built
from search_worker import memory, seconds_of

from lsr import SparseVectors

LEAST = 0.4


class Remote:
    """A Contender in another process. bytes: memory of that process after opening the index."""

    def __init__(self, built: Built, queries: Path, n_queries: int) -> None:
        self.label, self.built, self.n_queries = built.engine, built, n_queries
        one = {"RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **one},
        )
        self.bytes = int(self._ask(engine=built.engine, folder=str(built.folder), queries=str(queries))["bytes"])

    def microseconds(self, parameters: Parameters, threads: int = 1) -> tuple[float, np.ndarray]:
        """Microseconds per query in one batch, and the found rows."""
        with tempfile.TemporaryDirectory() as folder:
            found = Path(folder) / "rows.npy"
            seconds = self._ask(parameters=parameters, threads=threads, rows=str(found))["seconds"]
            return 1e6 * seconds / self.n_queries, np.load(found)

    def rows(self, found: np.ndarray) -> np.ndarray:
        return found

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self._process.communicate()

    def _ask(self, **request: Any) -> dict[str, float]:
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RemoteError(f"ended with status {self._process.wait()} while it searched")
        answered: dict[str, float] = json.loads(answer)
        return answered


class RemoteError(Exception):
    """The process of an engine ended, or is too large. The message comes after the engine's name."""


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # engines print

    def answer(**said: float) -> None:
        print(json.dumps(said), file=answers, flush=True)

    job = json.loads(sys.stdin.readline())
    queries = SparseVectors.read(job["queries"])
    engine = ENGINES[job["engine"]].load(Path(job["folder"]))
    prepared = engine.prepare(queries)
    answer(bytes=memory("VmRSS"))
    for line in sys.stdin:
        asked = json.loads(line)
        search = partial(engine.search, prepared, asked["parameters"], asked["threads"])
        seconds, found = seconds_of(search)
        spent = fastest = seconds
        while spent < LEAST:
            seconds, found = seconds_of(search)
            spent, fastest = spent + seconds, min(fastest, seconds)
        np.save(asked["rows"], engine.rows(found, len(queries)))
        answer(seconds=fastest)


if __name__ == "__main__":
    main()
