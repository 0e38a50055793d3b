"""Postings sorted by ranges of keys on disk, to turn rows into posting lists, and posting lists into rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lsr.storage.arrays import Array
from lsr.storage.files import storage_errors

_RECORD = np.dtype([("key", "<u4"), ("other", "<u4"), ("impact", "<u4")])


def bounds_of(keys: Array) -> list[int]:
    """The place of the first posting of each key, and the number of postings. keys: integers[m], sorted, from 0."""
    return [*np.flatnonzero(np.diff(keys.astype(np.int64), prepend=-1)).tolist(), len(keys)]


class KeyPostings(NamedTuple):
    """Postings of one range of keys: uint32[m] each. Sorted by key; postings of a key are in the order of addition."""

    keys: Array
    others: Array
    impacts: Array


class SpilledPostings:
    """Postings that are written in any order and read by key. Only the postings of one range of keys are in memory.

    To turn rows into posting lists, the key is the component, and the other number the row; or the reverse.

    folder: for one file per range. count: the number of ranges.
    range_of: keys, integers[n] -> the range of each key, int64[n], below `count`. A larger key has no lower range.
    """

    def __init__(self, folder: Path, range_of: Callable[[Array], Array], count: int) -> None:
        self._folder, self._range_of, self._count = folder, range_of, count

    def add(self, keys: Array, others: Array, impacts: Array) -> None:
        """Add postings, integers[n] each. Raises StorageError."""
        dealt = self._range_of(keys)
        order = np.argsort(dealt, kind="stable")
        records = np.empty(len(keys), _RECORD)
        for name, array in zip(_RECORD.names or (), (keys, others, impacts), strict=True):
            records[name] = array[order]
        for begin, end in pairwise(bounds_of(dealt[order])):
            path = self._path(int(dealt[order[begin]]))
            with storage_errors(path), path.open("ab") as file:
                file.write(records[begin:end].tobytes())

    def ranges(self) -> Iterator[KeyPostings]:
        """All ranges in order, also those without postings. Their files are removed. Raises StorageError."""
        for number in range(self._count):
            path = self._path(number)
            records = np.empty(0, _RECORD)
            with storage_errors(path):
                if path.exists():
                    records = np.fromfile(path, _RECORD)
                    path.unlink()
            records = records[np.argsort(records["key"], kind="stable")]
            yield KeyPostings(records["key"], records["other"], records["impact"])

    def _path(self, number: int) -> Path:
        return self._folder / f"range-{number:06d}"
