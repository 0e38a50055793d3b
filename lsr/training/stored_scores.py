"""Teachers' scores on disk: computed once for a stream of groups, resumably, and looked up by ids afterwards.

part-00000.parquet ...   a row a group: columns query_id (string), document_ids (list<string>), and for each teacher
                         scores_0, scores_1, ... (list<float>). The key-value metadata "lsr" holds JSON {teachers},
                         their descriptions; "lsr.texts" a digest of what was scored. A part is complete or absent.

Scores are stored as each teacher gives them, before any normalization, which depends on the other candidates: an
Ensemble of stored teachers gives what one of the teachers themselves gives.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lsr.encoders.sparse_collection import TEXTS_KEY, texts_digest
from lsr.errors import CollectionError, ParameterError
from lsr.progress import progress_bar
from lsr.storage.files import DAMAGE, replacing_file
from lsr.storage.ids import check_ids
from lsr.storage.parts import own_parts, part_path, remove_parts
from lsr.training.distillation import Scores, Teacher, TextGroup

GROUPS_PER_PART = 256
GROUPS_PER_STEP = 32  # scored at once: enough texts to sort by length, few enough for the bar to move
WHAT = "a Parquet part of teachers' scores as lsr writes it"


def store_scores(
    teachers: Sequence[Teacher],
    groups: Iterable[TextGroup],
    out_folder: str | os.PathLike[str],
    total: int | None = None,
    progress: bool = False,
    groups_per_part: int = GROUPS_PER_PART,
) -> int:
    """Score the own documents of each group into `out_folder`; returns the number of groups.

    Groups may differ in size. Memory is bounded by groups_per_part of them. Where an earlier call was stopped, this one
    goes on after the last complete part: `groups` must again begin with the groups scored before, whose ids and texts
    are compared. total: for the progress bar.

    Raises CollectionError when the groups are not those scored before, or one has no documents, and when the folder is
    of other teachers; ParameterError; VectorsError for ids that are not valid text; what the teachers raise;
    StorageError.
    """
    if groups_per_part < 1 or not teachers:
        raise ParameterError(
            f"groups_per_part is {groups_per_part} and there are {len(teachers)} teachers; both must be at least 1"
        )
    folder = Path(out_folder)
    metadata = {"teachers": json.loads(json.dumps([teacher.describe() for teacher in teachers]))}
    remaining = iter(groups)
    with own_parts(folder), progress_bar("scoring", total, "groups", progress) as advance:
        part = _complete_parts(folder, metadata)
        done = _skip_complete(folder, part, remaining)
        advance(done)
        while chunk := list(islice(remaining, groups_per_part)):
            _check_groups(chunk, done)
            columns: list[list[Scores]] = [[] for _ in teachers]
            for start in range(0, len(chunk), GROUPS_PER_STEP):
                step = chunk[start : start + GROUPS_PER_STEP]
                for column, teacher in zip(columns, teachers, strict=True):
                    column.append(teacher.scores(step))
                advance(len(step))
            more = {"lsr": json.dumps(metadata), TEXTS_KEY: texts_digest(_texts(chunk))}
            _write_part(part_path(folder, part), chunk, [np.concatenate(column) for column in columns], more)
            part += 1
            done += len(chunk)
        remove_parts(folder, part)
    return done


class StoredScores:
    """What store_scores wrote, in memory. teachers: for an Ensemble; they score pairs of ids that are stored.

    Raises CollectionError for what cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._parts: list[pa.Table] = []
        self._rows: dict[str, list[tuple[int, int]]] = {}  # query id -> (part, row) of each of its groups
        descriptions: list[dict[str, Any]] | None = None
        while (path := part_path(self.folder, len(self._parts))).exists():
            table = _read_part(path).combine_chunks()
            found = json.loads(table.schema.metadata[b"lsr"])["teachers"]
            if descriptions not in (None, found):
                raise CollectionError(f"{path}: is of other teachers than the part before; score again")
            descriptions = found
            for row, query_id in enumerate(table.column("query_id").to_pylist()):
                self._rows.setdefault(query_id, []).append((len(self._parts), row))
            self._parts.append(table)
        if descriptions is None:
            raise CollectionError(f"{self.folder}: there is no {part_path(self.folder, 0).name} in it; expected {WHAT}")
        self.teachers = tuple(_StoredTeacher(self, number, each) for number, each in enumerate(descriptions))

    def of_query(self, query_id: str, teacher: int = 0) -> dict[str, float]:
        """Document id -> score, of all groups of a query; {} for one that was not scored."""
        scores: dict[str, float] = {}
        for part, row in self._rows.get(query_id, ()):
            table = self._parts[part]
            ids, values = (table.column(name)[row].as_py() for name in ("document_ids", f"scores_{teacher}"))
            scores.update(zip(ids, values, strict=True))
        return scores


