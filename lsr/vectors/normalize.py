"""Checks of sparse vectors, and their normal form, on which all other code relies.

Normal form of a row: strictly ascending components (sorted, duplicates summed), weights finite and above zero. Rows are
checked in ranges, so that the checks need little memory besides the arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.checks import shown
from lsr.errors import VectorsError

MAX_DIM = 2**32
POSTINGS_PER_STEP = 1 << 18

RowName = Callable[[int], str]


def component_dtype(dim: int) -> np.dtype[Any]:
    """uint16 if `dim` components fit, else uint32."""
    return np.dtype(np.uint16 if dim <= 1 << 16 else np.uint32)


def row_steps(indptr: npt.NDArray[np.int64], postings: int = POSTINGS_PER_STEP) -> Iterator[tuple[int, int]]:
    """Consecutive ranges of rows (start, stop) of about `postings` postings each, and of at least one row."""
    rows = len(indptr) - 1
    start = 0
    while start < rows:
        last = int(np.searchsorted(indptr, indptr[start] + postings, side="right")) - 1
        stop = min(max(last, start + 1), rows)
        yield start, stop
        start = stop


def rows_of(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The row of each posting: [2, 0, 3] -> [0, 0, 2, 2, 2]."""
    return np.repeat(np.arange(len(lengths)), lengths)


def indptr_of(lengths: Sequence[int] | npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """The begin of each row, and the end of the last row: [2, 0, 3] -> [0, 2, 2, 5]."""
    indptr = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, dtype=np.int64, out=indptr[1:])
    return indptr


def check_dim(dim: Any) -> int:
    """`dim` as an int. Raises VectorsError unless it is a whole number from 0 to 2**32."""
    if isinstance(dim, bool) or not isinstance(dim, int | np.integer):
        raise VectorsError(f"dim is {shown(dim)}; it must be a whole number")
    if not 0 <= dim <= MAX_DIM:
        raise VectorsError(f"dim is {dim}; it must be from 0 to 2**32")
    return int(dim)


def check_indptr(indptr: Any, nnz: int, name_row: RowName = "row {}".format) -> npt.NDArray[np.int64]:
    """`indptr` as int64. Raises VectorsError unless it ascends from 0 to `nnz`."""
    array = _one_dimension("indptr", indptr, "iu", "whole numbers").astype(np.int64, copy=False)
    if not len(array):
        raise VectorsError("indptr is empty; it must have one entry more than there are rows")
    if array[0] != 0:
        raise VectorsError(f"indptr starts at {array[0]}; it must start at 0")
    falling = array[1:] < array[:-1]
    if falling.any():
        row = int(falling.argmax())
        raise VectorsError(
            f"{name_row(row)}: indptr decreases from {array[row]} to {array[row + 1]}; it must not decrease"
        )
    if array[-1] != nnz:
        raise VectorsError(f"indptr ends at {array[-1]}, but there are {nnz} components; it must end at {nnz}")
    return np.ascontiguousarray(array)


