"""The twin of a whole index: built from vectors, or read from the arrays of a real one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build.node_plan import SUPER_ENERGY
from lsr.index.seismic.build.summarize import MEAN_SHARE, SUPER
from lsr.index.seismic.forward import head_layout
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.vectors.sparse_vectors import SparseVectors
from tests.naive.cluster import cluster, find_sketches
from tests.naive.forward import Document, count_components, fill_forward, internal_rows, read_documents, scales
from tests.naive.halving import halve_windows
from tests.naive.kernels import Query, rank, scan
from tests.naive.summarize import Runs, invert_summaries, read_runs, summarize_nodes
from tests.naive.superblock_pages import Page, fill_pages, read_pages

Hits = list[tuple[float, int]]


@dataclass
class NaiveIndex:
    """external: of each internal component. scale: the weight of one unit of code. rows: the row of each document.

    block_size: documents of each block. runs: the summaries, by component. pages: of superblocks, which are what has
    summaries then; none, if blocks have. n_frequent: components before the rare ones.
    """

    external: list[int]
    scale: list[np.float32]
    documents: list[Document]
    rows: list[int]
    block_size: int
    runs: Runs
    pages: list[Page]
    n_frequent: int

    @classmethod
    def build(cls, vectors: SparseVectors, config: IndexConfig, rare: int, superblocks: bool = False) -> NaiveIndex:
        """Order, quantize, summarize. rare: documents of a rare component, at most."""
        external = count_components(vectors)
        internal = internal_rows(vectors, external)
        scale = scales(internal, len(external))
        sketches = find_sketches(internal)
        rows = halve_windows(cluster(sketches, config), sketches, config)
        head_size = head_layout(vectors.nnz, len(vectors))
        documents = fill_forward([internal[row] for row in rows], scale, head_size, config.layout == "compact")
        n_frequent = sum((vectors.indices == component).sum() > rare for component in external)
        span = config.block_size * (SUPER if superblocks else 1)
        nodes = [documents[begin : begin + span] for begin in range(0, len(documents), span)]
        energy = max(config.summary_energy, SUPER_ENERGY) if superblocks else config.summary_energy
        entries = summarize_nodes(nodes, MEAN_SHARE if superblocks else 0.0, scale, energy, n_frequent)
        pages = fill_pages(documents, config.block_size, scale) if superblocks else []
        return cls(external, scale, documents, rows, config.block_size, invert_summaries(entries), pages, n_frequent)

    @classmethod
    def read(cls, index: SeismicIndex) -> NaiveIndex:
        """What the arrays of a real index hold."""
        forward, blocks = index.engine.forward, index.engine.blocks
        return cls(
            index.engine.components.external.tolist(),
            list(forward.scale),
            read_documents(forward),
            blocks.rows.tolist(),
            blocks.block_size,
            read_runs(blocks),
            read_pages(blocks.pages),
            blocks.n_frequent,
        )

    @property
    def n_blocks(self) -> int:
        """How many blocks there are; the last one may be incomplete."""
        return -(-len(self.rows) // self.block_size)

    @property
    def n_nodes(self) -> int:
        """How many blocks, or superblocks, have summaries."""
        return -(-self.n_blocks // SUPER) if self.pages else self.n_blocks

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
