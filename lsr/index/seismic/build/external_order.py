"""The order of documents whose sketches are on disk, equal to that of cluster.py and halving.py in memory.

All sketches are read twice: to find the group of the first split of each document, and to distribute them to ranges of
groups. Range by range, trees are grown, and windows are halved in order. Documents of a window that ends in the next
range are carried over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build.cluster import (
    LEAF,
    SKETCH,
    FirstSplit,
    Sketches,
    group_by_slot,
    grow_groups,
    sampled_centroids,
)
from lsr.index.seismic.build.halving import halve_windows, window_size
from lsr.index.seismic.build.in_memory import component_type
from lsr.index.seismic.build.spill import Spill
from lsr.storage.arrays import Array, load_array
from lsr.vectors.normalize import indptr_of, row_steps

# Sketches read at once.
BATCH = 8192

# Bytes per document of a range whose tree is grown, besides two copies of its sketch.
OF_GROWN = 48

R = TypeVar("R")


class InOrder(Protocol):
    """The results of a function for numbers, in order. Threads work a few numbers ahead."""

    def __call__(self, work: Callable[[int], R], items: Iterable[int], /) -> Iterator[R]: ...


class Groups(NamedTuple):
    """All rows, uint32[n], by group of the first split, ascending in each; begins of groups, int64[groups + 1]."""

    rows: Array
    offsets: Array

    @property
    def largest(self) -> int:
        """The number of documents of the largest group."""
        return int(np.diff(self.offsets).max(initial=0))


def growing_bytes(n_components: int) -> int:
    """Bytes per document of a range in memory."""
    return 2 * SKETCH * (component_type(n_components).itemsize + np.dtype(np.float32).itemsize) + OF_GROWN


def split_groups(folder: Path, n_components: int, config: IndexConfig, in_order: InOrder) -> Groups:
    """The first split of the documents whose sketches are in `folder`."""
    n, k = len(load_array(folder, "weights")), 1
    slots = np.zeros(n, np.uint32)
    if n > LEAF:
        centroids = sampled_centroids(n, config)
        k, first = len(centroids), FirstSplit.of(_read_each(folder, centroids), n_components, config)
        begins = range(0, n, BATCH)
        for begin, some in zip(begins, in_order(lambda begin: first.slots(_batch(folder, begin)), begins), strict=True):
            slots[begin : begin + BATCH] = some
    return Groups(*group_by_slot(np.arange(n, dtype=np.uint32), slots, k))


def order_groups(
    folder: Path,
    groups: Groups,
    n_components: int,
    config: IndexConfig,
    executor: Executor,
    in_order: InOrder,
    room: int,
) -> Array:
    """All rows, uint32[n], in the order of documents, in the array of `groups`. Removes the sketches.

    room: bytes for documents of a range, growing_bytes each. A range has at least one group.
    """
    rows, offsets = groups
    ranges = list(row_steps(offsets * growing_bytes(n_components), room))
    spill = _deal(folder, groups, component_type(n_components), ranges, in_order)
    for name in Sketches._fields:
        (folder / f"{name}.npy").unlink()
    size, done = window_size(config), 0
    # Documents of the last window, which is not complete yet.
    carried = rows[:0]
    sketches = Sketches(*(np.empty((0, SKETCH), dtype) for dtype in (component_type(n_components), np.float32)))
    for at, (first, last) in enumerate(ranges):
        dealt = rows[offsets[first] : offsets[last]]
        sorted_rows = np.sort(dealt)
        places = (np.searchsorted(sorted_rows, dealt) + len(carried)).astype(np.uint32)
        there = np.arange(len(carried), dtype=np.uint32)
        carried = np.concatenate([carried, sorted_rows])
        sketches = Sketches(*map(np.concatenate, zip(sketches, _dealt(spill, at), strict=True)))
        parts = np.split(places, offsets[first + 1 : last] - offsets[first])
        order = np.concatenate([there, grow_groups(parts, first, sketches, n_components, config, executor)])
        whole = len(order) // size * size if last < len(offsets) - 1 else len(order)
        halve_windows(order[:whole], sketches, n_components, config, executor, done // size)
        rows[done : done + whole] = carried[order[:whole]]  # all of them were read
        done += whole
        carried, sketches = carried[order[whole:]], sketches.of(order[whole:])
    spill.remove()
    return rows


def _deal(
    folder: Path, groups: Groups, dtype: np.dtype[Any], ranges: Sequence[tuple[int, int]], in_order: InOrder
) -> Spill:
    """Distribute the sketches to ranges of groups, in each range in the order of rows."""
    rows, offsets = groups
    into = np.empty(len(rows), np.uint16)
    for at, (first, last) in enumerate(ranges):
        into[rows[offsets[first] : offsets[last]]] = at

    def deal(begin: int) -> tuple[Array, Array, Array]:
        at = into[begin : begin + BATCH]
        dealt = _batch(folder, begin).of(np.argsort(at, kind="stable"))
        starts = SKETCH * indptr_of(np.bincount(at, minlength=len(ranges)))
        return dealt.components.ravel(), dealt.weights.ravel(), starts

    spill = Spill(folder, dtype, SKETCH * offsets[[0, *(last for _, last in ranges)]])
    spill.fill(in_order(deal, range(0, len(rows), BATCH)))
    return spill


def _dealt(spill: Spill, at: int) -> Sketches:
    return Sketches(*(each.reshape(-1, SKETCH) for each in spill.read(at)))


def _batch(folder: Path, begin: int) -> Sketches:
    return _read(folder, slice(begin, begin + BATCH))


def _read_each(folder: Path, rows: Array) -> Sketches:
    """The sketches of scattered rows, read separately: mapping all at once would map most of the files."""
    each = [_read(folder, slice(row, row + 1)) for row in rows.tolist()]
    return Sketches(*map(np.concatenate, zip(*each, strict=True)))


def _read(folder: Path, rows: slice) -> Sketches:
    """Copies of some sketches. Their mapped pages leave memory immediately."""
    return Sketches(*(np.array(load_array(folder, name)[rows]) for name in Sketches._fields))
