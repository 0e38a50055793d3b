"""IndexWriter: adds documents to an index of segments and deletes documents. One step makes the changes visible."""

from __future__ import annotations

import fcntl
import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

import numpy as np

from lsr.checks import check_kind, checked_texts, expanded
from lsr.errors import IndexFormatError, LsrError, LsrWarning, ParameterError, StorageError
from lsr.index.index_checks import settings_of
from lsr.index.index_folder import ATTEMPTS, PASSAGES
from lsr.index.parameters import IndexConfig
from lsr.index.segments.cleanup import clean_up
from lsr.index.segments.commit import (
    DELETED,
    ENCODER,
    KIND,
    SEGMENT,
    VOCABULARY,
    Commit,
    DeletedRows,
    SegmentEntry,
    StoredFile,
    generation_file,
    read_commit,
)
from lsr.index.segments.generation import DENSE, TEXTS, earlier_segments, open_generation, unpacked
from lsr.index.segments.into_segments import into_segments
from lsr.index.segments.merging import Merge, choose
from lsr.index.segments.pending_segment import PendingSegment
from lsr.index.segments.unnamed_documents import UnnamedDocuments
from lsr.index.seismic.seismic_files import FORMATS, earlier_blocks, has_earlier_blocks
from lsr.storage.arrays import Array, load_array, save_arrays
from lsr.storage.files import link_tree, lock_folder, remove_stale, replacing_file, storage_errors, sync_tree
from lsr.storage.id_column import IdKeys
from lsr.storage.manifest import (
    COMMIT_FORMAT,
    MANIFEST,
    has_generations,
    read_manifest,
    replacing_folder,
    sealed,
)
from lsr.storage.steps import reached
from lsr.vectors.vocabulary import Vocabulary


