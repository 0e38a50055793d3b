"""Static pruning of sparse vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsr.checks import check_number, check_whole, shown
from lsr.errors import ParameterError
from lsr.vectors.normalize import indptr_of, row_steps, rows_of
from lsr.vectors.sparse_vectors import SparseVectors

# (row of each posting, weight of each posting) -> whether to keep each posting. Rows are complete.
Keep = Callable[[npt.NDArray[np.int64], npt.NDArray[np.float32]], npt.NDArray[np.bool_]]

SHARE_ROUNDING = 1e-9  # rounding error of sums of shares

NAMES = {"top-k": "top_k", "ratio": "ratio", "mass": "mass"}


@dataclass(frozen=True, slots=True)
class Pruning:
    """Rules that prune sparse vectors. They are applied in this order.

    top_k: keep this number of the heaviest components of a row; of equal weights, the lower components.
    ratio: keep components heavier than this share of the row's heaviest (OpenSearch's prune ratio, strictly heavier).
    mass: keep the fewest heaviest components that make up this share of the row's sum.

    Raises ParameterError for top_k below 1, a ratio outside [0, 1), or a mass outside (0, 1].
    """

    top_k: int | None = None
    ratio: float | None = None
    mass: float | None = None

    def __post_init__(self) -> None:
        if self.top_k is not None:
            check_whole("top-k", self.top_k)
        if self.ratio is not None:
            check_number("ratio", self.ratio, 0, 0.999999)
        if self.mass is not None:
            check_number("mass", self.mass, 1e-9, 1)

    @classmethod
    def parse(cls, text: str | Pruning) -> Pruning:
        """The rules in a text: "top-k:128", "ratio:0.1", "mass:0.9", or several with commas; "" for no pruning.

        A Pruning is returned unchanged. Raises ParameterError.
        """
        if isinstance(text, Pruning):
            return text
        if not isinstance(text, str):
            raise ParameterError(f"pruning is {shown(text)}; give a Pruning, or text such as top-k:128")
        settings: dict[str, float | int] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, colon, value = part.partition(":")
            if name not in NAMES or not colon or NAMES[name] in settings:
                raise ParameterError(f"pruning is {text!r}; it must be like top-k:128, ratio:0.1 or mass:0.9")
            try:
                settings[NAMES[name]] = int(value) if name == "top-k" else float(value)
            except ValueError:
                raise ParameterError(
                    f"pruning is {part!r}: {value!r} is not a number; give a number, for top-k a whole number"
                ) from None
        return cls(**settings)  # type: ignore[arg-type]

    def __str__(self) -> str:
        """The rules as text for `parse`."""
        given = ((name, getattr(self, attribute)) for name, attribute in NAMES.items())
        return ",".join(f"{name}:{value}" for name, value in given if value is not None)

    def __bool__(self) -> bool:
        """Whether there is any rule."""
        return (self.top_k, self.ratio, self.mass) != (None, None, None)

    def apply(self, vectors: SparseVectors) -> SparseVectors:
        """The pruned rows, with their ids. Without any change, `vectors` itself is returned."""
        if self.top_k is not None:
            vectors = vectors.top_k(self.top_k)
        if self.ratio is not None:
            vectors = _filtered(vectors, self._above_ratio)
        if self.mass is not None:
            vectors = _filtered(vectors, self._within_mass)
        return vectors

    def _above_ratio(self, rows: npt.NDArray[np.int64], values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        largest = np.zeros(rows[-1] + 1, np.float32)
        np.maximum.at(largest, rows, values)
        kept: npt.NDArray[np.bool_] = values > np.float32(self.ratio or 0.0) * largest[rows]
        return kept

    def _within_mass(self, rows: npt.NDArray[np.int64], values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        # By row and descending weight. A component is kept as long as the sum of those before it is below the mass.
        # Shares of the row are summed, not weights, because the sums run over many rows of very different weights.
        order = np.lexsort((-values, rows))
        totals = np.bincount(rows, values)
        shares = values[order] / totals[rows]
        sums = np.cumsum(shares)
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        before_row = np.repeat(sums[first] - shares[first], np.diff(first, append=len(rows)))
        kept = np.zeros(len(values), bool)
        kept[order] = sums - shares - before_row < (self.mass or 0.0) - SHARE_ROUNDING
        kept[order[first]] = True
        return kept


def _filtered(vectors: SparseVectors, keep: Keep) -> SparseVectors:
    lengths = np.diff(vectors.indptr)
    kept = np.zeros(vectors.nnz, bool)
    kept_lengths = np.zeros(len(vectors), np.int64)
    for start, stop in row_steps(vectors.indptr):
        begin, end = vectors.indptr[start], vectors.indptr[stop]
        rows = rows_of(lengths[start:stop])
        if len(rows):
            kept[begin:end] = keep(rows, vectors.values[begin:end])
            kept_lengths[start:stop] = np.bincount(rows[kept[begin:end]], minlength=stop - start)
    return SparseVectors.from_normalized(
        indptr_of(kept_lengths), vectors.indices[kept], vectors.values[kept], vectors.dim, vectors.ids
    )
