"""The negatives of a reproduction and their scores by teachers: computed once for all variants, resumably."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random

from lsr.collections.collection import Collection
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.load import load_encoder
from lsr.experiment.indexes import digest
from lsr.retrieval.indexing import build_index
from lsr.retrieval.searcher import Searcher
from lsr.storage.files import replacing_file, storage_errors
from lsr.storage.manifest import MANIFEST
from lsr.training.negatives import Mining, mine_negatives
from lsr.training.start import open_teachers
from lsr.training.stored_scores import store_scores
from lsr.training.training_batches import open_streams
from lsr.training.training_config import TeacherConfig, TrainingConfig

DEPTH = 50  # ranks of each index from which negatives are drawn


def mine_for(
    path: Path,
    collection: Collection,
    miners: Iterable[str],
    negatives: int,
    queries: int | None,
    max_length: int | None,
    device: str | None,
    threads: int,
    progress: bool,
) -> None:
    """Write negatives from indexes of the collection by the encoders `miners`, unless `path` exists.

    negatives: number per query from each index. queries: number of random queries; None for all. Raises the errors of
        building and mining.
    """
    if path.exists():
        return
    searchers = []
    for miner in miners:
        index = path.parent / f"index-{_safe(miner)}"
        if not (index / MANIFEST).exists():
            length = None if miner == BM25Encoder.name else max_length
            encoder = load_encoder(miner, device=device, max_length=length)
            build_index(collection, index, encoder, threads=threads, progress=progress)
        searchers.append(Searcher.open(index, device=device))
    every = path.with_name(f"every-{path.name}")
    mining = Mining(depth=DEPTH, negatives=negatives)
    mine_negatives(searchers, collection, every, mining, threads=threads, progress=progress)
    with storage_errors(path), replacing_file(path) as file:
        lines = gzip.decompress(every.read_bytes()).splitlines(keepends=True)
        chosen = sorted(Random(0).sample(range(len(lines)), min(queries or len(lines), len(lines))))
        file.write(gzip.compress(b"".join(lines[number] for number in chosen), mtime=0))
        every.unlink()


def store_teachers(
    config: TrainingConfig, folder: Path, offline_data: Path | None, device: str | None, progress: bool
) -> TrainingConfig:
    """Let teachers score the data, and return the configuration with the stored scores in place of the teachers.

    Only teachers whose scores are to be stored are replaced. Each of them scores the positives and negatives of the
    configuration's data once, into its own folder in `folder`. A killed call resumes. Raises the errors of opening
    teachers, reading data and scoring.
    """
    teacher = config.teacher
    if teacher is None or not teacher.store:
        return config
    places = []
    for single in _single(teacher):
        [name] = single.names
        content = [single.dense, single.sparse, single.cross, *(data.negatives for data in config.data)]
        place = folder / f"scores-{_safe(name)}-{digest(content)}"
        places.append(str(place))
        unfinished = place.with_name(f"{place.name}.unfinished")
        if place.exists():
            continue
        unscored = replace(config, teacher=replace(single, store=True))
        [stream] = open_streams(unscored, folder / "cache", progress, offline_data)
        total = stream.source.count() if progress else None
        store_scores(open_teachers(single, device).teachers, stream.whole_groups(), unfinished, total, progress)
        with storage_errors(place):
            unfinished.rename(place)
    stored = replace(teacher, dense=(), sparse=(), cross=(), store=False, scores=tuple(places))
    return replace(config, teacher=stored)


def _single(config: TeacherConfig) -> list[TeacherConfig]:
    """A configuration for each teacher alone, in the order of TeacherConfig.weights."""
    return [
        *(TeacherConfig(dense=(name,)) for name in config.dense),
        *(TeacherConfig(sparse=(name,)) for name in config.sparse),
        *(TeacherConfig(cross=(name,)) for name in config.cross),
    ]


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[-40:]
