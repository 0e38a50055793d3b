"""Generation: a state of an index of segments, opened and held, as one index."""

from __future__ import annotations

import fcntl
import hashlib
import os
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from lsr.checks import expanded
from lsr.errors import IndexFormatError, StorageError
from lsr.index.index_folder import ATTEMPTS, IDS, PASSAGES, IndexFolder, StoredVocabulary, all_of_one, identity_of
from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.metadata.index_metadata import IndexMetadata, MetadataPart
from lsr.index.metadata.segment_metadata import SegmentMetadata
from lsr.index.segments.commit import KIND, Commit, SegmentEntry, generation_file, read_commit
from lsr.index.segments.generation_passages import GenerationPassages
from lsr.index.segments.row_map import RowMap
from lsr.index.segments.segment_columns import ColumnPart, SegmentColumn, SegmentIds
from lsr.index.segments.segmented_engine import Segment, SegmentedEngine
from lsr.index.seismic.engine import BlockEngine
from lsr.index.seismic.seismic_files import FORMATS, earlier_blocks, has_earlier_blocks, open_engine
from lsr.storage.arrays import Array, damaged, is_exhausted, load_array, read_only
from lsr.storage.columns import Columns
from lsr.storage.id_column import IdColumn
from lsr.storage.manifest import MANIFEST, check_size, load_manifest
from lsr.storage.reading import anchored, open_regular
from lsr.storage.strings import StringColumn

TEXTS, SPANS, TITLES = "texts", "passages.spans", "passages.titles"
METADATA, METADATA_FILE, DENSE = "metadata", "metadata.arrow", "dense"
NOTHING_DELETED = read_only(np.empty(0, np.uint32))


@dataclass(frozen=True, slots=True)
class OpenedSegment:
    """An opened segment of a generation.

    deleted: uint32[m], the deleted rows, ascending.
    starts: int64[documents + 1]: document i has the rows starts[i] to before starts[i + 1]. None if each row is a
        document.
    spans: int64[rows, 2], the begin and end of each passage in its document's text. None if each row is a document.
    titles: int64[documents], the number of characters of the title at the beginning of the text, which is encoded with
        all passages. None if unknown.
    earlier: whether the blocks are of an earlier version, so that documents can be gathered, but not searched.
    """

    entry: SegmentEntry
    folder: Path
    engine: BlockEngine | InvertedEngine
    deleted: Array
    starts: Array | None
    spans: Array | None
    ids: IdColumn | None
    texts: StringColumn | None
    metadata: SegmentMetadata
    earlier: bool
    titles: Array | None = None

    def __len__(self) -> int:
        """Number of rows, with deleted ones."""
        return self.entry.rows

    @property
    def documents(self) -> int:
        """Number of documents, with deleted ones."""
        return self.entry.rows if self.starts is None else len(self.starts) - 1

    @property
    def dense(self) -> Path | None:
        """The folder of the dense vectors."""
        path = self.folder / DENSE
        return path if path.is_dir() else None

    @property
    def plain(self) -> bool:
        """Whether no rows are deleted and each row is a document: a generation with only this segment has its rows."""
        return not len(self.deleted) and self.starts is None


class Generation:
    """A state of an index of segments. As long as this object lives, nothing of it is removed or changed."""

    def __init__(self, folder: Path, commit: Commit, segments: Sequence[OpenedSegment], lock: int) -> None:
        self.folder = folder
        self.commit = commit
        self.segments = tuple(segments)
        weakref.finalize(self, os.close, lock)

    @property
    def number(self) -> int:
        return self.commit.generation

    @property
    def identity(self) -> str:
        """See folder_identity."""
        return identity_of(self.commit.as_json())

    @cached_property
    def engine(self) -> BlockEngine | InvertedEngine | SegmentedEngine:
        """The engine that searches its rows."""
        if len(self.segments) == 1 and self.segments[0].plain and self.segments[0].engine.dim == self.commit.dim:
            return self.segments[0].engine
        return SegmentedEngine(
            [Segment(each.engine, each.deleted, each.starts) for each in self.segments], self.commit.dim
        )

    @cached_property
    def rows(self) -> RowMap:
        """The numbering of the live rows."""
        if isinstance(self.engine, SegmentedEngine):
            return self.engine.rows
        return RowMap([len(each) for each in self.segments], [each.deleted for each in self.segments])

    @cached_property
    def ids(self) -> IdColumn | SegmentIds | None:
        """The id of the document of each row."""
        if not self.commit.has_ids:
            return None
        parts = [ColumnPart(each.ids, each.starts) for each in self.segments if each.ids is not None]
        return parts[0].strings if self._alone else SegmentIds(parts, self.rows)

    @cached_property
    def texts(self) -> StringColumn | SegmentColumn[StringColumn] | None:
        """The whole text of the document of each row."""
        if not self.commit.has_texts:
            return None
        parts = [ColumnPart(each.texts, each.starts) for each in self.segments if each.texts is not None]
        return parts[0].strings if self._alone else SegmentColumn(parts, self.rows)

    @cached_property
    def passages(self) -> GenerationPassages | None:
        """The mapping of rows to documents; None if each row is a document."""
        starts, spans = [each.starts for each in self.segments], [each.spans for each in self.segments]
        return None if all(each is None for each in starts) else GenerationPassages(self.rows, starts, spans)

    @cached_property
    def metadata(self) -> IndexMetadata:
        """The metadata of the documents."""
        return IndexMetadata(
            [MetadataPart(each.metadata, each.starts, each.deleted) for each in self.segments], self.rows
        )

    @property
    def _alone(self) -> bool:
        return len(self.segments) == 1 and self.segments[0].plain

    @property
    def vocabulary(self) -> StoredVocabulary:
        """The vocabulary, read on first use."""
        name = self.commit.vocabulary_file
        return StoredVocabulary(self.folder / (name or ""), self.commit.files[name].sha256 if name else None)

    @property
    def encoder_folder(self) -> Path | None:
        """The folder of the encoder; None without an encoder."""
        name = self.commit.encoder_folder
        return None if name is None else self.folder / name


