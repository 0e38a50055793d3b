"""Encoding a collection of any size into a folder of Parquet parts. A killed call resumes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from lsr.checks import check_text
from lsr.encoders.base import Encoder, check_batch_size
from lsr.errors import EncoderError
from lsr.progress import progress_bar
from lsr.storage.ids import check_ids
from lsr.storage.parts import PartWork, write_parts
from lsr.vectors.io.parquet import ParquetWriter
from lsr.vectors.sparse_vectors import SparseVectors

ROWS_PER_PART = 8192
# Texts encoded together: few enough that a kill loses at most a minute at 2 texts per second. On processors, 256 take
# as long. Steps must not depend on measured time, because weights would then differ between runs, by rounding.
ROWS_PER_STEP = 64

IdAndText = tuple[str, str]
Vectors = TypeVar("Vectors")


def encode_collection(
    encoder: Encoder,
    documents: Iterable[IdAndText],
    out_folder: str | os.PathLike[str],
    total: int | None = None,
    progress: bool = False,
    batch_size: int | None = None,
    rows_per_part: int = ROWS_PER_PART,
) -> Path:
    """Encode (id, text) pairs into `out_folder`; returns it. At most rows_per_part texts are in memory.

    If an earlier call was stopped, this one resumes after the last complete part: `documents` must begin with the
    documents that are already encoded, whose ids and texts are compared. total: for the progress bar.

    Raises CollectionError if the documents differ from those already encoded; VectorsError if the folder has vectors of
    another encoder, or an id occurs twice; EncoderError and ParameterError like Encoder; StorageError.
    """
    folder = Path(out_folder)

    def write(chunk: list[IdAndText], steps: list[SparseVectors], metadata: dict[str, str]) -> None:
        rows = SparseVectors.concatenate(steps)
        ids = [doc_id for doc_id, _ in chunk]
        part = SparseVectors.from_normalized(rows.indptr, rows.indices, rows.values, rows.dim, ids)
        writer.write_part(part, metadata)

    work = document_work(lambda texts: encoder.encode_documents(texts, batch_size), write)
    with (
        ParquetWriter(folder, encoder.dim, encoder.vocabulary, encoder.describe()) as writer,
        progress_bar("encoding", total, "documents", progress) as advance,
    ):
        write_parts(writer, documents, work, rows_per_part, rows_per_step(batch_size), advance)
    return folder


def rows_per_step(batch_size: int | None) -> int:
    """The number of texts that are encoded together: those of a batch, if they are more than usual."""
    check_batch_size(batch_size)
    return max(ROWS_PER_STEP, batch_size or 0)


def document_work(
    encode: Callable[[list[str]], Vectors],
    write: Callable[[list[IdAndText], list[Vectors], dict[str, str]], None],
) -> PartWork[IdAndText, Vectors]:
    """The PartWork of (id, text) pairs, whose ids and texts are checked before they are encoded."""

    def compute(step: Sequence[IdAndText], first: int) -> Vectors:
        check_ids([doc_id for doc_id, _ in step], len(step))
        texts = [text for _, text in step]
        for row, text in enumerate(texts, first):
            check_text(f"row {row}", text, EncoderError)
        return encode(texts)

    return PartWork(
        "documents", "encoded", ("id",), lambda document: document[:1], lambda document: document[1:], compute, write
    )
