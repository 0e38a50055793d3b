"""Changes: what is added to an index and deleted from it, before one commit makes all of it visible."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from lsr.collections.passages import PassageSplit
from lsr.collections.sources import Document
from lsr.encoders.bm25 import BM25Encoder
from lsr.errors import (
    CollectionError,
    EncoderError,
    IndexFormatError,
    LsrError,
    ParameterError,
    StorageError,
    VectorsError,
)
from lsr.index.dense_config import DenseConfig
from lsr.index.segments.generation import METADATA, METADATA_FILE
from lsr.index.segments.index_writer import IndexWriter
from lsr.retrieval.encoding import Documents
from lsr.retrieval.segment_maker import SegmentMaker, remove_encodings
from lsr.storage.columns import Columns, unified
from lsr.storage.ids import check_ids
from lsr.storage.parts import OtherItemsError
from lsr.vectors.sparse_vectors import SparseVectors, VectorsLike

if TYPE_CHECKING:
    import pyarrow as pa

    from lsr.encoders.base import Encoder
    from lsr.retrieval.snapshot import Snapshot

PASSAGES = "passages"  # what a commit says of how documents are split
_IDS_AT_ONCE = 1024


class Changes:
    """The one writer of an index that is searched, and how its segments are made.

    `close` drops what is not committed.

    snapshot: what is searched, with the encoders for what is added. Raises StorageError while another process writes,
    or where the index has another encoder by now.
    """

    def __init__(self, folder: Path, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._encoder = snapshot.query_encoder
        self._writer = IndexWriter.open(folder)
        seen = snapshot.generation
        if seen is not None and self._writer.base.encoding != seen.commit.encoding:
            self.close()
            raise StorageError(f"{folder}: has another encoder by now; refresh the searcher, and try again")
        self._encodings: list[Path] = []
        self._begun: dict[Path, None] = {}  # those of calls that failed, too
        self.pending = False  # whether there is anything to commit

    def add_documents(self, documents: Documents, *, replace: bool, batch_size: int | None, progress: bool) -> int:
        """Encode documents and add them; returns how many.

        replace: they take the place of those that have their ids, unless these have the same text and metadata; without
        it, such an id is a CollectionError. Words that BM25's vocabulary lacks are added to it. A killed call resumes
        where INDEX.adding has what was encoded.
        """
        if self._encoder is None:
            raise EncoderError(
                f"{self._writer.folder}: has no encoder, as it was built from vectors; add vectors, or lsr attach one"
            )
        checked = documents
        if not replace:
            checked = _Chosen(documents, partial(_all_new, writer=self._writer))
        elif self._sees_last_commit and not self.pending:
            checked = _Chosen(documents, partial(_changed, snapshot=self._snapshot))
        if next(checked.documents(), None) is None:
            return 0
        self._encoder = self._encoder_of(checked)
        encoding = self._writer.folder.with_name(f"{self._writer.folder.name}.adding")
        if self._encodings:
            encoding = encoding.with_name(f"{encoding.name}-{len(self._encodings)}")
        self._begun[encoding] = None
        self.pending = True
        before = self._writer.documents
        segment = self._writer.new_segment()
        maker = self._maker(batch_size, progress)
        try:
            maker.from_documents(checked, segment, encoding)
        except (OtherItemsError, VectorsError):  # what a killed call left of other documents, or of another encoder
            if not encoding.exists():
                raise
            remove_encodings(encoding, self._snapshot.dense is not None)
            maker.from_documents(checked, segment, encoding)
        self._encodings.append(encoding)
        replaced = self._writer.add_segment(segment)
        return self._writer.documents - before + replaced

    def add_vectors(self, vectors: VectorsLike, ids: Sequence[str] | None, *, replace: bool, progress: bool) -> int:
        """Add the rows of vectors; returns how many. See add_documents."""
        base = self._writer.base
        if self._snapshot.dense is not None or base.has_texts:
            raise ParameterError(
                f"{self._writer.folder}: keeps texts or dense vectors, which vectors lack; add documents"
            )
        rows = SparseVectors.of(vectors, dim=base.dim, vocabulary=self._snapshot.vocabulary)
        if rows.dim != base.dim:
            raise ParameterError(
                f"the vectors have {rows.dim} components, the index {base.dim}; give vectors of its encoder"
            )
        names = rows.ids if ids is None else check_ids(ids, len(rows))
        if names is None and base.has_ids and base.documents:
            raise VectorsError("the vectors have no ids, and the index has; give ids, one for each row")
        if names is not None and not replace:
            known = self._writer.contains(names)
            if known.any():
                raise _known(names[int(known.argmax())], VectorsError)
        self.pending = True
        segment = self._writer.new_segment()
        self._maker(None, progress).from_vectors(rows if names is None else rows.with_ids(names), segment)
        self._writer.add_segment(segment)
        return len(rows)

    def delete(self, ids: Sequence[str]) -> int:
        """Returns how many documents there were."""
        self.pending = True
        return self._writer.delete(ids)

    def commit(self) -> int:
        """The number of the generation that has all of it."""
        generation = self._writer.commit()
        self.pending = False
        self._remove(self._encodings)
        self._encodings = []
        return generation

    def merge(self, everything: bool, memory: int | None) -> int:
        """Commit, and return how many segments became others."""
        self.commit()
        return self._writer.merge(everything, memory)

    def merge_in_background(self) -> Thread | None:
        """The thread of a merge that is due, if one is: what it makes is visible with the commit after its end."""
        return self._writer.merge_in_background()

    def drop(self) -> None:
        """As `close`, but nothing is left either from which a call could resume. Raises StorageError."""
        try:
            self._remove(self._begun)
        finally:
            self.close()

    def close(self) -> None:
        vars(self).pop("_snapshot", None)  # which holds a generation that is cleaned up now
        self._writer.close()

    def _remove(self, encodings: Iterable[Path]) -> None:
        for encoding in encodings:
            remove_encodings(encoding, self._snapshot.dense is not None)

    @property
    def _sees_last_commit(self) -> bool:
        seen = self._snapshot.generation
        return seen is not None and seen.number == self._writer.generation

    def _encoder_of(self, documents: Documents) -> Encoder:
        """The encoder with all words of the documents, which is kept with the index if it is another one."""
        encoder = self._encoder
        assert encoder is not None
        if isinstance(encoder, BM25Encoder):
            encoder = encoder.extended(document.full_text for document in documents.documents())
            if encoder is not self._encoder:
                with self._writer.together():
                    self._writer.set_encoder(encoder.save, encoder.describe())
                    self._writer.set_vocabulary(encoder.vocabulary)
        return encoder

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
        """Those of the last commit, which may be newer than what is searched, and of what was added since."""
        folders = [each for each in self._writer.segments if (each / METADATA_FILE).exists()]
        schemas = [Columns.open(each, METADATA).schema for each in folders]
        return unified(schemas) if schemas else None


class _Chosen:
    """Those of some documents that `choose` leaves of a list of them."""

    def __init__(self, documents: Documents, choose: Callable[[list[Document]], Iterable[Document]]) -> None:
        self.name, self.count = documents.name, documents.count
        self.metadata_schema = getattr(documents, "metadata_schema", None)
        self._documents, self._choose = documents, choose

    def documents(self) -> Iterator[Document]:
        remaining = self._documents.documents()
        while some := list(islice(remaining, _IDS_AT_ONCE)):
            yield from self._choose(some)


def _all_new(some: list[Document], writer: IndexWriter) -> list[Document]:
    """Raises CollectionError for the first whose id the index has."""
    known = writer.contains([document.doc_id for document in some])
    if known.any():
        raise _known(some[int(known.argmax())].doc_id, CollectionError)
    return some


def _changed(some: list[Document], snapshot: Snapshot) -> list[Document]:
    """Those that the index lacks, or has with another text or other metadata."""
    rows = snapshot.rows_of([document.doc_id for document in some]).tolist()
    return [document for document, row in zip(some, rows, strict=True) if not _has(snapshot, document, row)]


def _has(snapshot: Snapshot, document: Document, row: int) -> bool:
    texts, generation = snapshot.texts, snapshot.generation
    if row < 0 or texts is None or generation is None or texts[row] != document.full_text:
        return False
    stored = generation.metadata.row(row) if generation.metadata.stored else {}
    known, given = (
        {name: value for name, value in each.items() if value is not None} for each in (stored, document.metadata)
    )
    return known == given


def _known(doc_id: str, error: type[LsrError]) -> LsrError:
    return error(f"{doc_id!r} is the id of a document that the index has; update it, or give another id")
