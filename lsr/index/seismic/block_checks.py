"""Checks that the stored arrays of blocks match, so that no search reads or writes outside of them.

| array | what keeps kernels inside |
|---|---|
| components | checked: each occurs once, and is one of the index's |
| heads, tails: components | tables as long as 16 bits can name, or numbers cut to the table (forward.slot_of) |
| heads: places of tails | checked: tails follow one another, and the last one ends in `tails` |
| tails: distances | checked: as many of them as the last documents need end before `tails` does |
| scale | checked: finite and above zero |
| rows, positions | checked: all exist, and their sum is that of all numbers once |
| summary_windows, summary_starts | checked: ascending |
| summaries | estimates have room for all numbers of 16 bits (estimates.new_estimates) |
| pages | one per superblock; with any bytes, kernels stay in a line |
| graph | kernels skip numbers that are not documents |
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lsr.index.array_checks import AT_ONCE, everywhere, rises
from lsr.index.seismic.build.summarize import SUPER, WINDOW
from lsr.index.seismic.build.superblock_pages import PAGE
from lsr.index.seismic.forward import HEAD_STEP, MAX_HEAD, TAIL_LENGTH_BITS, TAIL_LENGTH_MASK, tail_elements
from lsr.storage.arrays import Array

OF_SUMMARIES: dict[str, type[np.generic]] = {
    "summary_windows": np.int64,
    "summary_starts": np.uint32,
    "summaries": np.uint16,
    "pages": np.uint8,
}

# Every array of a saved index of blocks and its type; None is the type of the components, uint16 or uint32.
ARRAYS: dict[str, type[np.generic] | None] = {
    "components": np.uint32,
    "heads": None,
    "scale": np.float32,
    "rows": np.uint32,
    "positions": np.uint32,
    **OF_SUMMARIES,
}


def documents_fit(arrays: Mapping[str, Array], documents: int, dim: int, head_size: int, n_frequent: int) -> bool:
    """Whether these arrays, ARRAYS and "tails", are valid, with any content of OF_SUMMARIES.

    Reads some numbers of each document.
    """
    return (
        _sizes_fit(arrays, documents, head_size, n_frequent)
        and _components_fit(arrays["components"], arrays["scale"], dim)
        and all(_each_once(arrays[name]) for name in ("rows", "positions"))
        and _tails_fit(arrays["heads"], arrays["tails"], head_size)
    )


def summaries_fit(arrays: Mapping[str, Array], documents: int, block_size: int) -> bool:
    """Whether the arrays OF_SUMMARIES match the blocks of documents_fit."""
    windows, starts, pages = arrays["summary_windows"], arrays["summary_starts"], arrays["pages"]
    n_blocks = -(-documents // block_size)
    n_windows, n_components = len(windows) - 1, len(arrays["components"])
    n_superblocks = -(-n_blocks // SUPER)
    if (
        len(pages) not in (0, n_superblocks * PAGE)
        or n_windows != -(-(n_superblocks if len(pages) else n_blocks) // WINDOW)
        or len(starts) != n_windows * (n_components + 1)
        or not rises(windows, len(arrays["summaries"]))
    ):
        return False
    of_windows = starts.reshape(n_windows, n_components + 1)
    return all(rises(each, int(each[-1])) for each in of_windows) and bool(
        (of_windows[:, -1] <= np.diff(windows)).all()
    )


def _sizes_fit(arrays: Mapping[str, Array], documents: int, head_size: int, n_frequent: int) -> bool:
    heads, component_dtype = arrays["heads"], arrays["heads"].dtype
    return (
        component_dtype in (np.uint16, np.uint32)
        and all(arrays[name].dtype == (dtype or component_dtype) for name, dtype in ARRAYS.items())
        and arrays["tails"].dtype in (np.uint8, component_dtype)
        and all(array.ndim == (2 if name == "heads" else 1) for name, array in arrays.items())
        and head_size in range(HEAD_STEP, MAX_HEAD + 1, HEAD_STEP)
        and heads.flags.c_contiguous
        and heads.shape[1] * component_dtype.itemsize >= head_size * (component_dtype.itemsize + 1) + 8
        and heads.shape[1] * component_dtype.itemsize % 8 == 0
        and len(heads) == len(arrays["rows"]) == len(arrays["positions"]) == documents
        and len(arrays["scale"]) == len(arrays["components"])
        and (component_dtype == np.uint32 or len(arrays["components"]) <= 1 << 16)
        and 0 <= n_frequent <= len(arrays["components"])
    )


def _components_fit(components: Array, scale: Array, dim: int) -> bool:
    in_order = np.sort(components)
    return (
        bool((in_order[1:] > in_order[:-1]).all())
        and (not len(in_order) or int(in_order[-1]) < dim)
        and bool(((scale > 0) & (scale < np.inf)).all())
    )


def _each_once(numbers: Array) -> bool:
    """Whether all numbers exist, and have the sum of each once. Comparing them would take a hundred times as long."""
    count = len(numbers)
    exist = everywhere(lambda begin, end: int(numbers[begin:end].max()) < count, count)
    return exist and int(numbers.sum(dtype=np.int64)) == count * (count - 1) // 2


def _tails_fit(heads: Array, tails: Array, head_size: int) -> bool:
    itemsize, compact = heads.itemsize, tails.itemsize == 1
    meta = heads.view(np.uint64)[:, head_size * (itemsize + 1) // 8]

    def places(begin: int, end: int) -> tuple[Array, Array]:
        some = meta[begin:end]
        return (some >> TAIL_LENGTH_BITS).astype(np.int64), (some & TAIL_LENGTH_MASK).astype(np.int64)

    def holds(begin: int, end: int) -> bool:
        starts, lengths = places(begin, end)
        ends = starts + (2 * lengths if compact else tail_elements(lengths, head_size, itemsize))
        following = int(meta[end] >> TAIL_LENGTH_BITS) if end < len(meta) else len(tails)
        return bool((ends[:-1] <= starts[1:]).all()) and int(ends[-1]) <= following

    return everywhere(holds, len(meta)) and (not compact or _distances_end(*places(0, len(meta)), tails))


def _distances_end(starts: Array, lengths: Array, tails: Array) -> bool:
    """Whether the distances of each tail of the compact layout, which are read sequentially, end in `tails`."""
    begins = starts + lengths  # ascending, like tails
    wanted, found, at = int(lengths.max(initial=0)), 0, len(tails)
    while found < wanted and at:  # from here, enough distances end for the longest tail
        before, at = at, max(at - AT_ONCE, 0)
        found += int((tails[at:before] < 128).sum())
    last = slice(int(np.searchsorted(begins, at)), None)
    after = np.append(np.cumsum((tails[at:] < 128)[::-1])[::-1], 0)
    return bool((after[begins[last] - at] >= lengths[last]).all()) and found >= wanted