def normalize(
    indptr: Any, indices: Any, values: Any, dim: int, name_row: RowName = "row {}".format
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[np.float32]]:
    """The normal form of (indptr, indices, values). Arrays that already have it are returned unchanged.

    Raises VectorsError, in which `name_row` names the row with the error.
    """
    components = _one_dimension("indices", indices, "iu", "whole numbers")
    weights = _one_dimension("values", values, "biuf", "numbers")
    if len(components) != len(weights):
        raise VectorsError(
            f"there are {len(components)} components but {len(weights)} weights; the numbers must be equal"
        )
    starts = check_indptr(indptr, len(components), name_row)
    dtype = component_dtype(dim)

    steps = list(row_steps(starts))
    clean = [_check_step(starts[a : b + 1], components, weights, dim, a, name_row) for a, b in steps]
    if all(clean):
        return (
            starts,
            np.ascontiguousarray(components, dtype=dtype),
            np.ascontiguousarray(weights, dtype=np.float32),
        )

    new_starts = np.zeros(len(starts), np.int64)
    new_components = np.empty(len(components), dtype)
    new_weights = np.empty(len(weights), np.float32)
    end = 0
    for (a, b), is_clean in zip(steps, clean, strict=True):
        lengths = np.diff(starts[a : b + 1])
        step_components = components[starts[a] : starts[b]].astype(dtype, copy=False)
        step_weights = weights[starts[a] : starts[b]].astype(np.float32, copy=False)
        if not is_clean:
            lengths, step_components, step_weights = _tidy(lengths, step_components, step_weights)
            infinite = np.isinf(step_weights)
            if infinite.any():
                at = int(infinite.argmax())
                row = a + int(rows_of(lengths)[at])
                raise VectorsError(
                    f"{name_row(row)}: the sum of the weights of component {step_components[at]} does not fit a 32-bit "
                    "float; make them smaller"
                )
        new_starts[a + 1 : b + 1] = end + np.cumsum(lengths)
        new_components[end : end + len(step_components)] = step_components
        new_weights[end : end + len(step_weights)] = step_weights
        end += len(step_components)
    # In place, so that the freed memory is returned without another copy.
    new_components.resize(end, refcheck=False)
    new_weights.resize(end, refcheck=False)
    return new_starts, new_components, new_weights


def _one_dimension(name: str, data: Any, kinds: str, what: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(data)
    except (ValueError, TypeError) as error:
        raise VectorsError(f"{name} is not an array ({error}); it must be one-dimensional, of {what}") from error
    if array.ndim != 1:
        raise VectorsError(f"{name} has {array.ndim} dimensions; it must have one")
    if array.dtype.kind not in kinds and len(array):
        raise VectorsError(f"{name} has values of type {array.dtype}; they must be {what}")
    return array if array.dtype.kind in kinds else array.astype(np.int64)


def _check_step(
    starts: npt.NDArray[np.int64],
    components: npt.NDArray[Any],
    weights: npt.NDArray[Any],
    dim: int,
    first_row: int,
    name_row: RowName,
) -> bool:
    """Whether the rows that `starts` delimits are in normal form. Raises VectorsError if they cannot be normalized."""
    begin, end = int(starts[0]), int(starts[-1])
    if begin == end:
        return True
    step_components = components[begin:end]

    def row_of(position: int) -> str:
        return name_row(first_row + int(np.searchsorted(starts, begin + position, side="right")) - 1)

    outside = (step_components < 0) | (step_components >= dim)
    if outside.any():
        at = int(outside.argmax())
        raise VectorsError(
            f"{row_of(at)}: component {step_components[at]} is outside 0 to {dim - 1}; "
            f"there are {dim} components (dim = {dim})"
        )
    with np.errstate(over="ignore"):
        step_weights = weights[begin:end].astype(np.float32, copy=False)
    good = (step_weights >= 0) & (step_weights < np.inf)
    if not good.all():
        at = int(good.argmin())
        weight = weights[begin + at]
        rule = "weights must be finite and non-negative"
        if np.isfinite(weight) and weight > 0:
            rule = "weights must fit a 32-bit float"
        raise VectorsError(f"{row_of(at)}: weight of component {step_components[at]} is {weight}; {rule}")

    rising = step_components[1:] > step_components[:-1]
    row_ends = starts[1:-1] - begin
    rising[row_ends[(row_ends > 0) & (row_ends < end - begin)] - 1] = True
    return bool(rising.all()) and bool((step_weights > 0).all())


def _tidy(
    lengths: npt.NDArray[np.int64], components: npt.NDArray[Any], weights: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[np.float32]]:
    """Sort, sum duplicates (in float64, rounded once), drop zeros."""
    keys = (rows_of(lengths).astype(np.uint64) << np.uint64(32)) | components.astype(np.uint64)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    with np.errstate(over="ignore"):
        sums = np.add.reduceat(weights[order], np.flatnonzero(first), dtype=np.float64).astype(np.float32)
    kept = sums > 0
    keys = keys[first][kept]
    new_lengths = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(lengths))
    return new_lengths, (keys & np.uint64(MAX_DIM - 1)).astype(components.dtype), sums[kept]
