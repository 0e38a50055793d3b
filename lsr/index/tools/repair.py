"""An index of segments without those that are damaged."""

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
    """A segment that was left out: its folder, under the name that it has now; None where nothing is left of it.

    documents: how many are lost. ids: theirs, or None where these cannot be read.
    """

    name: str
    aside: str | None
    documents: int
    ids: list[str] | None


@dataclass(frozen=True, repr=False)
class RepairReport(HasFacts):
    """What was damaged, and what was done.

    generation, documents: that the index has now, or would have. lost: segments left out. resurrected: segments of
    which deleted documents are found again. restored: files written anew. unrepaired: damaged files that only a new
    build replaces.
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
        """What `lsr repair --json` prints."""
        lost = [{**vars(each)} for each in self.lost]
        unrepaired = [{"file": each.file, "problem": each.problem} for each in self.unrepaired]
        counts = {"generation": self.generation, "documents": self.documents}
        changes = {"lost": lost, "resurrected": self.resurrected, "restored": self.restored}
        return {"index": str(self.folder), **counts, **changes, "unrepaired": unrepaired}


def repair_index(
    folder: str | os.PathLike[str], *, forget_deletions: bool = False, dry_run: bool = False
) -> RepairReport:
    """Leave out the segments that are damaged, in a new commit, and write damaged commits anew.

    Nothing is removed: what is left out stays beside the rest, as damaged-NAME. A segment whose bitmap of deleted
    documents is damaged is left out, too; forget_deletions keeps it, with the documents that had been deleted.
    dry_run: only tell. Raises StorageError while the index is being written, IndexFormatError for a folder without
    segments, and where no commit can be read.
    """
    folder = expanded(folder)
    if not of_segments(folder):
        load_manifest(folder, MANIFEST)  # says so where there is no index at all
        raise IndexFormatError(f"{folder}: has no segments that could be left out; build the index again")
    with storage_errors(folder):
        lock = lock_folder(folder)
        try:
            return _repaired(folder, forget_deletions, dry_run)
        finally:
            os.close(lock)


def _repaired(folder: Path, forget_deletions: bool, dry_run: bool) -> RepairReport:
    commit, findings = commit_in_force(folder)
    if commit is None:
        raise IndexFormatError(f"{folder}: no commit of it can be read; build the index again")
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
    """Documents of a segment, deleted ones too."""
    path = folder / entry.name
    with suppress(LsrError):
        if (path / f"{PASSAGES}.npy").exists():
            return len(load_array(path, PASSAGES)) - 1
    return entry.rows
