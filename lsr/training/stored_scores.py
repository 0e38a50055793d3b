"""Teachers' scores on disk: computed once for a stream of groups, resumably, and looked up by ids afterwards.

Parts as in lsr.storage.parts, with a row per group: columns query_id (string), document_ids (list<string>), and for
each teacher scores_0, scores_1, ... (list<float>); settings {teachers}, their descriptions.

Scores are stored before any normalization, which depends on the other candidates: an Ensemble of stored teachers has
the same scores as one of the teachers themselves.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lsr.errors import CollectionError, ParameterError
from lsr.progress import progress_bar
from lsr.spelling import american
from lsr.storage.files import DAMAGE
from lsr.storage.ids import check_ids
from lsr.storage.parts import (
    SETTINGS_KEY,
    TEXTS_KEY,
    PartWork,
    PartWriter,
    part_path,
    rows_of_settings,
    write_part,
    write_parts,
)
from lsr.training.distillation import Scores, Teacher, TextGroup

GROUPS_PER_PART = 256
GROUPS_PER_STEP = 32  # scored together: enough texts to sort by length, few enough to show progress
SCORES_PART = "a Parquet part of teachers' scores, as lsr writes it"


def store_scores(
    teachers: Sequence[Teacher],
    groups: Iterable[TextGroup],
    out_folder: str | os.PathLike[str],
    total: int | None = None,
    progress: bool = False,
    groups_per_part: int = GROUPS_PER_PART,
) -> int:
    """Write the scores of the own documents of each group to `out_folder`; returns the number of groups.

    Groups can differ in size. Memory is bounded by groups_per_part of them. A killed call resumes after the last
    complete part: `groups` must again begin with the scored groups, whose ids and texts are compared. total: for the
    progress bar.

    Raises CollectionError if the groups are not those scored before, if one has no documents, and if the folder belongs
    to other teachers; ParameterError; VectorsError for ids that are not valid text; the errors of the teachers;
    StorageError.
    """
    if not teachers:
        raise ParameterError("there is no teacher; name at least one")
    settings = {"teachers": json.loads(json.dumps([teacher.describe() for teacher in teachers]))}

    def compute(step: list[TextGroup], first: int) -> list[Scores]:
        _check_groups(step, first)
        return [teacher.scores(step) for teacher in teachers]

    def write(chunk: list[TextGroup], steps: list[list[Scores]], metadata: dict[str, str]) -> None:
        scores = [np.concatenate(column) for column in zip(*steps, strict=True)]
        write_part(writer.next_path, _table(chunk, scores), {SETTINGS_KEY: json.dumps(settings), **metadata})
        writer.parts.append(len(chunk))

    work: PartWork[TextGroup, list[Scores]] = PartWork(
        "groups",
        "scored",
        ("query_id", "document_ids"),
        lambda group: (group.query_id, list(group.document_ids)),
        lambda group: (group.query, *group.documents),
        compute,
        write,
    )
    with (
        PartWriter(
            out_folder, lambda path: rows_of_settings(path, _read_part, settings, "other teachers", CollectionError)
        ) as writer,
        progress_bar("scoring", total, "groups", progress) as advance,
    ):
        return write_parts(writer, groups, work, groups_per_part, GROUPS_PER_STEP, advance)


class StoredScores:
    """Scores written by store_scores, in memory. teachers: the stored teachers, for an Ensemble.

    Raises CollectionError for scores that cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._parts: list[pa.Table] = []
        self._rows: dict[str, list[tuple[int, int]]] = {}  # query id -> (part, row) of each group
        descriptions: list[dict[str, Any]] | None = None
        while (path := part_path(self.folder, len(self._parts))).exists():
            table = _read_part(path).combine_chunks()
            found = american(json.loads(table.schema.metadata[SETTINGS_KEY.encode()])["teachers"])
            if descriptions not in (None, found):
                raise CollectionError(
                    f"{path}: has scores of other teachers than the previous part; delete the folder and score again"
                )
            descriptions = found
            for row, query_id in enumerate(table.column("query_id").to_pylist()):
                self._rows.setdefault(query_id, []).append((len(self._parts), row))
            self._parts.append(table)
        if descriptions is None:
            raise CollectionError(f"{self.folder}: has no {part_path(self.folder, 0).name}; expected {SCORES_PART}")
        self.teachers = tuple(_StoredTeacher(self, number, each) for number, each in enumerate(descriptions))

    def of_query(self, query_id: str, teacher: int = 0) -> dict[str, float]:
        """{document id: score} of all groups of a query; {} for a query without scores."""
        scores: dict[str, float] = {}
        for part, row in self._rows.get(query_id, ()):
            table = self._parts[part]
            ids, values = (table.column(name)[row].as_py() for name in ("document_ids", f"scores_{teacher}"))
            scores.update(zip(ids, values, strict=True))
        return scores


class _StoredTeacher:
    """One teacher of StoredScores. It ignores texts."""

    def __init__(self, stored: StoredScores, number: int, description: dict[str, Any]) -> None:
        self._stored, self._number, self._description = stored, number, description

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        """See Teacher. Raises CollectionError for a pair without a stored score."""
        everything = [document_id for group in groups for document_id in group.document_ids]
        found: list[float] = []
        for group in groups:
            known = self._stored.of_query(group.query_id, self._number)
            for document_id in everything if whole_batch else group.document_ids:
                if document_id not in known:
                    raise CollectionError(
                        f"{self._stored.folder}: document {document_id!r} has no score for query {group.query_id!r}; "
                        "score all groups of the training data, each with its own documents"
                    )
                found.append(known[document_id])
        return np.array(found, np.float32)

    def describe(self) -> dict[str, Any]:
        return self._description


def _check_groups(groups: Sequence[TextGroup], first: int) -> None:
    check_ids([group.query_id for group in groups], len(groups))
    for number, group in enumerate(groups, first + 1):
        check_ids(group.document_ids, len(group.documents))
        if not group.documents:
            raise CollectionError(f"group {number}: query {group.query_id!r} has no documents; remove it")


def _table(groups: Sequence[TextGroup], scores: Sequence[Scores]) -> pa.Table:
    offsets = np.zeros(len(groups) + 1, np.int32)
    np.cumsum([len(group.document_ids) for group in groups], out=offsets[1:])
    ids = pa.array([document_id for group in groups for document_id in group.document_ids], pa.string())
    return pa.table(
        {
            "query_id": pa.array([group.query_id for group in groups], pa.string()),
            "document_ids": pa.ListArray.from_arrays(offsets, ids),
            **{f"scores_{k}": pa.ListArray.from_arrays(offsets, pa.array(each)) for k, each in enumerate(scores)},
        }
    )


def _read_part(path: Path) -> pa.Table:
    """The scores of a part. Raises CollectionError if it is damaged or was not written by lsr."""
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        metadata = table.schema.metadata or {}
        teachers = json.loads(metadata[SETTINGS_KEY.encode()])["teachers"]
        expected = ["query_id", "document_ids", *(f"scores_{k}" for k in range(len(teachers)))]
        if table.column_names != expected or TEXTS_KEY.encode() not in metadata:
            raise ValueError(f"its columns are {', '.join(table.column_names)}")
    except DAMAGE as error:
        raise CollectionError(
            f"{path}: is truncated, damaged or not from lsr ({error}); expected {SCORES_PART}"
        ) from error
    return table
