"""Running an experiment: what is not there yet is encoded, indexed, searched and measured; then all is reported."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lsr.errors import StorageError
from lsr.eval.collections import Collection
from lsr.eval.experiment.config import Experiment, System
from lsr.eval.experiment.indexes import Indexes, digest
from lsr.eval.experiment.measure import Figures, Task, measure_system
from lsr.eval.experiment.report import Result, write_report
from lsr.eval.experiment.suites import Judged, open_judged
from lsr.eval.experiment.tuning import queries_to_tune_on, tune
from lsr.eval.measures import with_relevant
from lsr.files import DAMAGE, lock_folder, replacing_file, storage_errors
from lsr.index.threads import processors
from lsr.retrieval.plan import Pipeline

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
        collection = open_judged(judged, offline_data)
        _ = collection.split
        if judged.tune is not None:
            on = open_judged(judged, offline_data, judged.tune)
            if any(system.tune for system in experiment.systems):
                queries_to_tune_on(on, collection)
    indexes = Indexes(folder / "indexes", device, threads, progress)
    results = []
    with _owned(folder, experiment):
        for judged in experiment.collections:
            for system in experiment.systems:
                results.append(_result(experiment, judged, system, folder, indexes, offline_data, threads, progress))
        write_report(experiment, results, folder)
    return results


def _result(
    experiment: Experiment,
    judged: Judged,
    system: System,
    folder: Path,
    indexes: Indexes,
    offline_data: Path | None,
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

    def task(settings: Mapping[str, Any], on: Collection) -> Task:
        searcher = indexes.searcher(on, system)
        pipeline = Pipeline.of(**system.how(settings))
        encoded = {side: indexes.encoded(on, system, searcher, side) for side in pipeline.sides}
        return Task(searcher, on, encoded, pipeline, system.params(settings), experiment.k, threads)

    settings, tuning = dict(system.settings), None
    if system.tune:
        on = open_judged(judged, offline_data, judged.tune)
        queries = queries_to_tune_on(on, collection)
        measure = with_relevant(experiment.measures[0], judged.relevant)
        settings, tried = tune(lambda chosen: task(chosen, on), system, queries, measure, progress)
        tuning = {"on": on.split, "settings": settings, "tried": tried}
    figures = measure_system(
        task(settings, collection),
        {name: with_relevant(name, judged.relevant) for name in experiment.measures},
        folder / "runs" / judged.name / f"{system.name}.run.gz",
        progress,
    )
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
