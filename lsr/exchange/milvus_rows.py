"""Milvus: a Parquet file for its bulk import. Vectors are text: JSON objects of components and weights.

Columns: id, vector and, if the index has them, text and metadata, which is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lsr.collections.sources import Document
from lsr.errors import VectorsError
from lsr.exchange.index_rows import IndexRows, Written
from lsr.exchange.numbered_records import NumberedRecord, opened
from lsr.exchange.opened_vectors import OpenedVectors
from lsr.exchange.table_rows import TableRows
from lsr.progress import Advance
from lsr.retrieval.hits import as_json
from lsr.storage.files import replacing_file
from lsr.vectors.io.jsonl import checked_id, weights_as_text

WHAT = "a Parquet file of Milvus with columns id and vector, a sparse one as JSON"
ID, VECTOR, TEXT, METADATA = "id", "vector", "text", "metadata"
ROWS_AT_ONCE = 1024
MAX_VARCHAR = 65_535  # bytes


def write(path: Path, rows: IndexRows, _scale: float | None, advance: Advance) -> Written:
    """Write the file. Rows without weights are left out, because Milvus rejects them."""
    names = [f'"{component}"' for component in range(rows.dim)]
    columns = [ID, VECTOR, *([TEXT] if rows.has_texts else []), *([METADATA] if rows.has_metadata else [])]
    schema = pa.schema([(name, pa.string()) for name in columns])
    weights = left_out = long = 0
    held: list[dict[str, Any]] = []
    with replacing_file(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for row in rows.rows(advance):
            if not len(row.weights):
                left_out += 1
                continue
            vector = weights_as_text(row.components, row.weights, names)
            record = {ID: row.row_id, VECTOR: vector, TEXT: row.text}
            if rows.has_metadata:
                record[METADATA] = json.dumps(as_json(row.metadata), ensure_ascii=False)
            held.append(record)
            weights += len(row.weights)
            long += max(len(each.encode()) for each in (row.row_id, row.text or "")) > MAX_VARCHAR
            if len(held) == ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(held, schema))
                held.clear()
        writer.write_table(pa.Table.from_pylist(held, schema))
    notes = ["components are numbers; only the index has their tokens"]
    notes += [f"{left_out} rows without weights are not written, because Milvus rejects them"] if left_out else []
    notes += [f"{long} texts have more than {MAX_VARCHAR} bytes, the maximum of a VARCHAR"] if long else []
    return Written(weights, notes=tuple(notes), left_out=left_out)


def read(path: Path, _scratch: Path) -> AbstractContextManager[OpenedVectors]:
    """Open a file. The file is read twice. Raises VectorsError."""
    rows = TableRows(path, WHAT, (ID, VECTOR), (TEXT, METADATA))
    return opened(lambda: _records(rows))


def _records(rows: TableRows) -> Iterator[NumberedRecord]:
    for place, record in rows:
        vector = _parsed(record[VECTOR], place)
        try:
            components = list(map(int, vector))
        except ValueError:
            raise VectorsError(f"{place}: a component of the vector is not a whole number; expected {WHAT}") from None
        document = None
        row_id = checked_id(record[ID], place)
        if isinstance(record.get(TEXT), str):
            metadata = record.get(METADATA)
            document = Document(row_id, "", record[TEXT], {} if metadata is None else _parsed(metadata, place))
        yield NumberedRecord(place, row_id, components, list(vector.values()), document)


def _parsed(value: Any, place: str) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise VectorsError(f"{place}: vector or metadata is not a JSON object; expected {WHAT}")
    return found
