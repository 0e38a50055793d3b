"""Collections and queries as stored vectors, with the encoder that made them beside them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from lsr.checks import expanded
from lsr.collections.sources import Document
from lsr.encoders.base import ENCODER_FOLDER, Encoder
from lsr.encoders.sparse_collection import encode_collection
from lsr.progress import Advance, progress_bar
from lsr.storage.files import is_stream, storage_errors
from lsr.vectors.io import VectorsInfo, check_keeps_ids, read_info
from lsr.vectors.sparse_vectors import SparseVectors


class Documents(Protocol):
    """What there is to encode: `lsr.collections.collection.Collection`, or anything like it.

    `documents` starts anew with every call and gives the same documents in the same order. count: for progress bars.
    """

    @property
    def name(self) -> str: ...
    @property
    def count(self) -> int | None: ...
    def documents(self) -> Iterator[Document]: ...


def fit_if_needed(encoder: Encoder, collection: Documents, progress: bool = False) -> None:
    """Fit an encoder that is not fitted, such as a new BM25, on the texts of a collection, in one pass."""
    if not encoder.fitted:
        total = collection.count if progress else None
        with progress_bar("fitting", total, "documents", progress) as advance:
            encoder.fit(_texts(collection, advance))


def encode_documents(
    collection: Documents,
    folder: str | Path,
    encoder: Encoder,
    *,
    batch_size: int | None = None,
    progress: bool = False,
) -> VectorsInfo:
    """Encode every document into a folder of Parquet parts, and keep the encoder in its subfolder "encoder".

    An encoder that is not fitted is fitted first. Documents stream. After a kill, the same call resumes.
    Raises CollectionError, EncoderError, VectorsError if the folder is another encoder's, StorageError.
    """
    fit_if_needed(encoder, collection, progress)
    encoder.check_saveable()
    encoded = encode_collection(
        encoder,
        ((document.doc_id, document.full_text) for document in collection.documents()),
        expanded(folder),
        total=collection.count if progress else None,
        progress=progress,
        batch_size=batch_size,
    )
    encoder.save(encoded / ENCODER_FOLDER)
    return read_info(encoded)


def encode_to_file(
    collection: Documents,
    path: str | Path,
    encoder: Encoder,
    *,
    batch_size: int | None = None,
    progress: bool = False,
) -> VectorsInfo:
    """Encode every document into one file, .npz or .jsonl[.gz], by way of the folder PATH.encoding.

    Standard output ("-") and pipes get JSON lines. Needs the memory to hold all vectors at once. The
    encoder is not kept with them. Raises VectorsError for a .csr file, which has no place for ids.
    """
    check_keeps_ids(Path(path))
    with storage_errors(path), TemporaryDirectory() if is_stream(path) else nullcontext(f"{path}.encoding") as encoding:
        encode_documents(collection, encoding, encoder, batch_size=batch_size, progress=progress)
        vectors = SparseVectors.read(encoding)
        vectors.write(path, encoder.vocabulary, encoder.describe())
        shutil.rmtree(encoding)
        return _counts(vectors)


def encode_queries(queries: Mapping[str, str], path: str | Path, encoder: Encoder) -> VectorsInfo:
    """Encode queries (id -> text) into a folder of Parquet, an .npz or a .jsonl[.gz] file, replaced if it is there.

    Raises EncoderError for an encoder that is not fitted, StorageError, and VectorsError for a .csr file, which has no
    place for ids.
    """
    check_keeps_ids(Path(path))
    rows = encoder.encode_queries(list(queries.values()))
    vectors = SparseVectors.from_normalized(rows.indptr, rows.indices, rows.values, rows.dim, list(queries))
    vectors.write(path, encoder.vocabulary, encoder.describe())
    return _counts(vectors)


def _counts(vectors: SparseVectors) -> VectorsInfo:
    return VectorsInfo(len(vectors), vectors.nnz, vectors.dim, None, None)


def _texts(collection: Documents, advance: Advance) -> Iterator[str]:
    for document in collection.documents():
        yield document.full_text
        advance(1)
