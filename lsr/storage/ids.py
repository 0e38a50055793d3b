"""Checks of ids of documents and queries: valid text, and unique."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.checks import check_text, listed, shown
from lsr.errors import VectorsError

DIGEST_BYTES = 16


def check_ids(ids: Sequence[str] | npt.NDArray[Any], rows: int) -> list[str]:
    """`ids` as a list. Raises VectorsError unless there is one valid Unicode string per row."""
    checked = listed(ids, "ids", VectorsError)
    if len(checked) != rows:
        raise VectorsError(f"{len(checked)} ids for {rows} rows; there must be one id per row")
    for row, row_id in enumerate(checked):
        if not isinstance(row_id, str):
            raise VectorsError(f"row {row}: id is {shown(row_id)}; ids must be text: [str(each) for each in ids]")
        check_text(f"row {row}: id", row_id, VectorsError)
    return checked


def check_unique(ids: Sequence[str]) -> None:
    """Raises VectorsError, which names both rows, for a duplicate id."""
    repeated = UniqueIds().add(ids)
    if repeated is not None:
        row_id = ids[repeated]
        first = next(row for row, other in enumerate(ids) if other == row_id)
        raise VectorsError(f"row {repeated}: id {row_id!r} is also that of row {first}; ids must be unique")


class UniqueIds:
    """Detects duplicate ids with 16 bytes per id: their BLAKE2 digests, in sorted runs of decreasing length.

    Two different ids out of a thousand million have equal digests with a probability below 1e-20.
    """

    def __init__(self) -> None:
        self._runs: list[npt.NDArray[np.bytes_]] = []

    def add(self, ids: Sequence[str]) -> int | None:
        """Record `ids`; or return the position of the first duplicate, here or earlier, and record none."""
        joined = b"".join([blake2b(each.encode(), digest_size=DIGEST_BYTES).digest() for each in ids])
        digests = np.frombuffer(joined, f"S{DIGEST_BYTES}")
        order = np.argsort(digests, kind="stable")
        run = digests[order]
        seen = np.zeros(len(ids), bool)
        seen[order[1:]] = run[1:] == run[:-1]
        for earlier in self._runs:
            at = np.minimum(np.searchsorted(earlier, digests), len(earlier) - 1)
            seen |= earlier[at] == digests
        if seen.any():
            return int(seen.argmax())
        while self._runs and len(self._runs[-1]) <= len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        if len(run):
            self._runs.append(run)
        return None
