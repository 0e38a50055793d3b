"""Bodies of bulk requests, lines of JSON in pairs: OpenSearch and Elasticsearch.

{"index": {"_id": "d1"}}
{"vector": {"token": weight}, "text": "...", "metadata": {"year": 2020}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lsr.collections.sources import Document
from lsr.errors import VectorsError
from lsr.exchange.index_rows import IndexRows, Written
from lsr.exchange.line_files import replacing_lines
from lsr.exchange.opened_vectors import OpenedVectors
from lsr.progress import Advance
from lsr.retrieval.hits import as_json
from lsr.vectors.io import token_records
from lsr.vectors.io.jsonl import as_text, checked_id, parsed, weights_as_text
from lsr.vectors.io.token_records import TokenRecord, numbered_lines

WHAT = "a bulk request: lines of JSON, an index or create action and its document in turn"
VECTOR, TEXT, METADATA = "vector", "text", "metadata"
SMALLEST = float(np.finfo(np.float32).tiny)  # both servers reject subnormal numbers
MODULUS = 2**15  # OpenSearch's sparse_vector stores component numbers modulo 2**15
MAX_ID = 512  # bytes


def write_tokens(path: Path, rows: IndexRows, _scale: float | None, advance: Advance) -> Written:
    """Write documents with weights by tokens, for Elasticsearch's sparse_vector and OpenSearch's rank_features."""
    names = rows.tokens
    if "" in names:
        raise VectorsError(
            f"{path}: the token of component {names.index('')} is empty, which no field name can be; use another format"
        )
    dotted = sum("." in name for name in names)
    notes = (
        f"{dotted} tokens contain dots: sparse_vector fields of Elasticsearch accept these from version 8.16 on, and "
        "rank_features fields never do",
    )
    return _write(path, rows, list(map(as_text, names)), advance, notes if dotted else ())


def write_numbers(path: Path, rows: IndexRows, _scale: float | None, advance: Advance) -> Written:
    """Write documents with weights by component numbers, for OpenSearch's sparse_vector.

    Raises VectorsError if two components of the index are equal modulo 32,768: OpenSearch would confuse them.
    """
    used = np.zeros(rows.dim, bool)
    for batch in rows.batches():
        used[batch.indices] = True
    components = np.flatnonzero(used)
    folded, counts = np.unique(components % MODULUS, return_counts=True)
    if (counts > 1).any():
        alike = components[components % MODULUS == folded[counts.argmax()]][:2].tolist()
        raise VectorsError(
            f"{path}: components {alike[0]} and {alike[1]} collide in OpenSearch's sparse_vector, which stores them "
            f"modulo {MODULUS}; export as opensearch, for a rank_features field"
        )
    return _write(path, rows, [f'"{component}"' for component in range(rows.dim)], advance, ())


def _write(path: Path, rows: IndexRows, names: Sequence[str], advance: Advance, notes: tuple[str, ...]) -> Written:
    weights = dropped = long = 0
    with replacing_lines(path) as write:
        for row in rows.rows(advance):
            normal = row.weights >= SMALLEST
            vector = weights_as_text(row.components[normal], row.weights[normal], names)
            fields = [f'"{VECTOR}": {vector}']
            if row.text is not None:
                fields.append(f'"{TEXT}": {as_text(row.text)}')
            if row.metadata:
                fields.append(f'"{METADATA}": {json.dumps(as_json(row.metadata), ensure_ascii=False)}')
            write(f'{{"index": {{"_id": {as_text(row.row_id)}}}}}')
            write(f"{{{', '.join(fields)}}}")
            weights += int(normal.sum())
            dropped += int((~normal).sum())
            long += len(row.row_id.encode()) > MAX_ID
    if long:
        notes = (*notes, f"{long} ids have more than {MAX_ID} bytes, the maximum of both servers")
    return Written(weights, dropped, notes=notes)


class _BulkDocument(NamedTuple):
    """A document of a request. fields: the result of `parsed`, in which objects are tuples of pairs."""

    place: str
    doc_id: str
    fields: dict[str, Any]


@contextmanager
def read(path: Path, _scratch: Path) -> Iterator[OpenedVectors]:
    """Open a file of requests, plain or gzipped. The file is read twice. Raises VectorsError."""
    records = partial(_records, path)
    vocabulary = token_records.read_vocabulary(records)
    batches = token_records.iterate(records, 8192, vocabulary)
    yield OpenedVectors(len(vocabulary), vocabulary, None, batches, lambda: _texts(path))


def _records(path: Path) -> Iterator[TokenRecord]:
    field = None
    for place, doc_id, fields in _documents(path):
        field = field or _vector_field(place, fields)
        pairs = fields.get(field)
        if not isinstance(pairs, tuple):
            raise VectorsError(f"{place}: has no {field!r} object; expected {WHAT}")
        yield TokenRecord(place, doc_id, pairs)


def _vector_field(place: str, fields: dict[str, Any]) -> str:
    """The name of the field with the vector: "vector", or the only object of numbers."""
    if isinstance(fields.get(VECTOR), tuple):
        return VECTOR
    found = [
        name
        for name, pairs in fields.items()
        if isinstance(pairs, tuple) and pairs and all(type(weight) in (int, float) for _, weight in pairs)
    ]
    if len(found) != 1:
        raise VectorsError(
            f"{place}: {len(found)} fields are objects of numbers; rename the field of the vector to {VECTOR!r}"
        )
    return found[0]


def _documents(path: Path) -> Iterator[_BulkDocument]:
    lines = numbered_lines(path, WHAT)
    for line, text in lines:
        place = f"{path}:{line}"
        action = parsed(text, place, WHAT)
        target = action.get("index", action.get("create"))
        if len(action) != 1 or not isinstance(target, tuple):
            raise VectorsError(f"{place}: is not an index or create action; expected {WHAT}")
        behind = next(lines, None)
        if behind is None:
            raise VectorsError(f"{place}: the file ends before the document of this action; copy it again")
        yield _BulkDocument(place, checked_id(dict(target).get("_id"), place), parsed(behind[1], place, WHAT))


def _texts(path: Path) -> Iterator[Document]:
    for _, doc_id, fields in _documents(path):
        if isinstance(fields.get(TEXT), str):
            metadata = fields.get(METADATA)
            yield Document(doc_id, "", fields[TEXT], _plain(metadata) if isinstance(metadata, tuple) else {})


def _plain(pairs: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """The dict for a JSON object, which `parsed` returns as pairs."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(each) for each in value]
        return _plain(value) if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in pairs}
