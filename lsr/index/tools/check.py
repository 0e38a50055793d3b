"""Checking an index: the checksum of each file, and that numbers of documents and rows agree between files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lsr.checks import expanded
from lsr.display import HasFacts
from lsr.errors import IndexFormatError, LsrError
from lsr.index.index_folder import IDS, IndexFolder
from lsr.index.open_index import open_index
from lsr.index.segments.cleanup import named_by
from lsr.index.segments.commit import (
    KIND,
    OURS,
    Commit,
    SegmentEntry,
    StoredFile,
    generation_file,
    generation_of,
    read_commit,
)
from lsr.index.segments.generation import (
    DENSE,
    METADATA,
    METADATA_FILE,
    TEXTS,
    OpenedSegment,
    earlier_segments,
    open_segment,
)
from lsr.index.segments.merging import LiveRows
from lsr.index.seismic.seismic_files import FORMATS, earlier_blocks, has_earlier_blocks, open_engine
from lsr.progress import progress_bar
from lsr.storage.arrays import is_exhausted
from lsr.storage.columns import Columns
from lsr.storage.id_column import Ids
from lsr.storage.ids import UniqueIds
from lsr.storage.manifest import (
    COMMIT_FORMAT,
    MANIFEST,
    damaged_files,
    has_generations,
    load_manifest,
    total_bytes,
)
from lsr.storage.strings import StringColumn

IDS_AT_ONCE = 1 << 13


@dataclass(frozen=True, slots=True)
class Finding:
    """A damaged file.

    file: the path of the file in the folder of the index.
    problem: a description of the damage.
    segment: the segment that cannot be used without the file; None if the file belongs to no segment.
    """

    file: str
    problem: str
    segment: str | None = None


@dataclass(frozen=True, repr=False)
class CheckReport(HasFacts):
    """The result of check_index.

    folder: the folder of the index.
    generation: the checked generation; None for an index of formats 3 and 4, and if no commit can be read.
    documents: the number of documents in the segments that can be opened.
    segments: the number of segments; 0 for an index of formats 3 and 4.
    bytes: the number of bytes read.
    findings: the damaged files.
    remarks: harmless observations.
    """

    folder: Path
    generation: int | None
    documents: int
    segments: int
    bytes: int
    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def _facts(self) -> dict[str, object]:
        counts = {"documents": self.documents, "segments": self.segments, "bytes": self.bytes}
        return {**counts, "intact": self.intact, "damaged": [each.file for each in self.findings] or None}

    @property
    def intact(self) -> bool:
        """Whether nothing is damaged."""
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        """The report as `lsr check --json` prints it."""
        found = [{"file": each.file, "problem": each.problem, "segment": each.segment} for each in self.findings]
        counts = {"documents": self.documents, "segments": self.segments, "bytes": self.bytes}
        whole = {"index": str(self.folder), "intact": self.intact, "generation": self.generation, **counts}
        return {**whole, "damaged": found, "remarks": self.remarks}


def check_index(folder: str | os.PathLike[str], *, progress: bool = False) -> CheckReport:
    """Read all files of an index, and compare their checksums and numbers; returns a CheckReport.

    folder: the folder of the index.
    progress: show a bar on standard error.

    Damage is reported, not raised. Raises IndexFormatError if there is no index.
    """
    folder = expanded(folder)
    if of_segments(folder):
        return _check_segments(folder, progress)
    try:
        manifest = load_manifest(folder, MANIFEST)
        size = total_bytes(folder, manifest)
    except IndexFormatError as error:
        if not (folder / MANIFEST).is_file():
            raise
        return CheckReport(folder, None, 0, 0, 0, [Finding(MANIFEST, _said(error))])
    with progress_bar("checking", size, "bytes", progress) as advance:
        findings = [
            Finding(path.relative_to(folder).as_posix(), said) for path, said in damaged_files(folder, None, advance)
        ]
    documents, remarks = 0, []
    ids: Ids | None
    try:
        if has_earlier_blocks(manifest):
            remarks.append(str(earlier_blocks(folder)))
            stored = IndexFolder(folder, KIND, FORMATS)
            documents, ids = len(open_engine(stored)), stored.ids()
        else:
            index = open_index(folder)
            documents, ids = len(index), index.ids
        if not findings:
            findings += _of_parts(folder, folder, None, documents, ids)
    except LsrError as error:
        findings += [] if findings else [Finding(MANIFEST, _said(error))]
    return CheckReport(folder, None, documents, 0, size, findings, remarks)


def of_segments(folder: Path) -> bool:
    """Whether a folder is an index of segments, even a damaged one."""
    with suppress(IndexFormatError):
        return load_manifest(folder, MANIFEST).get("format_version") == COMMIT_FORMAT or has_generations(folder)
    return has_generations(folder)


def commit_in_force(folder: Path) -> tuple[Commit | None, list[Finding]]:
    """The commit of the manifest, or of the newest readable generation; and the damaged ones among them."""
    commit, findings = None, []
    try:
        commit = Commit.of(load_manifest(folder, MANIFEST), folder)
    except IndexFormatError as error:
        if is_exhausted(error):
            raise
        findings.append(Finding(MANIFEST, _said(error)))
    if commit is not None:
        name = generation_file(commit.generation)
        try:
            same = (folder / name).read_bytes() == (folder / MANIFEST).read_bytes()
        except OSError:
            same = False
        return commit, findings if same else [Finding(name, f"is missing, or does not match {MANIFEST}")]
    for number in sorted(filter(None, map(generation_of, os.listdir(folder))), reverse=True):
        try:
            return read_commit(folder, number), findings
        except IndexFormatError as error:
            findings.append(Finding(generation_file(number), _said(error)))
    return None, findings


def check_segment(folder: Path, commit: Commit, entry: SegmentEntry) -> tuple[list[Finding], OpenedSegment | None]:
    """(findings, the segment if it can be opened): damaged files of a segment, and files that do not fit together."""
    path = folder / entry.name
    bitmap = {} if entry.deleted is None else {entry.deleted.file: commit.files[entry.deleted.file]}
    segment = {"name": entry.name, "manifest_sha256": entry.manifest_sha256}
    findings = [
        Finding(damaged.relative_to(folder).as_posix(), said, entry.name)
        for damaged, said in damaged_files(folder, {**only_files(bitmap), "segments": [segment]})
    ]
    if findings:
        return findings, None
    try:
        opened = open_segment(folder, commit, entry)
        documents = opened.documents
        return list(_of_parts(folder, path, entry.name, documents, opened.ids)), opened
    except LsrError as error:
        if is_exhausted(error):
            raise
        return [Finding(entry.name, _said(error), entry.name)], None


def _check_segments(folder: Path, progress: bool) -> CheckReport:
    commit, findings = commit_in_force(folder)
    if commit is None:
        return CheckReport(folder, None, 0, 0, 0, findings)
    size = documents = 0
    bitmaps = {each.deleted.file for each in commit.segments if each.deleted}
    others = {name: file for name, file in commit.files.items() if name not in bitmaps}
    for path, said in damaged_files(folder, only_files(others)):
        findings.append(Finding(path.relative_to(folder).as_posix(), said))
    seen = UniqueIds()
    with progress_bar("checking", len(commit.segments), "segments", progress) as advance:
        for entry in commit.segments:
            found, opened = check_segment(folder, commit, entry)
            findings += found
            if opened is not None:
                documents += entry.documents
                findings += _repeated(opened, seen)
            size += sum(each.stat().st_size for each in (folder / entry.name).rglob("*") if each.is_file())
            advance(1)
    known = named_by(commit)
    orphans = sorted(name for name in os.listdir(folder) if OURS.fullmatch(name) and name not in known)
    remarks = [f"{name}: is not of generation {commit.generation}; the next writer removes it" for name in orphans]
    remarks += [str(earlier_blocks(folder))] if earlier_segments(folder, commit) else []
    return CheckReport(folder, commit.generation, documents, len(commit.segments), size, findings, remarks)


def only_files(files: Mapping[str, StoredFile]) -> dict[str, Any]:
    """A manifest with only these files of a commit, without segments."""
    listed = {name: {"bytes": file.bytes, "sha256": file.sha256} for name, file in files.items()}
    return {"format_version": COMMIT_FORMAT, "files": listed, "segments": []}


def _of_parts(root: Path, folder: Path, segment: str | None, documents: int, ids: Any) -> Iterator[Finding]:
    """Mismatches of ids, texts, metadata and dense vectors."""

    def finding(name: str, problem: str) -> Finding:
        return Finding((folder / name).relative_to(root).as_posix(), problem, segment)

    columns: list[tuple[str, StringColumn]] = [(IDS, ids)] if isinstance(ids, StringColumn) else []
    try:
        if (folder / f"{TEXTS}.offsets.npy").exists():
            columns.append((TEXTS, StringColumn.open(folder, TEXTS)))
        for name, column in columns:
            if len(column) != documents:
                yield finding(f"{name}.offsets.npy", f"{len(column)} {name} for {documents} documents")
            column.check()
    except IndexFormatError as error:
        yield finding(f"{columns[-1][0] if columns else TEXTS}.text.npy", _said(error))
    if (folder / METADATA_FILE).exists():
        try:
            rows = Columns.open(folder, METADATA)
            if len(rows) != documents:
                yield finding(METADATA_FILE, f"{len(rows)} rows for {documents} documents")
            for name in rows.names:
                rows.column(name)
        except LsrError as error:
            yield finding(METADATA_FILE, _said(error))
    if (folder / DENSE / MANIFEST).exists():
        try:
            found = len(open_index(folder / DENSE))
            if found != documents and segment is None:
                yield finding(f"{DENSE}/{MANIFEST}", f"{found} dense vectors for {documents} documents")
        except LsrError as error:
            yield finding(f"{DENSE}/{MANIFEST}", _said(error))


def _repeated(segment: OpenedSegment, seen: UniqueIds) -> Iterator[Finding]:
    ids = [] if segment.ids is None else [segment.ids[each] for each in LiveRows.of(segment).documents.tolist()]
    for begin in range(0, len(ids), IDS_AT_ONCE):
        at = seen.add(ids[begin : begin + IDS_AT_ONCE])
        if at is not None:
            problem = f"{ids[begin + at]!r} is the id of two documents"
            yield Finding(f"{segment.entry.name}/{IDS}.text.npy", problem, segment.entry.name)
            return


def _said(error: LsrError) -> str:
    """The message of an error without its advice."""
    return str(error).rsplit("; ", 1)[0]
