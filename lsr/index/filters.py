"""Filters: which documents a search may find."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lsr.errors import ParameterError
from lsr.storage.arrays import read_only
from lsr.storage.id_column import Ids
from lsr.vectors.conversions import library_of

T = TypeVar("T")


class Filter:
    """The documents that searches may find: made once, prepared by the first search of each index, and used often.

    mask: bool[documents]; it is copied.
    """

    def __init__(self, mask: npt.NDArray[np.bool_]) -> None:
        self.mask = read_only(np.array(mask, bool))
        # What it was prepared for, kept so that nothing else takes its address, and the result.
        self._prepared: dict[int, tuple[object, Any]] = {}

    @classmethod
    def of(cls, allowed: Allowed | None, documents: int, ids: Ids | None) -> Filter | None:
        """The filter of a mask, ids or row numbers; None for none.

        Raises ParameterError for a mask or filter of another length, ids where the index has none, an id or row that
        does not exist, or what is none of these.
        """
        if allowed is None:
            return None
        if isinstance(allowed, Filter):
            _check_length(allowed.mask, documents)
            return allowed
        if isinstance(allowed, str | bytes):
            raise ParameterError("allowed is one text; give a collection of ids, or a mask")
        if library_of(allowed) == "torch":
            allowed = np.asarray(allowed)
        bools = isinstance(allowed, np.ndarray) and allowed.dtype == bool
        scalar = isinstance(allowed, np.ndarray) and allowed.ndim == 0
        if not bools and (scalar or not isinstance(allowed, Collection)):
            raise ParameterError(f"allowed is of type {type(allowed).__name__}; give a mask, ids or row numbers")
        wanted = [] if bools else list(allowed)
        if bools or (wanted and all(isinstance(each, bool | np.bool_) for each in wanted)):
            given = np.asarray(allowed if bools else wanted, bool)
            _check_length(given, documents)
            return cls(given)
        mask = np.zeros(documents, bool)
        if all(isinstance(each, str) for each in wanted):
            mask[_rows_of(wanted, ids)] = True
        elif all(isinstance(each, int | np.integer) and not isinstance(each, bool | np.bool_) for each in wanted):
            least, most = min(map(int, wanted)), max(map(int, wanted))
            if not 0 <= least <= most < documents:
                raise ParameterError(f"rows {least} to {most} are allowed; the index has {documents} documents")
            mask[np.array(wanted, np.int64)] = True
        else:
            raise ParameterError(
                "allowed holds neither ids, all of them text, nor row numbers; give a mask or one of these"
            )
        return cls(mask)

    @cached_property
    def count(self) -> int:
        """How many may be found."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """int64[m]: the rows that may be found, rising."""
        return np.flatnonzero(self.mask)

    @cached_property
    def factors(self) -> npt.NDArray[np.float32]:
        """float32[documents]: 1 for those that may be found, 0 for others."""
        return self.mask.astype(np.float32)

    @cached_property
    def bits(self) -> npt.NDArray[np.uint8]:
        """uint8[documents / 8, rounded up]: a bit for each document, the lowest first."""
        return np.packbits(self.mask, bitorder="little")

    def prepared(self, key: object, make: Callable[[], T]) -> T:
        """What `make` returns, which is kept for each key: the array, say, whose order the filter shall have."""
        known = self._prepared.get(id(key))
        if known is None:
            known = self._prepared.setdefault(id(key), (key, make()))  # another thread may have been first
        value: T = known[1]
        return value


Allowed = npt.NDArray[np.bool_] | npt.NDArray[np.integer] | Collection[str] | Collection[int] | Filter


def _check_length(mask: npt.NDArray[np.bool_], documents: int) -> None:
    if mask.shape != (documents,):
        raise ParameterError(f"the mask has shape {mask.shape}; give one value for each of {documents} documents")


def _rows_of(wanted: list[str], ids: Ids | None) -> npt.NDArray[np.int64]:
    if wanted and ids is None:
        raise ParameterError("the index has no ids; allow documents by row number, or by a mask")
    rows = np.empty(0, np.int64) if ids is None else ids.all_rows(wanted)
    if ids is not None and len(rows) and rows.min() < 0:
        missing = wanted[int(ids.rows(wanted).argmin())]
        raise ParameterError(f"{missing!r} is allowed, but is not a document of the index; check the ids")
    return rows
