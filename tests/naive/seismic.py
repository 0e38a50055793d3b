"""The twin of a whole index: built from vectors, or read from the arrays of a real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lsr.index.config import IndexConfig, SearchParams
from lsr.index.forward import head_layout
from lsr.index.kernels import BLOCKS, KEYS, N_BLOCKS, N_POSTINGS, N_SLOTS, POSTINGS, STARTS, STREAM, Lists
from lsr.index.seismic import SeismicIndex
from lsr.index.summarize import free_slot
from lsr.vectors import SparseVectors
from tests.naive.block import cut_into_blocks
from tests.naive.forward import Document, count_components, fill_forward, internal_rows, read_documents, scales
from tests.naive.kernels import PostingList, Query, rank, scan_query, search_query
from tests.naive.prune import pruned_lists
from tests.naive.summarize import Runs, summarize_list

Hits = list[tuple[float, int]]


@dataclass
class NaiveIndex:
    """external: of each internal component. scale: the weight of one unit of code."""

    external: list[int]
    scale: list[np.float32]
    documents: list[Document]
    lists: list[PostingList]

    @classmethod
    def build(cls, vectors: SparseVectors, config: IndexConfig, short_list: int) -> NaiveIndex:
        """Prune, cut into blocks, summarise. short_list: the longest list that gets no blocks."""
        external = count_components(vectors)
        rows = internal_rows(vectors, external)
        scale = scales(rows, len(external))
        head_size, _ = head_layout(vectors.nnz, len(vectors), 2 if len(external) < 65536 else 4)
        documents = fill_forward(rows, scale, head_size)
        lists = []
        for component, members in enumerate(pruned_lists(rows, len(external), vectors.dim, config)):
            blocks: list[list[int]] = []
            if len(members) > short_list:
                blocks = cut_into_blocks(
                    members,
                    documents,
                    scale,
                    config.centroid_fraction,
                    config.min_cluster_size,
                    config.doc_cut,
                    (config.seed << 32) + external[component],
                )
                members = [member for block in blocks for member in block]
            lists.append(PostingList(members, blocks, summarize_list(blocks, documents, scale, config.summary_energy)))
        return cls(external, scale, documents, lists)

    @classmethod
    def read(cls, index: SeismicIndex) -> NaiveIndex:
        """What the arrays of a real index hold."""
        forward, lists = index._forward, index._lists
        return cls(
            index._components.external.tolist(),
            list(forward.scale),
            read_documents(forward),
            [_read_list(lists, row) for row in lists.table.tolist()],
        )

    def search(self, queries: SparseVectors, k: int, params: SearchParams) -> list[Hits]:
        """(score, row) of each query's hits."""
        return [self._search_one(query, k, params) for query in self.prepare(queries)]

    def prepare(self, queries: SparseVectors) -> list[Query]:
        """{internal component: weight x scale} of the known components of each query."""
        known = {component: i for i, component in enumerate(self.external)}
        prepared = []
        for i in range(len(queries)):
            pairs = zip(*(array.tolist() for array in queries.row(i)), strict=True)
            prepared.append({known[c]: float(np.float32(w) * self.scale[known[c]]) for c, w in pairs if c in known})
        return prepared

    def _search_one(self, query: Query, k: int, params: SearchParams) -> Hits:
        heap_size = min(k + k // 4 + 2, len(self.documents))
        if params.exact:
            found: Sequence[int] = scan_query(query, self.documents, heap_size)
        else:
            best = search_query(query, params.query_cut, params.heap_factor, self.documents, self.lists, heap_size)
            found = list(best)
        return rank(found, query, self.documents, k)


def _read_list(lists: Lists, row: Sequence[int]) -> PostingList:
    documents = lists.documents[row[POSTINGS] : row[POSTINGS] + row[N_POSTINGS]].tolist()
    blocks = []
    for at in range(row[BLOCKS], row[BLOCKS] + row[N_BLOCKS]):
        blocks.append(documents[lists.offsets[at] : lists.offsets[at + 1]])
    summaries: Runs = {}
    for slot in range(row[N_SLOTS]):
        component = int(lists.keys[row[KEYS] + slot])
        if component != free_slot(lists.keys.dtype):
            begin, end = (row[STREAM] + int(lists.starts[row[STARTS] + slot + i]) for i in (0, 1))
            length = (end - begin) * 2 // 3
            codes = lists.stream[begin + length : end].tobytes()[:length]
            summaries[component] = list(zip(lists.stream[begin : begin + length].tolist(), codes, strict=True))
    return PostingList(documents, blocks, summaries)
