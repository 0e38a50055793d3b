"""SeismicIndex: approximate search over posting lists cut into blocks with summaries.

The algorithm is Seismic's (Bruch, Nardini, Rulli, Venturini, SIGIR 2024); the layout, the order of the visits and the
quantisation are this project's own (ARCHITECTURE.md says how they differ).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lsr.errors import IndexFormatError, ParameterError
from lsr.index import kernels
from lsr.index.arrays import Array, Scalar, read_only
from lsr.index.block import cut_into_blocks
from lsr.index.config import IndexConfig, SearchParams
from lsr.index.exact import invert, search_inverted
from lsr.index.exact_kernels import Inverted
from lsr.index.flat import is_flat
from lsr.index.forward import (
    HEAD_STEP,
    MAX_HEAD,
    Components,
    Forward,
    build_forward,
    count_components,
    document_rows,
    document_vector,
)
from lsr.index.ids import Ids, document_ids
from lsr.index.jit import allocating
from lsr.index.kernels import Lists, Queries, Scratch
from lsr.index.prune import pruned_lists
from lsr.index.request import check_build, check_search, empty_result
from lsr.index.result import SearchResult
from lsr.index.rows import Rows, checked_rows
from lsr.index.storage import Extra, StringColumn, load_array, read_manifest, write_folder
from lsr.index.summarize import free_slot, summarize_list
from lsr.index.threads import thread_pool
from lsr.progress import progress_bar
from lsr.vectors import SparseVectors

KIND = "seismic"
FORMAT_VERSION = 1

# Scoring all documents of a list this short takes 3 µs, no more than its summaries would.
SHORT_LIST = 128

# Postings that one build job takes on: some tenths of a second, so that a progress bar moves and Ctrl-C is heard.
JOB_POSTINGS = 100_000

# Queries between two chances to stop a search.
JOB_QUERIES = 256

# Pairs of list and query term that are looked up together: the more, the more memory is on its way at once.
FEWEST_PAIRS = 1024

# A query whose largest product of weight and scale is beyond these is divided by a power of two, and its scores are
# multiplied by it: kernels add float32 numbers, and must meet neither infinity nor zero for a product that is not.
SMALLEST_PRODUCT, LARGEST_PRODUCT = 2.0**-60, 2.0**100

# Every array of a saved index and its type; None is the type of the components, uint16 or uint32.
ARRAYS: dict[str, type[np.generic] | None] = {
    "components": np.uint32,
    "heads": None,
    "tails": None,
    "scale": np.float32,
    "lists": np.int64,
    "postings": np.uint32,
    "blocks": np.uint32,
    "summary_keys": None,
    "summary_starts": np.uint32,
    "summaries": np.uint16,
}

Built = tuple[Array, Array, Array, Array, Array]


@allocating
def build_lists(
    first: Scalar,
    last: Scalar,
    starts: Array,
    documents: Array,
    forward: Forward,
    settings: tuple[float, int, int, float, int],
    seeds: Array,
    empty: Scalar,
) -> list[Built]:
    """Blocks and summary directories of the posting lists first..last, five arrays each.

    (documents in block order, block offsets, directory keys, run starts, runs); of a short list, all but the first are
    empty. settings: (centroid_fraction, min_cluster_size, doc_cut, summary_energy, longest short list).
    """
    centroid_fraction, min_cluster_size, doc_cut, energy, short_list = settings
    n_components = forward.scale.size
    counts, ends = np.zeros(n_components, np.uint32), np.zeros(n_components, np.uint32)
    maxima = np.zeros(n_components, np.uint8)
    built = []
    for component in range(first, last):
        members = documents[starts[component] : starts[component + 1]]
        offsets = np.empty(0, np.uint32)
        keys = np.empty(0, forward.heads.dtype)
        run_starts = np.empty(0, np.uint32)
        stream = np.empty(0, np.uint16)
        if members.size > short_list:
            members, offsets = cut_into_blocks(
                members, forward, centroid_fraction, min_cluster_size, doc_cut, seeds[component], counts, ends
            )
            keys, run_starts, stream = summarize_list(members, offsets, forward, energy, maxima, counts, empty)
        built.append((members, offsets, keys, run_starts, stream))
    return built


class SeismicIndex:
    """An index of sparse vectors for approximate maximum inner product search; made by `build` or `open`.

    Scores are inner products with the documents' weights rounded to 16 bits, off by at most 1/130,560 of each
    component's largest weight. Which documents are scored is the approximation; `SearchParams(exact=True)` scores all.

    A collection that is small or of flat weights (BM25's; see flat.py) gets whole posting lists instead of blocks:
    every search is then exhaustive, `flat` is true, and scores are those of the weights before rounding.
    """

    def __init__(
        self,
        dim: int,
        config: IndexConfig,
        components: Components,
        forward: Forward,
        lists: Lists,
        inverted: Inverted | None,
        ids: Ids | None,
    ) -> None:
        self.dim = dim
        self.config = config
        self.ids = ids
        self._components = components
        self._forward = forward
        self._lists = lists
        self._inverted = None if inverted is None else Inverted(*(read_only(array) for array in inverted))
        self._longest = np.sort(lists.table[:, kernels.N_BLOCKS])[::-1]
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
        threads: None for all processors. progress: a bar on standard error.
        Raises VectorsError for ids that are not unique, ParameterError for threads < 1.
        """
        config = IndexConfig() if config is None else config
        check_build(vectors, config)
        names = document_ids(vectors, ids)
        components = count_components(vectors)
        n_components = len(components.external)
        dtype = np.dtype(np.uint16 if n_components <= free_slot(np.dtype(np.uint16)) else np.uint32)
        internal = components.renumber(vectors.indices, dtype)
        with thread_pool(threads) as executor:
            forward = build_forward(vectors.indptr, internal, vectors.values, n_components, executor)
            inverted = None
            if is_flat(len(vectors), internal, vectors.values, n_components):
                inverted = invert(vectors)
                starts, documents = np.zeros(n_components + 1, np.int64), np.empty(0, np.uint32)
            else:
                starts, documents = pruned_lists(
                    vectors.indptr, internal, vectors.values, n_components, vectors.dim, config
                )
            del internal
            jobs = _submit(executor, starts, documents, forward, components, config)
            lists = _collect(jobs, dtype, len(documents), progress)
        return cls(vectors.dim, config, components, forward, lists, inverted, names)

    def __len__(self) -> int:
        """Number of documents."""
        return len(self._forward.heads)

    @property
    def flat(self) -> bool:
        """Whether documents were too few, or their weights too even, for blocks, so that every search is exhaustive."""
        return self._inverted is not None

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes in memory (or mapped into it) of each part."""
        forward, lists = self._forward, self._lists
        whole_lists = {"whole lists": sum(part.nbytes for part in self._inverted)} if self._inverted else {}
        return {
            "forward index": forward.heads.nbytes + forward.tails.nbytes + forward.scale.nbytes,
            "posting lists": lists.documents.nbytes + lists.offsets.nbytes + lists.table.nbytes,
            "summaries": lists.keys.nbytes + lists.starts.nbytes + lists.stream.nbytes,
            "components": sum(part.nbytes for part in self._components),
            **whole_lists,
        }

    def vector(self, row: int) -> tuple[Array, Array]:
        """(components uint32[m], ascending, weights float32[m]) of one document, as the index scores it.

        Raises ParameterError when there is no such row.
        """
        if isinstance(row, bool) or not isinstance(row, int | np.integer) or not 0 <= row < len(self):
            raise ParameterError(f"row {row} does not exist; the index has {len(self)} documents")
        return document_vector(self._forward, row, self._components)

    def gather(self, rows: Array) -> Rows:
        """The vectors of many documents (int64[n]), as `vector` gives them but unsorted: what feedback reads.

        Raises ParameterError for a row that does not exist.
        """
        return document_rows(self._forward, checked_rows(rows, len(self)), self._components)

    def search(
        self, queries: SparseVectors, k: int = 10, params: SearchParams | None = None, threads: int = 1
    ) -> SearchResult:
        """The k documents of largest inner product with each query, best first, equal scores by row.

        Where more documents tie for the last places than there is room for, an exact search takes the lower rows, an
        approximate one those that it met first.
        Only documents with a positive score are hits; scores float32[queries, k] and rows int64[queries, k] are padded
        with -inf and -1. The result does not depend on `threads`. Releases the GIL.
        Raises ParameterError for k < 1, threads < 1, or queries of another dimension.
        """
        params = SearchParams() if params is None else params
        if not isinstance(params, SearchParams):
            raise ParameterError(f"params are of type {type(params).__name__}; give SearchParams")
        check_search(queries, self.dim, k, threads)
        if self._inverted:
            scores, rows = search_inverted(self._inverted, len(self), queries, k, threads)
            return SearchResult(scores, rows, self.ids)
        scores, rows = empty_result(len(queries), k)
        prepared, factors = self._prepare(queries)
        most_terms = int(np.diff(prepared.indptr).max(initial=0))
        query_cut = min(params.query_cut, max(most_terms, 1))
        heap_size = min(k + k // 4 + 2, len(self))
        jobs = range(0, len(queries), max(1, min(JOB_QUERIES, -(-len(queries) // threads))))

        def run(begin: int) -> None:
            scratch = self._borrow(heap_size, query_cut, max(most_terms, FEWEST_PAIRS))
            kernels.search_batch(
                prepared,
                begin,
                min(begin + jobs.step, len(queries)),
                params.exact,
                query_cut,
                np.float32(params.heap_factor),
                self._forward,
                self._lists,
                free_slot(self._lists.keys.dtype),
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
        if (factors != 1).any():
            with np.errstate(over="ignore"):
                scores *= factors[:, None]
        return SearchResult(scores, rows, self.ids)

    def _prepare(self, queries: SparseVectors) -> tuple[Queries, Array]:
        """The queries as kernels take them, and powers of two, nearly always 1, by which to multiply their scores."""
        internal, known = self._components.to_internal(queries.indices)
        internal = internal[known]
        kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(known, dtype=np.int64)])
        indptr = kept[queries.indptr]
        products = queries.values[known].astype(np.float64) * self._forward.scale[internal]
        largest = np.zeros(len(queries))
        filled = np.flatnonzero(np.diff(indptr))
        if len(filled):
            largest[filled] = np.maximum.reduceat(products, indptr[filled])
        factors = np.ones(len(queries))
        small, large = (largest > 0) & (largest < SMALLEST_PRODUCT), largest > LARGEST_PRODUCT
        factors[small] = np.exp2(np.floor(np.log2(largest[small])))
        factors[large] = np.exp2(np.ceil(np.log2(largest[large] / LARGEST_PRODUCT)))
        products /= np.repeat(factors, np.diff(indptr))
        return Queries(indptr, internal, products.astype(np.float32)), factors

    def _borrow(self, heap_size: int, query_cut: int, n_pairs: int) -> Scratch:
        """Scratch memory for one thread: what a former search left, if it fits."""
        most_blocks = int(self._longest[:query_cut].sum())
        with suppress(IndexError):  # another thread may take the last one
            scratch = self._idle.pop()
            wanted = heap_size, query_cut
            if (len(scratch.heap_scores), len(scratch.visited)) == wanted and len(scratch.run_starts) >= n_pairs:
                return scratch
        words = len(self) // 64 + 1
        return Scratch(
            np.zeros(max(1, len(self._components.external)), np.float32),
            np.zeros(words, np.uint64),
            np.empty(words, np.uint32),
            np.empty(most_blocks, np.float32),
            np.empty(most_blocks, kernels.QUEUED),
            np.empty(query_cut, np.uint32),
            np.empty(n_pairs, np.int64),
            np.empty(n_pairs, np.int64),
            np.empty(kernels.BATCH, np.uint32),
            np.empty(kernels.BATCH, np.float32),
            np.empty(heap_size, np.float32),
            np.empty(heap_size, np.uint32),
        )

    def save(self, folder: str | os.PathLike[str], extra: Extra | None = None) -> None:
        """Write the index into a folder, in place of an index that is there, in one step.

        extra: writes more files into the folder that it is given, and returns more entries of the manifest.
        Raises StorageError.
        """
        manifest = {
            "format_version": FORMAT_VERSION,
            "kind": KIND,
            "config": asdict(self.config),
            "documents": len(self),
            "dim": self.dim,
            "postings": len(self._lists.documents),
            "head_size": self._forward.head_size,
            "has_ids": self.ids is not None,
            "flat": self.flat,
        }
        arrays = {
            "components": self._components.external,
            "heads": self._forward.heads,
            "tails": self._forward.tails,
            "scale": self._forward.scale,
            "lists": self._lists.table,
            "postings": self._lists.documents,
            "blocks": self._lists.offsets,
            "summary_keys": self._lists.keys,
            "summary_starts": self._lists.starts,
            "summaries": self._lists.stream,
        }
        if self._inverted:
            arrays |= {f"whole_{name}": array for name, array in self._inverted._asdict().items()}

        def with_ids(temporary: Path) -> Mapping[str, Any]:
            if self.ids is not None:
                StringColumn.write(temporary, "ids", self.ids)
            return extra(temporary) if extra else {}

        write_folder(folder, manifest, arrays, with_ids)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> SeismicIndex:
        """Open an index that `save` wrote; its arrays are mapped into memory, not read.

        Raises IndexFormatError for a folder that holds no such index, or a damaged or newer one.
        """
        manifest = read_manifest(folder, FORMAT_VERSION, KIND)
        try:
            config = IndexConfig(**manifest["config"])
            dim, documents, head_size = (int(manifest[name]) for name in ("dim", "documents", "head_size"))
            has_ids, flat = bool(manifest["has_ids"]), bool(manifest["flat"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise IndexFormatError(f"{folder}: the manifest is damaged ({error}); build the index again") from error
        a = {name: load_array(folder, name) for name in ARRAYS}
        _check_arrays(Path(folder), a, documents, head_size)
        inverted = Inverted(*(load_array(folder, f"whole_{name}") for name in Inverted._fields)) if flat else None
        if inverted and not inverted.fits():
            raise IndexFormatError(f"{folder}: its posting lists do not fit together; build the index again")
        ids = StringColumn.open(folder, "ids") if has_ids else None
        if ids is not None and len(ids) != documents:
            raise IndexFormatError(f"{folder}: {len(ids)} ids for {documents} documents; build the index again")
        return cls(
            dim,
            config,
            Components.of(a["components"]),
            Forward.of(a["heads"], a["tails"], a["scale"], head_size),
            Lists.of(a["lists"], a["postings"], a["blocks"], a["summary_keys"], a["summary_starts"], a["summaries"]),
            inverted,
            ids,
        )


def _submit(
    executor: Executor,
    starts: Array,
    documents: Array,
    forward: Forward,
    components: Components,
    config: IndexConfig,
) -> list[tuple[int, Future[list[Built]]]]:
    """(postings, future) of the jobs that build all lists, in the order of the lists: the longest come first."""
    settings = (
        config.centroid_fraction,
        config.min_cluster_size,
        config.doc_cut,
        config.summary_energy,
        SHORT_LIST,
    )
    # Of the component as its owner numbers it, so that a list keeps its sample when others come and go.
    seeds = (np.uint64(config.seed) << np.uint64(32)) + components.external
    n_lists = len(starts) - 1
    cuts = np.searchsorted(starts, np.arange(0, starts[-1] + JOB_POSTINGS, JOB_POSTINGS))
    cuts = np.unique(np.concatenate([[0], cuts, [n_lists]]).clip(0, n_lists))
    empty = free_slot(forward.heads.dtype)
    return [
        (
            int(starts[last] - starts[first]),
            executor.submit(build_lists, first, last, starts, documents, forward, settings, seeds, empty),
        )
        for first, last in pairwise(cuts.tolist())
    ]


def _collect(
    jobs: list[tuple[int, Future[list[Built]]]], dtype: np.dtype[Any], n_postings: int, progress: bool
) -> Lists:
    """Wait for the jobs and lay their lists end to end."""
    parts: tuple[list[Array], ...] = ([], [], [], [], [])
    with progress_bar("building", n_postings, "postings", progress) as advance:
        for postings, job in jobs:
            for built in job.result():
                for part, array in zip(parts, built, strict=True):
                    part.append(array)
            advance(postings)
    lengths = [np.array([len(array) for array in part], np.int64) for part in parts]
    begins = [np.cumsum(length) - length for length in lengths]
    table = np.zeros((len(parts[0]), 8), np.int64)
    for column, values in (
        (kernels.POSTINGS, begins[0]),
        (kernels.N_POSTINGS, lengths[0]),
        (kernels.BLOCKS, begins[1]),
        (kernels.N_BLOCKS, np.maximum(lengths[1] - 1, 0)),
        (kernels.KEYS, begins[2]),
        (kernels.N_SLOTS, lengths[2]),
        (kernels.STARTS, begins[3]),
        (kernels.STREAM, begins[4]),
    ):
        table[:, column] = values
    dtypes: list[np.dtype[Any]] = [np.dtype(name) for name in ("u4", "u4", dtype, "u4", "u2")]
    joined: list[Array] = []
    for part, part_dtype in zip(parts, dtypes, strict=True):
        joined.append(np.concatenate([np.empty(0, dtype=part_dtype), *part]))
        part.clear()  # or two copies of everything would stand side by side
    return Lists.of(table, *joined)


def _check_arrays(folder: Path, arrays: Mapping[str, Array], documents: int, head_size: int) -> None:
    """Kernels trust their arrays: see that the sizes fit together before one reads beyond an end."""
    lists = arrays["lists"]
    component_dtype = arrays["heads"].dtype
    fits = (
        component_dtype in (np.uint16, np.uint32)
        and all(arrays[name].dtype == (dtype or component_dtype) for name, dtype in ARRAYS.items())
        and head_size in range(HEAD_STEP, MAX_HEAD + 1, HEAD_STEP)
        and arrays["heads"].ndim == 2
        and len(arrays["heads"]) == documents
        and arrays["heads"].shape[1] * component_dtype.itemsize >= head_size * (component_dtype.itemsize + 1) + 8
        and lists.shape == (len(arrays["components"]), 8)
        and len(arrays["scale"]) == len(lists)
        and all(arrays[name].ndim == 1 for name in ARRAYS if name not in ("heads", "lists"))
    )
    if fits and len(lists):
        for name, begin, length in (
            ("postings", kernels.POSTINGS, kernels.N_POSTINGS),
            ("blocks", kernels.BLOCKS, kernels.N_BLOCKS),
            ("summary_keys", kernels.KEYS, kernels.N_SLOTS),
            ("summary_starts", kernels.STARTS, kernels.N_SLOTS),
        ):
            begins, ends = lists[:, begin], lists[:, begin] + lists[:, length]
            fits &= bool(begins.min() >= 0 and (ends >= begins).all() and ends.max() <= len(arrays[name]))
        with_blocks = lists[lists[:, kernels.N_SLOTS] > 0] if fits else lists[:0]
        last = with_blocks[:, kernels.STARTS] + with_blocks[:, kernels.N_SLOTS]
        fits &= bool((last < len(arrays["summary_starts"])).all())
        if fits and len(with_blocks):
            ends = with_blocks[:, kernels.STREAM] + arrays["summary_starts"][last].astype(np.int64)
            fits &= bool(with_blocks[:, kernels.STREAM].min() >= 0 and ends.max() <= len(arrays["summaries"]))
    if not fits:
        raise IndexFormatError(f"{folder}: its arrays do not fit together; build the index again")
