"""Searcher: searches an index with text or vectors, and changes it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, RLock, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lsr.checks import check_flag, check_kind, check_whole, checked_texts, expanded
from lsr.display import HasFacts
from lsr.errors import EncoderError, LsrError, LsrWarning, ParameterError
from lsr.index.index_folder import FromFolder
from lsr.retrieval.dense_side import Dense
from lsr.retrieval.searches import Searches
from lsr.retrieval.snapshot import Snapshot, Texts
from lsr.storage.manifest import Verify
from lsr.storage.reading import anchored
from lsr.storage.strings import StringColumn

if TYPE_CHECKING:
    from lsr.encoders.base import Encoder
    from lsr.encoders.load import EncoderLike
    from lsr.index.sparse_index import SparseIndex
    from lsr.retrieval.changes import Changes, UpdateReport
    from lsr.retrieval.snapshot_reader import SnapshotReader
    from lsr.vectors.vocabulary import Vocabulary


class Searcher(Searches, HasFacts, FromFolder):
    """Searches an index, and changes it. Create a searcher with build_index or Searcher.open.

        searcher = Searcher.open("wines.index")
        hits = searcher.search("red wine", k=5)
        hits[0].doc_id, hits[0].score, hits[0].explain()

    Several threads can share a searcher. A searcher sees one generation of the index until `refresh`. With its first
    change, it becomes the only writer of the index, until `commit` or `rollback`.

    index: a SeismicIndex, an ExactIndex or another sparse index.
    encoder: an encoder, the name or folder for load_encoder, or a function or object with encode_documents and
        encode_queries, as encoder_from takes it. Without one, queries must be SparseVectors.
    texts: the texts of the documents, one per document.
    dense: dense vectors of the same documents in the same order. The first dense search raises ParameterError if they
        differ.

    The pickle of a searcher that was opened from a folder holds only the name of the folder. Loading the pickle raises
    StorageError if the folder has another index by then. The pickle of any other searcher holds all parts. Copies and
    deep copies share all parts. Raises EncoderError if the encoder has another dimension than the index.
    """

    def __init__(
        self,
        index: SparseIndex[Any],
        encoder: EncoderLike | None,
        texts: Texts | None = None,
        dense: Dense | None = None,
    ) -> None:
        from lsr.encoders.load import as_encoder
        from lsr.index.sparse_index import SparseIndex

        check_kind("the index", index, SparseIndex, ", such as a SeismicIndex or an ExactIndex")
        chosen = None if encoder is None else as_encoder(encoder, dim=index.dim, vocabulary=lambda: index.vocabulary)
        if isinstance(texts, Iterable) and not isinstance(texts, StringColumn):
            texts = checked_texts(texts, "text")
            if len(texts) != len(index):
                raise ParameterError(
                    f"there are {len(texts)} texts for {len(index)} documents; give one text per document"
                )
        if dense is not None:
            check_kind("the dense vectors", dense, Dense, ", which Searcher.open finds in the folder of the index")
        self._snapshot = Snapshot(index, chosen, texts, dense)

    def _facts(self) -> dict[str, object]:
        return {
            "documents": self.documents,
            "components": self.index.dim,
            "encoder": None if self.snapshot.query_encoder is None else self.encoder.name,
            "texts": self.texts is not None,
            "dense vectors": self.dense is not None,
            "index": type(self.index).__name__,
        }

    _reader: SnapshotReader | None = None
    _changes: Changes | None = None
    _merging: Thread | None = None
    _ending: Thread | None = None  # waits for that merge and commits it
    _refreshing: Lock
    _writing: RLock
    _follow = False

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that searches see now. Hold it for a search of several steps."""
        if self._follow and self._checked_reader.has_changed():
            self.refresh()
        return self._snapshot

    @property
    def _checked_reader(self) -> SnapshotReader:
        if self._reader is None:
            raise ParameterError(
                "the searcher is in memory only, without an index on disk; build an index with build_index"
            )
        return self._reader

    @contextmanager
    def _writing_changes(self) -> Iterator[Changes]:
        from lsr.retrieval.changes import Changes

        reader = self._checked_reader
        with self._writing:
            begun = self._changes is None
            changes = self._changes = self._changes or Changes(reader.folder, self._snapshot)
            try:
                yield changes
            except BaseException:
                if begun and not changes.pending:  # nothing was changed, so other writers may begin
                    self.rollback()
                raise

    @property
    def index(self) -> SparseIndex[Any]:
        """The sparse index of this generation."""
        return self.snapshot.index

    @property
    def documents(self) -> int:
        """Number of documents. With passages, a document has several rows."""
        generation = self.snapshot.generation
        return len(self.index) if generation is None else generation.commit.documents

    @property
    def generation(self) -> int | None:
        """The generation that searches see, as `commit` returns it; None in memory, and for indexes before format 5."""
        return self.snapshot.number

    @property
    def encodes(self) -> bool:
        """Whether the searcher has an encoder, so that queries can be texts."""
        return self.snapshot.query_encoder is not None

    @property
    def encoder(self) -> Encoder:
        """The encoder of queries. Raises EncoderError if there is none; queries must then be SparseVectors."""
        return self.snapshot.encoder

    @property
    def texts(self) -> Texts | None:
        """The texts of the documents by row; None if the index stores no texts."""
        return self.snapshot.texts

    @property
    def dense(self) -> Dense | None:
        return self.snapshot.dense

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary of the encoder or of the index; None if there is none."""
        return self.snapshot.vocabulary

    @classmethod
    def open(
        cls,
        folder: str | Path,
        device: str | None = None,
        *,
        encoder: EncoderLike | None = None,
        follow: bool = False,
        generation: int | None = None,
        verify: Verify = "none",
    ) -> Searcher:
        """Open an index that `lsr index` or `build_index` wrote. Arrays and texts are memory-mapped.

        The searcher sees one generation of the index until `refresh` is called. Dense vectors are opened by the first
        search that needs them.

        folder: the folder of the index.
        device: the device of the query encoder, such as "cpu" or "cuda". None lets the encoder choose.
        encoder: replaces the encoder with which the index was built, in the forms that the constructor takes. Required
            if the index was built with your own code, or from vectors without an encoder.
        follow: refresh before each search if there is a new generation. Cannot be combined with `generation`.
        generation: the generation to open. None for the newest.
        verify: "full" first compares the checksum of every file, "sample" those of some randomly chosen MiB, "none"
            nothing.

        Raises IndexFormatError if the folder is not an index or is damaged; StorageError for a generation that no
        longer exists; EncoderError if the index has no encoder and none is given, or if the given encoder has another
        vocabulary than the index. If the vectors come from elsewhere, the vocabulary of the index may be a part of the
        encoder's: queries are then matched by token.
        """
        from lsr.encoders.bm25 import BM25Encoder
        from lsr.encoders.load import as_encoder
        from lsr.retrieval.snapshot_reader import SnapshotReader, kept_encoder, matched

        check_flag("follow", follow)
        if follow and generation is not None:
            raise ParameterError("follow and generation cannot be combined; remove one of the two")
        folder = expanded(folder)
        first = True

        def choose(index: SparseIndex[Any], described: Mapping[str, Any], kept: Path | None) -> Encoder:
            nonlocal first
            grown = not first and described.get("kind") == BM25Encoder.name and kept is not None
            first = False
            if encoder is not None and not grown:  # the vocabulary of BM25 has changed
                chosen = as_encoder(encoder, device=device, dim=index.dim, vocabulary=lambda: index.vocabulary)
                return matched(folder, index, described, chosen)
            if kept is None:
                raise EncoderError(
                    f"{folder}: was built from vectors and has no encoder, so it cannot be searched with text; give "
                    "the encoder that produced them (--encoder, Searcher.open(folder, encoder=...)), or search with "
                    "vectors"
                )
            return kept_encoder(folder, index, described, kept, device)

        reader = SnapshotReader(anchored(folder), choose, device)
        searcher = cls._of(reader.read(generation, verify=verify), reader)
        searcher._follow = follow
        searcher.opened_with = {**(searcher.opened_with or {}), "device": device, "encoder": encoder}
        return searcher

    @classmethod
    def open_as_is(cls, folder: str | Path, device: str | None = None) -> Searcher:
        """Open an index with the encoder that it has, if it has one; `refresh` takes an encoder that is attached later.

        Without an encoder, queries must be SparseVectors. device: see `open`. Raises IndexFormatError, EncoderError.
        """
        from lsr.retrieval.snapshot_reader import SnapshotReader, kept_encoder

        folder = expanded(folder)

        def choose(index: SparseIndex[Any], described: Mapping[str, Any], kept: Path | None) -> Encoder | None:
            return None if kept is None else kept_encoder(folder, index, described, kept, device)

        reader = SnapshotReader(anchored(folder), choose, device)
        searcher = cls._of(reader.read(), reader)
        searcher.opened_with = None  # a pickle would open it with `open`
        return searcher

    @classmethod
    def open_for_vectors(cls, folder: str | Path) -> Searcher:
        """Open an index without its encoder, to search it with SparseVectors over the index's vocabulary.

        Raises IndexFormatError.
        """
        from lsr.encoders.load import load_encoder
        from lsr.retrieval.snapshot_reader import SnapshotReader

        def choose(index: SparseIndex[Any], described: Mapping[str, Any], kept: Path | None) -> Encoder | None:
            # Indexes of earlier versions have their tokens from the encoder.
            return load_encoder(kept) if kept is not None and index.vocabulary is None else None

        reader = SnapshotReader(anchored(expanded(folder)), choose)
        searcher = cls._of(reader.read(), reader)
        searcher.opened_with = None  # a pickle would open it with `open`
        return searcher

    @classmethod
    def _of(cls, snapshot: Snapshot, reader: SnapshotReader) -> Searcher:
        searcher = cls.__new__(cls)
        searcher._reader, searcher._refreshing, searcher._writing = reader, Lock(), RLock()
        searcher._see(snapshot)
        return searcher

    def __getstate__(self) -> dict[str, Any]:
        return {"_snapshot": self._snapshot}  # a searcher that `open` cannot create again

    def _see(self, snapshot: Snapshot) -> None:
        opened_with = snapshot.index.opened_with
        if self.opened_with is not None and opened_with is not None:
            opened_with = {**self.opened_with, **opened_with}
        self.identity, self.opened_with = snapshot.index.identity, opened_with
        self._snapshot = snapshot

    @property
    def is_behind(self) -> bool:
        """Whether the index may have changed since the last refresh. Takes a microsecond. Raises like `refresh`."""
        return self._checked_reader.has_changed()

    def refresh(self) -> bool:
        """Switch to the newest generation of the index; returns True if it is another generation.

        Running searches finish on the old generation. Raises ParameterError for a searcher that was not opened from a
        folder, and the errors of `open`; the searcher then does not change.
        """
        reader = self._checked_reader
        with self._refreshing:
            snapshot = reader.read(previous=self._snapshot)
            changed = snapshot is not self._snapshot
            self._see(snapshot)
        return changed

    def add(
        self,
        documents: Any,
        ids: Sequence[str] | None = None,
        *,
        id: str | None = None,
        text: str | None = None,
        title: str | None = None,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> int:
        """Add documents; returns their number. Searches see them after `commit`.

        documents: the documents, as build_index takes them. For an index that was built from vectors: SparseVectors, or
            a SciPy, torch or NumPy matrix, as SparseVectors.of takes it.
        ids: the ids of vectors. Documents contain their ids.
        id, text, title: columns of a table, or keys of dicts; see build_index.
        batch_size: the number of texts that are encoded together.
        progress: show progress bars on standard error.

        Files in a folder from which the index was built have their paths below that folder as ids.

        With its first change, this searcher becomes the only writer of the index, until `commit` or `rollback`;
        StorageError while another writer is active. If the process is killed, the same call resumes. Raises
        CollectionError or VectorsError for an id that is already in the index (`update` replaces the document), and
        CollectionError, which names the place, for metadata of another type than in the index. Errors are raised before
        anything is encoded.
        """
        from lsr.retrieval.changes import read_given

        vectors, source = read_given(documents, ids, self._snapshot.vocabulary, id=id, text=text, title=title)
        with self._writing_changes() as changes:
            if source is None:
                return changes.add_vectors(vectors, ids, progress=progress)
            return changes.add_documents(source, batch_size=batch_size, progress=progress)

    def update(
        self,
        documents: Any,
        ids: Sequence[str] | None = None,
        *,
        id: str | None = None,
        text: str | None = None,
        title: str | None = None,
        delete_missing: bool = False,
        dry_run: bool = False,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> UpdateReport:
        """Like `add`, but documents replace those with the same ids; returns an UpdateReport.

        Documents whose text and metadata have not changed are skipped and not encoded again. If there are uncommitted
        changes, all documents are encoded.

        delete_missing: also delete all documents of the index whose ids are not in `documents`. Raises CollectionError
            or VectorsError if `documents` is empty, CollectionError for a part of a folder and for a folder whose
            tables are left out, ParameterError for an index without ids.
        dry_run: only report what would change.
        """
        from lsr.retrieval.changes import read_given

        check_flag("delete_missing", delete_missing)
        check_flag("dry_run", dry_run)
        vectors, source = read_given(documents, ids, self._snapshot.vocabulary, id=id, text=text, title=title)
        with self._writing:
            begun = self._changes is None
            with self._writing_changes() as changes:
                how = {"delete_missing": delete_missing, "dry_run": dry_run, "progress": progress}
                if source is None:
                    report = changes.update_vectors(vectors, ids, **how)
                else:
                    report = changes.update_documents(source, batch_size=batch_size, **how)
            if begun and dry_run:
                self._end_changes(drop=False)
        return report

    def delete(self, ids: str | Sequence[str]) -> int:
        """Delete documents by id; returns the number of documents found. Takes effect with `commit`."""
        with self._writing_changes() as changes:
            return changes.delete([ids] if isinstance(ids, str) else ids)

    def commit(self) -> int:
        """Make all changes since the last commit visible in one step; returns the new generation.

        Searchers that open or refresh the index see the changes, and the changes survive a crash. If there are many
        segments, they are merged in a thread; this searcher remains the writer of the index until the merge is
        finished. Raises StorageError if writing fails; the changes are then dropped. If this searcher cannot read the
        new generation, the changes are committed all the same: a LsrWarning says so, and a later `refresh` shows them.
        """
        self._checked_reader  # noqa: B018 (raises)
        with self._writing:
            changes = self._changes
            if changes is None:
                return self._snapshot.number or 0
            merging = None
            try:
                number = changes.commit()
                try:
                    merging = changes.merge_in_background()
                    if merging is not None and merging is not self._merging:
                        self._merging = merging
                        self._ending = Thread(target=self._end_merge, args=(changes, merging), name="lsr commit")
                        self._ending.start()
                    self.refresh()
                except Exception as error:  # whatever it is, the changes are on disk, and must not be made again
                    said = f"generation {number} is on disk, and cannot be searched yet ({error}); refresh the searcher"
                    warnings.warn(said, LsrWarning, stacklevel=2)
            finally:
                if merging is None:
                    # This searcher no longer holds the previous generation, so its files can be removed.
                    self._end_changes(drop=False)
        return number

    def _end_merge(self, changes: Changes, merging: Thread) -> None:
        """Commit a finished merge, unless there are other changes: their commit makes it visible."""
        merging.join()
        with self._writing:
            if self._changes is changes and not changes.pending:
                try:
                    self.commit()
                except LsrError as error:
                    warnings.warn(f"segments could not be merged ({error})", LsrWarning, stacklevel=2)

    def rollback(self) -> None:
        """Drop the changes since the last commit. Other writers can then change the index."""
        self._checked_reader  # noqa: B018 (raises)
        self._end_changes(drop=True)

    def close(self) -> None:
        """Wait for merges in the background, and drop uncommitted changes. Other writers can then change the index.

        The end of a `with` block closes the searcher, too. A closed searcher can still search and make new changes.
        """
        while (ending := self._ending) is not None:
            ending.join()
            if self._ending is ending:
                self._ending = None
        self._end_changes(drop=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _end_changes(self, drop: bool) -> None:
        with self._writing:
            changes, self._changes = self._changes, None
            if changes is not None:
                changes.drop() if drop else changes.close()

    def merge(self, everything: bool = False, *, memory: int | None = None) -> int:
        """Merge segments if there are many of them, or many deleted documents; returns the number of merged segments.

        everything: merge all segments into one.
        memory: the maximum number of bytes for vectors and their index. A larger merge uses temporary files. Default:
            half of the machine's memory.

        Commits earlier changes, too. Raises StorageError.
        """
        if memory is not None:
            check_whole("memory", memory)
        with self._writing_changes() as changes:
            try:
                merged = changes.merge(everything, memory)
            except BaseException:
                self._end_changes(drop=False)  # drop the changes, like after a failed commit
                raise
            self.commit()
        return merged
