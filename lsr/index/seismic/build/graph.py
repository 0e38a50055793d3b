"""The kNN graph: for each document, its nearest documents. A search can also score neighbors of its best documents.

Seismic's authors refine searches with such a graph (Bruch et al., "Pairing clustered inverted indexes with kNN graphs",
CIKM 2024). Here, the index itself finds the neighbors, with its documents as queries.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    graph, begin = np.empty((len(engine), neighbors), np.uint32), 0
    for part in graph_parts(engine, neighbors, threads, progress):
        graph[begin : begin + len(part)] = part
        begin += len(part)
    return read_only(graph)


def graph_parts(engine: BlockEngine, neighbors: int, threads: int, progress: bool) -> Iterator[Array]:
    """The same, in parts of JOB_DOCUMENTS documents."""
    rows, positions = engine.blocks.rows, engine.blocks.positions

    def linked(begin: int) -> Array:
        documents = rows[begin : begin + JOB_DOCUMENTS]
        part = np.full((len(documents), neighbors), NOTHING, np.uint32)
        queries = engine.gather(documents).as_vectors(engine.dim)
        found = engine.search(queries, neighbors + 1, PARAMS, 1, None)[1]
        for document, row, hits in zip(part, documents, found, strict=True):
            others = hits[(hits >= 0) & (hits != row)][:neighbors]
            document[: len(others)] = positions[others]
        return part

    with thread_pool(threads) as executor, progress_bar("linking", len(engine), "documents", progress) as advance:
        for part in executor.map(linked, range(0, len(engine), JOB_DOCUMENTS)):
            yield part
            advance(len(part))


def rows_of(graph: Array, rows: Array, positions: Array) -> Array:
    """The graph as rows: int64[n, neighbors], by row; -1 for missing neighbors."""
    if not graph.shape[1]:
        return np.empty((len(rows), 0), np.int64)
    linked = graph[positions]
    known = linked < len(rows)  # not NOTHING, nor invalid numbers of a damaged file
    return np.where(known, rows[np.where(known, linked, 0)].astype(np.int64), -1)
