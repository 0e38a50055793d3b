"""Repairing an index of segments: damaged segments are left out."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lsr.checks import expanded
from lsr.display import HasFacts
from lsr.errors import IndexFormatError, LsrError
from lsr.index.index_folder import IDS, PASSAGES
from lsr.index.segments.commit import Commit, SegmentEntry, generation_file, generation_of
from lsr.index.segments.generation import read_deleted
from lsr.index.tools.check import Finding, check_segment, commit_in_force, of_segments, only_files
from lsr.storage.arrays import load_array
from lsr.storage.files import lock_folder, replacing_file, storage_errors
from lsr.storage.id_column import IdColumn
from lsr.storage.manifest import MANIFEST, damaged_files, load_manifest, sealed

ASIDE = "damaged-"


@dataclass(frozen=True)
class LostSegment:
    """A segment that was left out of the index.

    name: the name of the segment in the index.
    aside: the new name of the segment's folder; None if the folder does not exist.
    documents: the number of lost documents.
    ids: the ids of the lost documents; None if they cannot be read.
    """

    name: str
    aside: str | None
    documents: int
    ids: list[str] | None


@dataclass(frozen=True, repr=False)
class RepairReport(HasFacts):
    """The result of repair_index.

    folder: the folder of the index.
    generation: the generation after the repair.
    documents: the number of documents after the repair.
    lost: segments that were left out.
    resurrected: segments whose deleted documents are returned again.
    restored: files that were written again.
    unrepaired: damaged files that only a new build replaces.
    """

    folder: Path
    generation: int
    documents: int
    lost: list[LostSegment]
    resurrected: list[str]
    restored: list[str]
    unrepaired: list[Finding]

    def _facts(self) -> dict[str, object]:
        counts = {"generation": str(self.generation), "documents": self.documents}
        lost = sum(each.documents for each in self.lost)
        files = {"restored": self.restored or None, "unrepaired": [each.file for each in self.unrepaired] or None}
        return {**counts, "documents lost": lost, "resurrected": self.resurrected or None, **files}

    def as_json(self) -> dict[str, Any]:
        """The report as `lsr repair --json` prints it."""
        lost = [{**vars(each)} for each in self.lost]
        unrepaired = [{"file": each.file, "problem": each.problem} for each in self.unrepaired]
        counts = {"generation": self.generation, "documents": self.documents}
        changes = {"lost": lost, "resurrected": self.resurrected, "restored": self.restored}
        return {"index": str(self.folder), **counts, **changes, "unrepaired": unrepaired}


def repair_index(
    folder: str | os.PathLike[str], *, forget_deletions: bool = False, dry_run: bool = False
) -> RepairReport:
    """Leave out the damaged segments in a new commit, and write damaged commits again.

    folder: the folder of the index.
    forget_deletions: keep a segment with a damaged bitmap of deleted documents, with its deleted documents. Otherwise,
        this segment is left out, too.
    dry_run: only report what would change.

    Nothing is deleted: segments that are left out are renamed to damaged-NAME. Raises StorageError while the index is
    being written, IndexFormatError for an index without segments, and if no commit can be read.
    """
    folder = expanded(folder)
    if not of_segments(folder):
        load_manifest(folder, MANIFEST)  # raises if there is no index
        raise IndexFormatError(f"{folder}: has no segments that can be left out; build the index again")
    with storage_errors(folder):
        lock = lock_folder(folder)
        try:
            return _repaired(folder, forget_deletions, dry_run)
        finally:
            os.close(lock)


def _repaired(folder: Path, forget_deletions: bool, dry_run: bool) -> RepairReport:
    commit, findings = commit_in_force(folder)
    if commit is None:
        raise IndexFormatError(f"{folder}: no commit can be read; build the index again")
    kept, lost, resurrected = [], [], []
    for entry in commit.segments:
        damaged, _ = check_segment(folder, commit, entry)
        if not damaged:
            kept.append(entry)
            continue
        if forget_deletions and entry.deleted is not None:
            whole = replace(entry, deleted=None, documents=_stored_documents(folder, entry))
            if not check_segment(folder, commit, whole)[0]:
                resurrected.append(entry.name)
                kept.append(whole)
                continue
        lost.append(_lost(folder, entry))
    used = {each.deleted.file for each in kept if each.deleted}
    bitmaps = {each.deleted.file for each in commit.segments if each.deleted}
    files = {name: file for name, file in commit.files.items() if name not in bitmaps or name in used}
    others = only_files({name: file for name, file in files.items() if name not in used})
    unrepaired = [Finding(path.relative_to(folder).as_posix(), said) for path, said in damaged_files(folder, others)]
    changed = tuple(kept) != commit.segments
    numbers = [number for number in map(generation_of, os.listdir(folder)) if number is not None]
    number = max([commit.generation, *numbers]) + 1 if changed else commit.generation
    repaired = replace(commit, generation=number, segments=tuple(kept), files=files)
    if not dry_run:
        for each in lost:
            if each.aside is not None:
                os.rename(folder / each.name, folder / each.aside)
        if changed or findings:
            _publish(folder, repaired)
    return RepairReport(
        folder, number, repaired.documents, lost, resurrected, [each.file for each in findings], unrepaired
    )


def _publish(folder: Path, commit: Commit) -> None:
    content = sealed(commit.as_json())
    for name in (generation_file(commit.generation), MANIFEST):
        with replacing_file(folder / name) as file:
            file.write(content)


def _lost(folder: Path, entry: SegmentEntry) -> LostSegment:
    path = folder / entry.name
    aside = None
    if os.path.lexists(path):
        aside, count = f"{ASIDE}{entry.name}", 0
        while os.path.lexists(folder / aside):
            count += 1
            aside = f"{ASIDE}{entry.name}-{count}"
    ids: list[str] | None = None
    with suppress(LsrError):
        column = IdColumn.open(path, IDS)
        column.check()
        deleted = set(read_deleted(folder, entry).tolist())
        starts = load_array(path, PASSAGES).tolist() if (path / f"{PASSAGES}.npy").exists() else range(len(column))
        ids = [column[row] for row in range(len(column)) if starts[row] not in deleted]
        if len(ids) != entry.documents:
            ids = None
    return LostSegment(entry.name, aside, entry.documents, ids)


def _stored_documents(folder: Path, entry: SegmentEntry) -> int:
    """The number of documents of a segment, with deleted ones."""
    path = folder / entry.name
    with suppress(LsrError):
        if (path / f"{PASSAGES}.npy").exists():
            return len(load_array(path, PASSAGES)) - 1
    return entry.rows
