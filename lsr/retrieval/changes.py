"""Changes: additions to an index and deletions from it, which one commit makes visible."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from lsr.checks import expanded, is_utf8
from lsr.collections.document_set import DocumentSet
from lsr.collections.documents import as_documents
from lsr.collections.passages import PassageSplit
from lsr.collections.sources import Document
from lsr.encoders.bm25 import BM25Encoder
from lsr.errors import (
    CollectionError,
    EncoderError,
    IndexFormatError,
    LsrWarning,
    ParameterError,
    StorageError,
    VectorsError,
)
from lsr.index.dense_config import DenseConfig
from lsr.index.segments.generation import METADATA, METADATA_FILE
from lsr.index.segments.index_writer import IndexWriter
from lsr.retrieval.chosen_documents import ChosenDocuments, Observe, changed, place_of
from lsr.retrieval.dense_side import described_in, first_dense
from lsr.retrieval.encoding import Documents
from lsr.retrieval.segment_maker import SegmentMaker, remove_encodings
from lsr.storage.column_types import unified
from lsr.storage.columns import Columns
from lsr.storage.ids import check_ids
from lsr.storage.parts import OtherItemsError
from lsr.vectors.conversions import is_matrix
from lsr.vectors.io import is_vectors
from lsr.vectors.sparse_vectors import SparseVectors, VectorsLike

if TYPE_CHECKING:
    import pyarrow as pa

    from lsr.encoders.base import Encoder
    from lsr.retrieval.snapshot import Snapshot
    from lsr.vectors.vocabulary import Vocabulary

PASSAGES = "passages"  # entry of a commit: how documents are split
FOLDERS = "folders"  # entry of a commit: the indexed folders; the id of a file is its path below one of them
_KNOWN = "{!r} is already the id of a document in the index; update the document, or give another id"


class UpdateReport(NamedTuple):
    """The result of Searcher.update, or of its dry run.

    added: the number of new documents.
    changed: the number of replaced documents.
    unchanged: the number of documents that stayed the same.
    deleted: the ids of deleted documents.
    """

    added: int
    changed: int
    unchanged: int
    deleted: list[str]


class Changes:
    """The writer of an index that a searcher changes.

    snapshot: the searched snapshot, whose encoders encode the added documents.

    `close` drops uncommitted changes. Raises StorageError while another process writes, or if the encoder of the index
    has changed.
    """

    def __init__(self, folder: Path, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._encoder = snapshot.query_encoder
        self._writer = IndexWriter.open(folder)
        seen = snapshot.generation
        if seen is not None and self._writer.base.encoding != seen.commit.encoding:
            self.close()
            raise StorageError(f"{folder}: the encoder has changed; refresh the searcher, and try again")
        dense = snapshot.dense
        if described_in(first_dense(self._writer.segments)) != (b"" if dense is None else dense.described):
            self.close()
            raise StorageError(f"{folder}: the dense vectors have changed; refresh the searcher, and try again")
        self._encodings: list[Path] = []
        self._begun: dict[Path, None] = {}  # also the folders of failed calls, which could resume
        self._folders: list[str] = []  # folders whose files have been added
        self.pending = False  # whether there is anything to commit

    def add_documents(self, documents: Documents, *, batch_size: int | None, progress: bool) -> int:
        """Encode documents and add them; returns their number.

        Raises CollectionError for an id that is already in the index. New words are added to BM25's vocabulary. A
        killed call resumes from INDEX.adding.
        """
        documents = self._within(documents)
        chosen = ChosenDocuments(documents, partial(_all_new, documents=documents, writer=self._writer))
        encoder = self._surveyed(chosen, lambda given, taken: None, progress)
        return sum(self._put(documents, chosen, encoder, batch_size, progress))

    def update_documents(
        self, documents: Documents, *, delete_missing: bool, dry_run: bool, batch_size: int | None, progress: bool
    ) -> UpdateReport:
        """Like add_documents, but documents replace those with the same ids, unless nothing changed.

        Documents are compared by text and metadata, if the last commit is the searched snapshot and there are no
        uncommitted changes.
        """
        documents = self._within(documents)
        if delete_missing and isinstance(documents, DocumentSet) and documents.partial:
            raise CollectionError(
                f"{documents.name}: is only a part of the folder that was indexed, so all other documents would be "
                "deleted; give the whole folder"
            )
        if delete_missing and isinstance(documents, DocumentSet) and documents.left_out:
            raise CollectionError(
                f"{documents.name}: files of tables in it are left out, and their documents would be deleted; give "
                f"patterns in place of the folder: {documents.left_out}"
            )
        compared = self._sees_last_commit and not self.pending
        choose = partial(changed, snapshot=self._snapshot) if compared else list
        chosen = ChosenDocuments(documents, choose)
        missing = self._writer.unnamed() if delete_missing else None
        known = 0

        def observe(given: list[Document], taken: list[Document]) -> None:
            nonlocal known
            if missing is not None:
                missing.name([document.doc_id for document in given])
            if dry_run:
                known += int(self._writer.contains([document.doc_id for document in taken]).sum())

        encoder = self._surveyed(chosen, observe, progress)
        deleted = [] if missing is None else missing.ids()
        if missing is not None and not chosen.given:
            raise CollectionError(
                f"{chosen.name}: has no documents, so all documents of the index would be deleted; check the source"
            )
        if dry_run:
            put = (chosen.count or 0) - known, known
        else:
            put = self._put(documents, chosen, encoder, batch_size, progress)
        if deleted and not dry_run:
            self.delete(deleted)
        return UpdateReport(*put, chosen.given - sum(put), deleted)

    def add_vectors(self, vectors: VectorsLike, ids: Sequence[str] | None, *, progress: bool) -> int:
        """Add vectors; returns their number. Raises VectorsError for an id that is already in the index."""
        rows = self._checked(vectors, ids)
        if rows.ids is not None:
            known = self._writer.contains(rows.ids)
            if known.any():
                raise VectorsError(_KNOWN.format(rows.ids[int(known.argmax())]))
        return sum(self._put_vectors(rows, progress))

    def update_vectors(
        self, vectors: VectorsLike, ids: Sequence[str] | None, *, delete_missing: bool, dry_run: bool, progress: bool
    ) -> UpdateReport:
        """Like add_vectors, but vectors replace those with the same ids. See update_documents."""
        rows = self._checked(vectors, ids)
        deleted: list[str] = []
        if delete_missing:
            missing = self._writer.unnamed()
            missing.name(rows.ids or [])
            deleted = missing.ids()
            if not len(rows):
                raise VectorsError(
                    "there are no vectors, so all documents of the index would be deleted; check the source"
                )
        if dry_run:
            known = 0 if rows.ids is None else int(self._writer.contains(rows.ids).sum())
            return UpdateReport(len(rows) - known, known, 0, deleted)
        put = self._put_vectors(rows, progress)
        if deleted:
            self.delete(deleted)
        return UpdateReport(*put, 0, deleted)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete documents; returns the number of ids that were in the index."""
        self.pending = True
        return self._writer.delete(ids)

    def commit(self) -> int:
        """Commit the changes; returns the new generation."""
        folders = self._known_folders() if self._folders else []
        new = [each for each in dict.fromkeys(self._folders) if each not in folders]
        generation = self._writer.commit(**({FOLDERS: [*folders, *new]} if new else {}))
        self.pending, self._folders = False, []
        encodings, self._encodings = self._encodings, []
        try:
            self._remove(encodings)
        except StorageError as error:
            said = f"generation {generation} is on disk, but temporary files could not be removed ({error})"
            warnings.warn(said, LsrWarning, stacklevel=2)
        return generation

    def merge(self, everything: bool, memory: int | None) -> int:
        """Commit and merge; returns the number of merged segments."""
        self.commit()
        return self._writer.merge(everything, memory)

    def merge_in_background(self) -> Thread | None:
        """Start a merge if one is due; returns its thread, or None. The next commit makes the merge visible."""
        return self._writer.merge_in_background()

    def drop(self) -> None:
        """Like `close`, but also remove the files from which a call could resume. Raises StorageError."""
        try:
            self._remove(self._begun)
        finally:
            self.close()

    def close(self) -> None:
        vars(self).pop("_snapshot", None)  # the snapshot keeps files open, which the writer removes now
        self._writer.close()

    def _remove(self, encodings: Iterable[Path]) -> None:
        for encoding in encodings:
            remove_encodings(encoding, self._snapshot.dense is not None)

    @property
    def _sees_last_commit(self) -> bool:
        seen = self._snapshot.generation
        return seen is not None and seen.number == self._writer.generation

    def _within(self, documents: Documents) -> Documents:
        """The documents, with the ids that files have in the indexed folders."""
        return documents.within(self._known_folders()) if isinstance(documents, DocumentSet) else documents

    def _known_folders(self) -> list[str]:
        found = self._writer.base.more.get(FOLDERS, [])
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise IndexFormatError(
                f"{self._writer.folder}: the folders in manifest.json are damaged; build the index again"
            )
        return found

    def _surveyed(self, chosen: ChosenDocuments, observe: Observe, progress: bool) -> Encoder:
        """The encoder, with all words of the documents. All errors in the documents are raised first."""
        encoder = self._encoder
        if encoder is None:
            raise EncoderError(
                f"{self._writer.folder}: has no encoder (it was built from vectors); add vectors, or attach an encoder "
                "with lsr attach"
            )
        texts = chosen.survey(self._known_columns(), observe, progress)
        if isinstance(encoder, BM25Encoder):
            return encoder.extended(texts)
        deque(texts, maxlen=0)
        return encoder

    def _put(
        self,
        documents: Documents,
        chosen: ChosenDocuments,
        encoder: Encoder,
        batch_size: int | None,
        progress: bool,
    ) -> tuple[int, int]:
        """Encode the chosen documents and add them; returns the numbers of new and of replaced documents."""
        if not chosen.count:
            return 0, 0
        if encoder is not self._encoder:
            with self._writer.together():
                self._writer.set_encoder(encoder.save, encoder.describe())
                self._writer.set_vocabulary(encoder.vocabulary)
            self._encoder = encoder
        encoding = self._writer.folder.with_name(f"{self._writer.folder.name}.adding")
        if self._encodings:
            encoding = encoding.with_name(f"{encoding.name}-{len(self._encodings)}")
        self._begun[encoding] = None
        self.pending = True
        before = self._writer.documents
        segment = self._writer.new_segment()
        maker = self._maker(batch_size, progress)
        try:
            maker.from_documents(chosen, segment, encoding)
        except (OtherItemsError, VectorsError):  # left by a killed call with other documents, or another encoder
            if not encoding.exists():
                raise
            remove_encodings(encoding, self._snapshot.dense is not None)
            maker.from_documents(chosen, segment, encoding)
        self._encodings.append(encoding)
        self._folders += folders_of(documents)
        replaced = self._writer.add_segment(segment)
        return self._writer.documents - before, replaced

    def _checked(self, vectors: VectorsLike, ids: Sequence[str] | None) -> SparseVectors:
        """The vectors, checked against the index, with their ids."""
        base = self._writer.base
        if self._snapshot.dense is not None or base.has_texts:
            raise ParameterError(
                f"{self._writer.folder}: the index stores texts or dense vectors, so it cannot take sparse vectors "
                "alone; add documents"
            )
        rows = SparseVectors.of(vectors, dim=base.dim, vocabulary=self._snapshot.vocabulary)
        if rows.dim != base.dim:
            raise ParameterError(
                f"the vectors have {rows.dim} components, but those of the index have {base.dim}; give vectors of its "
                "encoder"
            )
        names = rows.ids if ids is None else check_ids(ids, len(rows))
        if names is None and base.has_ids and base.documents:
            raise VectorsError("the vectors have no ids, but the index has ids; give an id for each row")
        return rows if names is None else rows.with_ids(names)

    def _put_vectors(self, rows: SparseVectors, progress: bool) -> tuple[int, int]:
        """Like _put, for vectors."""
        self.pending = True
        before = self._writer.documents
        segment = self._writer.new_segment()
        self._maker(None, progress).from_vectors(rows, segment)
        replaced = self._writer.add_segment(segment)
        return self._writer.documents - before, replaced

    def _maker(self, batch_size: int | None, progress: bool) -> SegmentMaker:
        base, dense = self._writer.base, self._snapshot.dense
        split = self._split(base.more.get(PASSAGES))
        return SegmentMaker(
            self._encoder,
            base.config,
            None if dense is None else dense.encoder,
            DenseConfig() if dense is None else dense.index.config,
            split,
            batch_size=batch_size,
            progress=progress,
            known_columns=self._known_columns(),
        )

    def _split(self, entry: Any) -> PassageSplit | None:
        try:
            return None if entry is None else PassageSplit(**entry)
        except (TypeError, ParameterError) as error:
            raise IndexFormatError(
                f"{self._writer.folder}: the passages in manifest.json are damaged ({error}); build the index again"
            ) from error

    def _known_columns(self) -> pa.Schema | None:
        """The metadata columns of the last commit, which may be newer than the snapshot, and of pending documents."""
        folders = [each for each in self._writer.segments if (each / METADATA_FILE).exists()]
        schemas = [Columns.open(each, METADATA).schema for each in folders]
        return unified(schemas) if schemas else None


