"""Building an index from documents or vectors, with its encoder, texts and metadata."""

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
    """Build a search index of documents or vectors in `folder`; returns a Searcher of it.

        searcher = build_index([{"id": "a", "text": "red wine", "year": 2020}], "wines.index", encoder="bm25")
        searcher.search("wine", where="year >= 2020")

    An existing index in `folder` is replaced in one step. Searchers that have it open keep the old content.

    documents: a path (a folder of files, a BEIR folder, a CSV, TSV, JSONL or Parquet file), a data frame or Arrow
        table, an iterable of texts, dicts or Documents, a Collection, or the path of stored vectors. All values other
        than id, title and text are stored as metadata.
    folder: the folder of the index.
    encoder: an encoder, the name or folder for load_encoder, or a function or object for encoder_from. Required for
        documents; a BM25 encoder that is not fitted is fitted on them. For vectors, it must be the encoder that
        produced them, by default the encoder stored with them; without any encoder, the index can be searched only with
        vectors. An encoder made of your own code is not stored in the index.
    dense: dense vectors for hybrid search: a dense encoder, the name or folder for load_dense_encoder, or precomputed
        vectors, one per document: the path of an .npy, Parquet or faiss file, or an array float32[documents, dim].
    config: settings of the sparse index. Default: IndexConfig().
    dense_config: settings of the dense index. Default: DenseConfig().
    passages: how documents are split into passages: a PassageSplit, or the maximum number of tokens per passage.
        Searches score passages and return documents. None for whole documents.
    id, text, title: columns of a table, or keys of dicts. Default: usual names, such as "_id", "text" and "title".
    batch_size: the number of texts that are encoded together. Default: chosen by the encoder.
    threads: the number of threads. Default: all processors.
    memory: the maximum number of bytes for vectors and their index during the build. A build that needs more uses
        temporary files, takes longer, and gives the same index. Default: half of the machine's memory.
    progress: show progress bars on standard error.

    Documents are read several times and not held in memory. Their vectors are first written to the folder
    FOLDER.encoding, which is removed at the end. If the process is killed, the same call resumes from it.

    Raises CollectionError, VectorsError and EncoderError for input that cannot be read or does not fit together,
    StorageError if writing fails or `folder` holds anything but an index, and ParameterError if `memory` is too small
    for any build.
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
            "precomputed dense vectors are of whole documents; remove passages, or name a dense encoder"
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
        raise EncoderError(
            f"{source.name}: holds texts, so an encoder is needed; give one (--encoder, encoder=), such as tiny or bm25"
        )
    with ExitStack() as stack:
        if given is not None:
            scratch = stack.enter_context(scratch_folder(target.with_name(f"{target.name}.dense")))
            vectors = stack.enter_context(open_dense_vectors(given, scratch, progress))
            if source is not None:  # before any document is encoded
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
    fit_on_rows(encoder, rows, encoding, total, maker.progress, maker.batch_size)  # on passages, if documents are split
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
            f"{path}: holds vectors, but {chosen.name!r} is not fitted, so it cannot be their encoder; remove the "
            "encoder, or give the folder of the encoder that produced them"
        )
    if chosen is not None and made_by not in (None, chosen.describe()):
        raise EncoderError(
            f"{path}: the vectors were made by {made_by}, not by {chosen.describe()}; give the encoder that produced "
            "them, with the same settings"
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
