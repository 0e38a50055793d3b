"""Building the parts of a SeismicIndex from vectors in memory."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

import numpy as np

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build.cluster import JOB_ROWS, SKETCH, Sketches, cluster, find_sketches
from lsr.index.seismic.build.halving import halve_windows
from lsr.index.seismic.build.node_plan import NodePlan
from lsr.index.seismic.build.summarize import RARE, WINDOW, Blocks, invert_summaries
from lsr.index.seismic.build.superblock_pages import PAGE
from lsr.index.seismic.build.whole_collection import WholeCollection, shared_scale
from lsr.index.seismic.forward import (
    Components,
    Forward,
    count_components,
    count_occurrences,
    head_layout,
    quantize,
)
from lsr.progress import progress_bar
from lsr.storage.arrays import Array, read_only
from lsr.vectors.sparse_vectors import SparseVectors

Entries = tuple[Array, Array, Array]  # entries of summaries, from summarize_nodes


class Parts(NamedTuple):
    """The arrays of a search."""

    components: Components
    forward: Forward
    blocks: Blocks


def build_parts(
    vectors: SparseVectors,
    config: IndexConfig,
    executor: Executor,
    progress: bool,
    whole: WholeCollection | None = None,
) -> Parts:
    """Order, quantize and summarize the rows of `vectors`. The result does not depend on the number of threads."""
    components = count_components(vectors)
    n_components = len(components.external)
    dtype = component_type(n_components)
    internal = components.renumber(vectors.indices, dtype)
    sketches = all_sketches(vectors.indptr, internal, vectors.values, executor)
    rows = cluster(sketches, n_components, config, executor)
    halve_windows(rows, sketches, n_components, config, executor)
    del sketches
    scale = shared_scale(components, internal, vectors.values, whole)
    head_size = head_layout(vectors.nnz, len(vectors))
    compact = config.layout == "compact"
    arrays = quantize(rows, vectors.indptr, internal, vectors.values, scale, head_size, compact, executor)
    forward = Forward.of(*arrays, scale, head_size)
    frequency = np.zeros(n_components, np.int64)
    count_occurrences(internal, frequency)
    del internal
    n_frequent = count_frequent(frequency)
    return Parts(components, forward, build_blocks(rows, forward, n_frequent, config, executor, progress))


def component_type(n_components: int) -> np.dtype[Any]:
    """The type of internal components."""
    return np.dtype(np.uint16 if n_components <= 1 << 16 else np.uint32)


def count_frequent(frequency: Array) -> int:
    """The number of components that are not rare, by their document frequencies."""
    return int(np.count_nonzero(frequency > RARE))


def positions_of(rows: Array) -> Array:
    """The position of each row, uint32[n], from the row of each position."""
    positions = np.empty(len(rows), np.uint32)
    positions[rows] = np.arange(len(rows), dtype=np.uint32)
    return positions


def all_sketches(indptr: Array, internal: Array, values: Array, executor: Executor) -> Sketches:
    """The sketches of CSR rows with internal components (int64[n + 1], T[nnz], float32[nnz])."""
    n = len(indptr) - 1
    indptr, values = read_only(indptr), read_only(values)
    sketches = Sketches(np.zeros((n, SKETCH), internal.dtype), np.zeros((n, SKETCH), np.float32))
    jobs = [
        executor.submit(find_sketches, begin, min(begin + JOB_ROWS, n), indptr, internal, values, sketches)
        for begin in range(0, n, JOB_ROWS)
    ]
    for job in jobs:
        job.result()
    return sketches


def build_blocks(
    rows: Array, forward: Forward, n_frequent: int, config: IndexConfig, executor: Executor, progress: bool
) -> Blocks:
    """Summarize documents in the order of their blocks, uint32[n] rows."""
    plan = NodePlan.of(len(rows), config)
    windows = [(first, min(first + WINDOW, plan.nodes)) for first in range(0, plan.nodes, WINDOW)]

    def inverted(jobs: Sequence[Future[Entries]], n_nodes: int) -> tuple[Array, Array]:
        # Waits for earlier jobs in the queue, each of which some thread has started.
        entries = [np.concatenate(each) for each in zip(*(job.result() for job in jobs), strict=True)]
        return invert_summaries(*entries, len(forward.scale), n_nodes)  # type: ignore[no-any-return]

    def submitted(first: int, last: int) -> Future[tuple[Array, Array]]:
        jobs = [executor.submit(plan.summarize, *each, first, forward, n_frequent) for each in plan.slices(first, last)]
        return executor.submit(inverted, jobs, last - first)

    starts, streams, pages = [np.empty(0, np.uint32)], [np.empty(0, np.uint16)], [np.empty(0, np.uint8)]
    with progress_bar("summarizing", plan.nodes * (1 + plan.paged), plan.unit, progress) as advance:
        for (first, last), window in zip(windows, [submitted(*window) for window in windows], strict=True):
            window_starts, stream = window.result()
            starts.append(window_starts)
            streams.append(stream)
            advance(last - first)
        for some in executor.map(lambda first: plan.pages(first, forward), plan.page_firsts):
            pages.append(some)
            advance(len(some) // PAGE)
    stream_starts = np.cumsum([len(stream) for stream in streams], dtype=np.int64)
    arrays = (rows, positions_of(rows), stream_starts, *(np.concatenate(each) for each in (starts, streams, pages)))
    return Blocks.of(arrays, config.block_size, n_frequent)