class IndexWriter:
    """The writer of an index of segments. Its changes become visible when `commit` returns.

    Readers keep their generation. Ids of live documents are unique: an added document replaces a document with the same
    id. The end of a `with` block drops uncommitted changes. Methods raise StorageError if writing fails. Nothing has
    then been committed, unless the error says so.
    """

    def __init__(self, folder: Path, base: Commit, lock: int | None, new: AbstractContextManager[Path] | None) -> None:
        self._folder = folder
        self._target = folder
        self._base = base
        self._lock = lock
        self._new = new  # the folder that replaces another one with the first commit
        if new is not None:
            self._folder = new.__enter__()
        self._entries: dict[str, Any] = {}
        self._files: dict[str, StoredFile] = dict(base.files)
        self._given: set[str] = set()  # names of new files of this writer, which clean_up must not remove
        self._segments = [PendingSegment(self._folder, each) for each in base.segments]
        self._changed = False
        self._takes_config = False  # whether the config of the first segment becomes that of the index
        self._merging: tuple[Merge, Thread] | None = None

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, earlier: bool = False) -> IndexWriter:
        """The writer of an existing index. An index without segments is first converted, in one step.

        Files of killed writers are removed. Raises StorageError while another writer is open, IndexFormatError if the
        folder has no SeismicIndex, or a damaged one, or blocks of an earlier version.
        earlier: allow segments with such blocks, for `renew_blocks`.
        """
        target = Path(os.path.realpath(expanded(folder)))
        for _ in range(ATTEMPTS):
            manifest = read_manifest(target, (*FORMATS, COMMIT_FORMAT), KIND)
            if manifest["format_version"] != COMMIT_FORMAT:
                if has_earlier_blocks(manifest):
                    raise earlier_blocks(target)
                into_segments(target)
                continue
            lock = _locked(target)
            if lock is None:
                continue
            try:
                commit = read_commit(target)
                if not earlier and earlier_segments(target, commit):
                    raise earlier_blocks(target)
                remove_stale(target)
                clean_up(target, commit)
                return cls(target, commit, lock, None)
            except BaseException:
                os.close(lock)
                raise
        raise StorageError(f"{target}: other processes keep replacing the index; try again when they have finished")

    @classmethod
    def create(cls, folder: str | os.PathLike[str], config: IndexConfig | None = None) -> IndexWriter:
        """The writer of a new index. Its first commit replaces an existing one.

        config: settings for merges; None takes the settings of the first segment.
        Raises StorageError if the folder has anything but an index, or is being written.
        """
        target = Path(os.path.realpath(expanded(folder)))
        config = settings_of(IndexConfig, config) if config is not None else None
        created = None
        if has_generations(target):
            with suppress(IndexFormatError), cls.open(target) as writer:  # a damaged index is replaced as a whole
                commit = Commit(writer._base.generation, 0, config or IndexConfig())
                lock, writer._lock = writer._lock, None
                created = cls(target, commit, lock, None)
        if created is None:
            created = cls(target, Commit(0, 0, config or IndexConfig()), None, replacing_folder(target))
        created._changed = True
        created._takes_config = config is None
        return created

    @property
    def folder(self) -> Path:
        """The folder of the next commit."""
        return self._folder

    @property
    def generation(self) -> int:
        """The generation of the last commit; 0 before the first."""
        return self._base.generation

    @property
    def base(self) -> Commit:
        """The last commit."""
        return self._base

    @property
    def documents(self) -> int:
        """The number of documents of the next commit."""
        return sum(each.entry.documents for each in self._segments)

    @property
    def segments(self) -> list[Path]:
        """The folders of the segments of the next commit."""
        return [each.path for each in self._segments if each.entry.live]

    def new_segment(self) -> Path:
        """A folder to save an index in, for `add_segment`."""
        return self._folder / self._new_name(SEGMENT)

    def add_segment(self, path: Path) -> int:
        """Add an index, saved in a folder of new_segment, to the next commit; returns the number of deleted documents.

        Documents with the same ids are deleted. Raises IndexFormatError if there is no such index; ParameterError if
        ids, texts or dense vectors are missing that the other segments have, or the other way round.
        """
        self._check_open()
        name = Path(path).name
        if name not in self._given or Path(path).parent != self._folder or not name.startswith(SEGMENT):
            raise ParameterError(
                f"{path}: is not a new folder from new_segment; save the index in a folder that new_segment returns"
            )
        added, manifest = self._saved(self._folder / name)
        has_ids = bool(manifest["has_ids"])
        others = [each for each in self._segments if each.entry.documents]
        if others and not added.entry.rows:
            return 0
        self._check_alike(added, manifest)
        replaced = self._delete(added.ids.keys) if others and has_ids else 0
        self._segments.append(added)
        self._note_added(manifest, added.entry.rows)
        reached("add:after-segment")
        return replaced

    def replace_segment(self, name: str, path: Path) -> None:
        """Replace a segment of the last commit by an index of the same rows, saved in a folder of new_segment.

        Deleted rows stay deleted. If texts or dense vectors are added or dropped, all segments must be replaced. Raises
        IndexFormatError if there is no such index, ParameterError for another number of rows.
        """
        self._check_open()
        place = next(place for place, each in enumerate(self._segments) if each.entry.name == name)
        old, (new, manifest) = self._segments[place], self._saved(self._folder / path.name)
        if new.entry.rows != old.entry.rows:
            raise ParameterError(f"{path}: has {new.entry.rows} rows, but {name} has {old.entry.rows}")
        deleted = np.flatnonzero(unpacked(old.bits, old.entry.rows))
        new.mark(deleted, new.entry.documents - old.entry.documents)
        self._segments[place] = new
        self._entries["dim"] = max(self._entry("dim"), int(manifest["dim"]))
        self._entries["has_texts"] = f"{TEXTS}.offsets.npy" in manifest["files"]
        self._changed = True

    @contextmanager
    def revised_segment(self, name: str, but: str) -> Iterator[Path]:
        """A folder with links to the files of a segment, except the name `but`. It replaces the segment.

        The body writes the new files. See replace_segment.
        """
        new = self.new_segment()
        with storage_errors(new):
            link_tree(self._folder / name, new, but)
        yield new
        self.replace_segment(name, new)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents with these ids, also in added segments; returns the number of deleted documents.

        Raises ParameterError for an index without ids.
        """
        self._check_open()
        wanted = checked_texts(ids, "id")
        if self._segments and not self._has_ids():
            raise ParameterError(
                f"{self._target}: the index has no ids, so documents cannot be deleted; build the index again with ids"
            )
        return self._delete(IdKeys.of(list(dict.fromkeys(wanted))))

    def contains(self, ids: Sequence[str]) -> Array:
        """bool[m]: whether the next commit has a document with the id."""
        wanted = IdKeys.of(checked_texts(ids, "id"))
        found = np.zeros(wanted.size, bool)
        for segment in self._segments if self._has_ids() else []:
            found |= segment.find(wanted)[0]
        return found

    def unnamed(self) -> UnnamedDocuments:
        """All documents of the next commit, from which named ones can be removed. Raises ParameterError without ids."""
        if self._segments and not self._has_ids():
            raise ParameterError(
                f"{self._target}: the index has no ids, so missing documents cannot be found; build the index again "
                "with ids"
            )
        return UnnamedDocuments(self._segments)

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block in which an encoder and a vocabulary are set together, or neither."""
        kept = {**self._entries}, {**self._files}, self._changed
        try:
            yield
        except BaseException:
            self._entries, self._files, self._changed = kept
            raise

    def set_encoder(self, save: Callable[[Path], object] | None, described: Mapping[str, Any] | None) -> None:
        """Replace the encoder of the index, or remove it. save: writes it into a given folder.

        described: the description of the encoder, JSON.
        """
        self._check_open()
        name, files = None, {}
        if save is not None:
            name = self._new_name(ENCODER)
            path = self._folder / name
            with storage_errors(path):
                path.mkdir()
                save(path)
                reached("encoder:before-sync")
                sync_tree(path)
                for each in sorted(path.rglob("*")):
                    if each.is_file():
                        files[each.relative_to(self._folder).as_posix()] = _described(each)
        self._forget(self._entry("encoder_folder"))  # nothing can fail after this
        self._files |= files
        self._set(encoder_folder=name, encoder=None if described is None else dict(described))

    def set_vocabulary(self, vocabulary: Vocabulary | None) -> None:
        """Replace the vocabulary of the index, or remove it. It can have more tokens than before."""
        self._check_open()
        name, files = None, {}
        if vocabulary is not None:
            check_kind("the vocabulary", vocabulary, Vocabulary)
            name = self._new_name(VOCABULARY)
            vocabulary.write(self._folder / name)
            files[name] = _described(self._folder / name)
            self._entries["dim"] = max(len(vocabulary), self._entry("dim"))
        self._forget(self._entry("vocabulary_file"))
        self._files |= files
        self._set(vocabulary_file=name)

    def commit(self, **entries: Any) -> int:
        """Make all changes visible in one step; returns the new generation, or the last one if nothing changed.

        entries: source, presets and tuned (see Commit), and further entries of the commit, JSON.
        """
        self._check_open()
        if self._merging is not None and not self._merging[1].is_alive():
            self._wait()
        own = {"source", "presets", "tuned"}
        self._set(**{name: entry for name, entry in entries.items() if name in own})
        more = {name: entry for name, entry in entries.items() if name not in own}
        if more:
            self._set(more={**self._entry("more"), **more})
        if not self._changed:
            return self.generation
        commit = self._next_commit()
        try:
            if self._new is not None:
                self._publish_folder(commit)
            else:
                self._publish(commit)
        except BaseException:
            with suppress(LsrError):
                if read_commit(self._target) == commit:  # the failure came after the decisive step
                    self._committed(commit)
            raise
        self._committed(commit)
        reached("commit:before-cleanup")
        clean_up(self._folder, commit, self._given)
        reached("commit:after-cleanup")
        return commit.generation

    def merge(self, all: bool = False, memory: int | None = None) -> int:
        """Commit and merge segments if a merge is due, or all of them; returns the number of merged segments.

        memory: bytes for vectors and their index; by default half of the machine's memory. A larger merge uses
            temporary files. Each merge is a commit. Raises StorageError.
        """
        self._wait()
        self.commit()
        merged = 0
        while (job := self._next_merge(all, memory)) is not None:
            job.run()
            merged += self._take(job)
            del job  # the job keeps files of the merged segments open
            reached("merge:before-commit")
            self.commit()
        return merged

    def renew_blocks(self, memory: int | None = None) -> int:
        """Rebuild the blocks of segments of an earlier version, in one commit; returns the number of segments.

        Presets are removed, because they were tuned on the old blocks. memory: see `merge`. Raises StorageError.
        """
        self._wait()
        generation = open_generation(self._folder, self.generation, earlier=True)
        names = [each.entry.name for each in generation.segments if each.earlier]
        for name in names:
            job = Merge(generation, [name], self._new_name(SEGMENT), memory)
            job.run()
            self._take(job)
            del job
        del generation  # so that its files can be removed
        if names:
            self.commit(presets={}, tuned=None)
        return len(names)

    def merge_in_background(self, memory: int | None = None) -> Thread | None:
        """Commit, and start a merge in a thread if one is due and none is running; returns the running thread.

        The next commit after the end of the merge makes the merged segment visible, without documents that were deleted
        during the merge. A failed merge is dropped with a LsrWarning. `close` waits for the merge.
        """
        self.commit()
        job = self._next_merge(False, memory) if self._merging is None else None
        if job is not None:
            self._merging = job, Thread(target=job.run, name="lsr merge")
            self._merging[1].start()
        return None if self._merging is None else self._merging[1]

    def close(self) -> None:
        """Drop uncommitted changes. Other writers can then write."""
        if self._merging is not None:
            self._merging[1].join()
            self._merging = None
        new, self._new = self._new, None
        if new is not None:
            with suppress(_DroppedError):
                new.__exit__(_DroppedError, _DroppedError(), None)
        lock, self._lock = self._lock, None
        if lock is not None:
            with suppress(OSError, LsrError):
                if self._is_here(lock):
                    clean_up(self._target, read_commit(self._target))
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)  # otherwise a forked process would keep it
            os.close(lock)

    def __del__(self) -> None:
        lock = self.__dict__.pop("_lock", None)
        if lock is not None:  # a writer that was not closed must not block others
            os.close(lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._lock is None and self._new is None:
            raise StorageError(f"{self._target}: this writer is closed; open another one")

    def _is_here(self, lock: int) -> bool:
        return os.path.samestat(os.fstat(lock), os.stat(self._target))

    def _new_name(self, kind: str) -> str:
        self._check_open()
        name = first = f"{kind}-{self._base.generation + 1:06}"
        suffix = ".json" if kind == VOCABULARY else ""
        count = 0
        while name + suffix in self._given or (self._folder / f"{name}{suffix}").exists():
            count += 1
            name = f"{first}-{count}"
        self._given.add(name + suffix)
        return name + suffix

    def _entry(self, name: str) -> Any:
        return self._entries.get(name, getattr(self._base, name))

    def _set(self, **entries: Any) -> None:
        for name, entry in entries.items():
            if self._entry(name) != entry:
                self._entries[name] = entry
                self._changed = True

    def _forget(self, name: str | None) -> None:
        self._files = {each: file for each, file in self._files.items() if each.split("/")[0] != name}

    def _has_ids(self) -> bool:
        return bool(self._entry("has_ids"))

    def _delete(self, keys: IdKeys) -> int:
        deleted = sum(each.delete(keys) for each in self._segments)
        self._changed |= deleted > 0
        reached("delete:after-marking")
        return deleted

    def _next_merge(self, every: bool, memory: int | None) -> Merge | None:
        names = choose([each.entry for each in self._segments], every)
        if not names:
            return None
        generation = open_generation(self._folder, self.generation)
        return Merge(generation, names, self._new_name(SEGMENT), memory)

    def _wait(self) -> None:
        """Wait for the merge in the background, and take its result."""
        if self._merging is None:
            return
        job, thread = self._merging
        thread.join()
        self._merging = None
        if job.error is None:
            self._take(job)
        else:
            warnings.warn(f"{self._target}: segments could not be merged ({job.error})", LsrWarning, stacklevel=3)

    def _take(self, job: Merge) -> int:
        """Replace segments by a merged one; returns the number of replaced segments."""
        if job.error is not None:
            raise job.error
        names = [each.entry.name for each in job.segments]
        merged, _ = self._saved(self._folder / job.name)
        merged.mark(
            *job.deleted_since({each.entry.name: each.bits for each in self._segments if each.entry.name in names})
        )
        places = [at for at, each in enumerate(self._segments) if each.entry.name in names]
        rest = [each for each in self._segments if each.entry.name not in names]
        self._segments = [*rest[: min(places, default=0)], merged, *rest[min(places, default=0) :]]
        self._changed = True
        return len(names)

    def _saved(self, path: Path) -> tuple[PendingSegment, dict[str, Any]]:
        """A written segment and its manifest. Raises IndexFormatError."""
        manifest = read_manifest(path, FORMATS, KIND)
        rows = int(manifest["documents"])
        documents = len(load_array(path, PASSAGES)) - 1 if f"{PASSAGES}.npy" in manifest["files"] else rows
        digest = _described(path / MANIFEST).sha256
        return PendingSegment(self._folder, SegmentEntry(path.name, rows, documents, digest)), manifest

    def _check_alike(self, added: PendingSegment, manifest: Mapping[str, Any]) -> None:
        others = [each for each in self._segments if each.entry.documents]
        if not others or not added.entry.rows:
            return
        parts = {
            "ids": (bool(manifest["has_ids"]), self._has_ids()),
            "texts": (f"{TEXTS}.offsets.npy" in manifest["files"], bool(self._entry("has_texts"))),
            "dense vectors": ((added.path / DENSE).is_dir(), (others[0].path / DENSE).is_dir()),
        }
        for what, (ours, theirs) in parts.items():
            if ours != theirs:
                raise ParameterError(
                    f"{added.path}: has {what if ours else f'no {what}'}, but the rest of the index has "
                    f"{what if theirs else 'none'}; add documents of the same kind"
                )

    def _note_added(self, manifest: Mapping[str, Any], rows: int) -> None:
        """Record the properties of the index with one more segment."""
        alone = not any(each.entry.documents for each in self._segments[:-1])
        self._entries["dim"] = max(self._entry("dim"), int(manifest["dim"]))
        self._entries["has_ids"] = bool(manifest["has_ids"])
        self._entries["has_texts"] = f"{TEXTS}.offsets.npy" in manifest["files"]
        if rows >= max(each.entry.rows for each in self._segments):
            self._entries["sample_recall"] = manifest["sample_recall"]
        if self._takes_config and alone:
            try:
                self._entries["config"] = IndexConfig.from_json(manifest["config"])
            except (TypeError, ParameterError) as error:
                raise IndexFormatError(f"{self._folder}: damaged manifest ({error})") from error
        self._changed = True

    def _next_commit(self) -> Commit:
        """The next commit, after bitmaps are written. Segments without live rows are left out."""
        number = self._base.generation + 1
        self._segments = [each for each in self._segments if each.entry.live]
        for each in self._segments:
            if each.changed:
                assert each.entry.deleted is not None
                name = f"{DELETED}-{number:06}-{each.entry.name}.npy"
                self._given.add(name)
                save_arrays(self._folder, {name.removesuffix(".npy"): each.bits})
                with storage_errors(self._folder / name):
                    sync_tree(self._folder / name)
                each.entry = replace(each.entry, deleted=DeletedRows(name, each.entry.deleted.rows))
                self._files[name] = _described(self._folder / name)
                reached("commit:after-bitmap")
        bitmaps = {each.entry.deleted.file for each in self._segments if each.entry.deleted}
        files = {name: file for name, file in self._files.items() if not name.startswith(DELETED) or name in bitmaps}
        entries = {**self._entries, "segments": tuple(each.entry for each in self._segments), "files": files}
        return replace(self._base, generation=number, **entries)

    def _publish(self, commit: Commit) -> None:
        assert self._lock is not None
        content = sealed(commit.as_json())
        with storage_errors(self._folder):
            if not self._is_here(self._lock):
                raise StorageError(
                    f"{self._target}: another folder has replaced it; open a writer again, and repeat the changes"
                )
            reached("commit:before-generation")
            with replacing_file(self._folder / generation_file(commit.generation)) as file:
                file.write(content)
            reached("commit:before-manifest")
            with replacing_file(self._folder / MANIFEST) as file:
                file.write(content)
            reached("commit:after-manifest")

    def _publish_folder(self, commit: Commit) -> None:
        """The first commit: the folder replaces the existing one."""
        content = sealed(commit.as_json())
        for name in (generation_file(commit.generation), MANIFEST):
            with storage_errors(self._folder), replacing_file(self._folder / name) as file:
                file.write(content)
        reached("commit:before-folder")
        new, self._new = self._new, None
        assert new is not None
        new.__exit__(None, None, None)
        reached("commit:after-folder")
        self._folder = self._target
        self._lock = lock_folder(self._target)
        if read_commit(self._target) != commit:
            raise StorageError(
                f"{self._target}: another writer has changed it; open a writer again, and repeat the changes"
            )

    def _committed(self, commit: Commit) -> None:
        self._base, self._entries, self._changed, self._takes_config = commit, {}, False, False
        self._files = dict(commit.files)
        self._given = {name for name in self._given if name not in {each.name for each in commit.segments}}
        self._given = {name for name in self._given if name.startswith(SEGMENT)}
        for each in self._segments:
            each.changed, each.folder = False, self._folder


class _DroppedError(Exception):
    """Ends the body of a folder to write without writing it."""


def _locked(folder: Path) -> int | None:
    """The writer's lock on a folder; None if another folder replaces it meanwhile."""
    with storage_errors(folder):
        lock = lock_folder(folder)
        with suppress(OSError):
            if os.path.samestat(os.fstat(lock), os.stat(folder)):
                return lock
        os.close(lock)
        return None


def _described(path: Path) -> StoredFile:
    with storage_errors(path), path.open("rb") as file:
        return StoredFile(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
