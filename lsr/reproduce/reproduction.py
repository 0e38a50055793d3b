"""Running a reproduction: missing parts are mined, trained, indexed and measured; then a report is written."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from lsr.checks import expanded
from lsr.collections.offline import open_collection
from lsr.errors import ParameterError, StorageError
from lsr.eval.tables import Table
from lsr.experiment.experiment_file import Experiment, NamedEncoder, System
from lsr.experiment.runner import run_experiment
from lsr.experiment.suites import open_judged
from lsr.reproduce.contrasts import clusters_of
from lsr.reproduce.finding import MINED, Measured, Plan, Variant, VariantGroup
from lsr.reproduce.lexical_start import write_lexical_start
from lsr.reproduce.mined_negatives import mine_for, store_teachers
from lsr.reproduce.plans import with_variants
from lsr.reproduce.reference_rows import REFERENCES, UNTRAINED, reference_systems
from lsr.reproduce.reproduction_report import write_report
from lsr.storage.files import DAMAGE, own_folder, replacing_file, storage_errors
from lsr.threads import checked_threads
from lsr.training.start import OpenTeachers
from lsr.training.trainer import train
from lsr.training.training_config import TrainingConfig
from lsr.training.training_folder import CHECKPOINT, ENCODER, TRAINING

MARKER = "reproduction.json"
BACKBONE = "backbone"
K = 100


def reproduce(
    plan: Plan,
    folder: str | Path,
    *,
    seeds: int = 3,
    variants: Sequence[str] = (),
    offline_data: Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> list[str | Table]:
    """Run a plan in `folder`; returns the paragraphs and tables of its report.

        PART/backbone/              the backbone with a lexical start
        PART/negatives/             negatives, the indexes for mining them, and the scores of each teacher
        PART/references/            the encoders of the reference rows
        PART/trainings/             a folder VARIANT-SEED per training, see lsr.training.training_folder
        PART/experiment/            see lsr.experiment.runner
        PART/cache/                 documents by id
        report.md, *.csv, plots/    see lsr.reproduce.reproduction_report; plots only of curves
        reproduction.json           the plan; written first

    Existing parts are reused, so that a killed reproduction resumes. Do not move the folder: the configurations of
    trainings contain its path.

    seeds: number of seeds; they are 1, 2 and so on.
    variants: see with_variants; other variants can follow in the same folder.
    offline_data: a folder with collections, searched before others are downloaded.
    device: the device for training and encoding.
    threads: the number of threads. None for all processors.
    progress: show bars on standard error.

    Raises ParameterError for seeds below 1, like with_variants, and if `folder` has another reproduction;
    CollectionError, before anything runs, if a collection is missing; StorageError.
    """
    folder = Path(os.path.realpath(expanded(folder)))
    if seeds < 1:
        raise ParameterError(f"seeds is {seeds}; it must be at least 1")
    threads = checked_threads(threads)
    whole, plan = plan, with_variants(plan, variants)
    for part in plan.parts:
        trained_on = [(data.collection, data.split) for each in part.variants for data in each.config.data]
        for path, split in dict.fromkeys([*trained_on, *((judged.path, judged.split) for judged in part.tests)]):
            open_collection(path, split, offline_data)
    lock = own_folder(folder, MARKER, "reproduction")
    try:
        _mark(folder, whole)
        measured = []
        for part in plan.parts:
            place = folder / part.name
            _prepare(part, place, offline_data, device, threads, progress)
            trained = dict(_train(part, place, seeds, offline_data, device, progress))
            measured += _measure(plan, part, place, trained, offline_data, device, threads, progress)
        judged = {test: open_judged(test, offline_data) for part in plan.parts for test in part.tests}
        clusters = {test.name: clusters_of(each.qrels(), test.relevant) for test, each in judged.items()}
        return write_report(plan, measured, clusters, folder)
    finally:
        os.close(lock)


def _mark(folder: Path, plan: Plan) -> None:
    """Write the plan into the folder. Raises ParameterError if the folder has another one."""
    path, described = folder / MARKER, json.dumps(asdict(plan), indent=1)
    try:
        before = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        before = described
    except DAMAGE as error:
        raise StorageError(f"{path}: is damaged ({error!r}); choose another folder") from error
    if before != described:
        raise ParameterError(
            f"{folder}: has results of another plan, number of steps or version of the plan; choose another folder"
        )
    with replacing_file(path) as file:
        file.write(described.encode())


def _negatives(folder: Path) -> Path:
    return folder / "negatives" / "negatives.jsonl.gz"


def _prepare(
    part: VariantGroup, folder: Path, offline_data: Path | None, device: str | None, threads: int, progress: bool
) -> None:
    """Make the backbone and the negatives of a part, if it needs them."""
    config = part.variants[0].config
    collection = open_collection(config.data[0].collection, config.data[0].split, offline_data)
    if part.lexical and not (folder / BACKBONE).exists():
        texts = (document.full_text for document in collection.documents())
        write_lexical_start(part.lexical, texts, part.components, folder / BACKBONE)
    if part.miners:
        mine_for(
            _negatives(folder),
            collection,
            part.miners,
            part.negatives,
            part.queries,
            config.encoder.max_length,
            device,
            threads,
            progress,
        )


def _train(
    part: VariantGroup, folder: Path, seeds: int, offline_data: Path | None, device: str | None, progress: bool
) -> Iterator[tuple[tuple[str, int], Path]]:
    """(variant, seed) -> folder of the encoder. All variants of one seed before those of the next."""
    wanted = [(variant, seed) for seed in range(1, seeds + 1) for variant in part.variants]
    opened: OpenTeachers = {}
    for number, (variant, seed) in enumerate(wanted, start=1):
        name = f"{variant.name}-{seed}"
        place = folder / "trainings" / name
        config = _config(part, variant, seed, folder)
        config = store_teachers(config, folder / "negatives", offline_data, device, progress)
        if not _is_trained(place, config):
            if progress:
                sys.stderr.write(f"{part.name}: training {number} of {len(wanted)}, {name}\n")
            train(config, place, offline_data=offline_data, device=device, progress=progress, opened=opened)
        with storage_errors(place):
            if (place / CHECKPOINT).exists():  # twice the size of the encoder, and not needed any more
                shutil.rmtree(place / CHECKPOINT)
        yield (variant.name, seed), place / ENCODER


def _config(part: VariantGroup, variant: Variant, seed: int, folder: Path) -> TrainingConfig:
    sets = (
        replace(
            data,
            cache=str(folder / "cache"),
            negatives=str(_negatives(folder)) if data.negatives == MINED else data.negatives,
        )
        for data in variant.config.data
    )
    encoder = variant.config.encoder
    if part.lexical and encoder.backbone == part.lexical:
        encoder = replace(encoder, backbone=str(folder / BACKBONE))
    return replace(variant.config, encoder=encoder, seed=seed, data=tuple(sets))


def _is_trained(folder: Path, config: TrainingConfig) -> bool:
    """Whether the encoder of exactly this training exists; without evaluations, it is written at the very end."""
    try:
        described = json.loads((folder / ENCODER / TRAINING).read_bytes())
        return bool(described["config"] == json.loads(json.dumps(asdict(config))))
    except DAMAGE:
        return False


def _measure(
    plan: Plan,
    part: VariantGroup,
    folder: Path,
    trained: Mapping[tuple[str, int], Path],
    offline_data: Path | None,
    device: str | None,
    threads: int,
    progress: bool,
) -> list[Measured]:
    """The figures of every encoder on every test, also of the encoder at the start."""
    baseline = next(each for each in part.variants if part.baseline in (each.name, each.curve))
    config = _config(part, baseline, 1, folder)
    systems = reference_systems(config, part.start, folder / "references", device, offline_data)
    # The settings of their trainings, so that they differ only in training.
    options = {"dtype": config.optimizer.precision}
    names = {name: (name, 0) for name in REFERENCES} | {
        f"{variant}-{seed}": (variant, seed) for variant, seed in trained
    }
    systems += [
        System(f"{variant}-{seed}", NamedEncoder(str(path), options), None, {}, {})
        for (variant, seed), path in trained.items()
    ]
    experiment = Experiment(part.name, part.tests, tuple(systems), UNTRAINED, plan.measures, K)
    results = run_experiment(
        experiment, folder / "experiment", offline_data=offline_data, device=device, threads=threads, progress=progress
    )
    return [Measured(part, result.judged, *names[result.system], result.figures) for result in results]