def open_generation(
    folder: str | os.PathLike[str],
    number: int | None = None,
    reuse: Generation | None = None,
    *,
    earlier: bool = False,
) -> Generation:
    """The newest generation of the index in `folder`, or the generation with this number.

    reuse: an older generation, whose segments are reused. earlier: allow segments with blocks of an earlier version,
        which cannot be searched.
    Raises IndexFormatError if the folder has no index of segments, or a damaged one, or blocks of an earlier version;
    StorageError for a generation that no longer exists.
    """
    folder = anchored(expanded(folder))
    known = {} if reuse is None or reuse.folder != folder else {each.entry.name: each for each in reuse.segments}

    def read() -> Generation:
        commit, lock = _held(folder, number)
        try:
            for name, file in commit.files.items():
                check_size(folder / name, file.bytes, f"run lsr repair {folder}")
            segments = [open_segment(folder, commit, each, known.get(each.name)) for each in commit.segments]
            _check_alike(folder, commit, segments)
            if not earlier and any(each.earlier for each in segments):
                raise earlier_blocks(folder)
            return Generation(folder, commit, segments, lock)
        except BaseException:
            os.close(lock)
            raise

    return all_of_one(folder, read)


def _held(folder: Path, number: int | None) -> tuple[Commit, int]:
    """A commit, and the descriptor that holds its generation."""
    for _ in range(ATTEMPTS):
        wanted = read_commit(folder).generation if number is None else number
        lock = lock_generation(folder / generation_file(wanted), fcntl.LOCK_SH)
        if lock is not None:
            try:
                return read_commit(folder, wanted), lock
            except BaseException:
                os.close(lock)
                raise
        if number is not None:
            raise StorageError(f"{folder}: generation {number} no longer exists; open the newest one")
    raise IndexFormatError(
        f"{folder / MANIFEST}: damaged (there is no {generation_file(wanted)}); run lsr repair {folder}"
    )


