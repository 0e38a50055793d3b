"""The negatives of a reproduction: the same documents for all teachers, each of which scores them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lsr.collections.collection import Collection
from lsr.encoders.load import load_encoder
from lsr.retrieval.indexing import build_index
from lsr.retrieval.searcher import Searcher
from lsr.training.distillation import Ensemble, Scores, Teacher, TextGroup
from lsr.training.negatives import Mining, mine_negatives
from lsr.training.start import open_teachers
from lsr.training.training_config import TeacherConfig


def mine_for(
    taught: Mapping[Path, TeacherConfig],
    collection: Collection,
    index: Path,
    start: str,
    max_length: int | None,
    negatives: int,
    device: str | None,
    threads: int,
    progress: bool,
) -> None:
    """Write each missing one of the files, negatives scored by its teachers.

    index: of the collection, by the encoder `start`, built if it is not there. Raises what building and mining raise.
    """
    missing = {path: teachers for path, teachers in taught.items() if not path.exists()}
    if not missing:
        return
    if not index.exists():
        encoder = load_encoder(start, device=device, max_length=max_length)
        build_index(collection, index, encoder, threads=threads, progress=progress)
    searcher = Searcher.open(index, device=device)
    opened: dict[TeacherConfig, Teacher] = {}
    for path, config in missing.items():
        for each in _single(config):
            if each not in opened:
                opened[each] = _Remembered(open_teachers(each, device).teachers[0])
        ensemble = Ensemble(tuple(opened[each] for each in _single(config)), config.normalize, config.scale)
        mine_negatives(
            [searcher],
            collection,
            path,
            Mining(negatives=negatives),
            threads=threads,
            scorer=ensemble,
            progress=progress,
        )


def _single(config: TeacherConfig) -> list[TeacherConfig]:
    """Each teacher by itself."""
    return [
        *(TeacherConfig(dense=(name,)) for name in config.dense),
        *(TeacherConfig(sparse=(name,)) for name in config.sparse),
        *(TeacherConfig(cross=(name,)) for name in config.cross),
    ]


class _Remembered:
    """A teacher that scores the same texts once, whichever ensembles it is in."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self._known: dict[tuple[object, ...], Scores] = {}

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        key = (whole_batch, *((group.query, group.documents) for group in groups))
        if key not in self._known:
            self._known[key] = self._teacher.scores(groups, whole_batch)
        return self._known[key]

    def describe(self) -> dict[str, Any]:
        return self._teacher.describe()
