"""BlockEngine: blocks of similar documents, their summaries, and the search in them.

It has no names, texts or files, so that an index can have several engines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np

from lsr.errors import ParameterError
from lsr.index.budget import Budget, Search, searched
from lsr.index.clock import NEVER
from lsr.index.filters import Filter
from lsr.index.numbered_rows import ALL_ROWS, NO_ROWS, NumberedRows
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.rows import GatheredRows
from lsr.index.seismic.build.in_memory import Parts, build_parts
from lsr.index.seismic.build.summarize import SUPER, Blocks
from lsr.index.seismic.build.whole_collection import WholeCollection
from lsr.index.seismic.exact_lists import ExactLists
from lsr.index.seismic.forward import Components, Forward, document_rows, table_size, tail_of
from lsr.index.seismic.search import kernels
from lsr.index.seismic.search.estimates import MOST_TERMS, choose_terms, new_estimates
from lsr.index.seismic.search.kernels import NOTHING, SUPERBLOCKS_OF_BLOCK, Limits, Scratch
from lsr.index.seismic.search.lanes import LANES
from lsr.index.seismic.search.list_kernels import LIST_WINDOW
from lsr.index.seismic.search.masked_blocks import NO_NODES, MaskedBlocks, mask_blocks
from lsr.index.seismic.search.queries import Prepared, prepare
from lsr.storage.arrays import Array, read_only
from lsr.vectors.sparse_vectors import SparseVectors

JOB_QUERIES = 256  # at most, between two chances to stop a search

# Blocks visited by default, per unit of the square root of k.
BLOCKS_PER_ROOT = 100

# Scoring this number of documents one by one takes no longer than estimating blocks, and misses none.
FEW_ALLOWED = 2048

# Standard deviations of the number of a query's best blocks that are in one of several segments.
MORE_BLOCKS = 3

BLOCK_ARRAYS = ("rows", "positions", "summary_windows", "summary_starts", "summaries", "pages")

# Room for listed documents in an exact search, per document of the heap: for 300,000 documents, nine are listed. If
# there are more, they are scored earlier.
LISTED_OF_HEAP, MORE_LISTED = 12, 256

# Room for additional nodes, because the number of listed nodes is not known before.
SPARE_NODES = 1024

# Name in nbytes of the posting lists for exact searches.
EXACT_LISTS = "lists of exact searches"

NO_GRAPH = read_only(np.empty((0, 0), np.uint32))


def job_size(queries: int, threads: int) -> int:
    """How many queries a thread searches for at a time."""
    return max(1, min(JOB_QUERIES, -(-queries // threads)))


class Trail(NamedTuple):
    """The state at the end of an approximate search. Scores are not yet multiplied by the factor of the query.

    chosen: positions of the query's terms that estimated blocks. estimate: of the document's block. floor: what
        max_blocks requires of it, the largest of several lists. listed: estimate of its superblock, equal to the
        block's if nodes are blocks; listed_floor: what the last list of nodes required. limit: heap_factor x
        kept_by_blocks. kept_by_blocks, kept: the worst score in the heap, before and after neighbors were visited.
        head, coarse: the document's score by its head, and by all 8-bit weights. held: whether the document was in the
        heap. linked: whether it is a neighbor of a document in the heap. lacks: whether too few documents were found.
    """

    chosen: Array
    estimate: np.float32
    floor: np.float32
    listed: np.float32
    listed_floor: np.float32
    limit: np.float32
    kept_by_blocks: np.float32
    kept: np.float32
    head: np.float32
    coarse: np.float32
    held: bool
    linked: bool
    lacks: bool


class BlockEngine:
    """Documents in blocks. `document` is a position in the order of blocks; `row` is a row of the input.

    components, forward, blocks: the arrays of a search. graph: uint32[documents, neighbors], in the order of blocks.
        exact_lists: posting lists for exact searches, created after many of them.
    """

    def __init__(self, parts: Parts, dim: int, postings: int, graph: Array = NO_GRAPH) -> None:
        self.components, self.forward, self.blocks = parts
        self.graph = graph
        self.dim = dim
        self.postings = postings
        self.scratch = ScratchPool(parts)
        self.exact_lists = ExactLists(self.forward, postings)

    @classmethod
    def build(
        cls,
        vectors: SparseVectors,
        config: IndexConfig,
        executor: Executor,
        progress: bool,
        whole: WholeCollection | None = None,
    ) -> BlockEngine:
        """Cluster, quantize and summarize, without a graph."""
        return cls(build_parts(vectors, config, executor, progress, whole), vectors.dim, vectors.nnz)

    @classmethod
    def of(
        cls, arrays: Mapping[str, Array], head_size: int, block_size: int, n_frequent: int, dim: int, postings: int
    ) -> BlockEngine:
        """An engine from the result of `arrays`."""
        parts = Parts(
            Components.of(arrays["components"]),
            Forward.of(arrays["heads"], arrays["tails"], arrays["scale"], head_size),
            Blocks.of([arrays[name] for name in BLOCK_ARRAYS], block_size, n_frequent),
        )
        return cls(parts, dim, postings, read_only(arrays.get("graph", NO_GRAPH)))

    def __reduce__(self) -> tuple[Any, ...]:
        sizes = self.forward.head_size, self.blocks.block_size, self.blocks.n_frequent
        return self.of, (self.arrays(), *sizes, self.dim, self.postings)

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.forward.heads)

    @property
    def knn(self) -> int:
        """The number of neighbors per document in the graph."""
        return int(self.graph.shape[1])

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes of each part."""
        forward, blocks = self.forward, self.blocks
        return {
            "forward index": forward.heads.nbytes + forward.tails.nbytes + forward.scale.nbytes,
            "rows": blocks.rows.nbytes + blocks.positions.nbytes,
            "summaries": blocks.windows.nbytes + blocks.starts.nbytes + blocks.stream.nbytes,
            **({"pages": blocks.pages.nbytes} if blocks.pages.size else {}),
            "components": sum(part.nbytes for part in self.components),
            **({"kNN graph": self.graph.nbytes} if self.knn else {}),
            **({EXACT_LISTS: self.exact_lists.nbytes} if self.exact_lists.nbytes else {}),
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
            "summary_windows": blocks.windows,
            "summary_starts": blocks.starts,
            "summaries": blocks.stream,
            "pages": blocks.pages,
            **({"graph": self.graph} if self.knn else {}),
        }

    def gather(self, rows: Array) -> GatheredRows:
        """The vectors of existing documents, int64[n], as a search scores them; unsorted within a row."""
        return document_rows(self.forward, self.blocks.positions[rows].astype(np.int64), self.components)

    def search(
        self,
        queries: SparseVectors,
        k: int,
        params: SearchParams,
        threads: int,
        allowed: Filter | None,
        recall: Array | None = None,
    ) -> tuple[Array, Array]:
        """Scores float32[queries, k] and rows int64[queries, k] of the best documents. Raises ParameterError."""
        search = self.search_with(queries, self.limits(params, k, allowed), self.heap_size(k))
        size = job_size(len(queries), threads)
        return searched(search, len(queries), k, len(self), params.budget_us, recall, size, threads)

    def search_with(self, queries: SparseVectors, limits: Limits, heap_size: int) -> Search | None:
        """A function that searches queries begin..end in any thread; None if no document is allowed.

        It takes the arguments of kernels.search_batch: begin, end, kept, scores, rows; and a Budget of one query.
        """
        if not limits.candidates:
            return None
        prepared, factors, longest = self.prepare(queries)
        limits = limits._replace(query_cut=min(limits.query_cut, max(longest, 1), MOST_TERMS))
        lists = self.exact_lists.after(len(queries) if limits.exact and not limits.scanned.size else 0)

        def search(begin: int, end: int, kept: Array, scores: Array, rows: Array, budget: Budget | None) -> None:
            if budget is not None and budget.is_over:
                budget.miss(limits.share * budget.documents)
                return
            until = limits if budget is None else limits._replace(deadline=budget.deadline)
            whole, scratch = self.scratch.borrow(heap_size, limits)
            arrays = self.forward, self.blocks, self.graph, lists, scratch
            kernels.search_batch(prepared, factors, begin, end, until, *arrays, kept, scores, rows)
            if budget is not None:
                budget.missed += float(scratch.missed[0])
                scratch.missed[0] = 0
            self.scratch.idle.append(whole)

        return search

    def trace(self, query: SparseVectors, row: int, limits: Limits, heap_size: int, kept_before: Array) -> Trail:
        """The steps of a search for one query that concern the document in `row`. limits.exact must be false.

        kept_before: float64[heap size], the scores that segments searched before kept, or float64[0]. At least one
            document must be allowed.
        """
        prepared, factors, longest = self.prepare(query)
        limits = limits._replace(query_cut=min(limits.query_cut, max(longest, 1), MOST_TERMS))
        components, weights = prepared.components, prepared.weights
        forward, blocks, graph = self.forward, self.blocks, self.graph
        scratch = self.scratch.new(heap_size, limits)
        document = blocks.positions[row]
        scratch.table[components] = weights
        kernels.start_heap(kept_before, factors[0], scratch)
        unit = kernels.search_blocks(components, weights, limits, forward, blocks, scratch)
        kept_by_blocks = scratch.heap_scores[0]
        chosen = scratch.chosen[: choose_terms(weights, limits.query_cut, scratch.chosen)].copy()
        listed_floor, floor = scratch.floors.tolist()
        listed = estimate = np.float32(unit * scratch.estimates[int(document) // blocks.span])
        if blocks.pages.size:
            superblock, block = divmod(int(document) // blocks.block_size, SUPER)
            scratch.nodes[0] = superblock
            kernels.open_superblocks(1, components, weights, chosen, limits.open, blocks.pages, scratch)
            estimate = scratch.queue_scores[block]
        limit = np.float32(kernels.threshold(limits.heap_factor, scratch.heap_scores))
        linked = False
        if limits.knn:
            kernels.visit_neighbors(limits, graph, forward, blocks, scratch)
            known = scratch.snapshot[scratch.snapshot != NOTHING]
            linked = bool((graph[blocks.positions[known], : limits.knn] == document).any())
        kept = scratch.heap_scores[0]
        head = np.float32(kernels.score_head(document, scratch.table, forward))
        return Trail(
            chosen=chosen,
            estimate=estimate,
            floor=np.float32(floor),
            listed=listed,
            listed_floor=np.float32(listed_floor),
            limit=limit,
            kept_by_blocks=kept_by_blocks,
            kept=kept,
            head=head,
            coarse=head + np.float32(kernels.score_tail(*tail_of(forward, document), scratch.table, forward)),
            held=bool((scratch.heap_rows == row).any()),
            linked=linked,
            lacks=bool(kept == 0 and kernels.may_lack(components, limits, blocks, scratch)),
        )

    def prepare(self, queries: SparseVectors) -> Prepared:
        """The queries in the format of kernels."""
        return prepare(queries, self.components, self.forward.scale)

    def limits(self, params: SearchParams, k: int, allowed: Filter | None, live: NumberedRows = ALL_ROWS) -> Limits:
        """The limits of a search. allowed: of rows that are not deleted.

        max_blocks is for all segments. A segment gets its share plus three standard deviations, which nearly always is
        at least its number of best blocks. Raises ParameterError for more neighbors than there are.
        """
        check_knn(params.knn, self.knn)
        most = min(blocks_asked(params, k), len(self) / live.share)
        if live.share < 1:
            mean = most * live.share
            most = min(most, mean + MORE_BLOCKS * math.sqrt(mean))
        if allowed is None:
            masked = MaskedBlocks(live.mask(self.blocks.positions), NO_NODES, len(self) - len(live.deleted))
        else:
            masked = allowed.prepared(self.blocks.rows, lambda: mask_blocks(allowed.mask, self.blocks))
        few = allowed is not None and masked.count <= FEW_ALLOWED
        return Limits(
            query_cut=params.query_cut,
            heap_factor=np.float32(params.heap_factor),
            max_blocks=min(math.ceil(most), len(self)),
            nodes=min(math.ceil(most * (SUPERBLOCKS_OF_BLOCK if self.blocks.pages.size else 1)), len(self)),
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
            deadline=NEVER,
            share=float(live.share),
        )

    def heap_size(self, k: int) -> int:
        """The heap size of a search for k documents."""
        return heap_size(k, len(self))


def heap_size(k: int, documents: int) -> int:
    """The heap size of a search for k of `documents`. The last step can change the order of the heap."""
    return min(k + k // 4 + 2, documents)


def blocks_asked(params: SearchParams, k: int) -> int:
    """The approximate number of blocks that a search for k visits, if there are as many."""
    return params.max_blocks or math.ceil(BLOCKS_PER_ROOT * math.sqrt(k))


def check_knn(asked: int, there_are: int) -> None:
    """Raises ParameterError for more neighbors than the graph has."""
    if asked > there_are:
        raise ParameterError(
            f"knn is {asked}, but the graph of the index has {there_are} neighbors per document; build it with "
            "IndexConfig(knn=...) or --knn"
        )


class ScratchPool:
    """Scratch memory that searches reuse, so that it need not be allocated and cleared each time.

    Arrays of the size of the index fit every search. Arrays that depend on k and the terms of a query grow to the
    largest request. idle: unused memory.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.idle: list[Scratch] = []

    def borrow(self, heap_size: int, limits: Limits) -> tuple[Scratch, Scratch]:
        """(the memory to return to `idle`, the part of it for a search of this size), for one thread."""
        query_cut, listed = limits.query_cut, self._listed(limits)
        try:
            whole = self.idle.pop()
        except IndexError:  # there is none, or another thread took the last one
            whole = self.new(heap_size, limits)
        if len(whole.heap_scores) < heap_size or len(whole.chosen) < query_cut or len(whole.nodes) < listed:
            sizes = max(heap_size, len(whole.heap_scores)), max(query_cut, len(whole.chosen))
            whole = whole._replace(**self._of_query(*sizes, max(listed, len(whole.nodes))))
        if len(whole.heap_scores) == heap_size and len(whole.nodes) == listed:  # slicing takes 2 µs
            return whole, whole
        # Blocks are put in order list by list, so results would depend on a larger room for nodes.
        return whole, whole._replace(
            nodes=whole.nodes[:listed],
            heap_scores=whole.heap_scores[:heap_size],
            heap_rows=whole.heap_rows[:heap_size],
            snapshot=whole.snapshot[:heap_size],
            gate_scores=whole.gate_scores[:heap_size],
            gate_rows=whole.gate_rows[:heap_size],
        )

    def new(self, heap_size: int, limits: Limits) -> Scratch:
        """Scratch memory of this size, outside of the pool."""
        forward = self._parts.forward
        sums, reach = np.zeros(min(LIST_WINDOW, len(forward.heads)), np.float32), np.zeros(1, np.float32)
        return Scratch(
            table=np.zeros(table_size(len(forward.scale), forward.heads.itemsize), np.float32),
            estimates=new_estimates(self._parts.blocks.nodes),
            bins=np.empty(kernels.BINS, np.int64),
            floors=np.zeros(2, np.float32),
            pending=np.empty(kernels.BATCH, np.uint32),
            partial=np.empty(kernels.BATCH, np.float32),
            sums=sums,
            sum_bits=sums.view(np.int32),
            missed=np.zeros(1),
            reach=reach,
            reach_bits=reach.view(np.int32),
            **self._of_query(heap_size, limits.query_cut, self._listed(limits)),
        )

    def _listed(self, limits: Limits) -> int:
        """The number of nodes to make room for: all requested ones, and at least those of a line."""
        return min(limits.nodes + SPARE_NODES, self._parts.blocks.nodes + LANES)

    def _of_query(self, heap_size: int, query_cut: int, listed: int) -> dict[str, Array]:
        blocks = self._parts.blocks
        runs, queued = (len(blocks.windows) - 1) * query_cut, listed * (SUPER if blocks.pages.size else 1)
        return {
            "nodes": np.empty(listed, np.uint32),
            "queue": np.empty(queued, np.uint32),
            "queue_scores": np.empty(queued, np.float32),
            "ordered": np.empty(queued, np.uint32),
            "ordered_scores": np.empty(queued, np.float32),
            "chosen": np.empty(query_cut, np.uint32),
            "whole": np.empty(query_cut, np.uint16),
            "run_starts": np.empty(runs, np.int64),
            "run_lengths": np.empty(runs, np.int64),
            "heap_scores": np.empty(heap_size, np.float32),
            "heap_rows": np.empty(heap_size, np.uint32),
            "snapshot": np.empty(heap_size, np.uint32),
            "gate_scores": np.empty(heap_size, np.float32),
            "gate_rows": np.empty(heap_size, np.uint32),
            "listed": np.empty(LISTED_OF_HEAP * heap_size + MORE_LISTED, np.uint32),
            "listed_sums": np.empty(LISTED_OF_HEAP * heap_size + MORE_LISTED, np.float32),
        }
