"""Build a searchable index in one go: text -> vectors -> index, with its encoder and its texts beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsr.checks import check_kind, check_whole, expanded
from lsr.collections.collection import load_collection
from lsr.collections.sources import Document
from lsr.encoders.base import ENCODER_FOLDER
from lsr.encoders.load import EncoderLike, as_encoder
from lsr.errors import CollectionError, EncoderError
from lsr.index.dense_config import DenseConfig
from lsr.index.index_checks import settings_of
from lsr.index.parameters import IndexConfig
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.memory import machine_memory
from lsr.retrieval.dense_side import DENSE_FOLDER
from lsr.retrieval.encoding import Documents, encode_documents
from lsr.retrieval.searcher import TEXTS_NAME
from lsr.storage.files import storage_errors
from lsr.storage.id_column import Ids
from lsr.storage.manifest import MANIFEST, check_replaceable, replacing_folder, write_manifest
from lsr.storage.parts import noting_kept
from lsr.storage.strings import StringColumn
from lsr.threads import checked_threads
from lsr.vectors.io import is_vectors, read_info, read_vocabulary
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.encoders.dense.dense_encoder import DenseEncoder
    from lsr.index.dense.dense_index import DenseIndex

# Bytes that reading vectors and building their index in memory takes for each non-zero; measured: 35 to 37.
BUILD_BYTES = 40

NO_TEXT = "{}: a dense index needs text, not sparse vectors; give the collection"
_CHANGED = "the collection has changed since it was encoded; index it again"
_OF_INDEX = "it is not the one that the index was built from; give that one"


def build_searchable(
    source: Documents | str | Path,
    folder: str | Path,
    encoder: EncoderLike | None = None,
    config: IndexConfig | None = None,
    *,
    dense: DenseEncoder | str | Path | None = None,
    dense_config: DenseConfig | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    memory: int | None = None,
    progress: bool = False,
) -> SeismicIndex:
    """Build an index in `folder` that Searcher.open can search with text, in place of one that is there.

    source: a collection, its path or id as load_collection takes it, or the path of stored vectors.
    encoder: an encoder, what load_encoder takes by name, or what encoder_from takes. Needed for a collection; an
        unfitted BM25 is fitted on it. For vectors it must be the one that made them; by default it is the one kept with
        them, and without one the index can be searched with vectors only. Code of one's own is not kept with the index.
    dense: a dense encoder, or what load_dense_encoder takes: a dense index of the collection is built with it, beside
        the sparse one, as dense_config says.
    memory: bytes that may hold vectors and their index while it is built, by default half of what the machine has.
        Where they need more, the build goes by way of the disk, takes longer, and gives the same index.

    A collection is read several times rather than held in memory. Its vectors are first encoded into the folder
    FOLDER.encoding, from which a killed build resumes, and which is removed at the end.

    Raises CollectionError, VectorsError and EncoderError for what cannot be read or does not fit together, StorageError
    where writing fails or `folder` holds anything but an index, and ParameterError for less memory than any way takes.
    """
    source = _opened_source(source)
    config = settings_of(IndexConfig, config)
    dense_config = settings_of(DenseConfig, dense_config)
    folder = Path(os.path.realpath(expanded(folder)))
    check_replaceable(folder)
    checked_threads(threads)
    if memory is not None:
        check_whole("memory", memory)
    memory = machine_memory() // 2 if memory is None else memory
    if isinstance(source, Path):
        if dense is not None:
            raise EncoderError(NO_TEXT.format(source))
        return _index_vectors(source, folder, encoder, config, threads, memory, progress)
    if encoder is None:
        raise EncoderError(f"{source.name} holds text, which needs an encoder; name one, such as tiny or bm25")
    encoder = as_encoder(encoder)
    dense = None if dense is None else _as_dense(dense)

    encodings = [folder.with_name(f"{folder.name}.encoding")]
    encode_documents(source, encodings[0], encoder, batch_size=batch_size, progress=progress)
    add_dense = None
    if dense is not None:
        encodings.append(_dense_encoding_of(folder))
        write = _dense_writer(source, None, encodings[1], dense, dense_config, batch_size, threads, progress)

        def add_dense(temporary: Path) -> None:
            (temporary / DENSE_FOLDER).mkdir()
            write(temporary / DENSE_FOLDER)

    with noting_kept(encodings[0]):
        index = _index_vectors(encodings[0], folder, encoder, config, threads, memory, progress, source, add_dense)
    for done in encodings:
        with storage_errors(done):
            shutil.rmtree(done)
    return index


def _opened_source(source: Documents | str | Path) -> Documents | Path:
    """A collection, or where vectors are stored. Raises CollectionError."""
    if isinstance(source, str | os.PathLike):
        return expanded(source) if is_vectors(os.fspath(source)) else load_collection(source)
    if not (hasattr(source, "documents") and hasattr(source, "name")):
        raise CollectionError(
            f"what to index is of type {type(source).__name__}; give a collection, its path or that of stored vectors. "
            "Texts: index = SeismicIndex.build(encoder.encode_documents(texts)), then Searcher(index, encoder, texts)"
        )
    return source


def build_dense(
    source: Documents | str | Path,
    folder: str | Path,
    encoder: DenseEncoder | str | Path,
    config: DenseConfig | None = None,
    *,
    expected: Ids | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> DenseIndex:
    """Build a dense index of a collection in `folder`, in place of one that is there.

    folder: INDEX/dense, for it to be found beside a sparse index. expected: the ids its documents must have, those of
    that index. Goes on after a kill, from FOLDER.encoding (INDEX.dense.encoding), which is removed at the end.
    Raises CollectionError, VectorsError, EncoderError and StorageError as build_searchable does.
    """
    source = _opened_source(source)
    if isinstance(source, Path):
        raise EncoderError(NO_TEXT.format(source))
    folder = Path(os.path.realpath(expanded(folder)))
    check_replaceable(folder)
    checked_threads(threads)
    encoder = _as_dense(encoder)
    beside = folder.name == DENSE_FOLDER and (folder.parent / MANIFEST).exists()
    encoding = _dense_encoding_of(folder.parent) if beside else folder.with_name(f"{folder.name}.encoding")
    write = _dense_writer(source, expected, encoding, encoder, config, batch_size, threads, progress)
    with noting_kept(encoding), replacing_folder(folder) as temporary:
        write(temporary)
    with storage_errors(encoding):
        shutil.rmtree(encoding)
    from lsr.index.dense.dense_index import DenseIndex

    return DenseIndex.open(folder)


def _as_dense(given: DenseEncoder | str | Path) -> DenseEncoder:
    from lsr.encoders.dense.dense_encoder import DenseEncoder, load_dense_encoder  # loads torch

    if isinstance(given, str | Path):
        return load_dense_encoder(given)
    check_kind("the dense encoder", given, DenseEncoder, ", its name or folder")
    return given


def _dense_encoding_of(folder: Path) -> Path:
    """Where the dense vectors of the index in `folder` are gathered: beside it, not in it, which may be replaced."""
    return folder.with_name(f"{folder.name}.{DENSE_FOLDER}.encoding")


def _dense_writer(
    collection: Documents,
    expected: Ids | None,
    encoding: Path,
    encoder: DenseEncoder,
    config: DenseConfig | None,
    batch_size: int | None,
    threads: int | None,
    progress: bool,
) -> Callable[[Path], None]:
    """Encode the collection; what is returned writes the dense index into an empty folder."""
    from lsr.encoders.dense.dense_collection import encode_dense_collection, read_dense_parts
    from lsr.index.dense.dense_index import write_dense

    config = config or DenseConfig()
    wanted = collection.documents() if expected is None else _same_documents(collection, expected, _OF_INDEX)
    documents = encode_dense_collection(
        encoder,
        ((document.doc_id, document.full_text) for document in wanted),
        encoding,
        total=collection.count if progress else None,
        progress=progress,
        batch_size=batch_size,
    )

    def write(folder: Path) -> None:
        parts = read_dense_parts(encoding)
        manifest = write_dense(folder, parts, documents, encoder.dim, config, threads, progress)
        encoder.save(folder / ENCODER_FOLDER)
        write_manifest(folder, {**manifest, "source": collection.name, "encoder": encoder.describe()})

    return write


def _index_vectors(
    path: Path,
    folder: Path,
    encoder: EncoderLike | None,
    config: IndexConfig | None,
    threads: int | None,
    memory: int,
    progress: bool,
    collection: Documents | None = None,
    add_dense: Callable[[Path], None] | None = None,
) -> SeismicIndex:
    """Index stored vectors; with the texts of `collection`, if they are its."""
    named = read_vocabulary(path)
    info = read_info(path, named)
    made_by = info.encoder
    if encoder is None and (path / ENCODER_FOLDER).is_dir():
        encoder = path / ENCODER_FOLDER
    encoder = None if encoder is None else as_encoder(encoder, dim=info.dim, vocabulary=lambda: named)
    if encoder is not None and not encoder.fitted:
        raise EncoderError(
            f"{path}: holds vectors, which {encoder.name!r}, not fitted, cannot have made; leave the encoder out, or "
            "give the folder of the one that made them"
        )
    if encoder is not None and made_by not in (None, encoder.describe()):
        raise EncoderError(
            f"{path}: its vectors were made by {made_by}, not by {encoder.describe()}; "
            f"give the encoder that made them, with the same settings"
        )
    vocabulary = named if encoder is None else encoder.vocabulary

    def add(temporary: Path) -> dict[str, Any]:
        if encoder is not None:
            encoder.save(temporary / ENCODER_FOLDER)
        if collection is not None:
            documents = _same_documents(collection, _ids_in(temporary), _CHANGED)
            StringColumn.write(temporary, TEXTS_NAME, (document.full_text for document in documents))
        if add_dense is not None:
            add_dense(temporary)
        return {
            "source": path.name if collection is None else collection.name,
            "encoder": made_by if encoder is None else encoder.describe(),
            "has_texts": collection is not None,
        }

    if info.nnz * BUILD_BYTES > memory:
        return SeismicIndex.build_from(
            path,
            folder,
            config,
            memory=memory,
            threads=threads,
            vocabulary=vocabulary,
            progress=progress,
            extra=add,
        )
    vectors = SparseVectors.read(path, vocabulary)
    index = SeismicIndex.build(vectors, config, threads=threads, progress=progress, vocabulary=vocabulary)
    del vectors
    index.save(folder, extra=add)
    return index


def _ids_in(folder: Path) -> StringColumn | list[str]:
    """The ids of an index that is being written; a collection of nothing has none."""
    return StringColumn.open(folder, "ids") if (folder / "ids.offsets.npy").exists() else []


def _same_documents(collection: Documents, ids: Ids | StringColumn | list[str], advice: str) -> Iterator[Document]:
    """The documents of a collection, with a look at each that its id is the one expected. Raises CollectionError."""
    count = 0
    for document in collection.documents():
        if count == len(ids) or ids[count] != document.doc_id:
            raise CollectionError(f"{collection.name}: document {count + 1}, {document.doc_id!r}, is new; {advice}")
        yield document
        count += 1
    if count < len(ids):
        raise CollectionError(f"{collection.name}: {count} documents are left of {len(ids)}; {advice}")
