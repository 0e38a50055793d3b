"""Records with numbers of components, as batches of vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from lsr.collections.sources import Document
from lsr.errors import VectorsError
from lsr.exchange.opened_vectors import OpenedVectors
from lsr.storage.ids import UniqueIds
from lsr.vectors.io.token_records import TOO_LARGE
from lsr.vectors.normalize import MAX_DIM, indptr_of
from lsr.vectors.sparse_vectors import SparseVectors

ROWS_AT_ONCE = 8192


class NumberedRecord(NamedTuple):
    """One row of a file.

    place: file and line, for error messages. components, weights: the lists in the file, not checked yet.
    """

    place: str
    row_id: str
    components: Any
    weights: Any
    document: Document | None = None


Records = Callable[[], Iterator[NumberedRecord]]  # each call reads from the beginning


@contextmanager
def opened(records: Records) -> Iterator[OpenedVectors]:
    """The records as vectors. They are read twice. Raises VectorsError."""
    total = dim = 0
    for components, _ in map(_checked, records()):
        total += 1
        dim = max(dim, int(components.max(initial=-1)) + 1)
    yield OpenedVectors(
        dim, None, total, _batches(records, dim), lambda: (each.document for each in records() if each.document)
    )


def _batches(records: Records, dim: int) -> Iterator[SparseVectors]:
    unique = UniqueIds()
    held: list[NumberedRecord] = []

    def batch() -> SparseVectors:
        repeated = unique.add([each.row_id for each in held])
        if repeated is not None:
            where = held[repeated]
            raise VectorsError(f"{where.place}: duplicate id {where.row_id!r}; make ids unique")
        arrays = list(map(_checked, held))
        indptr = indptr_of([len(components) for components, _ in arrays])
        components, weights = map(np.concatenate, zip(*arrays, strict=True))
        try:
            return SparseVectors(indptr, components, weights, dim, [each.row_id for each in held])
        except VectorsError as error:
            raise VectorsError(f"{held[0].place} or later: {error}") from None

    for record in records():
        held.append(record)
        if len(held) == ROWS_AT_ONCE:
            yield batch()
            held.clear()
    if held:
        yield batch()


def _checked(record: NumberedRecord) -> tuple[Any, Any]:
    """(components int64[m], weights float64[m]). Raises VectorsError."""
    components, weights = record.components, record.weights
    if (
        not isinstance(components, list)
        or not isinstance(weights, list)
        or len(components) != len(weights)
        or not all(type(each) is int and 0 <= each < MAX_DIM for each in components)
        or not all(type(each) in (int, float) and 0 <= each < TOO_LARGE for each in weights)
    ):
        raise VectorsError(
            f"{record.place}: components and weights are not two lists of the same length with whole numbers from 0 "
            "and non-negative 32-bit floats; correct the file"
        )
    return np.array(components, np.int64), np.array(weights, np.float64)
