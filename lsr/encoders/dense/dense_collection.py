"""Encode a collection of any size into a folder of dense vectors, and go on after having been killed.

part-00000.parquet ...   columns id (string), vector (fixed-size list<float>[dim]); the key-value metadata "lsr" holds
                         JSON {dim, encoder}, "lsr.texts" a digest of what was encoded. A part is complete or absent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lsr.encoders.sparse_collection import (
    ROWS_PER_PART,
    ROWS_PER_STEP,
    TEXTS_KEY,
    checked_chunks,
    skip_complete,
    texts_digest,
)
from lsr.errors import VectorsError
from lsr.progress import progress_bar
from lsr.storage.files import replacing_file
from lsr.storage.parts import own_parts, part_path, remove_parts
from lsr.vectors.io.vectors_info import as_json, reading_errors

if TYPE_CHECKING:
    from lsr.encoders.dense.dense_encoder import DenseEncoder

WHAT = "a Parquet part of dense vectors as lsr writes it"


def encode_dense_collection(
    encoder: DenseEncoder,
    documents: Iterable[tuple[str, str]],
    out_folder: str | os.PathLike[str],
    total: int | None = None,
    progress: bool = False,
    batch_size: int | None = None,
    rows_per_part: int = ROWS_PER_PART,
) -> int:
    """Encode (id, text) pairs into `out_folder`; returns how many. Memory is bounded by rows_per_part texts.

    Where an earlier call was stopped, this one goes on after the last complete part, as encode_collection does.
    Raises CollectionError when the documents are not those encoded before; VectorsError when the folder is another
    encoder's; EncoderError and ParameterError as the encoder says; StorageError.
    """
    folder = Path(out_folder)
    metadata = _metadata(encoder)
    remaining = iter(documents)
    with own_parts(folder), progress_bar("encoding", total, "documents", progress) as advance:
        part = _complete_parts(folder, metadata)
        done = skip_complete(folder, part, remaining)
        advance(done)
        for ids, texts in checked_chunks(remaining, rows_per_part, done):
            vectors = np.empty((len(texts), encoder.dim), np.float32)
            for start in range(0, len(texts), ROWS_PER_STEP):  # so that the bar moves
                step = texts[start : start + ROWS_PER_STEP]
                vectors[start : start + len(step)] = encoder.encode_documents(step, batch_size)
                advance(len(step))
            more = {"lsr": json.dumps(metadata), TEXTS_KEY: texts_digest(texts)}
            _write_part(part_path(folder, part), ids, vectors, more)
            part += 1
            done += len(texts)
        remove_parts(folder, part)
    return done


def read_dense_parts(folder: str | os.PathLike[str]) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
    """(ids, vectors float32[rows, dim]) of each part, in order. Raises VectorsError for a damaged one."""
    part = 0
    while (path := part_path(Path(folder), part)).exists():
        with reading_errors(path, WHAT):
            table = pq.read_table(path, columns=["id", "vector"], page_checksum_verification=True)
            column = table.column("vector").combine_chunks()
            vectors = column.flatten().to_numpy().reshape(len(column), column.type.list_size)
            yield table.column("id").to_pylist(), vectors
        part += 1


def _metadata(encoder: DenseEncoder) -> dict[str, Any]:
    return {"dim": encoder.dim, "encoder": as_json(encoder.describe())}


def _complete_parts(folder: Path, metadata: dict[str, Any]) -> int:
    """How many intact parts there are from the first on."""
    part = 0
    while (path := part_path(folder, part)).exists():
        try:
            with reading_errors(path, WHAT):
                table = pq.read_table(path, page_checksum_verification=True)
                found = json.loads(table.schema.metadata[b"lsr"])
        except VectorsError:
            break  # damaged: it is written again, and so is what follows
        if found != metadata:
            raise VectorsError(
                f"{path}: it was written by another encoder, {json.dumps(found)}, not {json.dumps(metadata)}; "
                f"remove the folder or choose another"
            )
        part += 1
    return part


def _write_part(path: Path, ids: list[str], vectors: npt.NDArray[np.float32], metadata: dict[str, str]) -> None:
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    table = pa.table({"id": pa.array(ids, pa.string()), "vector": column})
    table = table.replace_schema_metadata(metadata)
    with replacing_file(path) as file:
        pq.write_table(table, file, compression="none", use_dictionary=False, write_page_checksum=True)
