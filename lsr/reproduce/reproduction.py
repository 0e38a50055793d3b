"""Running a reproduction: what is not there yet is mined, trained, indexed and measured; then all is reported."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from lsr.checks import expanded
from lsr.collections.offline import open_collection
from lsr.errors import ParameterError, StorageError
from lsr.eval.tables import Table
from lsr.experiment.experiment_file import Experiment, NamedEncoder, System
from lsr.experiment.runner import run_experiment
from lsr.reproduce.finding import Plan, Variant, VariantGroup
from lsr.reproduce.reproduction_report import MEASURES, UNTRAINED, Measured, write_report
from lsr.reproduce.shared_negatives import mine_for
from lsr.storage.files import DAMAGE, own_folder, replacing_file, storage_errors
from lsr.threads import checked_threads
from lsr.training.trainer import train
from lsr.training.training_config import TrainingConfig
from lsr.training.training_folder import CHECKPOINT, ENCODER, TRAINING

MARKER = "reproduction.json"
K = 100


def reproduce(
    plan: Plan,
    folder: str | Path,
    *,
    seeds: int = 3,
    offline_data: Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> list[str | Table]:
    """Run a plan in `folder`, and return its report: paragraphs and tables.

        PART/negatives/             negatives with the scores of each teacher
        PART/trainings/             VARIANT-SEED, as lsr.training.training_folder describes them, less the checkpoints
        PART/experiment/            as lsr.experiment.runner leaves it
        PART/cache/                 documents by id
        report.md, *.csv, plots/    as lsr.reproduce.reproduction_report writes them; plots of curves alone
        reproduction.json           the plan; written first

    What is there already is not done again, so that a killed reproduction goes on, as long as the folder stays where it
    is: its path is in the configurations. seeds: how many; they are 1, 2 and so on. offline_data: a folder in which
    collections lie, as for open_collection. device: where to train and encode.

    Raises ParameterError for seeds below 1, and where `folder` holds another reproduction; CollectionError before
    anything runs where a collection is missing; StorageError.
    """
    folder = Path(os.path.realpath(expanded(folder)))
    if seeds < 1:
        raise ParameterError(f"seeds is {seeds}; it must be at least 1")
    threads = checked_threads(threads)
    for part in plan.parts:
        trained_on = {(data.collection, data.split) for each in part.variants for data in each.config.data}
        for path, split in {*trained_on, *((judged.path, judged.split) for judged in part.tests)}:
            open_collection(path, split, offline_data)
    lock = own_folder(folder, MARKER, "reproduction")
    try:
        _mark(folder, plan)
        measured = []
        for part in plan.parts:
            place = folder / part.name
            _mine(part, place, offline_data, device, threads, progress)
            trained = dict(_train(part, place, seeds, offline_data, device, progress))
            measured += _measure(part, place, trained, offline_data, device, threads, progress)
        return write_report(plan, measured, folder)
    finally:
        os.close(lock)


def _mark(folder: Path, plan: Plan) -> None:
    """Write down what is reproduced here. Raises ParameterError where it is something else."""
    path, described = folder / MARKER, json.dumps(asdict(plan), indent=1)
    try:
        before = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        before = described
    except DAMAGE as error:
        raise StorageError(f"{path}: is damaged ({error!r}); choose another folder") from error
    if before != described:
        raise ParameterError(
            f"{folder}: holds another reproduction, or this one with other steps or of another version; choose another "
            "folder"
        )
    with replacing_file(path) as file:
        file.write(described.encode())


def _negatives(folder: Path, name: str) -> Path:
    return folder / "negatives" / f"{name}.jsonl.gz"


def _mine(
    part: VariantGroup, folder: Path, offline_data: Path | None, device: str | None, threads: int, progress: bool
) -> None:
    config = part.variants[0].config
    taught = {_negatives(folder, name): teachers for name, teachers in part.mined.items()}
    collection = open_collection(config.data[0].collection, config.data[0].split, offline_data)
    index = folder / "negatives" / "index"
    length = config.encoder.max_length
    mine_for(taught, collection, index, part.start, length, part.negatives, device, threads, progress)


def _train(
    part: VariantGroup, folder: Path, seeds: int, offline_data: Path | None, device: str | None, progress: bool
) -> Iterator[tuple[tuple[str, int], Path]]:
    """(variant, seed) -> folder of the encoder. All variants of one seed before those of the next."""
    wanted = [(variant, seed) for seed in range(1, seeds + 1) for variant in part.variants]
    for number, (variant, seed) in enumerate(wanted, start=1):
        name = f"{variant.name}-{seed}"
        place = folder / "trainings" / name
        config = _config(variant, seed, folder)
        if not _is_trained(place, config):
            if progress:
                sys.stderr.write(f"{part.name}: training {number} of {len(wanted)}, {name}\n")
            train(config, place, offline_data=offline_data, device=device, progress=progress)
        with storage_errors(place):
            if (place / CHECKPOINT).exists():  # twice the size of the encoder, and of no use any more
                shutil.rmtree(place / CHECKPOINT)
        yield (variant.name, seed), place / ENCODER


def _config(variant: Variant, seed: int, folder: Path) -> TrainingConfig:
    cached = (replace(data, cache=str(folder / "cache")) for data in variant.config.data)
    sets = (
        replace(data, negatives=str(_negatives(folder, data.negatives))) if data.negatives else data for data in cached
    )
    return replace(variant.config, seed=seed, data=tuple(sets))


def _is_trained(folder: Path, config: TrainingConfig) -> bool:
    """Whether the encoder of exactly this training is there; without evaluations it is written at the very end."""
    try:
        described = json.loads((folder / ENCODER / TRAINING).read_bytes())
        return bool(described["config"] == json.loads(json.dumps(asdict(config))))
    except DAMAGE:
        return False


def _measure(
    part: VariantGroup,
    folder: Path,
    trained: Mapping[tuple[str, int], Path],
    offline_data: Path | None,
    device: str | None,
    threads: int,
    progress: bool,
) -> list[Measured]:
    """Every encoder on every test, and the one that training began with."""
    first = part.variants[0].config
    # As they were trained, so that nothing but training tells them apart.
    options = {"dtype": first.optimizer.precision}
    start = NamedEncoder(part.start, {**options, "max_length": first.encoder.max_length})
    names = {UNTRAINED: (UNTRAINED, 0)} | {f"{variant}-{seed}": (variant, seed) for variant, seed in trained}
    systems = [System(UNTRAINED, start, None, {}, {})]
    systems += [
        System(f"{variant}-{seed}", NamedEncoder(str(path), options), None, {}, {})
        for (variant, seed), path in trained.items()
    ]
    experiment = Experiment(part.name, part.tests, tuple(systems), UNTRAINED, MEASURES, K)
    results = run_experiment(
        experiment, folder / "experiment", offline_data=offline_data, device=device, threads=threads, progress=progress
    )
    return [Measured(part, result.judged, *names[result.system], result.figures) for result in results]
