"""Building an index of more vectors than fit in memory, with temporary files; equal to one that is built in memory.

For blocks, the vectors are read three times: to count components and copy ids; to collect the sketches of all documents
in a file, by which they are ordered (external_order.py); and to distribute rows to ranges of documents in that order.
Range by range, documents are then quantized and appended to the index. Window by window, blocks are summarized from it,
and summaries are inverted, a range of components after the other. The memory for each document is its length and place,
four numbers. All other data is in memory only as far as the limit allows.

Posting lists are written in ranges of lists. The vectors are read once for each range.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from lsr.checks import check_whole
from lsr.errors import ParameterError, VectorsError
from lsr.index.index_checks import check_lengths, settings_of
from lsr.index.index_folder import VOCABULARY
from lsr.index.inverted.inverted_engine import InvertedEngine, ListsOfRows, list_type
from lsr.index.inverted.inverted_kernels import Inverted, find_lists, scatter_postings
from lsr.index.parameters import IndexConfig
from lsr.index.seismic.block_checks import ARRAYS
from lsr.index.seismic.build import trial
from lsr.index.seismic.build.cluster import SKETCH, Sketches, find_sketches
from lsr.index.seismic.build.external_order import growing_bytes, order_groups, split_groups
from lsr.index.seismic.build.graph import graph_parts
from lsr.index.seismic.build.in_memory import Entries, Parts, component_type, count_frequent, positions_of
from lsr.index.seismic.build.node_plan import NodePlan
from lsr.index.seismic.build.spill import Spill, range_begins
from lsr.index.seismic.build.summarize import WINDOW, Blocks, add_to_runs, run_starts
from lsr.index.seismic.build.superblock_pages import PAGE
from lsr.index.seismic.build.whole_collection import WholeCollection, count_rows
from lsr.index.seismic.engine import BLOCK_ARRAYS, BlockEngine
from lsr.index.seismic.forward import (
    Components,
    Forward,
    component_maxima,
    count_occurrences,
    document_frequencies,
    head_layout,
    head_width,
    move_tails,
    number_components,
    quantize,
    scale_of,
)
from lsr.index.seismic.seismic_files import State, manifest_of
from lsr.progress import progress_bar
from lsr.storage.arrays import Array, growing_array, load_array, read_only, save_arrays
from lsr.storage.id_column import IdColumn
from lsr.storage.manifest import Extra, replacing_folder, write_manifest
from lsr.threads import checked_threads, thread_pool
from lsr.vectors.io import iter_vectors, read_info
from lsr.vectors.normalize import indptr_of, row_steps
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary, VocabularyLike

# Rows read at once, and the most batches that are read ahead of the threads that work on them.
BATCH_POSTINGS = 1 << 17
BATCH_ROWS = 8192
AHEAD = 4

# Bytes that a build takes: in any case, mostly to read vectors; per component; per non-zero of the longest document;
# per document; per document of a range that is quantized, besides its head.
FIXED = 24 << 20
OF_COMPONENT = 64
OF_LONGEST = 48
OF_DOCUMENT = 16
OF_QUANTIZED = 64
OF_LISTED = 8  # per posting of a range of lists

# The approximate number of ranges of documents for quantization with the least memory.
MOST_RANGES = 64

# Entries of summaries read at once.
BATCH_ENTRIES = 1 << 18

# Components counted before the counts of batches are added up.
PENDING = 1 << 17

Batch = tuple[int, SparseVectors]  # the number of its first row, and the rows
T = TypeVar("T")
R = TypeVar("R")


def build_folder(
    source: Path,
    folder: Path,
    config: IndexConfig | None,
    *,
    memory: int,
    threads: int | None = None,
    vocabulary: VocabularyLike | None = None,
    progress: bool = False,
    extra: Extra | None = None,
    few_terms: bool = False,
    whole: WholeCollection | None = None,
) -> None:
    """Write the index of stored vectors into a folder, in one step. Replaces an existing index.

    memory: bytes that the build may use, above the present memory of the process. The trial of blocks and a kNN graph
        also map the index, whose pages the system can reclaim at any time. On disk, besides the index, the build takes
        the size of the vectors (6 or 8 bytes per non-zero), or about 200 bytes per document if that is more.
    vocabulary: as for SparseVectors.read, and stored in the index. threads: None for all processors. progress: bars on
        standard error.
    extra: see write_index; ids are already there. few_terms, whole: see SeismicIndex.build.

    Raises ParameterError for too little memory, with the least amount, and what SeismicIndex.build, reading vectors,
    and write_index raise.
    """
    config = settings_of(IndexConfig, config)
    check_whole("memory", memory)
    threads = checked_threads(threads)
    info = read_info(source)
    _check_memory(memory, _Sizes(info.rows, info.nnz))
    rows = min(max(BATCH_POSTINGS * info.rows // max(info.nnz, 1), 1), BATCH_ROWS)
    known = None if vocabulary is None else Vocabulary.of(vocabulary)
    vectors = _Source(source, known, info.dim if known is None else len(known), rows)
    with replacing_folder(folder) as temporary:
        with thread_pool(threads) as executor, TemporaryDirectory(prefix="spill-", dir=temporary) as spill:
            ahead = min(threads, AHEAD)
            state = _Build(
                vectors, temporary, Path(spill), config, memory, executor, threads, ahead, progress, few_terms, whole
            ).run()
        has_ids = (temporary / "ids.offsets.npy").exists()
        if known is not None:
            known.write(temporary / VOCABULARY)
        more = extra(temporary) if extra else {}
        counted = {"documents": len(state.engine), "has_ids": has_ids}
        write_manifest(temporary, {**manifest_of(state), **counted, **more})


class _Sizes(NamedTuple):
    """The sizes that determine the memory of a build; before the vectors are read, as far as known."""

    documents: int
    postings: int
    components: int = 0
    longest: int = 0  # non-zeros of the longest document
    largest: int = 0  # documents of the largest group of the first split


def _check_memory(memory: int, sizes: _Sizes) -> None:
    needed = _needed(sizes)
    if memory < needed:
        raise ParameterError(
            f"memory is {memory / 1e6:.1f} MB; to index {sizes.documents} documents with {sizes.postings} non-zeros, "
            f"give at least {math.ceil(needed / 1e5) / 10} MB"
        )


def _needed(sizes: _Sizes) -> int:
    """The approximate least memory of a build, in bytes."""
    of_posting, of_document = _quantized_bytes(sizes)
    quantizing = (sizes.postings * of_posting + sizes.documents * of_document) // MOST_RANGES
    inverting = sizes.documents * OF_LISTED  # a list can have all documents
    clustering = sizes.largest * growing_bytes(sizes.components)
    return _kept(sizes) + max(quantizing, inverting, clustering)


def _kept(sizes: _Sizes) -> int:
    """Bytes that are not available for ranges."""
    lasting = sizes.components * OF_COMPONENT + sizes.documents * OF_DOCUMENT
    return FIXED + lasting + sizes.longest * OF_LONGEST


def _quantized_bytes(sizes: _Sizes) -> tuple[int, int]:
    """Bytes per posting and per document of a range during its quantization."""
    itemsize = component_type(sizes.components).itemsize
    width = head_width(head_layout(sizes.postings, sizes.documents), itemsize)
    # As read, and in a tail: a component, and weights of 32 and of 16 bits.
    return 2 * itemsize + 4 + 2, width * itemsize + OF_QUANTIZED


class _Source(NamedTuple):
    """Vectors that are read several times."""

    path: Path
    vocabulary: Vocabulary | None
    dim: int
    batch_rows: int

    def batches(self) -> Iterator[Batch]:
        first = 0
        for batch in iter_vectors(self.path, self.batch_rows, self.vocabulary):
            yield first, batch
            first += len(batch)
            # Arrow would keep freed memory.
            pa.default_memory_pool().release_unused()

    def batches_again(self, lengths: Array) -> Iterator[Batch]:
        """The batches without ids. Raises VectorsError if the lengths of rows have changed, uint32[n]."""
        end = 0
        for first, batch in self.batches():
            end = first + len(batch)
            if not np.array_equal(np.diff(batch.indptr), lengths[first:end]):
                break
            yield first, batch.with_ids(None)
        else:
            if end == len(lengths):
                return
        raise VectorsError(f"{self.path}: changed while it was being indexed; index it again")


class _Frequencies:
    """Document frequencies of components, added up batch by batch."""

    def __init__(self) -> None:
        self._parts = [(np.empty(0, np.uint32), np.empty(0, np.int64))]
        self._pending = 0

    def add(self, used: Array, frequency: Array) -> None:
        """Add the result of document_frequencies."""
        self._parts.append((used, frequency))
        self._pending += len(used)
        # Rarely enough that merging costs little.
        if self._pending > max(PENDING, len(self._parts[0][0]) // 2):
            self.merged()

    def merged(self) -> tuple[Array, Array]:
        """The result of document_frequencies for all rows."""
        used, at = np.unique(np.concatenate([part[0] for part in self._parts]), return_inverse=True)
        frequency = np.zeros(len(used), np.int64)
        np.add.at(frequency, at, np.concatenate([part[1] for part in self._parts]))
        self._parts = [(used, frequency)]
        self._pending = 0
        return used, frequency


class _Counts(NamedTuple):
    """The results of the first reading."""

    lengths: Array  # uint32[n], non-zeros of each row
    components: Components
    frequency: Array  # int64[components], in their order

    @property
    def sizes(self) -> _Sizes:
        postings, longest = int(self.lengths.sum(dtype=np.int64)), int(self.lengths.max(initial=0))
        return _Sizes(len(self.lengths), postings, len(self.components.external), longest)


class _Scale(NamedTuple):
    """The parameters of quantization."""

    scale: Array
    head_size: int


@dataclass(frozen=True, slots=True)
class _Build:
    """One build. folder: of the arrays. spill: folder for temporary files."""

    source: _Source
    folder: Path
    spill: Path
    config: IndexConfig
    memory: int
    executor: Executor
    threads: int
    ahead: int
    progress: bool
    few_terms: bool
    whole: WholeCollection | None

    def run(self) -> State:
        counts = self._count()
        sizes = counts.sizes
        _check_memory(self.memory, sizes)
        engine, recall = trial.choose_engine(
            count_rows(sizes.documents, self.whole),
            lambda: self._build_blocks(counts),
            lambda: self._invert(counts),
            self.config.seed,
            self.threads,
            self.few_terms,
        )
        if isinstance(engine, BlockEngine) and self.config.knn:
            with growing_array(self.folder, "graph", np.uint32, (self.config.knn,)) as add:
                for part in graph_parts(engine, self.config.knn, self.threads, self.progress):
                    add(part)
            engine.graph = load_array(self.folder, "graph")
        return State(engine, self.config, recall, {})

    def _build_blocks(self, counts: _Counts) -> BlockEngine:
        """Write all arrays of blocks."""
        sizes = counts.sizes
        maxima = self._gather_sketches(counts)
        rows = self._order(sizes)
        if self.whole is not None:
            maxima = self.whole.maxima[counts.components.external]
        scale = _Scale(scale_of(maxima), head_layout(sizes.postings, sizes.documents))
        positions = positions_of(rows)
        arrays = {"components": counts.components.external, "scale": scale.scale}
        save_arrays(self.folder, {**arrays, "rows": rows, "positions": positions})
        n_frequent = count_frequent(counts.frequency)
        self._write_forward(counts, rows, positions, scale)
        self._write_summaries(sizes, scale, n_frequent)
        parts = [load_array(self.folder, name) for name in BLOCK_ARRAYS]
        blocks = Blocks.of(parts, self.config.block_size, n_frequent)
        forward = self._forward(_Scale(load_array(self.folder, "scale"), scale.head_size))
        return BlockEngine(Parts(counts.components, forward, blocks), self.source.dim, sizes.postings)

    def _invert(self, counts: _Counts) -> InvertedEngine:
        """Write posting lists, and remove blocks if there are any."""
        for name in (*ARRAYS, "tails"):
            (self.folder / f"{name}.npy").unlink(missing_ok=True)
        components, n = counts.components.sorted_external, len(counts.lengths)
        starts = indptr_of(counts.frequency[counts.components.sorted_internal])
        indptr = indptr_of(counts.lengths)
        save_arrays(self.folder, {"components": components, "starts": starts, "indptr": indptr})
        ranges = list(row_steps(starts, self._room(counts.sizes) // OF_LISTED)) or [(0, 0)]

        def listed(item: Batch) -> tuple[int, SparseVectors, Array]:
            first, batch = item
            lists = np.empty(batch.nnz, list_type(len(components)))
            find_lists(batch.indices, components, lists)
            return first, batch, lists

        with (
            growing_array(self.folder, "lists", list_type(len(components))) as add_lists,
            growing_array(self.folder, "rows", np.uint32) as add_rows,
            growing_array(self.folder, "weights", np.float32) as add_weights,
            progress_bar("inverting", len(ranges) * n, "documents", self.progress) as advance,
        ):
            for begin, end in ranges:
                next_posting = starts[begin:end] - starts[begin]
                rows, weights = (np.empty(starts[end] - starts[begin], kind) for kind in (np.uint32, np.float32))
                for first, batch, lists in self._in_order(listed, self.source.batches_again(counts.lengths)):
                    scatter_postings(batch.indptr, lists, batch.values, first, begin, next_posting, rows, weights)
                    if begin == 0:
                        add_lists(lists)
                    advance(len(batch))
                add_rows(rows)
                add_weights(weights)
                del rows, weights  # before the next ones are created
        inverted = Inverted(*(load_array(self.folder, name) for name in Inverted._fields))
        of_rows = ListsOfRows(*(load_array(self.folder, name) for name in ListsOfRows._fields))
        return InvertedEngine(inverted, n, self.source.dim, of_rows)

    def _count(self) -> _Counts:
        """Read the vectors for the first time, and write ids.*.npy if they have ids."""
        frequencies = _Frequencies()
        with (
            growing_array(self.spill, "lengths", np.uint32) as add_lengths,
            progress_bar("counting", None, "documents", self.progress) as advance,
        ):

            def ids() -> Iterator[str]:
                for first, batch in self.source.batches():
                    check_lengths(np.diff(batch.indptr), first)
                    add_lengths(np.diff(batch.indptr))
                    frequencies.add(*document_frequencies(batch.indices, batch.dim))
                    yield from batch.ids or []
                    advance(len(batch))

            has_ids = IdColumn.write(self.folder, "ids", ids()) > 0
        if has_ids:
            written = IdColumn.open(self.folder, "ids")
            repeated = written.first_repeated()
            if repeated is not None:
                raise VectorsError(f"row {repeated}: id {written[repeated]!r} occurs a second time; ids must be unique")
        else:
            for path in self.folder.glob("ids.*.npy"):
                path.unlink()
        components, frequency = number_components(*frequencies.merged())
        return _Counts(np.array(load_array(self.spill, "lengths")), components, frequency)

    def _gather_sketches(self, counts: _Counts) -> Array:
        """Write the sketches of all documents; returns the largest weight of each component."""
        dtype = component_type(len(counts.components.external))
        maxima = np.zeros(len(counts.components.external), np.float32)

        def find(item: Batch) -> tuple[Array, Array, Sketches]:
            batch = item[1]
            internal = counts.components.renumber(batch.indices, dtype)
            indptr, values = read_only(batch.indptr), read_only(batch.values)
            sketches = Sketches(np.zeros((len(batch), SKETCH), dtype), np.zeros((len(batch), SKETCH), np.float32))
            find_sketches(0, len(batch), indptr, internal, values, sketches)
            return internal, values, sketches

        with (
            growing_array(self.spill, "components", dtype, (SKETCH,)) as add_components,
            growing_array(self.spill, "weights", np.float32, (SKETCH,)) as add_weights,
            progress_bar("gathering sketches", len(counts.lengths), "documents", self.progress) as advance,
        ):
            for internal, values, sketches in self._in_order(find, self.source.batches_again(counts.lengths)):
                component_maxima(internal, values, maxima)
                add_components(sketches.components)
                add_weights(sketches.weights)
                advance(len(sketches.weights))
        return maxima

    def _order(self, sizes: _Sizes) -> Array:
        """Order the documents by their sketches, which are then removed."""
        groups = split_groups(self.spill, sizes.components, self.config, self._in_order)
        _check_memory(self.memory, sizes._replace(largest=groups.largest))
        room = self._room(sizes)
        return order_groups(self.spill, groups, sizes.components, self.config, self.executor, self._in_order, room)

    def _write_forward(self, counts: _Counts, rows: Array, positions: Array, scale: _Scale) -> None:
        """Write heads.npy and tails.npy, a range of documents at a time."""
        lengths = counts.lengths
        dtype = component_type(len(counts.components.external))
        width = head_width(scale.head_size, dtype.itemsize)
        begins = range_begins(rows, lengths, *_quantized_bytes(counts.sizes), self._room(counts.sizes))
        ranges = list(pairwise([*begins.tolist(), len(rows)]))
        spill = self._deal(counts, rows, positions, ranges)
        compact = self.config.layout == "compact"

        def quantized(at: int) -> tuple[Array, Array]:
            places, indptr = _placed(rows[slice(*ranges[at])], lengths)
            return quantize(places, indptr, *spill.read(at), scale.scale, scale.head_size, compact, self.executor)

        with (
            growing_array(self.folder, "heads", dtype, (width,)) as add_heads,
            growing_array(self.folder, "tails", np.uint8 if compact else dtype) as add_tails,
            progress_bar("quantizing", len(rows), "documents", self.progress) as advance,
        ):
            written = 0
            for at in range(len(ranges)):
                heads, tails = quantized(at)
                move_tails(heads, scale.head_size, written)
                add_heads(heads)
                add_tails(tails)
                written += len(tails)
                advance(len(heads))
                del heads, tails  # before the next ones are created
        spill.remove()

    def _deal(self, counts: _Counts, rows: Array, positions: Array, ranges: list[tuple[int, int]]) -> Spill:
        """Read the vectors for the last time, and write each row to the range of its document."""
        begins = np.array([begin for begin, _ in ranges], np.int64)
        postings = [int(counts.lengths[rows[begin:end]].sum(dtype=np.int64)) for begin, end in ranges]
        dtype = component_type(len(counts.components.external))
        spill = Spill(self.spill, dtype, np.cumsum([0, *postings], dtype=np.int64))
        with progress_bar("dealing", len(rows), "documents", self.progress) as advance:

            def deal(item: Batch) -> tuple[Array, Array, Array]:
                first, batch = item
                into = np.searchsorted(begins, positions[first : first + len(batch)], side="right") - 1
                dealt = batch[np.argsort(into, kind="stable")]
                starts = dealt.indptr[np.cumsum([0, *np.bincount(into, minlength=len(ranges))])]
                return counts.components.renumber(dealt.indices, dtype), dealt.values, starts

            def batches() -> Iterator[Batch]:
                for first, batch in self.source.batches_again(counts.lengths):
                    yield first, batch
                    advance(len(batch))

            spill.fill(self._in_order(deal, batches()))
        return spill

    def _write_summaries(self, sizes: _Sizes, scale: _Scale, n_frequent: int) -> None:
        """Write the summaries of all nodes, a window at a time, and the pages of superblocks."""
        plan, room = NodePlan.of(sizes.documents, self.config), self._room(sizes)
        windows = [0]
        with (
            growing_array(self.folder, "summary_starts", np.uint32) as add_starts,
            growing_array(self.folder, "summaries", np.uint16) as add_stream,
            growing_array(self.folder, "pages", np.uint8) as add_pages,
            progress_bar("summarizing", plan.nodes * (1 + plan.paged), plan.unit, self.progress) as advance,
        ):
            for first in range(0, plan.nodes, WINDOW):
                last = min(first + WINDOW, plan.nodes)
                counts = self._summarize(first, last, plan, scale, n_frequent)
                starts = run_starts(counts, last - first)
                add_starts(starts)
                for components in row_steps(starts.astype(np.int64), room // 2):
                    add_stream(self._runs(*components, counts, starts, last - first))
                windows.append(windows[-1] + int(starts[-1]))
                advance(last - first)
            for pages in self._in_order(lambda first: plan.pages(first, self._forward(scale)), plan.page_firsts):
                add_pages(pages)
                advance(len(pages) // PAGE)
        save_arrays(self.folder, {"summary_windows": np.array(windows, np.int64)})

    def _summarize(self, first: int, last: int, plan: NodePlan, scale: _Scale, n_frequent: int) -> Array:
        """Write the entries of a window, slice by slice; returns their number per component, int64[components]."""
        counts = np.zeros(len(scale.scale), np.int64)

        def work(nodes: tuple[int, int]) -> Entries:
            # Mapped again for each slice, so that its pages leave memory with it.
            return plan.summarize(*nodes, first, self._forward(scale), n_frequent)

        with (
            growing_array(self.spill, "components", component_type(len(counts))) as add_components,
            growing_array(self.spill, "nodes", np.uint16) as add_nodes,
            growing_array(self.spill, "codes", np.uint8) as add_codes,
        ):
            for components, nodes, codes in self._in_order(work, plan.slices(first, last)):
                count_occurrences(components, counts)
                add_components(components)
                add_nodes(nodes)
                add_codes(codes)
        return counts

    def _runs(self, first: int, last: int, counts: Array, starts: Array, n_nodes: int) -> Array:
        """The runs of components first..last of a window's entries."""
        names = "components", "nodes", "codes"
        runs, cursors = np.zeros(int(starts[last]) - int(starts[first]), np.uint16), np.zeros(len(counts), np.uint32)
        for begin in range(0, len(load_array(self.spill, names[0])), BATCH_ENTRIES):
            # Copies, because the kernel is compiled for writable arrays.
            entries = [np.array(load_array(self.spill, name)[begin : begin + BATCH_ENTRIES]) for name in names]
            add_to_runs(*entries, n_nodes, counts, starts, first, last, cursors, runs)
        return runs

    def _forward(self, scale: _Scale) -> Forward:
        return Forward.of(load_array(self.folder, "heads"), load_array(self.folder, "tails"), *scale)

    def _room(self, sizes: _Sizes) -> int:
        """Bytes available for ranges."""
        room = self.memory - _kept(sizes)
        return room - room // 8  # the process does not return all freed memory

    def _in_order(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """The results of `work` for the items, in order. Threads work a few items ahead."""
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(self.executor.submit(work, item))
            if len(waiting) > self.ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _placed(rows: Array, lengths: Array) -> tuple[Array, Array]:
    """(places uint32[m] of these rows among them, by row; indptr int64[m + 1] of the rows in that order)."""
    order = np.argsort(rows)
    places = np.empty(len(rows), np.uint32)
    places[order] = np.arange(len(rows), dtype=np.uint32)
    return places, indptr_of(lengths[rows[order]])
