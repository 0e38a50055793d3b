"""Filters: the documents that a search can return."""

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
    """The documents that searches can return. Each index prepares the filter once, in its first search.

    mask: bool[documents]; it is copied.
    """

    def __init__(self, mask: npt.NDArray[np.bool_]) -> None:
        self.mask = read_only(np.array(mask, bool))
        # The object for which it was prepared, kept alive so that its address stays unique, and the result.
        self._prepared: dict[int, tuple[object, Any]] = {}

    @classmethod
    def of(cls, allowed: Allowed | None, documents: int, ids: Ids | None) -> Filter | None:
        """The filter of a mask, ids or row numbers; None for None.

        Raises ParameterError for a mask or filter of another length, ids for an index without ids, an id or row that
        does not exist, or any other type.
        """
        if allowed is None:
            return None
        if isinstance(allowed, Filter):
            _check_length(allowed.mask, documents)
            return allowed
        if isinstance(allowed, str | bytes):
            raise ParameterError("allowed is a single string; give a list of ids, row numbers, or a mask")
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
                raise ParameterError(f"allowed has rows {least} to {most}, but the index has {documents} documents")
            mask[np.array(wanted, np.int64)] = True
        else:
            raise ParameterError(
                "allowed has neither only texts (ids) nor only whole numbers (rows); give one of these, or a mask"
            )
        return cls(mask)

    @cached_property
    def count(self) -> int:
        """The number of allowed documents."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """int64[m]: the allowed rows, ascending."""
        return np.flatnonzero(self.mask)

    @cached_property
    def factors(self) -> npt.NDArray[np.float32]:
        """float32[documents]: 1 for allowed documents, 0 for others."""
        return self.mask.astype(np.float32)

    @cached_property
    def bits(self) -> npt.NDArray[np.uint8]:
        """uint8[documents / 8, rounded up]: a bit per document, the lowest first."""
        return np.packbits(self.mask, bitorder="little")

    def prepared(self, key: object, make: Callable[[], T]) -> T:
        """The result of `make`, cached by key: an array, for example, whose order the filter takes."""
        known = self._prepared.get(id(key))
        if known is None:
            known = self._prepared.setdefault(id(key), (key, make()))  # another thread can be first
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
        raise ParameterError(f"allowed has the id {missing!r}, which is not in the index; check the ids")
    return rows
