"""Running an experiment: missing results are encoded, indexed, searched and measured; then a report is written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from lsr.checks import check_kind, expanded
from lsr.collections.collection import Collection
from lsr.eval.measures import with_relevant
from lsr.experiment.experiment_file import Experiment, System
from lsr.experiment.experiment_report import Result, write_report
from lsr.experiment.fusion_tuning import queries_to_tune_on, tune
from lsr.experiment.indexes import Indexes, digest
from lsr.experiment.measure import Figures, Task, measure_system
from lsr.experiment.suites import Judged, open_judged
from lsr.provenance import facts
from lsr.retrieval.request import SearchRequest
from lsr.storage.files import DAMAGE, own_folder, replacing_file, storage_errors
from lsr.threads import checked_threads

MARKER = "experiment.json"
FORMAT_VERSION = 2


def run_experiment(
    experiment: Experiment,
    folder: str | Path,
    *,
    offline_data: Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> list[Result]:
    """Run every system on every collection, and write runs, results, tables and plots into `folder`.

        indexes/CORPUS.ENCODER/            one for each encoder of each corpus, shared by systems and collections
        runs/COLLECTION/SYSTEM.run.gz      TREC runs
        results/COLLECTION/SYSTEM.json     every query's measures, times, sizes; written when a run is complete
        tables/  plots/  report.md
        methods.md  methods.tex  refs.bib  the methods section of a paper, and its references

    experiment: the experiment, from read_experiment.
    folder: the folder of the results. Results with the same settings, models, documents, queries and judgments are
        reused, so that a killed experiment resumes.
    offline_data: a folder with collections, searched before others are downloaded.
    device: the device of encoders. None lets them choose.
    threads: the number of threads. None for all processors.
    progress: show bars on standard error.

    Raises the errors of building indexes and reading collections; if a collection or a model is missing, before
    anything runs. Raises StorageError if `folder` has other content, or if another process runs an experiment there.
    """
    check_kind("the experiment", experiment, Experiment, ": read_experiment(path)")
    folder = expanded(folder)
    threads = checked_threads(threads)
    used = [_Used.open(experiment, judged, offline_data) for judged in experiment.collections]
    indexes = Indexes(folder / "indexes", device, threads, progress)
    for system in experiment.systems:
        _models(indexes, system)
    results = []
    with _owned(folder, experiment):
        for each in used:
            for system in experiment.systems:
                results.append(_result(experiment, each, system, folder, indexes, threads, progress))
        write_report(experiment, results, folder)
    return results


class _Used(NamedTuple):
    """A collection, its split for tuning and the queries of that split.

    digest: of everything on which results depend.
    """

    judged: Judged
    collection: Collection
    tune_on: Collection | None
    tune_queries: dict[str, str]
    digest: str

    @classmethod
    def open(cls, experiment: Experiment, judged: Judged, offline_data: Path | None) -> _Used:
        """Open the collection. Its errors are raised here, before hours of work."""
        collection = open_judged(judged, offline_data)
        content = [collection.corpus, collection.queries(), collection.qrels()]
        if judged.tune is None or not any(system.tune for system in experiment.systems):
            return cls(judged, collection, None, {}, digest(content))
        on = open_judged(judged, offline_data, judged.tune)
        queries = queries_to_tune_on(on, collection)
        return cls(judged, collection, on, queries, digest([*content, queries, on.qrels()]))


def _result(
    experiment: Experiment,
    used: _Used,
    system: System,
    folder: Path,
    indexes: Indexes,
    threads: int,
    progress: bool,
) -> Result:
    """The stored result of a system on a collection, or a new one."""
    judged, collection = used.judged, used.collection
    settings, models = [judged._asdict(), asdict(system), experiment.measures, experiment.k], _models(indexes, system)
    key = digest([FORMAT_VERSION, settings, models, used.digest])
    path = folder / "results" / judged.name / f"{system.name}.json"
    run_file = folder / "runs" / judged.name / f"{system.name}.run.gz"
    stored = _read_result(path, key, run_file)
    if stored is not None:
        return Result(judged, system.name, *stored)
    made_with = facts(threads)

    def task(settings: Mapping[str, Any], on: Collection) -> Task:
        searcher = indexes.searcher(on, system)
        request = SearchRequest.from_words(settings, experiment.k)
        encoded: dict[str, Any] = {side: indexes.encoded(on, system, searcher, side) for side in request.sides}
        return Task(searcher, on, encoded, request, threads)

    chosen, tuning = dict(system.settings), None
    if system.tune and used.tune_on is not None:
        on = used.tune_on
        measure = with_relevant(experiment.measures[0], judged.relevant)
        chosen, tried = tune(lambda settings: task(settings, on), system, used.tune_queries, measure, progress)
        tuning = {"on": on.split, "settings": chosen, "tried": tried}
    with storage_errors(path):
        path.unlink(missing_ok=True)  # otherwise a kill could leave it beside the run of other settings
    figures = measure_system(
        task(chosen, collection),
        {name: with_relevant(name, judged.relevant) for name in experiment.measures},
        run_file,
        progress,
    )
    with replacing_file(path) as file:
        stored_run = run_file.stat().st_size
        content = {"figures": asdict(figures), "tuning": tuning, "run": stored_run, "made_with": made_with}
        file.write(json.dumps({"key": key, "digest": digest(content), **content}).encode())
    return Result(judged, system.name, figures, json.loads(json.dumps(tuning)), made_with)


def _models(indexes: Indexes, system: System) -> list[str]:
    """The keys of a system's models. Raises EncoderError for a missing model."""
    return [indexes.key(encoder) for encoder in (system.encoder, system.dense) if encoder is not None]


def _read_result(path: Path, key: str, run_file: Path) -> tuple[Figures, Any, dict[str, str]] | None:
    """The result stored under this key; None if it is missing, or if it or its run is damaged."""
    try:
        content = dict(json.loads(path.read_bytes()))
        if content.pop("key") != key or content.pop("digest") != digest(content):
            return None
        if content["run"] != run_file.stat().st_size:
            return None
        return Figures(**content["figures"]), content["tuning"], content.get("made_with", {})
    except DAMAGE:
        return None


@contextmanager
def _owned(folder: Path, experiment: Experiment) -> Iterator[None]:
    """Reserve the folder for this experiment. Raises StorageError."""
    lock = own_folder(folder, MARKER, "experiment")
    try:
        with replacing_file(folder / MARKER) as file:
            file.write(json.dumps(asdict(experiment), indent=1).encode())
        yield
    finally:
        os.close(lock)
