"""The kNN graph: for each document, its nearest documents. A search can also score neighbors of its best documents.

Seismic's authors refine searches with such a graph (Bruch et al., "Pairing clustered inverted indexes with kNN graphs",
CIKM 2024). Here, the index itself finds the neighbors, with its documents as queries.
"""

from __future__ import annotations

import numpy as np

from lsr.index.parameters import SearchParams
from lsr.index.seismic.engine import BlockEngine
from lsr.index.seismic.search.kernels import NOTHING
from lsr.progress import progress_bar
from lsr.storage.arrays import Array, read_only
from lsr.threads import thread_pool

JOB_DOCUMENTS = 1024

# Documents are long queries: their twelve heaviest terms find their neighbors.
PARAMS = SearchParams(query_cut=12, heap_factor=0.8)


def build_graph(engine: BlockEngine, neighbors: int, threads: int, progress: bool) -> Array:
    """The `neighbors` documents with the largest inner product for each document, best first, uint32[n, neighbors].

    Rows and entries are documents in the order of the blocks; NOTHING for missing ones. A document is not its own
    neighbor.
    """
    rows, positions = engine.blocks.rows, engine.blocks.positions
    graph = np.full((len(engine), neighbors), NOTHING, np.uint32)

    def fill(begin: int) -> int:
        end = min(begin + JOB_DOCUMENTS, len(engine))
        queries = engine.gather(rows[begin:end]).as_vectors(engine.dim)
        found = engine.search(queries, neighbors + 1, PARAMS, 1, None)[1]
        for document, hits in zip(range(begin, end), found, strict=True):
            others = hits[(hits >= 0) & (hits != rows[document])][:neighbors]
            graph[document, : len(others)] = positions[others]
        return end - begin

    with thread_pool(threads) as executor, progress_bar("linking", len(engine), "documents", progress) as advance:
        for job in [executor.submit(fill, begin) for begin in range(0, len(engine), JOB_DOCUMENTS)]:
            advance(job.result())
    return read_only(graph)


def rows_of(graph: Array, rows: Array, positions: Array) -> Array:
    """The graph as rows: int64[n, neighbors], by row; -1 for missing neighbors."""
    if not graph.shape[1]:
        return np.empty((len(rows), 0), np.int64)
    linked = graph[positions]
    known = linked < len(rows)  # not NOTHING, nor invalid numbers of a damaged file
    return np.where(known, rows[np.where(known, linked, 0)].astype(np.int64), -1)
