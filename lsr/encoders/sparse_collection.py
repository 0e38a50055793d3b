"""Encode a collection of any size into a folder of Parquet parts, and go on after having been killed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from lsr.encoders.base import Encoder, check_text
from lsr.errors import CollectionError, ParameterError
from lsr.progress import progress_bar
from lsr.storage.ids import check_ids
from lsr.storage.parts import part_path
from lsr.vectors.io.parquet import WHAT_PART, ParquetWriter
from lsr.vectors.io.vectors_info import reading_errors
from lsr.vectors.sparse_vectors import SparseVectors

ROWS_PER_PART = 8192
ROWS_PER_STEP = 1024
TEXTS_KEY = "lsr.texts"


def encode_collection(
    encoder: Encoder,
    documents: Iterable[tuple[str, str]],
    out_folder: str | os.PathLike[str],
    total: int | None = None,
    progress: bool = False,
    batch_size: int | None = None,
    rows_per_part: int = ROWS_PER_PART,
) -> Path:
    """Encode (id, text) pairs into `out_folder`; returns it. Memory is bounded by rows_per_part texts.

    Where an earlier call was stopped, this one goes on after the last complete part: `documents` must again begin with
    the documents encoded before, whose ids and texts are compared. total: for the progress bar.

    Raises CollectionError when the documents are not those encoded before; VectorsError when the folder is another
    encoder's or an id occurs twice; EncoderError and ParameterError as Encoder says; StorageError.
    """
    if rows_per_part < 1:
        raise ParameterError(f"rows_per_part is {rows_per_part}; it must be at least 1")
    folder = Path(out_folder)
    remaining = iter(documents)
    with (
        ParquetWriter(folder, encoder.dim, encoder.vocabulary, encoder.describe()) as writer,
        progress_bar("encoding", total, "documents", progress) as advance,
    ):
        done = skip_complete(folder, writer.complete_parts, remaining)
        advance(done)
        for ids, texts in checked_chunks(remaining, rows_per_part, done):
            # A long part is encoded in steps, so that the bar moves.
            steps = range(0, len(texts), ROWS_PER_STEP)
            vectors = []
            for start in steps:
                vectors.append(encoder.encode_documents(texts[start : start + ROWS_PER_STEP], batch_size))
                advance(len(vectors[-1]))
            rows = SparseVectors.concatenate(vectors)
            part = SparseVectors.from_normalized(rows.indptr, rows.indices, rows.values, rows.dim, ids)
            writer.write_part(part, {TEXTS_KEY: texts_digest(texts)})
        writer.finish()
    return folder


def checked_chunks(documents: Iterator[tuple[str, str]], rows: int, row: int) -> Iterator[tuple[list[str], list[str]]]:
    """(ids, texts) of the next `rows` documents, and so on. row: of the first one, for errors."""
    while chunk := list(islice(documents, rows)):
        ids = check_ids([doc_id for doc_id, _ in chunk], len(chunk))
        texts = [text for _, text in chunk]
        for at, text in enumerate(texts, row):
            check_text(at, text)
        yield ids, texts
        row += len(chunk)


def skip_complete(folder: Path, parts: int, documents: Iterator[tuple[str, str]]) -> int:
    """Read as many documents as the complete parts have rows, and compare ids and texts; the number of rows."""
    row = 0
    for part in range(parts):
        path = part_path(folder, part)
        with reading_errors(path, WHAT_PART):
            table = pq.read_table(path, columns=["id"])
            written, digest = table.column("id").to_pylist(), (table.schema.metadata or {}).get(TEXTS_KEY.encode())
        texts = []
        for doc_id in written:
            found = next(documents, None)
            if found is None or found[0] != doc_id:
                now = "there is none now" if found is None else f"it is {found[0]!r} now"
                raise CollectionError(
                    f"{folder}: document {row + 1} was {doc_id!r} when it was encoded, {now}; encode the same "
                    "documents as before, or choose another folder"
                )
            row += 1
            texts.append(found[1])
        if digest is not None and digest.decode() != texts_digest(texts):
            raise CollectionError(
                f"{folder}: the texts of documents {row - len(texts) + 1} to {row} have changed since they were "
                f"encoded; remove this folder to encode all of them again"
            )
    return row


def texts_digest(texts: Iterable[str]) -> str:
    """SHA-256 of the texts of a part, which is kept in it."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()