def _all_new(some: list[Document], documents: Documents, writer: IndexWriter) -> list[Document]:
    """The given documents. Raises CollectionError for the first document whose id is in the index."""
    known = writer.contains([document.doc_id for document in some])
    if known.any():
        doc_id = some[int(known.argmax())].doc_id
        raise CollectionError(f"{place_of(documents, doc_id)}: {_KNOWN.format(doc_id)}")
    return some


def read_given(
    documents: Any,
    ids: Sequence[str] | None,
    vocabulary: Vocabulary | None,
    *,
    id: str | None,
    text: str | None,
    title: str | None,
) -> tuple[Any, Documents | None]:
    """The arguments of Searcher.add as (vectors, None) or (None, documents).

    vocabulary: the vocabulary of the index; stored vectors are read over it. Raises CollectionError, VectorsError,
        ParameterError.
    """
    if isinstance(documents, str | os.PathLike) and is_vectors(os.fspath(documents)):
        documents = SparseVectors.read(expanded(documents), vocabulary)
    if isinstance(documents, SparseVectors) or is_matrix(documents):
        return documents, None
    if ids is not None:
        raise ParameterError("ids are only for vectors; documents contain their ids (id names their column or key)")
    return None, as_documents(documents, id=id, text=text, title=title)


def folders_of(documents: Documents) -> list[str]:
    """The folders below which files have their paths as ids. Folders whose names are not UTF-8 are left out."""
    folders = documents.folders if isinstance(documents, DocumentSet) else []
    return [each for each in folders if is_utf8(each)]