def lock_generation(path: Path, kind: int) -> int | None:
    """A descriptor with a lock on the file of a commit; None if the file is missing, or others have a lock against it.

    kind: LOCK_SH to keep the generation, LOCK_EX to remove it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        if is_exhausted(error):
            raise damaged(path, error) from error
        return None
    held = True
    try:
        fcntl.flock(descriptor, kind if kind == fcntl.LOCK_SH else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        held = False
    except OSError:  # a file system without locks: readers continue, and nothing is removed
        held = kind == fcntl.LOCK_SH
    with suppress(OSError):
        if held and os.path.samestat(os.fstat(descriptor), os.stat(path)):  # otherwise it was removed meanwhile
            return descriptor
    os.close(descriptor)
    return None


def open_segment(
    folder: Path, commit: Commit, entry: SegmentEntry, known: OpenedSegment | None = None
) -> OpenedSegment:
    """A segment of a commit. known: the opened segment of an earlier generation. Raises IndexFormatError."""
    path = folder / entry.name
    same_deletions = known is not None and known.entry.deleted == entry.deleted
    if known is not None and known.entry.manifest_sha256 == entry.manifest_sha256 and same_deletions:
        return known
    try:
        if known is not None and known.entry.manifest_sha256 == entry.manifest_sha256:
            deleted = read_deleted(folder, entry)
            opened = replace(known, entry=entry, folder=path, deleted=deleted)
        else:
            opened = opened_segment(path, entry, read_deleted(folder, entry))
        if (
            live_documents(opened.starts, opened.deleted, entry.rows) != entry.documents
            or opened.engine.dim > commit.dim
        ):
            raise IndexFormatError(f"{path}: does not match the commit; build the index again")
        return opened
    except IndexFormatError as error:
        if is_exhausted(error):
            raise
        said = str(error).removesuffix("build the index again").rstrip("; ")
        raise IndexFormatError(f"{said}; run lsr repair {folder}") from error


def opened_segment(path: Path, entry: SegmentEntry, deleted: Array) -> OpenedSegment:
    """A segment in a folder, of any commit. Raises IndexFormatError."""
    try:
        with open_regular(path / MANIFEST) as file:
            content = file.read()
    except OSError as error:
        raise IndexFormatError(f"{path / MANIFEST}: cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != entry.manifest_sha256:
        raise IndexFormatError(f"{path / MANIFEST}: its checksum differs from the commit")
    stored = IndexFolder(path, KIND, FORMATS)
    engine = open_engine(stored)
    listed = stored.entry("files", dict)
    starts = spans = None
    if f"{PASSAGES}.npy" in listed:
        starts = stored.array(PASSAGES)
        stored.check(
            starts.dtype == np.int64
            and starts.ndim == 1
            and len(starts) > 0
            and starts[0] == 0
            and int(starts[-1]) == len(engine)
            and bool((np.diff(starts) > 0).all()),
            "passages",
        )
    if f"{SPANS}.npy" in listed:
        spans = stored.array(SPANS)
        stored.check(spans.dtype == np.int64 and spans.shape == (len(engine), 2), "passages")
    documents = len(engine) if starts is None else len(starts) - 1
    titles = stored.array(TITLES) if f"{TITLES}.npy" in listed else None
    stored.check(titles is None or (titles.dtype == np.int64 and titles.shape == (documents,)), "passages")
    ids = IdColumn.open(path, IDS) if stored.entry("has_ids", bool) else None
    texts = StringColumn.open(path, TEXTS) if f"{TEXTS}.offsets.npy" in listed else None
    stored.check(len(engine) == entry.rows, "rows and commit")
    stored.check(all(each is None or len(each) == documents for each in (ids, texts)), "ids, texts and vectors")
    columns = Columns.open(path, METADATA) if METADATA_FILE in listed else None
    metadata = SegmentMetadata(columns, ids, documents)
    earlier = has_earlier_blocks(stored.manifest)
    return OpenedSegment(entry, path, engine, deleted, starts, spans, ids, texts, metadata, earlier, titles)


def earlier_segments(folder: Path, commit: Commit) -> list[str]:
    """The names of segments with blocks of an earlier version. Unreadable manifests are skipped."""
    names = []
    for entry in commit.segments:
        with suppress(IndexFormatError):
            if has_earlier_blocks(load_manifest(folder / entry.name, MANIFEST)):
                names.append(entry.name)
    return names


def read_deleted(folder: Path, entry: SegmentEntry) -> Array:
    """The deleted rows of a segment, uint32[m], ascending. Raises IndexFormatError."""
    if entry.deleted is None:
        return NOTHING_DELETED
    return read_only(np.flatnonzero(unpacked(read_bitmap(folder, entry), entry.rows)).astype(np.uint32))


def read_bitmap(folder: Path, entry: SegmentEntry) -> Array:
    """uint8[rows / 8, rounded up]: the stored bitmap of deleted rows. Raises IndexFormatError."""
    if entry.deleted is None:
        return np.zeros(-(-entry.rows // 8), np.uint8)
    bits = load_array(folder, entry.deleted.file.removesuffix(".npy"))
    if (
        bits.dtype != np.uint8
        or bits.shape != (-(-entry.rows // 8),)
        or int(unpacked(bits, entry.rows).sum()) != entry.deleted.rows
        or unpacked(bits[-1:], 8)[(entry.rows - 1) % 8 + 1 :].any()
    ):
        raise IndexFormatError(f"{folder / entry.deleted.file}: damaged; run lsr repair {folder}")
    return bits


def unpacked(bits: Array, rows: int) -> Array:
    """A bitmap as bool[rows]."""
    return np.unpackbits(bits, count=rows, bitorder="little").view(bool)


def live_documents(starts: Array | None, deleted: Array, rows: int) -> int:
    """The number of documents that are not deleted. A document has all of its rows, or none."""
    if starts is None:
        return rows - len(deleted)
    at = np.searchsorted(starts, deleted)
    return len(starts) - 1 - int((starts[np.minimum(at, len(starts) - 1)] == deleted).sum())


def _check_alike(folder: Path, commit: Commit, segments: Sequence[OpenedSegment]) -> None:
    for each in segments:
        if (each.ids is not None) != commit.has_ids or (commit.has_texts and each.texts is None):
            raise IndexFormatError(
                f"{each.folder}: ids or texts are missing that other segments have; run lsr repair {folder}"
            )
