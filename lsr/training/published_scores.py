"""Conversion of a teacher's published scores to the stored scores that trainings read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lsr.checks import expanded
from lsr.errors import ParameterError
from lsr.storage.reading import rereadable
from lsr.training.data.score_pickle import read_score_pickle
from lsr.training.distillation import Scores, TextGroup
from lsr.training.stored_scores import store_scores

GROUPS_PER_PART = 2048


class Converted(NamedTuple):
    """The numbers of queries with scores, and of scores."""

    queries: int
    scores: int


def convert_score_pickle(
    pickle: str | os.PathLike[str], out_folder: str | os.PathLike[str], progress: bool = False
) -> Converted:
    """Write the scores of a pickle into a folder for [teacher] scores; see lsr.training.stored_scores.

    pickle: see read_score_pickle. Memory is bounded by a part of the folder. A killed call resumes. Raises
        CollectionError like read_score_pickle and store_scores, ParameterError, StorageError.
    """
    path, out = expanded(pickle), expanded(out_folder)
    if path == out:
        raise ParameterError(f"{path}: cannot be read and written at the same time; choose another folder")
    teacher = _Published(rereadable(path))
    queries = store_scores([teacher], teacher.groups(), out, None, progress, GROUPS_PER_PART)
    return Converted(queries, teacher.count)


class _ScoredGroup(NamedTuple):
    """A TextGroup without texts, and the scores of its documents."""

    query_id: str
    document_ids: tuple[str, ...]
    scores: tuple[float, ...]

    @property
    def query(self) -> str:
        return ""

    @property
    def documents(self) -> tuple[str, ...]:
        return ("",) * len(self.document_ids)


class _Published:
    """A Teacher that returns the scores of the groups."""

    def __init__(self, path: Path) -> None:
        self._path, self.count = path, 0

    def groups(self) -> Iterator[_ScoredGroup]:
        for query_id, scores in read_score_pickle(self._path):
            self.count += len(scores)
            yield _ScoredGroup(query_id, tuple(scores), tuple(scores.values()))

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        assert not whole_batch
        return np.array([score for group in groups for score in group.scores], np.float32)  # type: ignore[attr-defined]

    def describe(self) -> dict[str, Any]:
        return {"kind": "published scores", "file": self._path.name}
