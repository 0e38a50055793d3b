"""The twin of a whole index: built from vectors, or read from the arrays of a real one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.forward import head_layout
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.vectors.sparse_vectors import SparseVectors
from tests.naive.cluster import cluster, find_sketches
from tests.naive.forward import Document, count_components, fill_forward, internal_rows, read_documents, scales
from tests.naive.kernels import Query, rank, scan
from tests.naive.summarize import Runs, invert_summaries, read_runs, summarize_blocks

Hits = list[tuple[float, int]]


@dataclass
class NaiveIndex:
    """external: of each internal component. scale: the weight of one unit of code. rows: the row of each document.

    blocks: the documents of each. runs: the summaries, by component. n_frequent: components before the rare ones.
    """

    external: list[int]
    scale: list[np.float32]
    documents: list[Document]
    rows: list[int]
    blocks: list[list[int]]
    runs: Runs
    n_frequent: int

    @classmethod
    def build(cls, vectors: SparseVectors, config: IndexConfig, rare: int) -> NaiveIndex:
        """Cluster, quantize, summarize. rare: documents of a rare component, at most."""
        external = count_components(vectors)
        internal = internal_rows(vectors, external)
        scale = scales(internal, len(external))
        order = cluster(find_sketches(internal), config)
        rows = [row for block in order for row in block]
        head_size = head_layout(vectors.nnz, len(vectors))
        documents = fill_forward([internal[row] for row in rows], scale, head_size, config.layout == "compact")
        ends = np.cumsum([0] + [len(block) for block in order]).tolist()
        blocks = [list(range(begin, end)) for begin, end in pairwise(ends)]
        n_frequent = sum((vectors.indices == component).sum() > rare for component in external)
        entries = summarize_blocks(
            [documents[begin:end] for begin, end in pairwise(ends)], scale, config.summary_energy, n_frequent
        )
        return cls(external, scale, documents, rows, blocks, invert_summaries(entries), n_frequent)

    @classmethod
    def read(cls, index: SeismicIndex) -> NaiveIndex:
        """What the arrays of a real index hold."""
        forward, blocks = index.engine.forward, index.engine.blocks
        return cls(
            index.engine.components.external.tolist(),
            list(forward.scale),
            read_documents(forward),
            blocks.rows.tolist(),
            [list(range(begin, end)) for begin, end in pairwise(blocks.offsets.tolist())],
            read_runs(blocks),
            blocks.n_frequent,
        )

    def prepare(self, queries: SparseVectors) -> list[Query]:
        """{internal component: weight x scale} of the known components of each query."""
        known = {component: i for i, component in enumerate(self.external)}
        prepared = []
        for i in range(len(queries)):
            pairs = zip(*(array.tolist() for array in queries.row(i)), strict=True)
            prepared.append({known[c]: float(np.float32(w) * self.scale[known[c]]) for c, w in pairs if c in known})
        return prepared

    def search_exactly(self, queries: SparseVectors, k: int, allowed: Iterable[int] | None = None) -> list[Hits]:
        """(score, row) of each query's hits. allowed: rows that may be found."""
        wanted = set(self.rows if allowed is None else allowed)
        documents = [document for document, row in enumerate(self.rows) if row in wanted]
        return [
            rank(scan(query, self.documents, self.rows, documents)[:k], query, self.documents, self.rows, k)
            for query in self.prepare(queries)
        ]
