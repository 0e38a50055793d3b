"""Hugging Face datasets: a folder of Parquet files for load_dataset and load_dataset("parquet").

Columns: id; tokens, or indices if the index has no vocabulary; values; text; metadata, a struct.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lsr.batched import batched
from lsr.collections.sources import Document
from lsr.errors import VectorsError
from lsr.exchange import numbered_records
from lsr.exchange.index_rows import ExportedRow, IndexRows, Written
from lsr.exchange.numbered_records import NumberedRecord
from lsr.exchange.opened_vectors import OpenedVectors
from lsr.exchange.table_rows import TableRows
from lsr.progress import Advance
from lsr.storage.files import replacing_folder
from lsr.vectors.io import token_records
from lsr.vectors.io.jsonl import checked_id
from lsr.vectors.io.token_records import TokenRecord

WHAT = "a folder of Parquet files with columns id, tokens or indices, and values"
MARKER = "lsr.dataset.json"  # only folders with this file are replaced; the library datasets ignores the file
ROWS_AT_ONCE = 1024
POSTINGS_PER_FILE = 1 << 25


def write(path: Path, rows: IndexRows, _scale: float | None, advance: Advance) -> Written:
    """Write the folder. Replaces a folder that lsr wrote."""
    names = rows.tokens if rows.named else None
    fields = [("id", pa.string()), ("tokens", pa.list_(pa.string())) if names else ("indices", pa.list_(pa.uint32()))]
    fields += [("values", pa.list_(pa.float32()))]
    fields += [("text", pa.string())] if rows.has_texts else []
    fields += [("metadata", pa.struct(list(rows.metadata_schema)))] if rows.has_metadata else []
    schema = pa.schema(fields)

    def record(row: ExportedRow) -> dict[str, Any]:
        components = row.components.tolist()
        named = {"tokens": [names[each] for each in components]} if names else {"indices": components}
        return {
            "id": row.row_id,
            **named,
            "values": row.weights.tolist(),
            "text": row.text,
            "metadata": row.metadata,
        }

    weights = number = 0
    with replacing_folder(path, MARKER) as folder:
        batches = batched(rows.rows(advance), ROWS_AT_ONCE)
        some: list[ExportedRow] | None = next(batches, [])
        while some is not None:
            in_file = 0
            with pq.ParquetWriter(folder / f"train-{number:05d}.parquet", schema, compression="zstd") as writer:
                while some is not None and in_file <= POSTINGS_PER_FILE:
                    writer.write_table(pa.Table.from_pylist([record(row) for row in some], schema))
                    in_file += sum(len(row.components) for row in some)
                    some = next(batches, None)
            weights, number = weights + in_file, number + 1
        (folder / MARKER).write_text(json.dumps({"format": "datasets", "rows": len(rows)}))
    return Written(weights)


@contextmanager
def read(path: Path, _scratch: Path) -> Iterator[OpenedVectors]:
    """Open a Parquet file, a folder of Parquet files, or a folder of save_to_disk. Files are read twice.

    Raises VectorsError.
    """
    rows = TableRows(path, WHAT, ("id", "values"), ("tokens", "indices", "text", "metadata"))
    if "tokens" in rows.columns:
        records = partial(_token_records, rows)
        vocabulary = token_records.read_vocabulary(records)
        batches = token_records.iterate(records, 8192, vocabulary)
        yield OpenedVectors(len(vocabulary), vocabulary, None, batches, partial(_texts, rows))
        return
    if "indices" not in rows.columns:
        raise VectorsError(f"{path}: has neither a column 'tokens' nor 'indices'; expected {WHAT}")
    with numbered_records.opened(partial(_numbered, rows)) as opened:
        yield opened._replace(documents=partial(_texts, rows))


def _token_records(rows: TableRows) -> Iterator[TokenRecord]:
    for place, record in rows:
        tokens, values = record["tokens"], record["values"]
        if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values):
            raise VectorsError(f"{place}: tokens and values are not two lists of the same length; expected {WHAT}")
        if not all(isinstance(token, str) for token in tokens):
            raise VectorsError(f"{place}: a token is not text; expected {WHAT}")
        yield TokenRecord(place, checked_id(record["id"], place), zip(tokens, values, strict=True))


def _numbered(rows: TableRows) -> Iterator[NumberedRecord]:
    for place, record in rows:
        yield NumberedRecord(place, checked_id(record["id"], place), record["indices"], record["values"])


def _texts(rows: TableRows) -> Iterator[Document]:
    for place, record in rows:
        if isinstance(record.get("text"), str):
            metadata = record.get("metadata")
            row_id = checked_id(record["id"], place)
            yield Document(row_id, "", record["text"], metadata if isinstance(metadata, dict) else {})
