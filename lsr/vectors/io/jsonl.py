"""JSON lines, plain or gzipped: {"id": "d1", "vector": {"token": weight, ...}}, one row per line.

Ids are texts or whole numbers (read as texts) under "id", "_id" or "qid". Other keys are ignored. The file is in UTF-8.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from lsr.checks import is_utf8
from lsr.errors import VectorsError
from lsr.storage.files import replacing_file
from lsr.storage.ids import check_unique
from lsr.vectors.io.token_records import TokenRecord, numbered_lines
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

WHAT = 'lines of {"id": "...", "vector": {"token": weight}}'
ROWS_PER_WRITE = 1024


def records(path: Path) -> Iterator[TokenRecord]:
    """The lines of a file. Raises VectorsError."""
    for line, text in numbered_lines(path, WHAT):
        place = f"{path}:{line}"
        fields = parsed(text, place, WHAT)
        row_id, pairs = fields.get("_id", fields.get("id", fields.get("qid"))), fields.get("vector")
        if not isinstance(pairs, tuple):
            raise VectorsError(f"{place}: has no vector object; expected {WHAT}")
        yield TokenRecord(place, checked_id(row_id, place), pairs)


def parsed(text: str, place: str, what: str, inner: type[tuple[Any, ...] | dict[str, Any]] = tuple) -> dict[str, Any]:
    """A JSON object. Objects inside it are dicts, or tuples of pairs, which keep duplicate keys."""
    try:
        record = json.loads(text, object_pairs_hook=inner)
    except (ValueError, RecursionError) as error:
        raise VectorsError(f"{place}: not valid JSON ({error}); expected {what}") from None
    if not isinstance(record, inner):
        raise VectorsError(f"{place}: not a JSON object; expected {what}")
    return dict(record)


def checked_id(row_id: Any, place: str) -> str:
    """An id as text. Raises VectorsError for an invalid id."""
    if type(row_id) is int:
        row_id = str(row_id)
    if not isinstance(row_id, str) or not row_id or not is_utf8(row_id):
        fault = "there is no id" if row_id is None else f"id is {row_id!r}"
        raise VectorsError(f"{place}: {fault}; each line needs an id, a text or a whole number")
    return row_id


def write(path: Path, vectors: SparseVectors, vocabulary: Vocabulary | None, _encoder: dict[str, Any] | None) -> None:
    """Write the file, with nine digits, which are exact for 32-bit floats. Rows without ids are numbered from 0."""
    if vocabulary is None:
        raise VectorsError(
            f"{path}: a JSONL file has tokens and needs the vocabulary; give the vocabulary, or write .npz"
        )
    if vectors.ids is not None:
        check_unique(vectors.ids)
    names = list(map(as_text, vocabulary.tokens))
    with replacing_file(path) as file:
        if path.suffix == ".gz":
            # Without name and time, so that equal vectors give equal files.
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                _write_lines(cast("BinaryIO", packed), vectors, names)
        else:
            _write_lines(file, vectors, names)


def _write_lines(file: BinaryIO, vectors: SparseVectors, names: list[str]) -> None:
    for first in range(0, len(vectors), ROWS_PER_WRITE):
        lines = []
        for row in range(first, min(first + ROWS_PER_WRITE, len(vectors))):
            row_id = str(row) if vectors.ids is None else vectors.ids[row]
            lines.append(f'{{"id": {as_text(row_id)}, "vector": {vector_as_text(vectors, row, names)}}}\n')
        file.write("".join(lines).encode())


def vector_as_text(vectors: SparseVectors, row: int, names: Sequence[str]) -> str:
    """A row as a JSON object. names: the tokens of the components, as JSON."""
    return weights_as_text(*vectors.row(row), names)


def weights_as_text(components: npt.NDArray[Any], weights: npt.NDArray[np.float32], names: Sequence[str]) -> str:
    """Weights as a JSON object. names: the tokens of all components, as JSON."""
    pairs = zip(components.tolist(), weights.tolist(), strict=True)
    return "{" + ", ".join([f"{names[component]}: {weight:.9g}" for component, weight in pairs]) + "}"


def as_text(string: str) -> str:
    """A string as JSON, in UTF-8."""
    return json.dumps(string, ensure_ascii=False)
