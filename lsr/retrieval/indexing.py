"""Build an index in one go: documents -> vectors -> index, with its encoder, texts and metadata beside it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsr.checks import check_whole, expanded
from lsr.collections.documents import as_documents
from lsr.collections.passages import PassageSplit
from lsr.encoders.base import ENCODER_FOLDER
from lsr.encoders.load import EncoderLike, as_encoder
from lsr.errors import EncoderError, ParameterError
from lsr.index.dense_config import DenseConfig
from lsr.index.dense_vectors import names_dense_vectors, open_dense_vectors
from lsr.index.index_checks import settings_of
from lsr.index.parameters import IndexConfig
from lsr.index.segments.index_writer import IndexWriter
from lsr.retrieval.changes import FOLDERS, PASSAGES, folders_of
from lsr.retrieval.dense_building import NO_TEXT, as_dense
from lsr.retrieval.encoding import Documents, fit_on_rows
from lsr.retrieval.searcher import Searcher
from lsr.retrieval.segment_maker import SegmentMaker, remove_encodings, rows_of
from lsr.storage.files import scratch_folder
from lsr.storage.manifest import Extra, check_replaceable
from lsr.threads import checked_threads
from lsr.vectors.conversions import is_matrix
from lsr.vectors.io import is_vectors, read_info, read_vocabulary
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lsr.encoders.base import Encoder
    from lsr.encoders.dense.dense_encoder import DenseEncoder


def build_index(
    documents: Any,
    folder: str | Path,
    encoder: EncoderLike | None = None,
    dense: DenseEncoder | str | Path | npt.NDArray[np.floating] | None = None,
    config: IndexConfig | None = None,
    *,
    dense_config: DenseConfig | None = None,
    passages: PassageSplit | int | None = None,
    id: str | None = None,
    text: str | None = None,
    title: str | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    memory: int | None = None,
    progress: bool = False,
) -> Searcher:
    """Build an index in `folder` that Searcher.open can open again, in place of one that is there; returns its
    Searcher.

    documents: a collection, a path, a table, or an iterable of texts, dicts or Documents: see as_documents; or the path
        of stored vectors. What they have beside id, title and text is kept as metadata.
    encoder: an encoder, what load_encoder takes by name, or what encoder_from takes. Needed for documents; an unfitted
        BM25 is fitted on them. For vectors it must be the one that made them; by default it is the one kept with them,
        and without one the index is searched with vectors only. Code of one's own is not kept with the index.
    dense: a dense encoder, or what load_dense_encoder takes: dense vectors are indexed beside the sparse ones, as
        dense_config says. Or dense vectors made elsewhere, one for each document: the path of an .npy, Parquet or faiss
        file, or an array float32[documents, dim]; see docs/vectors.md.
    passages: how long documents are split, or the tokens of a passage; the passages are what is searched, and documents
        what is found. None for whole documents.
    id, text, title: the columns of a table or the keys of dicts; see as_documents.
    memory: bytes that may hold vectors and their index while it is built, by default half of what the machine has.
        Where they need more, the build goes by way of the disk, takes longer, and gives the same index.

    Documents are read several times rather than held in memory. Their vectors are first encoded into the folder
    FOLDER.encoding, from which a killed build resumes, and which is removed at the end. Searchers of an index that is
    replaced keep what they opened.

    Raises CollectionError, VectorsError and EncoderError for what cannot be read or does not fit together, StorageError
    where writing fails or `folder` holds anything but an index, and ParameterError for less memory than any way takes.
    """
    stored = isinstance(documents, str | os.PathLike) and is_vectors(os.fspath(documents))
    config = settings_of(IndexConfig, config)
    split = passages if passages is None or isinstance(passages, PassageSplit) else PassageSplit(passages)
    target = Path(os.path.realpath(expanded(folder)))
    check_replaceable(target)
    checked_threads(threads)
    if memory is not None:
        check_whole("memory", memory)
    given = dense if names_dense_vectors(dense) else None
    if stored and ((dense is not None and given is None) or split is not None):
        raise EncoderError(NO_TEXT.format(documents))
    if given is not None and split is not None:
        raise ParameterError(
            "dense vectors that are given are of whole documents; leave out passages, or name an encoder"
        )
    maker = SegmentMaker(
        None,
        config,
        None if dense is None or given is not None else as_dense(dense),
        settings_of(DenseConfig, dense_config),
        split,
        batch_size,
        threads,
        memory,
        progress,
    )
    if not stored and (isinstance(documents, SparseVectors) or is_matrix(documents)):
        raise ParameterError(
            "these are vectors: build and save them with SeismicIndex.build(vectors, ids=[...]).save(folder), and "
            "change them with Searcher.open_for_vectors(folder)"
        )
    source = None if stored else as_documents(documents, id=id, text=text, title=title)
    if source is not None and encoder is None:
        raise EncoderError(f"{source.name} holds text, which needs an encoder; name one, such as tiny or bm25")
    with ExitStack() as stack:
        if given is not None:
            scratch = stack.enter_context(scratch_folder(target.with_name(f"{target.name}.dense")))
            vectors = stack.enter_context(open_dense_vectors(given, scratch, progress))
            if source is not None:  # before any of them is encoded
                vectors.check_documents(document.doc_id for document in source.documents())
            maker = replace(maker, dense=vectors)
        if source is None:
            return _index_vectors(expanded(documents), target, encoder, maker)
        assert encoder is not None
        return _index_documents(source, target, as_encoder(encoder), maker)


def _index_documents(source: Documents, target: Path, encoder: Encoder, maker: SegmentMaker) -> Searcher:
    encoding, split = target.with_name(f"{target.name}.encoding"), maker.split
    total = source.count if maker.progress and split is None else None
    rows = rows_of(source, split, encoder)
    fit_on_rows(encoder, rows, encoding, total, maker.progress, maker.batch_size)  # on what is searched
    encoder.check_saveable()
    with IndexWriter.create(target, maker.config) as writer:
        segment = writer.new_segment()
        replace(maker, encoder=encoder).from_documents(source, segment, encoding)
        writer.add_segment(segment)
        writer.set_encoder(encoder.save, encoder.describe())
        writer.set_vocabulary(encoder.vocabulary)
        entries = {PASSAGES: None if split is None else asdict(split), FOLDERS: folders_of(source)}
        writer.commit(source=source.name, **{name: entry for name, entry in entries.items() if entry})
    remove_encodings(encoding, maker.dense is not None)
    return Searcher.open(target, encoder=encoder)


def _index_vectors(path: Path, folder: Path, encoder: EncoderLike | None, maker: SegmentMaker) -> Searcher:
    named = read_vocabulary(path)
    info = read_info(path, named)
    made_by = info.encoder
    if encoder is None and (path / ENCODER_FOLDER).is_dir():
        encoder = path / ENCODER_FOLDER
    chosen = None if encoder is None else as_encoder(encoder, dim=info.dim, vocabulary=lambda: named)
    if chosen is not None and not chosen.fitted:
        raise EncoderError(
            f"{path}: holds vectors, which {chosen.name!r}, not fitted, cannot have made; leave the encoder out, or "
            "give the folder of the one that made them"
        )
    if chosen is not None and made_by not in (None, chosen.describe()):
        raise EncoderError(
            f"{path}: its vectors were made by {made_by}, not by {chosen.describe()}; "
            f"give the encoder that made them, with the same settings"
        )
    with IndexWriter.create(folder, maker.config) as writer:
        segment = writer.new_segment()
        vocabulary = named if chosen is None else chosen.vocabulary
        beside = _dense_beside(maker) if maker.dense is not None else None
        replace(maker, encoder=chosen).from_vectors(path, segment, beside, vocabulary)
        writer.add_segment(segment)
        writer.set_encoder(None if chosen is None else chosen.save, made_by if chosen is None else chosen.describe())
        writer.set_vocabulary(vocabulary)
        writer.commit(source=path.name)
    return Searcher.open_for_vectors(folder) if chosen is None else Searcher.open(folder, encoder=chosen)


def _dense_beside(maker: SegmentMaker) -> Extra:
    def write(folder: Path) -> dict[str, Any]:
        maker.write_given_dense(folder)
        return {}

    return write
