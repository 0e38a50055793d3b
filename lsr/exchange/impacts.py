"""Impacts: weights times a scale, rounded to integers, for formats with term frequencies."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lsr.checks import check_number
from lsr.errors import ParameterError
from lsr.storage.arrays import Array
from lsr.vectors.sparse_vectors import SparseVectors

MAX_IMPACT = 2**31 - 1  # a term frequency is an int32


def impacts_of(weights: Array, scale: float) -> Array:
    """int64[m]: weights, float32[m], times `scale`, rounded to the nearest integer (halves to the even one)."""
    return np.rint(weights.astype(np.float64) * scale).astype(np.int64)


def checked_scale(scale: float | None, largest: float, default: float) -> float:
    """The scale, or `default` for None.

    largest: the largest weight. Raises ParameterError for a scale that is not positive, or with which an impact would
        not be an int32.
    """
    if scale is None:
        scale = default
    else:
        check_number("scale", scale, 1e-9, 1e9)
    if largest * scale > MAX_IMPACT:
        raise ParameterError(
            f"scale {scale:g} is too large: the largest weight, {largest:g}, becomes {largest * scale:.4g}, but the "
            f"largest impact is {MAX_IMPACT}; use a smaller scale"
        )
    return scale


def largest_weight(batches: Iterable[SparseVectors]) -> float:
    """The largest weight; 0 without weights."""
    return max((float(batch.values.max()) for batch in batches if batch.nnz), default=0.0)
