"""An encoder, and texts, for an index that was built from vectors, so that it can be searched with text."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lsr.checks import expanded
from lsr.collections.documents import as_documents
from lsr.collections.sources import Document
from lsr.encoders.load import EncoderLike, as_encoder
from lsr.errors import CollectionError, EncoderError, ParameterError
from lsr.index.index_folder import IDS
from lsr.index.segments.generation import TEXTS, Generation, OpenedSegment, open_generation
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.segments.merging import LiveRows
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.progress import progress_bar
from lsr.retrieval.changes import FOLDERS, folders_of
from lsr.retrieval.encoding import Documents
from lsr.retrieval.snapshot_reader import MATCHED, matched
from lsr.storage.files import scratch_folder
from lsr.storage.id_column import IdColumn
from lsr.storage.manifest import MANIFEST, read_manifest, write_manifest
from lsr.storage.strings import StringColumn

_ROWS_AT_ONCE = 1024


def attach(
    folder: str | os.PathLike[str],
    encoder: EncoderLike | None = None,
    documents: Any = None,
    *,
    id: str | None = None,
    text: str | None = None,
    title: str | None = None,
    progress: bool = False,
) -> int:
    """Give an index an encoder, texts, or both, in one commit; returns the number of the generation.

    encoder: that made its vectors, or one of the same vocabulary, as Searcher.open takes it; it takes the place of one
        that the index has. documents: with the ids of the index, or, where it has none, in its order; as build_index
        takes them. Documents that the index lacks are left out, and so is their metadata.
    id, text, title: columns of a table, or keys; see build_index.

    Vectors stay as they are: their files are linked. Raises EncoderError for an encoder of another vocabulary or
    dimension, or one that cannot be kept, CollectionError where a document of the index has no text, ParameterError for
    an index that has texts, or nothing to attach, StorageError while somebody else writes, IndexFormatError.
    """
    if encoder is None and documents is None:
        raise ParameterError("there is nothing to attach; give an encoder, or documents")
    target = Path(os.path.realpath(expanded(folder)))
    source = None if documents is None else as_documents(documents, id=id, text=text, title=title)
    with IndexWriter.open(target) as writer:
        generation = open_generation(target)
        if encoder is not None:
            _attach_encoder(writer, generation, encoder)
        if source is not None:
            _attach_texts(writer, generation, source, progress)
        del generation  # or its files would stay
        folders = [] if source is None else folders_of(source)
        return writer.commit(**({FOLDERS: folders} if folders else {}))


def _attach_encoder(writer: IndexWriter, generation: Generation, given: EncoderLike) -> None:
    index, described = SeismicIndex.of_generation(generation), dict(generation.commit.encoder or {})
    encoder = as_encoder(given, dim=index.dim, vocabulary=lambda: index.vocabulary)
    if not encoder.fitted:
        raise EncoderError(
            f"{encoder.name!r} is not fitted, and cannot have made the vectors of {generation.folder}; give the folder "
            "of the one that did"
        )
    by_number = matched(generation.folder, index, described, encoder)
    if by_number.dim != index.dim:
        raise EncoderError(
            f"encoder {encoder.name!r} makes vectors of {encoder.dim} components, the index holds {index.dim}; attach "
            "the encoder that made its vectors"
        )
    encoder.check_saveable()
    says = encoder.describe()
    if by_number is not encoder:
        says.pop("vocabulary_hash", None)
        says[MATCHED] = True
    writer.set_encoder(encoder.save, says)
    if index.vocabulary is None or not index.vocabulary.named:
        writer.set_vocabulary(encoder.vocabulary)


def _attach_texts(writer: IndexWriter, generation: Generation, documents: Documents, progress: bool) -> None:
    if generation.commit.has_texts:
        raise ParameterError(f"{generation.folder}: has texts; lsr update replaces documents")
    with scratch_folder(generation.folder / "texts") as scratch:
        with progress_bar("reading", documents.count if progress else None, "documents", progress) as advance:

            def counted() -> Iterator[Document]:
                for document in documents.documents():
                    yield document
                    advance(1)

            StringColumn.write(scratch, TEXTS, (document.full_text for document in counted()))
        if generation.commit.has_ids:
            IdColumn.write(scratch, IDS, (document.doc_id for document in documents.documents()))
        texts = StringColumn.open(scratch, TEXTS)
        ids = IdColumn.open(scratch, IDS) if generation.commit.has_ids else None
        if ids is None and len(texts) != len(generation.rows):
            raise CollectionError(
                f"{documents.name}: has {len(texts)} documents, and the index, which has no ids, {len(generation.rows)}"
            )
        first = 0  # the number of a segment's first live row, where there are no ids
        for segment in generation.segments:
            manifest = read_manifest(segment.folder)
            kept = {name: entry for name, entry in manifest.items() if name not in ("product", "files")}
            with writer.revised_segment(segment.entry.name, but=MANIFEST) as new:
                StringColumn.write(new, TEXTS, _texts_of(segment, texts, ids, first, documents.name))
                write_manifest(new, kept)
            first += segment.entry.live


def _texts_of(
    segment: OpenedSegment, texts: StringColumn, ids: IdColumn | None, first: int, name: str
) -> Iterator[str]:
    """The text of each document of a segment, none for those that are deleted."""
    dead = np.ones(segment.documents, bool)
    dead[LiveRows.of(segment).documents] = False
    numbers = first + np.cumsum(~dead) - 1
    for begin in range(0, segment.documents, _ROWS_AT_ONCE):
        some = range(begin, min(begin + _ROWS_AT_ONCE, segment.documents))
        rows = numbers[begin : begin + len(some)]
        if ids is not None and segment.ids is not None:
            rows = ids.rows([segment.ids[document] for document in some])
        for document, row in zip(some, rows.tolist(), strict=True):
            if dead[document]:
                yield ""
            elif row < 0:
                assert segment.ids is not None
                raise CollectionError(
                    f"{name}: has no document {segment.ids[document]!r}, which the index has; give all of its documents"
                )
            else:
                yield texts[row]