class _StoredTeacher:
    """One teacher of StoredScores: texts are not looked at."""

    def __init__(self, stored: StoredScores, number: int, description: dict[str, Any]) -> None:
        self._stored, self._number, self._description = stored, number, description

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        """See Teacher. Raises CollectionError for a pair that was not scored."""
        everything = [document_id for group in groups for document_id in group.document_ids]
        found: list[float] = []
        for group in groups:
            known = self._stored.of_query(group.query_id, self._number)
            for document_id in everything if whole_batch else group.document_ids:
                if document_id not in known:
                    raise CollectionError(
                        f"{self._stored.folder}: document {document_id!r} has no score for query {group.query_id!r}; "
                        "score all groups that are trained on, each with its own documents"
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
            raise CollectionError(f"group {number}: query {group.query_id!r} has no documents; leave it out")


def _skip_complete(folder: Path, parts: int, groups: Iterator[TextGroup]) -> int:
    """Read as many groups as the complete parts have rows, and compare ids and texts; the number of rows."""
    done = 0
    for part in range(parts):
        table = _read_part(part_path(folder, part))
        again = list(islice(groups, len(table)))
        ids = zip(table.column("query_id").to_pylist(), table.column("document_ids").to_pylist(), strict=True)
        same = [(query_id, tuple(documents)) for query_id, documents in ids] == [
            (group.query_id, tuple(group.document_ids)) for group in again
        ]
        if not same or table.schema.metadata[TEXTS_KEY.encode()].decode() != texts_digest(_texts(again)):
            raise CollectionError(
                f"{folder}: groups {done + 1} to {done + len(table)} are not those that were scored before; give the "
                "same groups, or choose another folder"
            )
        done += len(table)
    return done


def _texts(groups: Sequence[TextGroup]) -> Iterator[str]:
    for group in groups:
        yield group.query
        yield from group.documents


def _complete_parts(folder: Path, metadata: dict[str, Any]) -> int:
    """How many intact parts there are from the first on. Raises CollectionError for those of other teachers."""
    part = 0
    while (path := part_path(folder, part)).exists():
        try:
            found = json.loads(_read_part(path).schema.metadata[b"lsr"])
        except CollectionError:
            break  # damaged: it is written again, and so is what follows
        if found != metadata:
            raise CollectionError(
                f"{path}: was scored by other teachers, {json.dumps(found)}, not {json.dumps(metadata)}; remove the "
                "folder or choose another"
            )
        part += 1
    return part


def _write_part(
    path: Path, groups: Sequence[TextGroup], scores: Sequence[npt.NDArray[np.float32]], metadata: dict[str, str]
) -> None:
    offsets = np.zeros(len(groups) + 1, np.int32)
    np.cumsum([len(group.document_ids) for group in groups], out=offsets[1:])
    ids = pa.array([document_id for group in groups for document_id in group.document_ids], pa.string())
    columns = {
        "query_id": pa.array([group.query_id for group in groups], pa.string()),
        "document_ids": pa.ListArray.from_arrays(offsets, ids),
        **{f"scores_{k}": pa.ListArray.from_arrays(offsets, pa.array(each)) for k, each in enumerate(scores)},
    }
    table = pa.table(columns).replace_schema_metadata(metadata)
    with replacing_file(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def _read_part(path: Path) -> pa.Table:
    """Raises CollectionError for one that is damaged or foreign."""
    with _reading_errors(path):
        table = pq.read_table(path, page_checksum_verification=True)
        metadata = table.schema.metadata or {}
        teachers = json.loads(metadata[b"lsr"])["teachers"]
        expected = ["query_id", "document_ids", *(f"scores_{k}" for k in range(len(teachers)))]
        if table.column_names != expected or TEXTS_KEY.encode() not in metadata:
            raise ValueError(f"its columns are {', '.join(table.column_names)}")
        return table


@contextmanager
def _reading_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise CollectionError(f"{path}: truncated, damaged or foreign ({error}); expected {WHAT}") from error
