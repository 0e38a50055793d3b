"""Postings dealt to ranges of keys by way of the disk: how rows become posting lists, and posting lists rows."""

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
    """Where equal keys begin, sorted ones that are not negative, and where the last ones end."""
    return [*np.flatnonzero(np.diff(keys.astype(np.int64), prepend=-1)).tolist(), len(keys)]


class KeyPostings(NamedTuple):
    """Postings of one range, by key; those of one key in the order in which they were added. uint32[m] each."""

    keys: Array
    others: Array
    impacts: Array


class SpilledPostings:
    """Postings by key, on disk. A key is a component and the other a row, or the other way round.

    folder: holds a file for each range. range_of: integers[n] -> int64[n], the ranges of keys, which rise as keys do,
    from 0 to before `count`; one range at a time is in memory.
    """

    def __init__(self, folder: Path, range_of: Callable[[Array], Array], count: int) -> None:
        self._folder, self._range_of, self._count = folder, range_of, count

    def add(self, keys: Array, others: Array, impacts: Array) -> None:
        """Postings, integers[n] each. Raises StorageError."""
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
        """Each range once, in order, of those that have no postings, too; its file is removed. Raises StorageError."""
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
