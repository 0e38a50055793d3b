"""Searcher: text in, ranked and explained documents out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, RLock, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lsr.checks import check_flag, check_kind, check_text, check_whole, checked_texts, expanded
from lsr.display import HasFacts
from lsr.errors import EncoderError, LsrError, LsrWarning, ParameterError
from lsr.index.filters import Allowed
from lsr.index.index_folder import FromFolder
from lsr.index.parameters import SearchParams
from lsr.retrieval.dense_side import Dense
from lsr.retrieval.hits import Hit, Hits
from lsr.retrieval.query_vectors import QueryVectors
from lsr.retrieval.request import Feedback, FeedbackMethod, Fusion, FusionMethod, Place, SearchRequest, SideName
from lsr.retrieval.snapshot import Snapshot, Texts
from lsr.storage.manifest import Verify
from lsr.storage.reading import anchored
from lsr.storage.strings import StringColumn
from lsr.vectors.conversions import is_matrix
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.encoders.base import Encoder
    from lsr.encoders.load import EncoderLike
    from lsr.index.sparse_index import SparseIndex
    from lsr.retrieval.changes import Changes, UpdateReport
    from lsr.retrieval.snapshot_reader import SnapshotReader
    from lsr.vectors.sparse_vectors import Matrix
    from lsr.vectors.vocabulary import Vocabulary


class Searcher(HasFacts, FromFolder):
    """An index, the encoder whose vectors it holds, the texts it was built from, and dense vectors, if there are any.

    encoder: an encoder, what load_encoder takes by name, or what encoder_from takes: a function, or an object with
        encode_documents and encode_queries.
    dense: of the same documents in the same order; the first dense search raises ParameterError if they are not.
    A pickle of one that was opened names its folder, and is refused with StorageError where another index is there by
    then; another pickle holds all parts. Copies, deep ones too, share all parts.
    Raises EncoderError if the encoder's vectors have another number of components than the index.
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
                raise ParameterError(f"there are {len(texts)} texts for {len(index)} documents; give one for each")
        if dense is not None:
            check_kind("the dense vectors", dense, Dense, ", which Searcher.open finds where build_dense has put it")
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
    _ending: Thread | None = None  # makes visible what that one merges
    _refreshing: Lock
    _writing: RLock
    _follow = False

    @property
    def snapshot(self) -> Snapshot:
        """What searches see now; one that takes several steps holds on to it."""
        if self._follow and self._checked_reader.has_changed():
            self.refresh()
        return self._snapshot

    @property
    def _checked_reader(self) -> SnapshotReader:
        if self._reader is None:
            raise ParameterError("the searcher was made in memory, and has no index on disk; make one with build_index")
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
                if begun and not changes.pending:  # nothing was changed: others may write
                    self.rollback()
                raise

    @property
    def index(self) -> SparseIndex[Any]:
        return self.snapshot.index

    @property
    def documents(self) -> int:
        """Number of documents, of which an index may have several rows each: passages."""
        generation = self.snapshot.generation
        return len(self.index) if generation is None else generation.commit.documents

    @property
    def generation(self) -> int | None:
        """The number of what searches see, as `commit` returns it; None in memory, and for indexes before format 5."""
        generation = self.snapshot.generation
        return None if generation is None else generation.number

    @property
    def encodes(self) -> bool:
        """Whether there is an encoder, so that queries may be texts."""
        return self.snapshot.query_encoder is not None

    @property
    def encoder(self) -> Encoder:
        """What encodes queries. Raises EncoderError where there is none: queries must then be SparseVectors."""
        return self.snapshot.encoder

    @property
    def texts(self) -> Texts | None:
        """The documents' texts by row, if the index keeps them."""
        return self.snapshot.texts

    @property
    def dense(self) -> Dense | None:
        return self.snapshot.dense

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The tokens of the components, the encoder's or those that the index keeps; None where it keeps none."""
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
        """Open what `lsr index` or `build_index` wrote. Arrays and texts are memory-mapped.

        A searcher sees one generation of the index, whatever is written meanwhile, until `refresh` is called. Dense
        vectors are opened by the first search of them.

        device: where queries are encoded, such as "cpu" or "cuda"; None lets the encoder choose.
        encoder: in place of the one that the index was built with; needed where that was code of one's own, and where
            the index was built from vectors. As the constructor takes it.
        follow: refresh before each search if there is something new. generation: the newest if None.
        verify: compare checksums first, see SeismicIndex.open.

        Raises IndexFormatError if the folder is not an index or is damaged, StorageError for a generation that is not
        there any more, EncoderError if the index has no encoder and none is given, or if the vocabulary of the one
        given is not the index's. Where the index holds vectors of another origin, that vocabulary may be a part of the
        encoder's: queries are then matched to it by token.
        """
        from lsr.encoders.bm25 import BM25Encoder
        from lsr.encoders.load import as_encoder, load_encoder
        from lsr.retrieval.snapshot_reader import MATCHED, SnapshotReader, matched

        check_flag("follow", follow)
        if follow and generation is not None:
            raise ParameterError("a searcher that follows goes on to newer generations; leave out one of the two")
        folder = expanded(folder)
        first = True

        def choose(index: SparseIndex[Any], described: Mapping[str, Any], kept: Path | None) -> Encoder:
            nonlocal first
            grown = not first and described.get("kind") == BM25Encoder.name and kept is not None
            first = False
            if encoder is not None and not grown:  # BM25 has another vocabulary by now
                chosen = as_encoder(encoder, device=device, dim=index.dim, vocabulary=lambda: index.vocabulary)
                return matched(folder, index, described, chosen)
            if kept is None:
                raise EncoderError(
                    f"{folder}: was built from vectors and has no encoder, so it cannot be searched with text; give "
                    f"the one that made them (--encoder, Searcher.open(folder, encoder=...)), or search with vectors"
                )
            loaded = load_encoder(kept, device=device)
            return matched(folder, index, described, loaded) if described.get(MATCHED) else loaded

        reader = SnapshotReader(anchored(folder), choose, device)
        searcher = cls._of(reader.read(generation, verify=verify), reader)
        searcher._follow = follow
        searcher.opened_with = {**(searcher.opened_with or {}), "device": device, "encoder": encoder}
        return searcher

    @classmethod
    def open_for_vectors(cls, folder: str | Path) -> Searcher:
        """As `open`, but for its encoder: for queries that are SparseVectors, over the index's vocabulary.

        Raises IndexFormatError.
        """
        from lsr.encoders.load import load_encoder
        from lsr.retrieval.snapshot_reader import SnapshotReader

        def choose(index: SparseIndex[Any], described: Mapping[str, Any], kept: Path | None) -> Encoder | None:
            # Indexes of earlier versions have their tokens from the encoder.
            return load_encoder(kept) if kept is not None and index.vocabulary is None else None

        reader = SnapshotReader(anchored(expanded(folder)), choose)
        searcher = cls._of(reader.read(), reader)
        searcher.opened_with = None  # a pickle of it would be opened by `open`
        return searcher

    @classmethod
    def _of(cls, snapshot: Snapshot, reader: SnapshotReader) -> Searcher:
        searcher = cls.__new__(cls)
        searcher._reader, searcher._refreshing, searcher._writing = reader, Lock(), RLock()
        searcher._see(snapshot)
        return searcher

    def __getstate__(self) -> dict[str, Any]:
        return {"_snapshot": self._snapshot}  # of one that no `open` makes again

    def _see(self, snapshot: Snapshot) -> None:
        opened_with = snapshot.index.opened_with
        if self.opened_with is not None and opened_with is not None:
            opened_with = {**self.opened_with, **opened_with}
        self.identity, self.opened_with = snapshot.index.identity, opened_with
        self._snapshot = snapshot

    @property
    def is_behind(self) -> bool:
        """Whether `refresh` would look for something new; takes a microsecond. Raises ParameterError as `refresh`."""
        return self._checked_reader.has_changed()

    def refresh(self) -> bool:
        """See the newest generation of the index from now on; returns whether it is another one.

        Searches that are under way end with the one that they began with. Raises ParameterError for a searcher that was
        not opened from a folder, and what `open` raises; it then stays as it is.
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
        """Add documents, which are searched after `commit`; returns how many.

        documents: as build_index takes them; SparseVectors, or what SparseVectors.of takes of SciPy, torch or NumPy,
            where the index was built from vectors. ids: of the vectors.
        id, text, title: columns of a table, or keys; see build_index.

        Pages that are in a folder that the index was built of have their paths below that folder as ids.

        The first change makes this searcher the one writer of the index, until `commit` or `rollback`; StorageError
        while another one is at work. Where this call was killed, the same one resumes. Raises CollectionError or
        VectorsError for an id that the index has (`update` replaces its document), and CollectionError, with the place,
        for metadata of another type than the index's, before anything is encoded.
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
        """As `add`, but documents take the place of those that have the same ids; returns what became of them.

        Documents whose text and metadata are those of the index are left as they are, and not encoded again; after
        changes that are not committed, all are encoded.
        delete_missing: delete the documents of the index whose ids are not among those given, so that it has these and
            no others. Raises CollectionError or VectorsError where none are given, CollectionError for a part of a
            folder and a folder of which tables are left out, ParameterError for an index without ids.
        dry_run: only tell what would be done.
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
        """Delete documents by their ids, which takes effect with `commit`; returns how many of them there were."""
        with self._writing_changes() as changes:
            return changes.delete([ids] if isinstance(ids, str) else ids)

    def commit(self) -> int:
        """Make all changes since the last commit visible in one step, here and to whoever opens or refreshes.

        Returns the number of the generation. What this call has acknowledged survives a crash. Where segments have
        become many, they are merged in a thread: until that has ended, this searcher stays the index's writer.
        Raises StorageError; the changes are dropped then.
        """
        self._checked_reader  # noqa: B018 (raises)
        with self._writing:
            changes = self._changes
            if changes is None:
                return self._snapshot.generation.number if self._snapshot.generation is not None else 0
            merging = None
            try:
                number = changes.commit()
                merging = changes.merge_in_background()
                if merging is not None and merging is not self._merging:
                    self._merging = merging
                    self._ending = Thread(target=self._end_merge, args=(changes, merging), name="lsr commit")
                    self._ending.start()
                self.refresh()
            finally:
                if merging is None:
                    self._end_changes(drop=False)  # and clean up, now that the generation before is not held here
        return number

    def _end_merge(self, changes: Changes, merging: Thread) -> None:
        """Make a merge visible when it has ended, unless there are changes, whose commit does that."""
        merging.join()
        with self._writing:
            if self._changes is changes and not changes.pending:
                try:
                    self.commit()
                except LsrError as error:
                    warnings.warn(f"segments could not be merged ({error})", LsrWarning, stacklevel=2)

    def rollback(self) -> None:
        """Drop the changes since the last commit, and let others write."""
        self._checked_reader  # noqa: B018 (raises)
        self._end_changes(drop=True)

    def close(self) -> None:
        """Wait for merges in the background, drop what is not committed, and let others write.

        A searcher is closed at the end of a `with` block, too. It can still search, and begin other changes.
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
        """Merge segments that have become many, or have many deleted documents; returns how many.

        everything: make one segment of all. memory: bytes for vectors and their index, by default half of what the
        machine has; a larger merge goes by way of the disk. Changes that were made before are committed with it.
        Raises StorageError.
        """
        if memory is not None:
            check_whole("memory", memory)
        with self._writing_changes() as changes:
            try:
                merged = changes.merge(everything, memory)
            except BaseException:
                self._end_changes(drop=False)  # as a commit that fails
                raise
            self.commit()
        return merged

    def search(
        self,
        text: str | SparseVectors | QueryVectors | Matrix,
        k: int = 10,
        params: SearchParams | None = None,
        *,
        allowed: Allowed | None = None,
        side: SideName | None = None,
        feedback: Feedback | FeedbackMethod | None = None,
        interpolate: Place = "none",
        fusion: Fusion | FusionMethod = Fusion(),  # noqa: B008 (frozen)
        where: str | None = None,
    ) -> Hits:
        """At most k hits for one query, best first; a sparse search finds none for a query without any known token.

        text: of the query; or its vector, SparseVectors or a matrix of SciPy, torch or NumPy of one row, over the
            index's vocabulary; as SparseVectors in the methods below, and as a matrix in search_batch. Or QueryVectors,
            where the dense vectors of the query were made elsewhere, in all of them.
        params: how far the indexes are searched.
        allowed: the documents that may be found, a mask, ids or rows; feedback learns from no others.
        side: "sparse" or "dense", where the search and its feedback take place; by default "dense" where anything is
            interpolated, else "sparse".
        feedback: "rocchio", "average" (dense only), "rm3" (sparse only), or a Feedback with values of one's own.
        interpolate: "before", "after" or "both" (before and after the feedback); without feedback "after" is all.
        fusion: "rrf" for reciprocal ranks, or a Fusion: weight, normalization, documents missing from a list, depth.
        where: an SQL expression over the documents' metadata, such as "year >= 2020 and category in ('cs', 'math')",
            which must be true of what is found: neither false nor null. `id` is a document's id. With `allowed`, both
            must hold. It is evaluated once, by DuckDB, and kept; times are in UTC.

        Raises ParameterError for k < 1 and values that do not go together or need dense vectors that are not there.
        """
        text = _rows(text)
        queries: Any = text if isinstance(text, SparseVectors | QueryVectors) else [text]
        if len(queries) != 1:
            raise ParameterError(f"there are {len(queries)} queries; give one, or many to search_batch")
        if queries is not text:
            check_text("the query", text, many="search_batch")
        return self.snapshot.hits(
            queries, SearchRequest.of(k, params, allowed, side, feedback, interpolate, fusion, where)
        )[0]

    def search_batch(
        self,
        texts: Sequence[str] | SparseVectors | QueryVectors | Matrix,
        k: int = 10,
        params: SearchParams | None = None,
        *,
        threads: int | None = 1,
        allowed: Allowed | None = None,
        side: SideName | None = None,
        feedback: Feedback | FeedbackMethod | None = None,
        interpolate: Place = "none",
        fusion: Fusion | FusionMethod = Fusion(),  # noqa: B008 (frozen)
        where: str | None = None,
    ) -> list[Hits]:
        """The hits of each text, in the order of the texts. threads: None for all processors. See `search`."""
        return self.snapshot.hits(
            _rows(texts), SearchRequest.of(k, params, allowed, side, feedback, interpolate, fusion, where), threads
        )

    def run(
        self,
        queries: Mapping[str, str] | SparseVectors | QueryVectors,
        k: int = 1000,
        params: SearchParams | None = None,
        *,
        threads: int | None = 1,
        drop_same_id: bool = False,
        allowed: Allowed | None = None,
        side: SideName | None = None,
        feedback: Feedback | FeedbackMethod | None = None,
        interpolate: Place = "none",
        fusion: Fusion | FusionMethod = Fusion(),  # noqa: B008 (frozen)
        where: str | None = None,
    ) -> dict[str, dict[str, float]]:
        """Query id -> document id -> score, best first, for queries given as id -> text, or as SparseVectors with
        ids: what lsr.eval measures.

        drop_same_id: a document whose id is the query's is never found: k others are returned, and it is not fed back.
        threads: None for all processors. See `search`.
        """
        request = SearchRequest.of(k, params, allowed, side, feedback, interpolate, fusion, where)
        return self.snapshot.rankings(queries, request, threads, drop_same_id)

    def facets(
        self, column: str, hits: Iterable[Hit] | None = None, *, where: str | None = None, k: int | None = 10
    ) -> dict[Any, int]:
        """The k most frequent values of a column of metadata, None for all -> in how many documents each is.

        hits: those that are counted; else all documents of which `where` is true, or all of the index. Of a column of
        lists, each value of a list counts once; missing values do not count.
        Raises ParameterError for a column that is not there, or whose values are not texts, numbers, dates or lists of
        these.
        """
        return self.snapshot.facets(column, hits, where, k)

    def hits(
        self, queries: Sequence[str] | SparseVectors, request: SearchRequest, threads: int | None = 1
    ) -> list[Hits]:
        """The hits of each query, in their order, as `request` asks for them."""
        return self.snapshot.hits(queries, request, threads)

    def rankings(
        self,
        queries: Mapping[str, str] | SparseVectors | QueryVectors,
        request: SearchRequest,
        threads: int | None = 1,
        drop_same_id: bool = False,
        progress: bool = False,
    ) -> dict[str, dict[str, float]]:
        """As `run`, as `request` asks for them. progress: on standard error."""
        return self.snapshot.rankings(queries, request, threads, drop_same_id, progress)


def _rows(given: Any) -> Any:
    """Matrices, such as the tensors that SparseEncoder of sentence-transformers returns, as SparseVectors."""
    return SparseVectors.of(given, what="queries") if is_matrix(given) else given
