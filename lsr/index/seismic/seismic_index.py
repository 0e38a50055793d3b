"""SeismicIndex: approximate search over blocks of similar documents with summaries.

The idea is Seismic's (Bruch, Nardini, Rulli, Venturini, SIGIR 2024); the blocks, the layout, the order of the visits
and the quantization are this project's own (ARCHITECTURE.md says how they differ).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lsr.errors import ParameterError
from lsr.index.checks import check_build, check_search, empty_result
from lsr.index.document_ids import Ids, document_ids
from lsr.index.filters import Allowed, allowed_rows, masked_documents
from lsr.index.inverted.exact_index import invert, search_inverted
from lsr.index.inverted.inverted_kernels import Inverted
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.result import SearchResult
from lsr.index.rows import GatheredRows, checked_rows
from lsr.index.seismic.build import trial as flat
from lsr.index.seismic.build.graph import build_graph, graph_of, rows_of
from lsr.index.seismic.build.in_memory import build_parts
from lsr.index.seismic.forward import document_rows, document_vector
from lsr.index.seismic.search import kernels
from lsr.index.seismic.search.kernels import STRIP, Limits, Scratch
from lsr.index.seismic.search.queries import Prepared, prepare
from lsr.index.seismic.seismic_files import NO_GRAPH, State, arrays_of, manifest_of, open_files
from lsr.index.tools.tuning import RECALLS, TunedPreset, Tuning, resolve, tune
from lsr.storage.arrays import Array, read_only
from lsr.storage.manifest import Extra, StringColumn, write_folder
from lsr.threads import checked_threads, thread_pool
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

if TYPE_CHECKING:
    from lsr.index.tools.why import Why

# Queries between two chances to stop a search.
JOB_QUERIES = 256

# Blocks visited by default, for each unit of the square root of k.
BLOCKS_PER_ROOT = 100

# Scoring so few documents one by one takes no longer than estimating blocks, and misses none.
FEW_ALLOWED = 2048


class SeismicIndex:
    """An index of sparse vectors for approximate maximum inner product search; made by `build` or `open`.

    Scores are inner products with the documents' weights rounded to 16 bits, off by at most 1/130,560 of each
    component's largest weight. Which documents are scored is the approximation; `SearchParams(exact=True)` scores all.

    A collection that is small or of flat weights (BM25's; see flat.py) gets whole posting lists instead of blocks:
    every search is then exhaustive, `flat` is true, and scores are those of the weights before rounding.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._components, self._forward, self._blocks = state.parts
        self._inverted, self._graph = state.inverted, state.graph
        self._idle: list[Scratch] = []

    @classmethod
    def build(
        cls,
        vectors: SparseVectors,
        config: IndexConfig | None = None,
        ids: Sequence[str] | None = None,
        threads: int | None = None,
        progress: bool = False,
    ) -> SeismicIndex:
        """Index the rows of `vectors`; equal input gives equal indexes, whatever the number of threads.

        ids: a name for each row, unique; by default those of the vectors, if they have any.
        threads: None for all processors. progress: bars on standard error.
        Raises VectorsError for ids that are not unique, ParameterError for threads < 1.
        """
        config = IndexConfig() if config is None else config
        check_build(vectors, config)
        names = document_ids(vectors, ids)
        with thread_pool(threads) as executor:
            parts = build_parts(vectors, config, executor, progress)
        state = State(vectors.dim, vectors.nnz, config, parts, None, names, NO_GRAPH, None, {})
        return cls(_settle(state, lambda: vectors, checked_threads(threads), progress))

    @classmethod
    def build_from(
        cls,
        source: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        config: IndexConfig | None = None,
        *,
        memory: int,
        threads: int | None = None,
        vocabulary: Vocabulary | None = None,
        progress: bool = False,
        extra: Extra | None = None,
    ) -> SeismicIndex:
        """Index vectors on disk, more of them than fit in memory, into a folder, and open it: as `build` and `save` do.

        memory: bytes that this may use. Weights too even for blocks are not given whole lists, which would take more;
        `sample_recall` tells them. The other arguments, and what is raised: see build_folder in
        lsr.index.seismic.build.external.
        """
        from lsr.index.seismic.build.external import build_folder  # imports pyarrow, which no search needs

        path = Path(source)

        def settle(state: State) -> State:
            # So few are small, or `memory` was: others stay with their blocks.
            few = len(state.parts.blocks.rows) < flat.EXHAUSTIVE_BELOW
            read = (lambda: SparseVectors.read(path, vocabulary)) if few else None
            return _settle(state, read, checked_threads(threads), progress)

        build_folder(
            path,
            Path(folder),
            IndexConfig() if config is None else config,
            memory=memory,
            threads=threads,
            vocabulary=vocabulary,
            progress=progress,
            settle=settle,
            extra=extra,
        )
        return cls.open(folder)

    @property
    def dim(self) -> int:
        """Number of components that documents and queries have."""
        return self._state.dim

    @property
    def ids(self) -> Ids | None:
        """The documents' names by row, if they have any."""
        return self._state.ids

    @property
    def config(self) -> IndexConfig:
        """How the index was built."""
        return self._state.config

    @property
    def postings(self) -> int:
        """Non-zeros of all documents."""
        return self._state.postings

    @property
    def presets(self) -> Mapping[float, TunedPreset]:
        """Recall asked for -> the parameters tuned for it."""
        return self._state.presets

    @property
    def sample_recall(self) -> float | None:
        """Recall@10 that blocks had for a sample of the documents as queries; None if documents were few."""
        return self._state.sample_recall

    def __len__(self) -> int:
        """Number of documents."""
        return len(self._forward.heads)

    @property
    def flat(self) -> bool:
        """Whether every search is exhaustive: documents were few, or blocks of too even weights missed too many.

        `sample_recall` is the recall that blocks had in that trial; None if documents were few.
        """
        return self._inverted is not None

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes in memory (or mapped into it) of each part."""
        forward, blocks = self._forward, self._blocks
        whole_lists = {"whole lists": sum(part.nbytes for part in self._inverted)} if self._inverted else {}
        graph = {"kNN graph": self._graph.nbytes} if self.knn else {}
        return {
            "forward index": forward.heads.nbytes + forward.tails.nbytes + forward.scale.nbytes,
            "blocks": blocks.offsets.nbytes + blocks.rows.nbytes + blocks.positions.nbytes,
            "summaries": blocks.windows.nbytes + blocks.starts.nbytes + blocks.stream.nbytes,
            "components": sum(part.nbytes for part in self._components),
            **whole_lists,
            **graph,
        }

    @property
    def knn(self) -> int:
        """Neighbors of each document in the kNN graph; 0 if there is none."""
        return int(self._graph.shape[1])

    @property
    def neighbors(self) -> Array:
        """The kNN graph: rows int64[documents, knn], nearest first, -1 where a document has fewer neighbors."""
        return rows_of(self._graph, self._blocks.rows, self._blocks.positions)

    def with_neighbors(self, neighbors: Array) -> SeismicIndex:
        """The same index with a kNN graph from elsewhere, in the form of `neighbors`; all other memory is shared.

        Raises VectorsError for another number of documents, or rows that do not exist.
        """
        graph = graph_of(np.asarray(neighbors), self._blocks.rows, self._blocks.positions)
        config = replace(self.config, knn=graph.shape[1])
        return SeismicIndex(self._state._replace(config=config, graph=read_only(graph)))

    def with_blocks(self) -> SeismicIndex:
        """The same index, searched by blocks even if it is `flat`: what a flat one is measured with, and compared."""
        return SeismicIndex(self._state._replace(inverted=None))

    def tune(
        self,
        queries: SparseVectors,
        recalls: Sequence[float] = RECALLS,
        k: int = 10,
        threads: int = 1,
        progress: bool = False,
    ) -> Tuning:
        """Find, on `queries`, the parameters that reach each recall@k in the least time; see lsr.index.tools.tuning.

        SearchParams.at_recall works with this index afterwards; `lsr tune`, or tuning.store_presets, writes that down.
        """
        tuning = tune(self, queries, recalls, k, threads, progress)
        self._state = self._state._replace(presets={**self.presets, **tuning.presets})
        return tuning

    def why(
        self,
        query: SparseVectors,
        row: int,
        k: int = 10,
        params: SearchParams | None = None,
        allowed: Allowed | None = None,
    ) -> Why:
        """Why a document was or was not found for a query of one row; see lsr.index.tools.why.explain_search."""
        from lsr.index.tools.why import explain_search

        return explain_search(self, query, row, k, params, allowed)

    def vector(self, row: int) -> tuple[Array, Array]:
        """(components uint32[m], ascending, weights float32[m]) of one document, as the index scores it.

        Raises ParameterError when there is no such row.
        """
        if isinstance(row, bool) or not isinstance(row, int | np.integer) or not 0 <= row < len(self):
            raise ParameterError(f"row {row} does not exist; the index has {len(self)} documents")
        return document_vector(self._forward, int(self._blocks.positions[row]), self._components)

    def gather(self, rows: Array) -> GatheredRows:
        """The vectors of many documents (int64[n]), as `vector` gives them but unsorted: what feedback reads.

        Raises ParameterError for a row that does not exist.
        """
        positions = self._blocks.positions[checked_rows(rows, len(self))].astype(np.int64)
        return document_rows(self._forward, positions, self._components)

    def search(
        self,
        queries: SparseVectors,
        k: int = 10,
        params: SearchParams | None = None,
        threads: int = 1,
        allowed: Allowed | None = None,
    ) -> SearchResult:
        """The k documents of largest inner product with each query, best first, equal scores by row.

        Where more documents tie for the last places than there is room for, an exact search takes the lower rows, an
        approximate one those that it met first.
        Only documents with a positive score are hits; scores float32[queries, k] and rows int64[queries, k] are padded
        with -inf and -1. The result does not depend on `threads`. Releases the GIL.
        allowed: the documents that may be found: a mask bool[documents], or ids, or row numbers. As many of them are
        returned as would be without a filter.
        Raises ParameterError for k < 1, threads < 1, queries of another dimension, or an `allowed` that does not fit.
        """
        if not isinstance(params, SearchParams | None):
            raise ParameterError(f"params are of type {type(params).__name__}; give SearchParams")
        check_search(queries, self.dim, k, threads)
        params = self._resolved(params)
        mask = allowed_rows(allowed, len(self), self.ids)
        if self._inverted:
            scores, rows = search_inverted(self._inverted, len(self), queries, k, threads, mask)
            return SearchResult(scores, rows, self.ids)
        scores, rows = empty_result(len(queries), k)
        limits = self._limits(params, k, mask)
        if mask is None or len(limits.scanned):
            factors = self._search(queries, k, limits, threads, scores, rows)
            if (factors != 1).any():
                with np.errstate(over="ignore"):
                    scores *= factors[:, None]
        return SearchResult(scores, rows, self.ids)

    def _resolved(self, params: SearchParams | None) -> SearchParams:
        """The parameters that hold: the defaults for None, and for a recall what was tuned for it."""
        params = SearchParams() if params is None else params
        if params.recall is not None and not (params.exact or self.flat):
            return resolve(self.presets, params.recall)
        return params

    def _limits(self, params: SearchParams, k: int, mask: Array | None) -> Limits:
        if params.knn > self.knn and not params.exact:
            raise ParameterError(
                f"knn is {params.knn}, the index has a graph of {self.knn} neighbors; "
                "build it with IndexConfig(knn=...) or --knn"
            )
        masked, opened, scanned = np.empty(0, np.uint8), np.empty(0, np.float32), np.empty(0, np.uint32)
        if mask is not None:
            masked, opened, scanned = masked_documents(mask, self._blocks.rows, self._blocks.offsets)
        exact = params.exact or 0 < len(scanned) <= FEW_ALLOWED
        most = min(params.max_blocks or math.ceil(BLOCKS_PER_ROOT * math.sqrt(k)), len(self))
        knn = min(params.knn, self.knn)
        factor = np.float32(params.heap_factor)
        return Limits(params.query_cut, factor, most, knn, exact, k, masked, opened, scanned)

    def _search(
        self, queries: SparseVectors, k: int, limits: Limits, threads: int, scores: Array, rows: Array
    ) -> Array:
        """Fill scores and rows; returns the factors float64[queries] by which to multiply the scores."""
        prepared, factors, longest = self._prepare(queries)
        query_cut = min(limits.query_cut, max(longest, 1))
        heap_size = min(k + k // 4 + 2, len(self))
        jobs = range(0, len(queries), max(1, min(JOB_QUERIES, -(-len(queries) // threads))))

        def run(begin: int) -> None:
            scratch = self._borrow(heap_size, query_cut)
            end = min(begin + jobs.step, len(queries))
            kernels.search_batch(
                prepared,
                begin,
                end,
                limits._replace(query_cut=query_cut),
                self._forward,
                self._blocks,
                self._graph,
                scratch,
                scores,
                rows,
            )
            self._idle.append(scratch)

        if len(self):
            if threads == 1:
                for begin in jobs:
                    run(begin)
            else:
                with thread_pool(threads) as executor:
                    for job in [executor.submit(run, begin) for begin in jobs]:
                        job.result()
        return factors

    def _prepare(self, queries: SparseVectors) -> Prepared:
        return prepare(queries, self._components, self._forward.scale)

    def _borrow(self, heap_size: int, query_cut: int) -> Scratch:
        """Scratch memory for one thread: what a former search left, if it fits."""
        with suppress(IndexError):  # another thread may take the last one
            scratch = self._idle.pop()
            if (len(scratch.heap_scores), len(scratch.chosen)) == (heap_size, query_cut):
                return scratch
        n_blocks, n_windows = len(self._blocks.offsets) - 1, len(self._blocks.windows) - 1
        n_strips = -(-n_blocks // STRIP)
        return Scratch(
            np.zeros(max(1, len(self._components.external)), np.float32),
            np.zeros(n_strips * STRIP, np.float32),
            np.zeros(n_strips, np.float32),
            np.empty(n_strips, np.uint32),
            np.empty(n_blocks, np.uint32),
            np.empty(query_cut, np.uint32),
            np.empty(n_windows * query_cut, np.int64),
            np.empty(n_windows * query_cut, np.int64),
            np.empty(kernels.BATCH, np.uint32),
            np.empty(kernels.BATCH, np.float32),
            np.empty(heap_size, np.float32),
            np.empty(heap_size, np.uint32),
            np.empty(heap_size, np.uint32),
        )

    def save(self, folder: str | os.PathLike[str], extra: Extra | None = None) -> None:
        """Write the index into a folder, in place of an index that is there, in one step.

        extra: writes more files into the folder that it is given, and returns more entries of the manifest.
        Raises StorageError.
        """

        def with_ids(temporary: Path) -> Mapping[str, Any]:
            if self.ids is not None:
                StringColumn.write(temporary, "ids", self.ids)
            return extra(temporary) if extra else {}

        write_folder(folder, manifest_of(self._state), arrays_of(self._state), with_ids)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> SeismicIndex:
        """Open an index that `save` wrote; its arrays are mapped into memory, not read.

        Raises IndexFormatError for a folder that holds no such index, or a damaged or newer one.
        """
        return cls(open_files(folder))


def _settle(state: State, read: Callable[[], SparseVectors] | None, threads: int, progress: bool) -> State:
    """What is decided by looking at the whole index: whether blocks serve it, and its graph.

    read: gives the vectors, for whole lists; without, there are none.
    """
    recall = None
    if len(state.parts.blocks.rows) >= flat.EXHAUSTIVE_BELOW:
        recall = flat.sample_recall(SeismicIndex(state), threads)
    if read is not None and (recall is None or recall < flat.LEAST_RECALL):
        state = state._replace(inverted=Inverted(*(read_only(array) for array in invert(read()))))
    if state.config.knn:
        blocks = state.parts.blocks
        with thread_pool(threads) as executor:
            index = SeismicIndex(state)
            graph = build_graph(index, blocks.rows, blocks.positions, state.config.knn, executor, progress)
        state = state._replace(graph=read_only(graph))
    return state._replace(sample_recall=recall)
