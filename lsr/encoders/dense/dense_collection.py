"""Encoding a collection of any size into a folder of dense vectors. A killed call resumes.

Parts as in lsr.storage.parts: columns id (string), vector (fixed-size list<float>[dim]); settings {dim, encoder}.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lsr.encoders.sparse_collection import ROWS_PER_PART, IdAndText, document_work, rows_per_step
from lsr.errors import VectorsError
from lsr.progress import progress_bar
from lsr.storage.parts import SETTINGS_KEY, PartWriter, part_path, rows_of_settings, write_part, write_parts
from lsr.vectors.io.vectors_info import as_json, reading_errors

if TYPE_CHECKING:
    from lsr.encoders.dense.dense_encoder import DenseEncoder

Rows = npt.NDArray[np.float32]


def encode_dense_collection(
    encoder: DenseEncoder,
    documents: Iterable[IdAndText],
    out_folder: str | os.PathLike[str],
    total: int | None = None,
    progress: bool = False,
    batch_size: int | None = None,
    rows_per_part: int = ROWS_PER_PART,
) -> int:
    """Encode (id, text) pairs into `out_folder`; returns their number. At most rows_per_part texts are in memory.

    If an earlier call was stopped, this one resumes after the last complete part, like encode_collection. Raises
    CollectionError if the documents differ from those already encoded; VectorsError if the folder has vectors of
    another encoder; EncoderError and ParameterError of the encoder; StorageError.
    """
    settings = {"dim": encoder.dim, "encoder": as_json(encoder.describe())}

    def write(chunk: list[IdAndText], steps: list[Rows], metadata: dict[str, str]) -> None:
        vectors = np.concatenate(steps)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        table = pa.table({"id": pa.array([doc_id for doc_id, _ in chunk], pa.string()), "vector": column})
        write_part(writer.next_path, table, {SETTINGS_KEY: json.dumps(settings), **metadata}, compression="none")
        writer.parts.append(len(chunk))

    work = document_work(lambda texts: encoder.encode_documents(texts, batch_size), write)
    with (
        PartWriter(
            out_folder, lambda path: rows_of_settings(path, _read_part, settings, "another encoder", VectorsError)
        ) as writer,
        progress_bar("encoding, dense", total, "documents", progress) as advance,
    ):
        return write_parts(writer, documents, work, rows_per_part, rows_per_step(batch_size), advance)


def read_dense_parts(folder: str | os.PathLike[str]) -> Iterator[tuple[list[str], Rows]]:
    """(ids, vectors float32[rows, dim]) of each part, in order. Raises VectorsError for a damaged part."""
    part = 0
    while (path := part_path(Path(folder), part)).exists():
        table = _read_part(path)
        column = table.column("vector").combine_chunks()
        yield table.column("id").to_pylist(), column.flatten().to_numpy().reshape(len(column), column.type.list_size)
        part += 1


def _read_part(path: Path) -> pa.Table:
    with reading_errors(path, "a Parquet part of dense vectors written by lsr"):
        table = pq.read_table(path, page_checksum_verification=True)
        if not isinstance(json.loads(table.schema.metadata[SETTINGS_KEY.encode()]), dict) or (
            table.column_names != ["id", "vector"] or not pa.types.is_fixed_size_list(table.schema.types[1])
        ):
            raise ValueError(f"its columns are {', '.join(table.column_names)}")
        return table
