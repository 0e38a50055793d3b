"""Records of rows with tokens: mapping tokens to components, and checking weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.checks import is_utf8
from lsr.errors import VectorsError
from lsr.storage.ids import UniqueIds
from lsr.storage.reading import bounded_lines, open_binary
from lsr.vectors.io.vectors_info import VectorsInfo, reading_errors
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

TOO_LARGE = 2.0**128 - 2.0**103  # the smallest number that becomes infinity as a 32-bit float

ComponentOf = Callable[[str], int | None]


class TokenRecord(NamedTuple):
    """One row. place: its file and line, for messages. pairs: (token, weight); duplicate tokens are summed later."""

    place: str
    row_id: str
    pairs: Iterable[tuple[str, Any]]


# Starts again with each call, and returns the same records.
TokenRecords = Callable[[], Iterator[TokenRecord]]


class _Batch(NamedTuple):
    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float32]
    ids: list[str]


def read_info(records: TokenRecords, vocabulary: Vocabulary | None = None) -> VectorsInfo:
    """Counts. Without a header, the whole file is read, in bounded memory; twice without a vocabulary."""
    if vocabulary is None:
        vocabulary = read_vocabulary(records)
    rows = nnz = 0
    for batch in iterate(records, 8192, vocabulary):
        rows += len(batch)
        nnz += batch.nnz
    return VectorsInfo(rows, nnz, len(vocabulary), None, vocabulary.hash)


def read_vocabulary(records: TokenRecords) -> Vocabulary:
    """All tokens by first appearance, as `read` and `iterate` number them without a vocabulary."""
    known: dict[str, int] = {}
    for _ in _batches(records, 8192, _numbering(known)):
        pass
    return Vocabulary(known)


def read(records: TokenRecords, vocabulary: Vocabulary | None) -> SparseVectors:
    """All rows."""
    known: dict[str, int] = {}
    component_of = _numbering(known) if vocabulary is None else vocabulary.id_of
    batches = list(_batches(records, 8192, component_of))
    lengths = [np.diff(batch.indptr) for batch in batches]
    return SparseVectors(
        np.concatenate([[0], *lengths]).cumsum(),
        np.concatenate([np.zeros(0, np.uint32), *(batch.indices for batch in batches)]),
        np.concatenate([np.zeros(0, np.float32), *(batch.values for batch in batches)]),
        len(known if vocabulary is None else vocabulary),
        [each for batch in batches for each in batch.ids],
    )


def iterate(records: TokenRecords, rows: int, vocabulary: Vocabulary | None) -> Iterator[SparseVectors]:
    """Batches of `rows` rows. Without a vocabulary, the whole file is read for its tokens first."""
    if vocabulary is None:
        vocabulary = read_vocabulary(records)
    for batch in _batches(records, rows, vocabulary.id_of):
        yield SparseVectors(*batch[:3], len(vocabulary), batch.ids)


def numbered_lines(path: Path, what: str) -> Iterator[tuple[int, str]]:
    """(number from 1, text without line end) of the non-blank lines of a file, plain or gzipped.

    what: the expected content, for messages. Raises VectorsError.
    """
    for line, raw in enumerate(_lines(path, what), 1):
        try:
            text = raw.decode("utf-8-sig" if line == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise VectorsError(
                f"{path}:{line}: byte {error.start + 1} of the line is not UTF-8; convert the file"
            ) from None
        if text.strip():
            yield line, text


def _lines(path: Path, what: str) -> Iterator[bytes]:
    with reading_errors(path, what), open_binary(path) as file:
        yield from bounded_lines(file)


def _numbering(known: dict[str, int]) -> ComponentOf:
    """A function that gives each new token the next component, recorded in `known`."""

    def component_of(token: str) -> int | None:
        component = known.get(token)
        if component is None and is_utf8(token):
            component = known[token] = len(known)
        return component

    return component_of


def _batches(records: TokenRecords, rows: int, component_of: ComponentOf) -> Iterator[_Batch]:
    """Batches of checked rows, whose components are not yet sorted or merged."""
    unique = UniqueIds()
    places: list[str] = []
    ids: list[str] = []
    indices: list[int] = []
    values: list[float] = []
    ends = [0]

    def batch() -> _Batch:
        repeated = unique.add(ids)
        if repeated is not None:
            raise VectorsError(f"{places[repeated]}: duplicate id {ids[repeated]!r}; ids must be unique")
        return _Batch(np.array(ends), np.array(indices, np.uint32), np.array(values, np.float32), ids)

    for place, row_id, pairs in records():
        for token, weight in pairs:
            component = component_of(token)
            if component is None:
                fault = "is not in the vocabulary; add it, or leave it out"
                if not is_utf8(token):
                    fault = "has a lone surrogate; tokens must be valid Unicode"
                raise VectorsError(f"{place}: token {token!r} {fault}")
            indices.append(component)
            values.append(_checked_weight(place, token, weight))
        places.append(place)
        ids.append(row_id)
        ends.append(len(indices))
        if len(ids) == rows:
            yield batch()
            places, ids, indices, values, ends = [], [], [], [], [0]
    if ids:
        yield batch()


def _checked_weight(place: str, token: str, weight: Any) -> float:
    if type(weight) in (float, int) and 0 <= weight < TOO_LARGE:
        return float(weight)
    rule = "weights must be finite and non-negative, and fit a 32-bit float"
    raise VectorsError(f"{place}: weight of {token!r} is {str(weight)[:40]}; {rule}")
