"""Encoding collections and queries into files, with their encoder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, Protocol, TypeVar

from lsr.checks import expanded
from lsr.collections.sources import Document
from lsr.encoders.base import ENCODER_FOLDER, Encoder
from lsr.encoders.sparse_collection import ROWS_PER_PART, IdAndText, encode_collection
from lsr.encoders.term_frequencies import TermFrequencyEncoder
from lsr.progress import Advance, progress_bar
from lsr.storage.files import is_stream, storage_errors
from lsr.vectors.io import ParquetWriter, VectorsInfo, check_keeps_ids, iter_vectors, read_info
from lsr.vectors.sparse_vectors import SparseVectors

T = TypeVar("T")


class Documents(Protocol):
    """Documents to encode: a `lsr.collections.collection.Collection`, or an object with the same methods.

    Each call of `documents` returns the same documents in the same order. count: the number of documents, for progress
    bars; None if unknown.
    """

    @property
    def name(self) -> str: ...
    @property
    def count(self) -> int | None: ...
    def documents(self) -> Iterator[Document]: ...


class Anew(Generic[T]):
    """An iterable that can be iterated several times. start: returns a new iterator for each iteration."""

    def __init__(self, start: Callable[[], Iterator[T]]) -> None:
        self._start = start

    def __iter__(self) -> Iterator[T]:
        return self._start()


def whole_documents(documents: Documents) -> Anew[IdAndText]:
    """(id, full text) of each document."""
    return Anew(lambda: ((document.doc_id, document.full_text) for document in documents.documents()))


def fit_if_needed(encoder: Encoder, collection: Documents, progress: bool = False) -> None:
    """Fit an encoder that is not fitted, such as a new BM25Encoder, on the texts of a collection, in one pass."""
    if not encoder.fitted:
        total = collection.count if progress else None
        with progress_bar("fitting", total, "documents", progress) as advance:
            encoder.fit(_counted(whole_documents(collection), advance))


def fit_on_rows(
    encoder: Encoder,
    rows: Iterable[IdAndText],
    encoding: Path,
    total: int | None = None,
    progress: bool = False,
    batch_size: int | None = None,
) -> None:
    """Like fit_if_needed, on (id, text) pairs that encode_collection will encode into the folder `encoding`.

    If fitting runs a network, its weights are stored in the folder ENCODING.weights. A killed call resumes from it, and
    encode_collection reads the weights from it. `remove_weights` removes the folder at the end.
    """
    if encoder.fitted:
        return
    if not isinstance(encoder, TermFrequencyEncoder):
        with progress_bar("fitting", total, "documents", progress) as advance:
            encoder.fit(_counted(rows, advance))
        return
    weights = _weights(encoding)
    encode_collection(encoder.network, rows, weights, total=total, progress=progress, batch_size=batch_size)
    encoder.fit_weights(iter_vectors(weights, ROWS_PER_PART))
    with ParquetWriter(encoding, encoder.dim, encoder.vocabulary, encoder.describe()) as writer:
        for part in islice(iter_vectors(weights, ROWS_PER_PART), writer.complete_parts, None):
            writer.write_part(encoder.impacts(part))
        writer.finish()


def remove_weights(encoding: Path) -> None:
    """Remove the folder that fit_on_rows wrote. Raises StorageError."""
    if _weights(encoding).exists():
        with storage_errors(encoding):
            shutil.rmtree(_weights(encoding))


def _weights(encoding: Path) -> Path:
    return encoding.with_name(f"{encoding.name}.weights")


def encode_documents(
    collection: Documents,
    folder: str | Path,
    encoder: Encoder,
    *,
    batch_size: int | None = None,
    progress: bool = False,
) -> VectorsInfo:
    """Encode all documents into a folder of Parquet parts, and save the encoder in its subfolder "encoder".

    An encoder that is not fitted is fitted first. Documents are streamed. After a kill, the same call resumes.
    Raises CollectionError, EncoderError, VectorsError if the folder has vectors of another encoder, StorageError.
    """
    target, total, rows = expanded(folder), collection.count if progress else None, whole_documents(collection)
    fit_on_rows(encoder, rows, target, total, progress, batch_size)
    encoder.check_saveable()
    encoded = encode_collection(encoder, rows, target, total=total, progress=progress, batch_size=batch_size)
    encoder.save(encoded / ENCODER_FOLDER)
    remove_weights(target)
    return read_info(encoded)


def encode_to_file(
    collection: Documents,
    path: str | Path,
    encoder: Encoder,
    *,
    batch_size: int | None = None,
    progress: bool = False,
) -> VectorsInfo:
    """Encode all documents into one file, .npz, .jsonl or .jsonl.gz. After a kill, the call resumes from PATH.encoding.

    Standard output ("-") and pipes get JSON lines. All vectors must fit in memory. The encoder is not saved. Raises
    VectorsError for a .csr file, which cannot store ids.
    """
    check_keeps_ids(Path(path))
    with storage_errors(path), TemporaryDirectory() if is_stream(path) else nullcontext(f"{path}.encoding") as encoding:
        encode_documents(collection, encoding, encoder, batch_size=batch_size, progress=progress)
        vectors = SparseVectors.read(encoding)
        vectors.write(path, encoder.vocabulary, encoder.describe())
        shutil.rmtree(encoding)
        return _counts(vectors)


def encode_queries(queries: Mapping[str, str], path: str | Path, encoder: Encoder) -> VectorsInfo:
    """Encode queries (id -> text) into a Parquet folder, or an .npz, .jsonl or .jsonl.gz file. Replaces an old one.

    Raises EncoderError for an encoder that is not fitted, StorageError, and VectorsError for a .csr file, which cannot
    store ids.
    """
    check_keeps_ids(Path(path))
    rows = encoder.encode_queries(list(queries.values()))
    vectors = SparseVectors.from_normalized(rows.indptr, rows.indices, rows.values, rows.dim, list(queries))
    vectors.write(path, encoder.vocabulary, encoder.describe())
    return _counts(vectors)


def _counts(vectors: SparseVectors) -> VectorsInfo:
    return VectorsInfo(len(vectors), vectors.nnz, vectors.dim, None, None)


def _counted(rows: Iterable[IdAndText], advance: Advance) -> Iterator[str]:
    for _, text in rows:
        yield text
        advance(1)
