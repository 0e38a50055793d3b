"""Filters: which documents a search may find."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from lsr.errors import ParameterError
from lsr.index.document_ids import Ids
from lsr.storage.arrays import Array

Allowed = npt.NDArray[np.bool_] | npt.NDArray[np.integer] | Collection[str] | Collection[int]


def allowed_rows(allowed: Allowed | None, documents: int, ids: Ids | None) -> Array | None:
    """The filter as a mask bool[documents], or None for none.

    Raises ParameterError for a mask of another length, ids where the index has none, an id or row that does not exist,
    or what is none of these.
    """
    if allowed is None:
        return None
    if isinstance(allowed, np.ndarray) and allowed.dtype == bool:
        if allowed.shape != (documents,):
            raise ParameterError(
                f"the mask has shape {allowed.shape}; give one value for each of {documents} documents"
            )
        return allowed
    if isinstance(allowed, str):
        raise ParameterError("allowed is one text; give a collection of ids, or a mask")
    if not isinstance(allowed, Collection) or (isinstance(allowed, np.ndarray) and allowed.ndim == 0):
        raise ParameterError(f"allowed is of type {type(allowed).__name__}; give a mask, ids or row numbers")
    wanted = list(allowed)
    mask = np.zeros(documents, bool)
    if all(isinstance(each, str) for each in wanted):
        mask[_rows_of(set(wanted), ids)] = True
    elif all(isinstance(each, int | np.integer) and not isinstance(each, bool | np.bool_) for each in wanted):
        least, most = min(map(int, wanted)), max(map(int, wanted))
        if not 0 <= least <= most < documents:
            raise ParameterError(f"rows {least} to {most} are allowed; the index has {documents} documents")
        mask[np.array(wanted, np.int64)] = True
    else:
        raise ParameterError(
            "allowed holds neither ids, all of them text, nor row numbers; give a mask or one of these"
        )
    return mask


def masked_documents(mask: Array, rows: Array, offsets: Array) -> tuple[Array, Array, Array]:
    """What kernels take of a filter, by document, not row.

    (uint8[n], 1 for those allowed; float32[blocks], 1 for blocks that have any; those allowed, uint32[m], rising).
    """
    masked = mask[rows].view(np.uint8)
    blocks = np.maximum.reduceat(masked, offsets[:-1]) if len(rows) else masked
    return masked, blocks.astype(np.float32), np.flatnonzero(masked).astype(np.uint32)


def _rows_of(wanted: set[str], ids: Ids | None) -> list[int]:
    if not wanted:
        return []
    if ids is None:
        raise ParameterError("the index has no ids; allow documents by row number, or by a mask")
    rows = [row for row, each in enumerate(ids) if each in wanted]
    if len(rows) < len(wanted):
        known = {ids[row] for row in rows}
        missing = next(each for each in wanted if each not in known)
        raise ParameterError(f"{missing!r} is allowed, but is no document of the index; check the ids")
    return rows
