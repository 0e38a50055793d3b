"""From vectors to the parts of a SeismicIndex."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build.cluster import JOB_ROWS, SKETCH, Sketches, cluster, find_sketches
from lsr.index.seismic.build.summarize import RARE, WINDOW, Blocks, summarize_window
from lsr.index.seismic.forward import (
    Components,
    Forward,
    count_components,
    count_occurrences,
    head_layout,
    quantize,
    weight_scale,
)
from lsr.progress import progress_bar
from lsr.storage.arrays import Array, read_only
from lsr.vectors.sparse_vectors import SparseVectors


class Parts(NamedTuple):
    """What a search reads."""

    components: Components
    forward: Forward
    blocks: Blocks


def build_parts(vectors: SparseVectors, config: IndexConfig, executor: Executor, progress: bool) -> Parts:
    """Order, quantize and summarize the rows of `vectors`; the result does not depend on the number of threads."""
    components = count_components(vectors)
    n_components = len(components.external)
    dtype = component_type(n_components)
    internal = components.renumber(vectors.indices, dtype)
    sketches = all_sketches(vectors.indptr, internal, vectors.values, executor)
    rows, offsets = cluster(sketches, n_components, config, executor)
    del sketches
    scale = weight_scale(internal, vectors.values, n_components)
    head_size = head_layout(vectors.nnz, len(vectors))
    compact = config.layout == "compact"
    arrays = quantize(rows, vectors.indptr, internal, vectors.values, scale, head_size, compact, executor)
    forward = Forward.of(*arrays, scale, head_size)
    frequency = np.zeros(n_components, np.int64)
    count_occurrences(internal, frequency)
    del internal
    n_frequent = count_frequent(frequency)
    return Parts(components, forward, build_blocks(rows, offsets, forward, n_frequent, config, executor, progress))


def component_type(n_components: int) -> np.dtype[Any]:
    """The type of internal components."""
    return np.dtype(np.uint16 if n_components <= 1 << 16 else np.uint32)


def count_frequent(frequency: Array) -> int:
    """How many components, of these document frequencies, are not rare."""
    return int(np.count_nonzero(frequency > RARE))


def positions_of(rows: Array) -> Array:
    """The document that each row is, uint32[n], from the row that each document is."""
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
    rows: Array,
    offsets: Array,
    forward: Forward,
    n_frequent: int,
    config: IndexConfig,
    executor: Executor,
    progress: bool,
) -> Blocks:
    """Summarize the blocks that `cluster` made."""
    n_blocks = len(offsets) - 1
    jobs = [
        executor.submit(
            summarize_window,
            first,
            min(first + WINDOW, n_blocks),
            offsets,
            forward,
            config.summary_energy,
            n_frequent,
        )
        for first in range(0, n_blocks, WINDOW)
    ]
    starts, streams = [np.empty(0, np.uint32)], [np.empty(0, np.uint16)]
    with progress_bar("summarizing", n_blocks, "blocks", progress) as advance:
        for first, job in zip(range(0, n_blocks, WINDOW), jobs, strict=True):
            window_starts, stream = job.result()
            starts.append(window_starts)
            streams.append(stream)
            advance(min(WINDOW, n_blocks - first))
    windows = np.cumsum([len(stream) for stream in streams], dtype=np.int64)
    arrays = (rows, positions_of(rows), offsets, windows, np.concatenate(starts), np.concatenate(streams))
    return Blocks.of(arrays, n_frequent)
