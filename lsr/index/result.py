"""What a search gives back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lsr.storage.id_column import IdColumn


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The best documents of each query, best first; of equal scores the lower row comes first.

    scores: float32[queries, k]; -inf where a query has fewer than k hits.
    rows: int64[queries, k], the documents' rows in the index; -1 where there is no hit.
    """

    scores: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]
    _ids: IdColumn | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def ids(self) -> npt.NDArray[np.object_]:
        """object[queries, k]: the documents' ids, or their rows as text where the index has none; None for no hit."""
        name = str if self._ids is None else self._ids.__getitem__
        names = np.empty(self.rows.size, object)
        names[:] = [name(row) if row >= 0 else None for row in self.rows.ravel().tolist()]
        return names.reshape(self.rows.shape)
