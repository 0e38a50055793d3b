"""Qdrant: lines of JSON, each a point for its upsert.

{"id": "a UUID", "vector": {"sparse": {"indices": [7], "values": [1.5]}}, "payload": {"id": "d1", "text": "..."}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from lsr.collections.sources import Document
from lsr.errors import VectorsError
from lsr.exchange.index_rows import IndexRows, Written
from lsr.exchange.line_files import replacing_lines
from lsr.exchange.numbered_records import NumberedRecord, opened
from lsr.exchange.opened_vectors import OpenedVectors
from lsr.progress import Advance
from lsr.retrieval.hits import as_json
from lsr.vectors.io.jsonl import checked_id, parsed
from lsr.vectors.io.token_records import numbered_lines

WHAT = "points of Qdrant as lines of JSON, with a sparse vector"
VECTOR = "sparse"  # name of the vector in a point


def write(path: Path, rows: IndexRows, _scale: float | None, advance: Advance) -> Written:
    """Write points. The id of a point is the version 5 UUID of the document's id. The payload has the document's id."""
    weights = 0
    with replacing_lines(path) as write:
        for row in rows.rows(advance):
            payload: dict[str, Any] = {"id": row.row_id}
            if row.text is not None:
                payload["text"] = row.text
            if row.metadata:
                payload["metadata"] = as_json(row.metadata)
            sparse = {"indices": row.components.tolist(), "values": [float(f"{each:.9g}") for each in row.weights]}
            point = {"id": str(uuid5(NAMESPACE_OID, row.row_id)), "vector": {VECTOR: sparse}, "payload": payload}
            write(json.dumps(point, ensure_ascii=False))
            weights += len(row.weights)
    return Written(weights, notes=("components are numbers; only the index has their tokens",))


def read(path: Path, _scratch: Path) -> AbstractContextManager[OpenedVectors]:
    """Open a file of points, plain or gzipped. The file is read twice. Raises VectorsError."""
    return opened(lambda: _records(path))


def _records(path: Path) -> Iterator[NumberedRecord]:
    for line, text in numbered_lines(path, WHAT):
        place = f"{path}:{line}"
        point = parsed(text, place, WHAT, dict)
        vectors = point.get("vector")
        found = [each for each in vectors.values() if isinstance(each, dict)] if isinstance(vectors, dict) else []
        if len(found) != 1:
            raise VectorsError(f"{place}: has {len(found)} sparse vectors instead of one; expected {WHAT}")
        payload = point["payload"] if isinstance(point.get("payload"), dict) else {}
        row_id = checked_id(payload.get("id", point.get("id")), place)
        document = None
        if isinstance(payload.get("text"), str):
            metadata = payload.get("metadata")
            document = Document(row_id, "", payload["text"], metadata if isinstance(metadata, dict) else {})
        yield NumberedRecord(place, row_id, found[0].get("indices"), found[0].get("values"), document)
