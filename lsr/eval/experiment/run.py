"""Running an experiment: what is not there yet is encoded, indexed, searched and measured; then all is reported."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lsr.errors import StorageError
from lsr.eval.experiment.config import Experiment, System
from lsr.eval.experiment.indexes import digest, open_searcher
from lsr.eval.experiment.measure import Figures, measure_system
from lsr.eval.experiment.report import Result, write_report
from lsr.eval.experiment.suites import Judged, open_judged
from lsr.eval.experiment.tuning import tune
from lsr.eval.measures import with_relevant
from lsr.files import DAMAGE, lock_folder, replacing_file, storage_errors
from lsr.index.threads import processors

MARKER = "experiment.json"
FORMAT_VERSION = 1


def run_experiment(
    experiment: Experiment,
    folder: str | Path,
    *,
    offline_data: Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> list[Result]:
    """Run every system on every collection, in `folder`, and write runs, results, tables and plots there.

        indexes/CORPUS.ENCODER/            one for each encoder of each corpus, shared by systems and collections
        runs/COLLECTION/SYSTEM.run.gz      TREC runs
        results/COLLECTION/SYSTEM.json     every query's measures, times, sizes; written when a run is complete
        tables/  plots/                    see lsr.eval.experiment.report

    What has a result of the same settings is not run again, so that a killed experiment goes on. offline_data: see
    open_judged. threads: None for all processors. Raises what building indexes and reading collections raises, and
    StorageError where `folder` holds anything else, or another process runs an experiment there.
    """
    folder = Path(folder)
    threads = processors() if threads is None else threads
    for judged in experiment.collections:  # a wrong path is told now, not after hours
        _ = open_judged(judged, offline_data).split
        if judged.tune is not None:
            open_judged(judged, offline_data, judged.tune)
    results = []
    with _owned(folder, experiment):
        for judged in experiment.collections:
            for system in experiment.systems:
                results.append(_result(experiment, judged, system, folder, offline_data, device, threads, progress))
        write_report(experiment, results, folder)
    return results


def _result(
    experiment: Experiment,
    judged: Judged,
    system: System,
    folder: Path,
    offline_data: Path | None,
    device: str | None,
    threads: int,
    progress: bool,
) -> Result:
    """The stored result of a system on a collection, or a new one."""
    collection = open_judged(judged, offline_data)
    key = _key(experiment, judged, system, collection.corpus)
    path = folder / "results" / judged.name / f"{system.name}.json"
    stored = _read_result(path, key)
    if stored is not None:
        return Result(judged, system.name, *stored)
    searcher = open_searcher(collection, system, folder / "indexes", device=device, threads=threads, progress=progress)
    settings, tried = dict(system.settings), None
    if system.tune:
        on = open_judged(judged, offline_data, judged.tune)
        measure = with_relevant(experiment.measures[0], judged.relevant)
        settings, tried = tune(
            searcher, system, on, collection, measure, experiment.k, threads=threads, progress=progress
        )
    figures = measure_system(
        searcher,
        collection,
        system.how(settings),
        system.params(settings),
        {name: with_relevant(name, judged.relevant) for name in experiment.measures},
        experiment.k,
        folder / "runs" / judged.name / f"{system.name}.run.gz",
        threads=threads,
        progress=progress,
    )
    tuning = None if tried is None else {"on": judged.tune, "settings": settings, "tried": tried}
    with replacing_file(path) as file:
        file.write(json.dumps({"key": key, "figures": figures.as_json(), "tuning": tuning}).encode())
    return Result(judged, system.name, figures, json.loads(json.dumps(tuning)))


def _key(experiment: Experiment, judged: Judged, system: System, corpus: str) -> str:
    """What a result depends on."""
    return digest([FORMAT_VERSION, judged._asdict(), asdict(system), experiment.measures, experiment.k, corpus])


def _read_result(path: Path, key: str) -> tuple[Figures, Any] | None:
    try:
        content = json.loads(path.read_bytes())
        return (Figures(**content["figures"]), content["tuning"]) if content["key"] == key else None
    except DAMAGE:
        return None


@contextmanager
def _owned(folder: Path, experiment: Experiment) -> Iterator[None]:
    """The folder of this experiment alone. Raises StorageError."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MARKER).exists() and any(folder.iterdir()):
            raise StorageError(f"{folder}: is not empty and holds no experiment; choose another folder")
        lock = lock_folder(folder)
    try:
        with replacing_file(folder / MARKER) as file:
            file.write(json.dumps(asdict(experiment), indent=1).encode())
        yield
    finally:
        os.close(lock)
