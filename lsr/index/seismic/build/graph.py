"""The kNN graph: of each document the documents most like it, which a search may visit after the best that it found.

Seismic's authors refine with such a graph (Bruch et al., "Pairing clustered inverted indexes with kNN graphs", CIKM
2024). Here it is made by the index itself, with its own documents as queries.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING

import numpy as np

from lsr.errors import VectorsError
from lsr.storage.arrays import Array
from lsr.index.parameters import SearchParams
from lsr.index.seismic.search.kernels import NOTHING
from lsr.progress import progress_bar

if TYPE_CHECKING:
    from lsr.index.seismic.seismic_index import SeismicIndex

JOB_DOCUMENTS = 1024

# Documents are long queries: their twelve heaviest terms find their neighbors.
PARAMS = SearchParams(query_cut=12, heap_factor=0.8)


def build_graph(
    index: SeismicIndex, rows: Array, positions: Array, neighbors: int, executor: Executor, progress: bool
) -> Array:
    """The `neighbors` documents of largest inner product with each, best first, uint32[n, neighbors].

    Rows and entries are documents in the order of the blocks; where there are fewer, NOTHING. A document is not its own
    neighbor.
    """
    graph = np.full((len(index), neighbors), NOTHING, np.uint32)

    def fill(begin: int) -> int:
        end = min(begin + JOB_DOCUMENTS, len(index))
        found = index.search(index.gather(rows[begin:end]).as_vectors(index.dim), neighbors + 1, PARAMS).rows
        for document, hits in zip(range(begin, end), found, strict=True):
            others = hits[(hits >= 0) & (hits != rows[document])][:neighbors]
            graph[document, : len(others)] = positions[others]
        return end - begin

    jobs = [executor.submit(fill, begin) for begin in range(0, len(index), JOB_DOCUMENTS)]
    with progress_bar("linking", len(index), "documents", progress) as advance:
        for job in jobs:
            advance(job.result())
    return graph


def graph_of(neighbors: Array, rows: Array, positions: Array) -> Array:
    """The graph from row numbers, int[n, m] with -1 where there are fewer, as an index keeps it.

    Raises VectorsError for another number of rows, or a row that does not exist.
    """
    n = len(rows)
    if neighbors.ndim != 2 or len(neighbors) != n or neighbors.dtype.kind not in "iu":
        raise VectorsError(
            f"neighbors are {neighbors.dtype} of shape {neighbors.shape}; give row numbers, one line for each of "
            f"{n} documents"
        )
    if neighbors.size and not -1 <= int(neighbors.min()) <= int(neighbors.max()) < n:
        raise VectorsError(
            f"neighbors are rows {neighbors.min()} to {neighbors.max()}; there are {n} documents, and -1 for none"
        )
    linked = neighbors[rows]
    return np.where(linked < 0, NOTHING, positions[np.maximum(linked, 0)]).astype(np.uint32)


def rows_of(graph: Array, rows: Array, positions: Array) -> Array:
    """What graph_of takes, int64[n, m]."""
    if not graph.shape[1]:
        return np.empty((len(rows), 0), np.int64)
    linked = graph[positions]
    known = linked != NOTHING
    return np.where(known, rows[np.where(known, linked, 0)].astype(np.int64), -1)
