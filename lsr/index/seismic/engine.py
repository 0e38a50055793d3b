"""BlockEngine: blocks of similar documents, their summaries, and the search in them.

Nothing here knows names, texts or files, so that an index may have several.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np

from lsr.errors import ParameterError
from lsr.index.filters import Filter
from lsr.index.index_checks import empty_result
from lsr.index.numbered_rows import ALL_ROWS, NO_ROWS, NumberedRows
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.rows import GatheredRows
from lsr.index.seismic.build.in_memory import Parts, build_parts
from lsr.index.seismic.build.summarize import Blocks
from lsr.index.seismic.forward import Components, Forward, document_rows, table_size, tail_of
from lsr.index.seismic.search import kernels
from lsr.index.seismic.search.kernels import NOTHING, SMALLEST, STRIP, Limits, Scratch
from lsr.index.seismic.search.masked_blocks import NO_BLOCKS, MaskedBlocks, mask_blocks
from lsr.index.seismic.search.queries import Prepared, prepare
from lsr.storage.arrays import Array, read_only
from lsr.threads import in_chunks
from lsr.vectors.sparse_vectors import SparseVectors

# Queries between two chances to stop a search.
JOB_QUERIES = 256

# Blocks visited by default, for each unit of the square root of k.
BLOCKS_PER_ROOT = 100

# Scoring so few documents one by one takes no longer than estimating blocks, and misses none.
FEW_ALLOWED = 2048

# Standard deviations of the number of a query's best blocks that are in one of several segments.
MORE_BLOCKS = 3

BLOCK_ARRAYS = ("rows", "positions", "blocks", "summary_windows", "summary_starts", "summaries")

NO_GRAPH = read_only(np.empty((0, 0), np.uint32))


Search = Callable[[int, int, Array, Array, Array], None]


class Trail(NamedTuple):
    """What an approximate search left behind, its scores not yet multiplied by the factor of the query.

    chosen: positions of the query's terms that estimated blocks. estimate: of the document's block. floor: what
    max_blocks left of it. limit: heap_factor x kept_by_blocks. kept_by_blocks, kept: the worst score that the search
    kept, before and after it visited neighbors. head, coarse: the document's score by its head, and by all of it, of
    8-bit weights. held: whether the document was among those kept. linked: whether it is a neighbor of a document that
    was. lacks: whether too few were found.
    """

    chosen: Array
    estimate: np.float32
    floor: np.float32
    limit: np.float32
    kept_by_blocks: np.float32
    kept: np.float32
    head: np.float32
    coarse: np.float32
    held: bool
    linked: bool
    lacks: bool


class BlockEngine:
    """Documents in blocks, in the order of which `document` is counted; `row` is a document's place in the input.

    components, forward, blocks: the arrays of a search. graph: uint32[documents, neighbors], in the order of blocks.
    """

    def __init__(self, parts: Parts, dim: int, postings: int, graph: Array = NO_GRAPH) -> None:
        self.components, self.forward, self.blocks = parts
        self.graph = graph
        self.dim = dim
        self.postings = postings
        self.scratch = ScratchPool(parts)

    @classmethod
    def build(cls, vectors: SparseVectors, config: IndexConfig, executor: Executor, progress: bool) -> BlockEngine:
        """Cluster, quantize and summarize; without a graph."""
        return cls(build_parts(vectors, config, executor, progress), vectors.dim, vectors.nnz)

    @classmethod
    def of(cls, arrays: Mapping[str, Array], head_size: int, n_frequent: int, dim: int, postings: int) -> BlockEngine:
        """From what `arrays` returns."""
        parts = Parts(
            Components.of(arrays["components"]),
            Forward.of(arrays["heads"], arrays["tails"], arrays["scale"], head_size),
            Blocks.of([arrays[name] for name in BLOCK_ARRAYS], n_frequent),
        )
        return cls(parts, dim, postings, read_only(arrays.get("graph", NO_GRAPH)))

    def __reduce__(self) -> tuple[Any, ...]:
        return self.of, (self.arrays(), self.forward.head_size, self.blocks.n_frequent, self.dim, self.postings)

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.forward.heads)

    @property
    def knn(self) -> int:
        """Neighbors of each document in the graph."""
        return int(self.graph.shape[1])

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes of each part."""
        forward, blocks = self.forward, self.blocks
        return {
            "forward index": forward.heads.nbytes + forward.tails.nbytes + forward.scale.nbytes,
            "blocks": blocks.offsets.nbytes + blocks.rows.nbytes + blocks.positions.nbytes,
            "summaries": blocks.windows.nbytes + blocks.starts.nbytes + blocks.stream.nbytes,
            "components": sum(part.nbytes for part in self.components),
            **({"kNN graph": self.graph.nbytes} if self.knn else {}),
        }

    def arrays(self) -> dict[str, Array]:
        """All arrays, by the names of their files."""
        forward, blocks = self.forward, self.blocks
        return {
            "components": self.components.external,
            "heads": forward.heads,
            "tails": forward.tails,
            "scale": forward.scale,
            "rows": blocks.rows,
            "positions": blocks.positions,
            "blocks": blocks.offsets,
            "summary_windows": blocks.windows,
            "summary_starts": blocks.starts,
            "summaries": blocks.stream,
            **({"graph": self.graph} if self.knn else {}),
        }

    def gather(self, rows: Array) -> GatheredRows:
        """The vectors of documents, int64[n], all of which exist, as a search scores them; unsorted within a row."""
        return document_rows(self.forward, self.blocks.positions[rows].astype(np.int64), self.components)

    def search(
        self, queries: SparseVectors, k: int, params: SearchParams, threads: int, allowed: Filter | None
    ) -> tuple[Array, Array]:
        """Scores float32[queries, k] and rows int64[queries, k] of the best documents. Raises ParameterError."""
        scores, rows = empty_result(len(queries), k)
        search = self.search_with(queries, self.limits(params, k, allowed), self.heap_size(k))
        if search:
            kept = np.empty((len(queries), 0))
            size = max(1, min(JOB_QUERIES, -(-len(queries) // threads)))
            in_chunks(len(queries), size, threads, lambda begin, end: search(begin, end, kept, scores, rows))
        return scores, rows

    def search_with(self, queries: SparseVectors, limits: Limits, heap_size: int) -> Search | None:
        """The search of queries begin..end, in any thread; None where nothing may be found.

        Its arguments are those of kernels.search_batch: begin, end, kept, scores, rows.
        """
        if not limits.candidates:
            return None
        prepared, factors, longest = self.prepare(queries)
        limits = limits._replace(query_cut=min(limits.query_cut, max(longest, 1)))

        def search(begin: int, end: int, kept: Array, scores: Array, rows: Array) -> None:
            whole, scratch = self.scratch.borrow(heap_size, limits.query_cut)
            arrays = self.forward, self.blocks, self.graph, scratch
            kernels.search_batch(prepared, factors, begin, end, limits, *arrays, kept, scores, rows)
            self.scratch.idle.append(whole)

        return search

    def trace(self, query: SparseVectors, row: int, limits: Limits, heap_size: int, kept_before: Array) -> Trail:
        """What a search for one query does with the document in `row`, of blocks: limits.exact must be false.

        kept_before: float64[heap size], the scores that segments searched before this one kept, or float64[0]. There
        must be a document that may be found.
        """
        prepared, factors, longest = self.prepare(query)
        limits = limits._replace(query_cut=min(limits.query_cut, max(longest, 1)))
        components, weights = prepared.components, prepared.weights
        forward, blocks, graph = self.forward, self.blocks, self.graph
        scratch = self.scratch.new(heap_size, limits.query_cut)
        document = blocks.positions[row]
        scratch.table[components] = weights
        kernels.start_heap(kept_before, factors[0], scratch)
        kernels.search_blocks(components, weights, limits, forward, blocks, scratch)
        kept_by_blocks = scratch.heap_scores[0]
        highest = np.float32(kernels.largest_of(scratch.strips))
        floor = np.float32(kernels.band_floor(highest, SMALLEST, limits.max_blocks, scratch.strips, scratch.estimates))
        limit = np.float32(kernels.threshold(limits.heap_factor, scratch.heap_scores))
        linked = False
        if limits.knn:
            kernels.visit_neighbors(limits, graph, forward, blocks, scratch)
            known = scratch.snapshot[scratch.snapshot != NOTHING]
            linked = bool((graph[blocks.positions[known], : limits.knn] == document).any())
        kept = scratch.heap_scores[0]
        head = np.float32(kernels.score_head(document, scratch.table, forward))
        return Trail(
            chosen=scratch.chosen[: kernels.choose_terms(weights, limits.query_cut, scratch.chosen)].copy(),
            estimate=scratch.estimates[self.block_of(row)],
            floor=floor,
            limit=limit,
            kept_by_blocks=kept_by_blocks,
            kept=kept,
            head=head,
            coarse=head + np.float32(kernels.score_tail(*tail_of(forward, document), scratch.table, forward)),
            held=bool((scratch.heap_rows == row).any()),
            linked=linked,
            lacks=bool(kept == 0 and kernels.may_lack(components, limits, blocks, scratch)),
        )

    def block_of(self, row: int) -> int:
        """The block of the document in `row`."""
        return int(np.searchsorted(self.blocks.offsets, self.blocks.positions[row], side="right")) - 1

    def prepare(self, queries: SparseVectors) -> Prepared:
        """The queries as kernels take them."""
        return prepare(queries, self.components, self.forward.scale)

    def limits(self, params: SearchParams, k: int, allowed: Filter | None, live: NumberedRows = ALL_ROWS) -> Limits:
        """How far a search goes. allowed: of rows that are not deleted.

        max_blocks are those of all segments, of which one gets its share, and three standard deviations more: nearly
        always that is as many of the best blocks as it has.
        Raises ParameterError for more neighbors than there are.
        """
        check_knn(params.knn, self.knn)
        most = min(blocks_asked(params, k), len(self) / live.share)
        if live.share < 1:
            mean = most * live.share
            most = min(most, mean + MORE_BLOCKS * math.sqrt(mean))
        if allowed is None:
            masked = MaskedBlocks(live.mask(self.blocks.positions), NO_BLOCKS, len(self) - len(live.deleted))
        else:
            masked = allowed.prepared(self.blocks.rows, lambda: mask_blocks(allowed.mask, self.blocks))
        few = allowed is not None and masked.count <= FEW_ALLOWED
        return Limits(
            query_cut=params.query_cut,
            heap_factor=np.float32(params.heap_factor),
            max_blocks=min(math.ceil(most), len(self)),
            knn=params.knn,
            exact=params.exact or few,
            k=k,
            candidates=live.found_at_most(masked.count),
            allowed=masked.documents,
            open=masked.open,
            scanned=masked.listed if few else NO_ROWS,
            first=live.first,
            deleted=live.deleted,
            starts=live.starts,
        )

    def heap_size(self, k: int) -> int:
        """Documents that a search for k keeps."""
        return heap_size(k, len(self))


def heap_size(k: int, documents: int) -> int:
    """Documents that a search for k of so many keeps, whose order the last step may change."""
    return min(k + k // 4 + 2, documents)


def blocks_asked(params: SearchParams, k: int) -> int:
    """How many blocks a search for k visits, about, if there are so many."""
    return params.max_blocks or math.ceil(BLOCKS_PER_ROOT * math.sqrt(k))


def check_knn(asked: int, there_are: int) -> None:
    """Raises ParameterError for more neighbors than the graph has."""
    if asked > there_are:
        raise ParameterError(
            f"knn is {asked}, the index has a graph of {there_are} neighbors; "
            "build it with IndexConfig(knn=...) or --knn"
        )


class ScratchPool:
    """Memory that searches leave to each other, so that they need not ask the system for some, and write it first.

    What is as large as the index fits every search. What depends on k and the terms of a query grows to the largest
    that was asked for. idle: what nobody uses now.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.idle: list[Scratch] = []

    def borrow(self, heap_size: int, query_cut: int) -> tuple[Scratch, Scratch]:
        """(what goes back to `idle`, that part of it which a search of this size works in), for one thread."""
        try:
            whole = self.idle.pop()
        except IndexError:  # there is none, or another thread took the last one
            whole = self.new(heap_size, query_cut)
        if len(whole.heap_scores) < heap_size or len(whole.chosen) < query_cut:
            sizes = max(heap_size, len(whole.heap_scores)), max(query_cut, len(whole.chosen))
            whole = whole._replace(**self._of_query(*sizes))
        if (len(whole.heap_scores), len(whole.chosen)) == (heap_size, query_cut):  # cutting takes 4 us
            return whole, whole
        of_pairs = self._windows * query_cut
        return whole, whole._replace(
            chosen=whole.chosen[:query_cut],
            run_starts=whole.run_starts[:of_pairs],
            run_lengths=whole.run_lengths[:of_pairs],
            heap_scores=whole.heap_scores[:heap_size],
            heap_rows=whole.heap_rows[:heap_size],
            snapshot=whole.snapshot[:heap_size],
        )

    def new(self, heap_size: int, query_cut: int) -> Scratch:
        """Scratch memory of this size, of which the pool does not know."""
        forward, n_blocks = self._parts.forward, len(self._parts.blocks.offsets) - 1
        n_strips = -(-n_blocks // STRIP)
        return Scratch(
            table=np.zeros(table_size(len(forward.scale), forward.heads.itemsize), np.float32),
            estimates=kernels.new_estimates(n_blocks),
            strips=np.zeros(n_strips, np.float32),
            reaching=np.empty(n_strips, np.uint32),
            queue=np.empty(n_blocks, np.uint32),
            pending=np.empty(kernels.BATCH, np.uint32),
            partial=np.empty(kernels.BATCH, np.float32),
            **self._of_query(heap_size, query_cut),
        )

    @property
    def _windows(self) -> int:
        return len(self._parts.blocks.windows) - 1

    def _of_query(self, heap_size: int, query_cut: int) -> dict[str, Array]:
        return {
            "chosen": np.empty(query_cut, np.uint32),
            "run_starts": np.empty(self._windows * query_cut, np.int64),
            "run_lengths": np.empty(self._windows * query_cut, np.int64),
            "heap_scores": np.empty(heap_size, np.float32),
            "heap_rows": np.empty(heap_size, np.uint32),
            "snapshot": np.empty(heap_size, np.uint32),
        }
