"""Build a searchable index in one go: text -> vectors -> index, with its encoder and its texts beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lsr.encoders import load_encoder
from lsr.encoders.base import ENCODER_FOLDER, Encoder
from lsr.errors import CollectionError, EncoderError
from lsr.files import storage_errors
from lsr.index.config import IndexConfig
from lsr.index.seismic import SeismicIndex
from lsr.index.storage import StringColumn, check_replaceable
from lsr.retrieval.encoding import Documents, encode_documents
from lsr.retrieval.searcher import TEXTS_NAME
from lsr.vectors import SparseVectors
from lsr.vectors_io import read_info

_CHANGED = "the collection has changed since it was encoded; index it again"


def build_searchable(
    source: Documents | str | Path,
    folder: str | Path,
    encoder: Encoder | str | Path | None = None,
    config: IndexConfig | None = None,
    *,
    batch_size: int | None = None,
    threads: int | None = None,
    progress: bool = False,
) -> SeismicIndex:
    """Build an index in `folder` that Searcher.open can search with text, in place of one that is there.

    source: a collection, or the path of stored vectors.
    encoder: an encoder, or what load_encoder takes. Needed for a collection; an unfitted BM25 is fitted on it. For
        vectors it must be the one that made them; by default it is the one kept with them, and without one the index
        can be searched with vectors only.

    A collection is read several times rather than held in memory; its vectors are held. They are first encoded into the
    folder FOLDER.encoding, from which a killed build goes on, and which is removed at the end.

    Raises CollectionError, VectorsError and EncoderError for what cannot be read or does not fit together, and
    StorageError where writing fails or `folder` holds anything but an index.
    """
    folder = Path(os.path.realpath(folder))
    check_replaceable(folder)
    if isinstance(encoder, str | Path):
        encoder = load_encoder(encoder)
    if isinstance(source, str | Path):
        return _index_vectors(Path(source), folder, encoder, config, threads, progress)
    if encoder is None:
        raise EncoderError(f"{source.name} holds text, which needs an encoder; name one, such as tiny or bm25")

    encoding = folder.with_name(f"{folder.name}.encoding")
    encode_documents(source, encoding, encoder, batch_size=batch_size, progress=progress)
    index = _index_vectors(encoding, folder, encoder, config, threads, progress, collection=source)
    with storage_errors(encoding):
        shutil.rmtree(encoding)
    return index


def _index_vectors(
    path: Path,
    folder: Path,
    encoder: Encoder | None,
    config: IndexConfig | None,
    threads: int | None,
    progress: bool,
    collection: Documents | None = None,
) -> SeismicIndex:
    """Index stored vectors; with the texts of `collection`, if they are its."""
    if encoder is None and (path / ENCODER_FOLDER).is_dir():
        encoder = load_encoder(path / ENCODER_FOLDER)
    made_by = read_info(path).encoder
    if encoder is not None and made_by not in (None, encoder.describe()):
        raise EncoderError(
            f"{path}: its vectors were made by {made_by}, not by {encoder.describe()}; "
            f"give the encoder that made them, with the same settings"
        )
    vectors = SparseVectors.read(path, None if encoder is None else encoder.vocabulary)
    index = SeismicIndex.build(vectors, config, threads=threads, progress=progress)
    ids = vectors.ids or []
    del vectors

    def add(temporary: Path) -> dict[str, Any]:
        if encoder is not None:
            encoder.save(temporary / ENCODER_FOLDER)
        if collection is not None:
            StringColumn.write(temporary, TEXTS_NAME, _texts(collection, ids))
        return {
            "source": path.name if collection is None else collection.name,
            "encoder": made_by if encoder is None else encoder.describe(),
            "has_texts": collection is not None,
        }

    index.save(folder, extra=add)
    return index


def _texts(collection: Documents, ids: Sequence[str]) -> Iterator[str]:
    """The texts, with a look at the ids that they still are those of the vectors."""
    count = 0
    for document in collection.documents():
        if count == len(ids) or ids[count] != document.doc_id:
            raise CollectionError(f"{collection.name}: document {count + 1}, {document.doc_id!r}, is new; {_CHANGED}")
        yield document.full_text
        count += 1
    if count < len(ids):
        raise CollectionError(f"{collection.name}: {count} documents are left of {len(ids)}; {_CHANGED}")
