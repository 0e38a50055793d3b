"""JSON lines, plain or gzipped: {"id": "d1", "vector": {"token": weight, ...}}, one row a line.

Ids are text or whole numbers, which become text, under "id" or "_id". Other keys are ignored. The file is in UTF-8.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from lsr.checks import is_utf8
from lsr.errors import VectorsError
from lsr.storage.files import replacing_file
from lsr.storage.ids import UniqueIds, check_unique
from lsr.storage.reading import bounded_lines, open_binary
from lsr.vectors.io.vectors_info import VectorsInfo, reading_errors
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

WHAT = 'lines of {"id": "...", "vector": {"token": weight}}'
ROWS_PER_WRITE = 1024
TOO_LARGE = 2.0**128 - 2.0**103  # the least number that a 32-bit float rounds to infinity

ComponentOf = Callable[[str], int | None]


class _Batch(NamedTuple):
    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float32]
    ids: list[str]


def read_info(path: Path, vocabulary: Vocabulary | None = None) -> VectorsInfo:
    """Counts; there is no header, so that the whole file is read (in bounded memory), twice without its vocabulary."""
    if vocabulary is None:
        vocabulary = read_vocabulary(path)
    rows = nnz = 0
    for batch in iterate(path, 8192, vocabulary):
        rows += len(batch)
        nnz += batch.nnz
    return VectorsInfo(rows, nnz, len(vocabulary), None, vocabulary.hash)


def read_vocabulary(path: Path) -> Vocabulary:
    """All tokens of the file, by first appearance: those that `read` and `iterate` number when given no vocabulary."""
    known: dict[str, int] = {}
    for _ in _batches(path, 8192, _numbering(known)):
        pass
    return Vocabulary(known)


def read(path: Path, vocabulary: Vocabulary | None) -> SparseVectors:
    """The whole file."""
    known: dict[str, int] = {}
    component_of = _numbering(known) if vocabulary is None else vocabulary.id_of
    batches = list(_batches(path, 8192, component_of))
    lengths = [np.diff(batch.indptr) for batch in batches]
    return SparseVectors(
        np.concatenate([[0], *lengths]).cumsum(),
        np.concatenate([np.zeros(0, np.uint32), *(batch.indices for batch in batches)]),
        np.concatenate([np.zeros(0, np.float32), *(batch.values for batch in batches)]),
        len(known if vocabulary is None else vocabulary),
        [each for batch in batches for each in batch.ids],
    )


def iterate(path: Path, rows: int, vocabulary: Vocabulary | None) -> Iterator[SparseVectors]:
    """Batches of `rows` rows; without a vocabulary the file is read once more, before, for its tokens."""
    if vocabulary is None:
        vocabulary = read_vocabulary(path)
    for batch in _batches(path, rows, vocabulary.id_of):
        yield SparseVectors(*batch[:3], len(vocabulary), batch.ids)


def write(path: Path, vectors: SparseVectors, vocabulary: Vocabulary | None, _encoder: dict[str, Any] | None) -> None:
    """Write the file; nine digits tell every 32-bit float apart. Rows without ids are numbered from 0."""
    if vocabulary is None:
        raise VectorsError(f"{path}: JSONL holds tokens, so that it needs the vocabulary; give one or write .npz")
    if vectors.ids is not None:
        check_unique(vectors.ids)
    names = [json.dumps(token, ensure_ascii=False) for token in vocabulary.tokens]
    with replacing_file(path) as file:
        if path.suffix == ".gz":
            # Without the name and the time, so that equal vectors give equal files.
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                _write_lines(cast("BinaryIO", packed), vectors, names)
        else:
            _write_lines(file, vectors, names)


def _write_lines(file: BinaryIO, vectors: SparseVectors, names: list[str]) -> None:
    for first in range(0, len(vectors), ROWS_PER_WRITE):
        lines = []
        for row in range(first, min(first + ROWS_PER_WRITE, len(vectors))):
            components, weights = vectors.row(row)
            row_id = str(row) if vectors.ids is None else vectors.ids[row]
            pairs = zip(components.tolist(), weights.tolist(), strict=True)
            vector = ", ".join([f"{names[component]}: {weight:.9g}" for component, weight in pairs])
            lines.append(f'{{"id": {json.dumps(row_id, ensure_ascii=False)}, "vector": {{{vector}}}}}\n')
        file.write("".join(lines).encode())


def _numbering(known: dict[str, int]) -> ComponentOf:
    """Gives every new token the next component, and remembers it in `known`."""

    def component_of(token: str) -> int | None:
        component = known.get(token)
        if component is None and is_utf8(token):
            component = known[token] = len(known)
        return component

    return component_of


def _batches(path: Path, rows: int, component_of: ComponentOf) -> Iterator[_Batch]:
    """Batches of checked rows, whose components are neither sorted nor merged yet."""
    unique = UniqueIds()
    lines: list[int] = []
    ids: list[str] = []
    indices: list[int] = []
    values: list[float] = []
    ends = [0]

    def batch() -> _Batch:
        repeated = unique.add(ids)
        if repeated is not None:
            raise VectorsError(f"{path}:{lines[repeated]}: id {ids[repeated]!r} occurs a second time; make ids unique")
        return _Batch(np.array(ends), np.array(indices, np.uint32), np.array(values, np.float32), ids)

    for line, row_id, pairs in _records(path):
        for token, weight in pairs:
            component = component_of(token)
            if component is None:
                fault = "is not in the vocabulary; add it or leave it out"
                if not is_utf8(token):
                    fault = "holds a lone surrogate; tokens must be valid Unicode"
                raise VectorsError(f"{path}:{line}: token {token!r} {fault}")
            indices.append(component)
            values.append(_check_weight(path, line, token, weight))
        lines.append(line)
        ids.append(row_id)
        ends.append(len(indices))
        if len(ids) == rows:
            yield batch()
            lines, ids, indices, values, ends = [], [], [], [], [0]
    if ids:
        yield batch()


def _check_weight(path: Path, line: int, token: str, weight: Any) -> float:
    if type(weight) in (float, int) and 0 <= weight < TOO_LARGE:
        return float(weight)
    rule = "weights must be numbers, finite and non-negative, that a 32-bit float can hold"
    raise VectorsError(f"{path}:{line}: weight of {token!r} is {str(weight)[:40]}; {rule}")


def _records(path: Path) -> Iterator[tuple[int, str, tuple[tuple[str, Any], ...]]]:
    """(line number, id, (token, weight) pairs) of each line that is not blank."""
    for line, raw in enumerate(_lines(path), 1):
        try:
            text = raw.decode("utf-8-sig" if line == 1 else "utf-8").strip()
            if not text:
                continue
            # Objects become tuples of pairs: a token that occurs twice is kept twice, and summed later.
            record = json.loads(text, object_pairs_hook=tuple)
        except UnicodeDecodeError as error:
            raise VectorsError(
                f"{path}:{line}: byte {error.start + 1} of the line is not UTF-8; convert the file"
            ) from None
        except (ValueError, RecursionError) as error:
            raise VectorsError(f"{path}:{line}: not valid JSON ({error}); expected {WHAT}") from None
        if not isinstance(record, tuple):
            raise VectorsError(f"{path}:{line}: not a JSON object; expected {WHAT}")
        fields = dict(record)
        row_id, pairs = fields.get("_id", fields.get("id")), fields.get("vector")
        if type(row_id) is int:
            row_id = str(row_id)
        if not isinstance(row_id, str) or not row_id or not is_utf8(row_id):
            fault = "there is no id" if row_id is None else f"id is {row_id!r}"
            raise VectorsError(f"{path}:{line}: {fault}; each line needs one, text or a whole number")
        if not isinstance(pairs, tuple):
            raise VectorsError(f"{path}:{line}: there is no vector object; expected {WHAT}")
        yield line, row_id, pairs


def _lines(path: Path) -> Iterator[bytes]:
    with reading_errors(path, WHAT), open_binary(path) as file:
        yield from bounded_lines(file)
