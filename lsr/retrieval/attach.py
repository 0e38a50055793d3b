"""Adding an encoder and texts to an index that was built from vectors."""

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
    """Add an encoder, texts, or both to an index of vectors, in one commit; returns the new generation.

    folder: the folder of the index.
    encoder: the encoder that produced the vectors, or one with the same vocabulary, as Searcher.open takes it. An
        existing encoder of the index is replaced.
    documents: the documents, as build_index takes them. They need the ids of the index, or, if the index has no ids,
        the order of its rows. Documents that are not in the index are ignored; metadata are not stored.
    id, text, title: columns of a table, or keys of dicts; see build_index.
    progress: show a bar on standard error.

    The files of the vectors are linked, not copied. Raises EncoderError for an encoder of another vocabulary or
    dimension, or one that cannot be stored; CollectionError if a document of the index has no text; ParameterError if
    the index has texts, or there is nothing to attach; StorageError while another process writes; IndexFormatError.
    """
    if encoder is None and documents is None:
        raise ParameterError("nothing to attach; give an encoder, or documents")
    target = Path(os.path.realpath(expanded(folder)))
    source = None if documents is None else as_documents(documents, id=id, text=text, title=title)
    with IndexWriter.open(target) as writer:
        generation = open_generation(target)
        if encoder is not None:
            _attach_encoder(writer, generation, encoder)
        if source is not None:
            _attach_texts(writer, generation, source, progress)
        del generation  # so that its files can be removed
        folders = [] if source is None else folders_of(source)
        return writer.commit(**({FOLDERS: folders} if folders else {}))


def _attach_encoder(writer: IndexWriter, generation: Generation, given: EncoderLike) -> None:
    index, described = SeismicIndex.of_generation(generation), dict(generation.commit.encoder or {})
    encoder = as_encoder(given, dim=index.dim, vocabulary=lambda: index.vocabulary)
    if not encoder.fitted:
        raise EncoderError(
            f"{encoder.name!r} is not fitted, so it cannot be the encoder of the vectors of {generation.folder}; give "
            "the folder of the fitted encoder"
        )
    by_number = matched(generation.folder, index, described, encoder)
    if by_number.dim != index.dim:
        raise EncoderError(
            f"encoder {encoder.name!r} makes vectors of {encoder.dim} components, but those of the index have "
            f"{index.dim}; attach the encoder that produced its vectors"
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
        raise ParameterError(f"{generation.folder}: has texts; use lsr update to replace documents")
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
                f"{documents.name}: has {len(texts)} documents, but the index has {len(generation.rows)}; give exactly "
                "the documents of the index, in its order, because it has no ids"
            )
        first = 0  # the number of a segment's first live row, for indexes without ids
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
    """The text of each row of a segment; "" for deleted rows."""
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
                    f"{name}: document {segment.ids[document]!r} of the index is missing; give all documents of the "
                    "index"
                )
            else:
                yield texts[row]
