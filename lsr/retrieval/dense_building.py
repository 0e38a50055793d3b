"""Building dense indexes of documents, alone or as part of an index."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lsr.batched import batched
from lsr.checks import check_kind, expanded
from lsr.collections.documents import as_documents
from lsr.collections.passages import passage_text
from lsr.display import counted
from lsr.encoders.base import ENCODER_FOLDER
from lsr.encoders.sparse_collection import IdAndText
from lsr.errors import CollectionError, EncoderError, ParameterError
from lsr.index.dense_config import DenseConfig
from lsr.index.dense_vectors import DenseVectors, names_dense_vectors, open_dense_vectors
from lsr.index.index_checks import settings_of
from lsr.retrieval.dense_side import DENSE_FOLDER, check_dim
from lsr.retrieval.encoding import Anew, Documents, whole_documents
from lsr.retrieval.segment_maker import encodings, same_documents, write_dense_beside
from lsr.storage.files import link_tree, scratch_folder, storage_errors
from lsr.storage.id_column import Ids
from lsr.storage.manifest import MANIFEST, check_replaceable, read_manifest, replacing_folder, write_manifest
from lsr.storage.parts import noting_kept
from lsr.threads import checked_threads
from lsr.vectors.io import is_vectors

if TYPE_CHECKING:
    import numpy.typing as npt

    from lsr.encoders.dense.dense_encoder import DenseEncoder
    from lsr.index.dense.dense_index import DenseIndex
    from lsr.index.segments.generation import Generation, OpenedSegment

NO_TEXT = "{}: a dense index needs texts, not sparse vectors; give the collection"
_OF_INDEX = "give the collection that the index was built from"
_IDS_AT_ONCE = 1024


def build_dense(
    documents: Any,
    folder: str | Path,
    encoder: DenseEncoder | str | Path,
    config: DenseConfig | None = None,
    *,
    expected: Ids | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> DenseIndex:
    """Build a dense index of documents in its own folder. Replaces an existing one.

    documents: the documents, as build_index takes them.
    folder: the folder of the index.
    encoder: the dense encoder.
    config: settings of the index. Default: DenseConfig().
    expected: the ids that the documents must have, in this order.
    batch_size, threads, progress: see build_index.

    If the process is killed, the same call resumes from FOLDER.encoding, which is removed at the end. Raises
    CollectionError, VectorsError, EncoderError and StorageError like build_index.
    """
    from lsr.encoders.dense.dense_collection import encode_dense_collection, read_dense_parts
    from lsr.index.dense.dense_index import DenseIndex

    if isinstance(documents, str | os.PathLike) and is_vectors(os.fspath(documents)):
        raise EncoderError(NO_TEXT.format(documents))
    source = as_documents(documents)
    config = settings_of(DenseConfig, config)
    folder = Path(os.path.realpath(expanded(folder)))
    check_replaceable(folder)
    checked_threads(threads)
    encoder = as_dense(encoder)
    encoding = folder.with_name(f"{folder.name}.encoding")
    rows = encode_dense_collection(
        encoder,
        whole_documents(source) if expected is None else _expected(source, expected),
        encoding,
        total=source.count if progress else None,
        progress=progress,
        batch_size=batch_size,
    )
    with noting_kept(encoding), replacing_folder(folder) as temporary:
        write_dense_beside(temporary, read_dense_parts(encoding), rows, encoder, config, threads, progress)
    with storage_errors(encoding):
        shutil.rmtree(encoding)
    return DenseIndex.open(folder)


def add_dense(
    folder: str | Path,
    encoder: DenseEncoder | str | Path | npt.NDArray[np.floating],
    config: DenseConfig | None = None,
    documents: Any = None,
    *,
    batch_size: int | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> int:
    """Add dense vectors to an index in one commit; returns the new generation. Replaces existing ones.

    folder: the folder of the index.
    encoder: a dense encoder, or precomputed dense vectors, as build_index takes them: matched by ids of documents, or
        in their order.
    config: settings of the dense index. Default: DenseConfig().
    documents: the documents of the index, as build_index takes them. Needed only if the index stores no texts; they
        must then have the ids and the order of the index.
    batch_size, threads, progress: see build_index.

    Passages are encoded as build_index encodes them. If the process is killed, the same call resumes from
    FOLDER.dense.encoding.

    Raises CollectionError for other documents, ParameterError for an index without texts, VectorsError for vectors that
    do not belong to its documents, StorageError.
    """
    from lsr.index.segments.generation import open_generation
    from lsr.index.segments.index_writer import IndexWriter

    config = settings_of(DenseConfig, config)
    checked_threads(threads)
    target = Path(os.path.realpath(expanded(folder)))
    source = None if documents is None else as_documents(documents)
    if names_dense_vectors(encoder):
        return _add_given(target, encoder, config, source, threads, progress)
    from lsr.encoders.dense.dense_collection import encode_dense_collection, read_dense_parts

    encoder = as_dense(encoder)
    encoding = encodings(target.with_name(f"{target.name}.encoding"))[1]
    with IndexWriter.open(target) as writer:
        rows = _rows_to_encode(open_generation(target), source)
        total = sum(each.rows for each in writer.base.segments) if progress else None
        encode_dense_collection(encoder, rows, encoding, total=total, progress=progress, batch_size=batch_size)
        parts = read_dense_parts(encoding)
        rest: list[tuple[list[str], Any]] = []
        for segment in writer.base.segments:
            mine = _first_rows(parts, rest, segment.rows)
            with writer.revised_segment(segment.name, but=DENSE_FOLDER) as new:
                write_dense_beside(new / DENSE_FOLDER, mine, segment.rows, encoder, config, threads, progress)
        del rows  # the rows keep old files of the index open, which the commit removes
        number = writer.commit()
    with storage_errors(encoding):
        shutil.rmtree(encoding)
    return number


def _add_given(
    target: Path, given: Any, config: DenseConfig, source: Documents | None, threads: int | None, progress: bool
) -> int:
    """Like add_dense, for precomputed vectors. Deleted rows get zeros; no search returns them."""
    from lsr.index.segments.generation import open_generation
    from lsr.index.segments.index_writer import IndexWriter

    with (
        scratch_folder(target.with_name(f"{target.name}.dense")) as scratch,
        open_dense_vectors(given, scratch, progress) as vectors,
        IndexWriter.open(target) as writer,
    ):
        generation = open_generation(target)
        if any(segment.starts is not None for segment in generation.segments):
            raise ParameterError(
                f"{target}: is split into passages, but {vectors.name} has vectors of whole documents; give a dense "
                "encoder"
            )
        if source is not None and generation.ids is not None:
            _check_same(source, generation.ids, generation.commit.documents)
        ids = generation.ids
        vectors.check_documents((str(row) for row in range(len(generation.rows))) if ids is None else ids)
        first = 0
        for segment in generation.segments:
            with writer.revised_segment(segment.entry.name, but=DENSE_FOLDER) as new:
                parts = _given_rows(segment, vectors, first)
                write_dense_beside(new / DENSE_FOLDER, parts, len(segment), vectors, config, threads, progress)
            first += segment.entry.live
        del generation, segment, ids  # these keep old files of the index open, which the commit removes
        return writer.commit()


def _given_rows(segment: OpenedSegment, vectors: DenseVectors, first: int) -> Iterator[tuple[list[str], Any]]:
    """(ids, float32[m, dim]) of all rows of a segment. first: the number of its first live row in the index."""
    alive = np.ones(len(segment), bool)
    alive[segment.deleted] = False
    for begin in range(0, len(segment), _IDS_AT_ONCE):
        some = range(begin, min(begin + _IDS_AT_ONCE, len(segment)))
        ids = [str(row) if segment.ids is None else segment.ids[row] for row in some]
        live = alive[some.start : some.stop]
        rows = np.zeros((len(some), vectors.dim), np.float32)
        rows[live] = vectors.of_documents([ids[at] for at in np.flatnonzero(live)], first)
        first += int(live.sum())
        yield ids, rows


def attach_dense(folder: str | Path, encoder: DenseEncoder | str | Path) -> int:
    """Add the encoder of precomputed dense vectors to an index, in one commit; returns the new generation.

    Queries of dense searches can then be texts. The encoder should be the one that produced the vectors. It replaces an
    encoder that the index has. The vectors do not change. Raises EncoderError for an encoder of another dimension,
    ParameterError for an index without dense vectors, StorageError, IndexFormatError.
    """
    from lsr.index.segments.generation import open_generation
    from lsr.index.segments.index_writer import IndexWriter
    from lsr.index.segments.segmented_dense import SegmentedDense

    target = Path(os.path.realpath(expanded(folder)))
    chosen = as_dense(encoder)
    with IndexWriter.open(target) as writer:
        if not writer.base.segments or not all((each / DENSE_FOLDER).is_dir() for each in writer.segments):
            raise ParameterError(f"{target}: has no dense vectors; add them with lsr index DOCUMENTS {target} --dense")
        generation = open_generation(target)
        check_dim(chosen, SegmentedDense.of_generation(generation).dim)
        for segment in generation.segments:
            manifest = read_manifest(segment.folder / DENSE_FOLDER)
            kept = {name: entry for name, entry in manifest.items() if name not in ("product", "files")}
            with writer.revised_segment(segment.entry.name, but=DENSE_FOLDER) as new:
                with storage_errors(new):
                    link_tree(segment.folder / DENSE_FOLDER, new / DENSE_FOLDER, ENCODER_FOLDER)
                    (new / DENSE_FOLDER / MANIFEST).unlink()
                chosen.save(new / DENSE_FOLDER / ENCODER_FOLDER)
                write_manifest(new / DENSE_FOLDER, {**kept, "encoder": chosen.describe()})
        del generation, segment
        return writer.commit()


def _rows_to_encode(generation: Generation, source: Documents | None) -> Anew[IdAndText]:
    """All rows that a generation stores, with their texts. Raises CollectionError, ParameterError."""
    if generation.commit.has_texts:
        if source is not None and generation.ids is not None:
            _check_same(source, generation.ids, generation.commit.documents)
        return Anew(lambda: _stored_rows(generation))
    if source is None or generation.ids is None or len(generation.rows) < sum(map(len, generation.segments)):
        raise ParameterError(
            f"{generation.folder}: stores no texts; run lsr merge --all, then give the documents from which the index "
            "was built"
        )
    expected = _expected(source, generation.ids)
    for _ in expected:  # raises an error that says where they differ
        pass
    return expected


def _check_same(documents: Documents, ids: Ids, count: int) -> None:
    """Raises CollectionError unless these are the documents of an index, in any order."""
    given = 0
    for some in batched((document.doc_id for document in documents.documents()), _IDS_AT_ONCE):
        unknown = ids.rows(some) < 0
        if unknown.any():
            at = int(unknown.argmax())
            raise CollectionError(
                f"{documents.name}: document {given + at + 1}, {some[at]!r}, is not in the index; {_OF_INDEX}"
            )
        given += len(some)
    if given < count:
        raise CollectionError(f"{documents.name}: {counted(given, 'document')} instead of {count}; {_OF_INDEX}")


def as_dense(given: Any) -> DenseEncoder:
    """A dense encoder, loaded if `given` is its name or folder. Raises EncoderError."""
    from lsr.encoders.dense.dense_encoder import DenseEncoder, load_dense_encoder  # imports torch

    if isinstance(given, str | Path):
        return load_dense_encoder(given)
    check_kind("the dense encoder", given, DenseEncoder, ", its name or folder")
    encoder: DenseEncoder = given
    return encoder


def _first_rows(
    parts: Iterator[tuple[list[str], Any]], rest: list[tuple[list[str], Any]], count: int
) -> Iterator[tuple[list[str], Any]]:
    """The next `count` rows of the parts. `rest` keeps the other rows of the last part."""
    while count:
        ids, vectors = rest.pop() if rest else next(parts)
        if len(ids) > count:
            rest.append((ids[count:], vectors[count:]))
        yield ids[:count], vectors[:count]
        count -= min(count, len(ids))


def _stored_rows(generation: Generation) -> Iterator[IdAndText]:
    """(id, text) of all rows that a generation stores, with deleted ones."""
    for segment in generation.segments:
        assert segment.texts is not None
        lengths = [1] * len(segment) if segment.starts is None else np.diff(segment.starts).tolist()
        row = 0
        for document, length in enumerate(lengths):
            text = segment.texts[document]
            doc_id = str(row) if segment.ids is None else segment.ids[document]
            title = 0 if segment.titles is None else int(segment.titles[document])
            for number in range(length):
                if segment.spans is None:
                    yield doc_id, text
                else:
                    begin, end = segment.spans[row].tolist()
                    yield f"{doc_id}#{number}", passage_text(text, number, begin, end, title)
                row += 1


def _expected(documents: Documents, ids: Ids) -> Anew[IdAndText]:
    """(id, full text) of documents, which must have `ids` in this order. Raises CollectionError otherwise."""

    def pairs() -> Iterator[IdAndText]:
        for document in same_documents(documents, ids, range(len(ids)), str, _OF_INDEX):
            yield document.doc_id, document.full_text

    return Anew(pairs)
