"""Building one segment of an index from documents or vectors."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsr.collections.passages import PassageRows, PassageSplit, document_of, first_row_of
from lsr.collections.sources import Document
from lsr.display import counted
from lsr.encoders.base import ENCODER_FOLDER, Encoder
from lsr.encoders.sparse_collection import IdAndText, encode_collection
from lsr.encoders.token_places import token_places
from lsr.errors import CollectionError
from lsr.index.dense_config import DenseConfig
from lsr.index.dense_vectors import DenseVectors
from lsr.index.index_folder import IDS, PASSAGES
from lsr.index.parameters import IndexConfig
from lsr.index.segments.generation import METADATA, SPANS, TEXTS, TITLES
from lsr.index.segments.merging import memory_of_disk_build
from lsr.index.seismic.build.trial import has_few_terms
from lsr.index.seismic.build.whole_collection import WholeCollection
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.dense_side import DENSE_FOLDER
from lsr.retrieval.encoding import Anew, Documents, remove_weights, whole_documents
from lsr.storage.arrays import save_arrays
from lsr.storage.columns import ColumnsWriter
from lsr.storage.files import storage_errors
from lsr.storage.id_column import IdColumn, Ids
from lsr.storage.manifest import Extra, write_manifest
from lsr.storage.parts import noting_kept
from lsr.storage.strings import StringColumn
from lsr.vectors.io import read_info
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

    from lsr.encoders.dense.dense_encoder import DenseEncoder

_CHANGED = "the collection has changed since it was encoded; index it again"
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class SegmentMaker:
    """The settings with which segments of an index are built.

    encoder: the encoder of documents; None for vectors. config: settings of the sparse index.
    dense: the source of the segment's dense vectors: a dense encoder, or precomputed vectors; None without them.
    split: how documents are split into passages; None for whole documents.
    known_columns: the metadata columns of the index, with which those of the segment must agree.
    batch_size, threads, progress: see build_index.
    memory: the maximum number of bytes for vectors and their index; None for half of the machine's memory.
    whole: for a segment of a shard, the statistics of the collection of all shards; otherwise None.
    """

    encoder: Encoder | None
    config: IndexConfig
    dense: DenseEncoder | DenseVectors | None = None
    dense_config: DenseConfig = field(default_factory=DenseConfig)
    split: PassageSplit | None = None
    batch_size: int | None = None
    threads: int | None = None
    memory: int | None = None
    progress: bool = False
    known_columns: pa.Schema | None = None
    whole: WholeCollection | None = None

    def from_documents(self, documents: Documents, segment: Path, encoding: Path) -> None:
        """Encode documents into `encoding`, from which a killed call resumes, and build the segment.

        `encoding` stays until the segment is committed; see `encodings`. Raises CollectionError, VectorsError,
        EncoderError and StorageError.
        """
        assert self.encoder is not None
        rows = rows_of(documents, self.split, self.encoder)
        options: dict[str, Any] = {
            "total": documents.count if self.progress and self.split is None else None,
            "progress": self.progress,
            "batch_size": self.batch_size,
        }
        encode_collection(self.encoder, rows, encoding, **options)
        dense_rows = 0
        if self.dense is not None and not isinstance(self.dense, DenseVectors):
            from lsr.encoders.dense.dense_collection import encode_dense_collection

            dense_rows = encode_dense_collection(self.dense, rows, encodings(encoding)[1], **options)

        def beside(folder: Path) -> dict[str, Any]:
            passages = rows if isinstance(rows, PassageRows) else None
            _write_documents(folder, documents, passages, self.known_columns)
            if isinstance(self.dense, DenseVectors):
                self.write_given_dense(folder)
            elif self.dense is not None:
                from lsr.encoders.dense.dense_collection import read_dense_parts

                parts = read_dense_parts(encodings(encoding)[1])
                write_dense_beside(
                    folder / DENSE_FOLDER,
                    parts,
                    dense_rows,
                    self.dense,
                    self.dense_config,
                    self.threads,
                    self.progress,
                )
            return {"has_ids": True}

        with noting_kept(encoding):
            self.from_vectors(encoding, segment, beside)

    def write_given_dense(self, folder: Path) -> None:
        """Write the precomputed dense vectors of the rows whose ids are in the folder. Raises VectorsError."""
        assert isinstance(self.dense, DenseVectors)
        rows = len(self.dense)
        ids: Ids | list[str] = IdColumn.open(folder, IDS) if has_ids(folder) else [str(row) for row in range(rows)]
        self.dense.check_documents(ids)
        write_dense_beside(
            folder / DENSE_FOLDER,
            self.dense.batches(ids),
            rows,
            self.dense,
            self.dense_config,
            self.threads,
            self.progress,
        )

    def from_vectors(
        self,
        vectors: Path | SparseVectors,
        segment: Path,
        beside: Extra | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        """Build the segment from vectors, stored or in memory.

        beside: see SeismicIndex.save. vocabulary: the vocabulary over which stored vectors are read.
        """
        few_terms = self.encoder is not None and has_few_terms(self.encoder.describe())
        if isinstance(vectors, Path):
            limit = memory_of_disk_build(read_info(vectors, vocabulary).nnz, self.memory)
            if limit is not None:
                SeismicIndex.build_from(
                    vectors,
                    segment,
                    self.config,
                    memory=limit,
                    threads=self.threads,
                    vocabulary=vocabulary,
                    progress=self.progress,
                    extra=beside,
                    few_terms=few_terms,
                    whole=self.whole,
                )
                return
            vectors = SparseVectors.read(vectors, vocabulary)
        index = SeismicIndex.build(
            vectors,
            self.config,
            threads=self.threads,
            progress=self.progress,
            few_terms=few_terms,
            whole=self.whole,
        )
        del vectors  # frees their memory
        index.save(segment, beside)


def write_dense_beside(
    folder: Path,
    parts: Iterable[tuple[Sequence[str], Any]],
    rows: int,
    made_by: DenseEncoder | DenseVectors,
    config: DenseConfig,
    threads: int | None,
    progress: bool,
) -> None:
    """Write a dense index, with its encoder if there is one. parts: (ids, float32[n, dim]), `rows` rows in total."""
    from lsr.index.dense.dense_index import write_dense

    with storage_errors(folder):
        folder.mkdir(exist_ok=True)
    manifest = write_dense(folder, parts, rows, made_by.dim, config, threads, progress)
    if not isinstance(made_by, DenseVectors):
        made_by.save(folder / ENCODER_FOLDER)
        manifest["encoder"] = made_by.describe()
    write_manifest(folder, manifest)


def encodings(encoding: Path) -> tuple[Path, Path]:
    """The folders of encoded sparse and dense vectors: X.encoding and X.dense.encoding."""
    return encoding, encoding.with_suffix(f".{DENSE_FOLDER}{encoding.suffix}")


def remove_encodings(encoding: Path, dense: bool) -> None:
    """Remove the folders of `encodings`, after the segment is committed. Raises StorageError."""
    for folder in encodings(encoding)[: 1 + dense]:
        if folder.exists():
            with storage_errors(folder):
                shutil.rmtree(folder)
    remove_weights(encoding)


def rows_of(documents: Documents, split: PassageSplit | None, encoder: Encoder) -> Anew[IdAndText] | PassageRows:
    """(id, text) of each row: a document, or a passage."""
    if split is None:
        return whole_documents(documents)
    return PassageRows(Anew(documents.documents), split, token_places(encoder))


def _write_documents(folder: Path, documents: Documents, passages: PassageRows | None, known: pa.Schema | None) -> None:
    """Write ids, texts and metadata of documents, which must be those whose row ids are in the folder."""
    row_ids = IdColumn.open(folder, IDS) if has_ids(folder) else IdColumn.of([])
    firsts = range(len(row_ids)) if passages is None else passages.starts[:-1].tolist()
    schema = getattr(documents, "metadata_schema", None)
    with ColumnsWriter(folder, METADATA, schema, known) as columns:

        def texts() -> Iterator[str]:
            held: list[Document] = []
            name = str if passages is None else first_row_of
            for document in same_documents(documents, row_ids, firsts, name, _CHANGED):
                yield document.full_text
                held.append(document)
                if len(held) == _ROWS_AT_ONCE:
                    columns.add([each.metadata for each in held])
                    held = []
            columns.add([each.metadata for each in held])

        StringColumn.write(folder, TEXTS, texts())
        columns.finish()
    if passages is not None:
        save_arrays(folder, {PASSAGES: passages.starts, SPANS: passages.spans, TITLES: passages.titles})
        # To another file first, because the ids of passages are still read; then it replaces them.
        IdColumn.write(folder, f"document-{IDS}", (document_of(row_ids[first]) for first in firsts))
        for path in folder.glob(f"document-{IDS}.*"):
            os.replace(path, folder / path.name.removeprefix("document-"))


def has_ids(folder: Path) -> bool:
    """Whether the folder has ids of rows."""
    return (folder / f"{IDS}.offsets.npy").exists()


def same_documents(
    documents: Documents, row_ids: Ids | Sequence[str], firsts: Sequence[int], name: Callable[[str], str], advice: str
) -> Iterator[Document]:
    """The documents. Raises CollectionError unless they are those that were encoded, in the same order.

    row_ids: the id of each encoded row. firsts: the first row of each document. name: id of a document -> the id that
    its first row must have. advice: the end of the error message.
    """
    count = 0
    for document in documents.documents():
        if count == len(firsts) or row_ids[firsts[count]] != name(document.doc_id):
            raise CollectionError(f"{documents.name}: document {count + 1}, {document.doc_id!r}, is new; {advice}")
        yield document
        count += 1
    if count < len(firsts):
        raise CollectionError(f"{documents.name}: {counted(count, 'document')} instead of {len(firsts)}; {advice}")
