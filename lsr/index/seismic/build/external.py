"""Building an index of more vectors than fit in memory: by way of the disk, and byte for byte as it is built in memory.

For blocks the vectors are read three times: to count components and copy ids; to gather the sketches of all documents
in a file, from which they are clustered; and to deal each row to its range of documents, in the order of the blocks.
Range by range documents are then quantized and appended to the index, and window by window blocks are summarized from
what is there. What is in memory for each document is its sketch and a few numbers. Postings are there as far as the
limit has room.

Inverted lists are written a range of lists after the other, for each of which the vectors are read once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

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
from lsr.index.seismic.build.cluster import SKETCH, Sketches, cluster, find_sketches
from lsr.index.seismic.build.graph import build_graph
from lsr.index.seismic.build.in_memory import Parts, component_type, count_frequent, positions_of
from lsr.index.seismic.build.summarize import WINDOW, Blocks, invert_summaries, summarize_blocks
from lsr.index.seismic.engine import BLOCK_ARRAYS, BlockEngine
from lsr.index.seismic.forward import (
    Components,
    Forward,
    component_maxima,
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
from lsr.storage.files import storage_errors
from lsr.storage.id_column import IdColumn
from lsr.storage.ids import UniqueIds
from lsr.storage.manifest import Extra, replacing_folder, write_manifest
from lsr.threads import checked_threads, thread_pool
from lsr.vectors.io import iter_vectors, read_info
from lsr.vectors.normalize import indptr_of, row_steps
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary, VocabularyLike

# Read at once, and how many such batches are read ahead of the threads that work on them, at most.
BATCH_POSTINGS = 1 << 17
BATCH_ROWS = 8192
AHEAD = 4

# Blocks summarized at once by one thread: what a thread reads of the index stays in memory until it is done.
SLICE = 1024

# Bytes that a build takes: whatever is built, most of it to read vectors; for each component; for each non-zero of the
# longest document; for each document besides its sketch, until documents are in order, and after; for each document of
# those that are quantized at once, besides its head; for each entry of a window's summaries, most of them in runs that
# have a code for every block.
FIXED = 24 << 20
OF_COMPONENT = 64
OF_LONGEST = 48
OF_DOCUMENT = 28
OF_ORDERED = 24
OF_QUANTIZED = 64
OF_LISTED = 8  # and for each posting of those lists that are written at once
OF_ENTRY = 13

# Entries of summaries for each posting of a block when all energy is kept; when less is, fewer by its square. Measured.
ENTRIES = 0.75
DOCUMENTS_OF_BLOCK = 5  # on average, unless blocks are smaller

# Components counted before the counts of batches are added up.
PENDING = 1 << 17

Batch = tuple[int, SparseVectors]  # and the number of its first row
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
) -> None:
    """Write the index of stored vectors into a folder, in place of an index that is there, in one step.

    memory: bytes that this may use, above what the process uses already. On the disk, beside the index, it takes the
        size of the vectors, 6 or 8 bytes for each non-zero, and about 100 for each document.
    vocabulary: as for SparseVectors.read, and kept with the index. threads: None for all processors. progress: bars on
    standard error.
    extra: as for write_index; ids are there already. few_terms: see SeismicIndex.build.
    Raises ParameterError for less memory than it takes, which is named, and else what SeismicIndex.build, reading
    vectors, and write_index raise.
    """
    config = settings_of(IndexConfig, config)
    check_whole("memory", memory)
    threads = checked_threads(threads)
    info = read_info(source)
    _check_memory(memory, _Sizes(info.rows, info.nnz), config)
    rows = min(max(BATCH_POSTINGS * info.rows // max(info.nnz, 1), 1), BATCH_ROWS)
    known = None if vocabulary is None else Vocabulary.of(vocabulary)
    vectors = _Source(source, known, info.dim if known is None else len(known), rows)
    with replacing_folder(folder) as temporary:
        with thread_pool(threads) as executor, TemporaryDirectory(prefix="spill-", dir=temporary) as spill:
            ahead = min(threads, AHEAD)
            state = _Build(
                vectors, temporary, Path(spill), config, memory, executor, threads, ahead, progress, few_terms
            ).run()
        has_ids = (temporary / "ids.offsets.npy").exists()
        if known is not None:
            known.write(temporary / VOCABULARY)
        more = extra(temporary) if extra else {}
        counted = {"documents": len(state.engine), "has_ids": has_ids}
        write_manifest(temporary, {**manifest_of(state), **counted, **more})


class _Sizes(NamedTuple):
    """What the memory depends on that a build takes; before the vectors have been read, what is known of it."""

    documents: int
    postings: int
    components: int = 0
    longest: int = 0  # non-zeros of a document


def _check_memory(memory: int, sizes: _Sizes, config: IndexConfig) -> None:
    needed = _needed(sizes, config)
    if memory < needed:
        raise ParameterError(
            f"memory is {memory / 1e6:.1f} MB; to index {sizes.documents} documents with {sizes.postings} non-zeros, "
            f"give at least {math.ceil(needed / 1e5) / 10} MB"
        )


def _needed(sizes: _Sizes, config: IndexConfig) -> int:
    """Bytes without which a build cannot do, about."""
    if sizes.documents < trial.INVERTED_BELOW:
        return _fixed(sizes.components, sizes.longest) + sizes.documents * (OF_ORDERED + OF_LISTED)
    sketch = SKETCH * (component_type(sizes.components).itemsize + np.dtype(np.float32).itemsize)
    clustering = sizes.documents * (sketch + OF_DOCUMENT)
    window = min(1, WINDOW * min(config.block_size, DOCUMENTS_OF_BLOCK) / max(sizes.documents, 1)) * sizes.postings
    entries = int(window * ENTRIES * config.summary_energy**2)
    summarizing = sizes.documents * OF_ORDERED + entries * OF_ENTRY
    return _fixed(sizes.components, sizes.longest) + max(clustering, summarizing)


def _fixed(components: int, longest: int) -> int:
    return FIXED + components * OF_COMPONENT + longest * OF_LONGEST


class _Source(NamedTuple):
    """Vectors to read several times."""

    path: Path
    vocabulary: Vocabulary | None
    dim: int
    batch_rows: int

    def batches(self) -> Iterator[Batch]:
        first = 0
        for batch in iter_vectors(self.path, self.batch_rows, self.vocabulary):
            yield first, batch
            first += len(batch)
            # Arrow would keep what it has freed.
            pa.default_memory_pool().release_unused()

    def batches_again(self, lengths: Array) -> Iterator[Batch]:
        """The batches, without ids. Raises VectorsError if rows have other lengths than before, uint32[n]."""
        end = 0
        for first, batch in self.batches():
            end = first + len(batch)
            if not np.array_equal(np.diff(batch.indptr), lengths[first:end]):
                break
            yield first, batch.with_ids(None)
        else:
            if end == len(lengths):
                return
        raise VectorsError(f"{self.path}: has changed while it was being indexed; index it again")


class _Frequencies:
    """Document frequencies of components, added up batch by batch."""

    def __init__(self) -> None:
        self._parts = [(np.empty(0, np.uint32), np.empty(0, np.int64))]
        self._pending = 0

    def add(self, used: Array, frequency: Array) -> None:
        """Like what document_frequencies returns."""
        self._parts.append((used, frequency))
        self._pending += len(used)
        # Seldom enough for what is added up already to cost little.
        if self._pending > max(PENDING, len(self._parts[0][0]) // 2):
            self.merged()

    def merged(self) -> tuple[Array, Array]:
        """What document_frequencies would return of all rows."""
        used, at = np.unique(np.concatenate([part[0] for part in self._parts]), return_inverse=True)
        frequency = np.zeros(len(used), np.int64)
        np.add.at(frequency, at, np.concatenate([part[1] for part in self._parts]))
        self._parts = [(used, frequency)]
        self._pending = 0
        return used, frequency


class _Counts(NamedTuple):
    """What the first reading finds."""

    lengths: Array  # uint32[n], non-zeros of each row
    components: Components
    frequency: Array  # int64[components], of each, in their order


class _Order(NamedTuple):
    """Which row each document is, uint32[n], and where blocks begin, uint32[blocks + 1]; as in Blocks."""

    rows: Array
    offsets: Array


class _Scale(NamedTuple):
    """What quantizing needs besides rows."""

    scale: Array
    head_size: int


class _Spill:
    """Rows in two files, range by range; those of a range in the order in which they are read.

    starts: int64[ranges + 1], where each range begins, counted in postings.
    """

    def __init__(self, folder: Path, dtype: np.dtype[Any], starts: Array) -> None:
        self._paths = folder / "rows.internal", folder / "rows.values"
        self._dtypes = dtype, np.dtype(np.float32)
        self._starts = starts

    def fill(self, batches: Iterable[tuple[Array, Array, Array]]) -> None:
        """Write batches of (internal T[m], values float32[m], and where in them each range begins, int64[ranges + 1]).

        Raises StorageError.
        """
        cursors = self._starts[:-1].copy()
        with storage_errors(self._paths[0]), open(self._paths[0], "wb") as first, open(self._paths[1], "wb") as second:
            for *arrays, starts in batches:
                for at in np.flatnonzero(np.diff(starts)):
                    for file, array in zip((first, second), arrays, strict=True):
                        file.seek(int(cursors[at]) * array.itemsize)
                        file.write(array[starts[at] : starts[at + 1]].view(np.uint8).data)
                    cursors[at] += starts[at + 1] - starts[at]

    def read(self, at: int) -> tuple[Array, Array]:
        """(internal T[m], values float32[m]) of the rows of a range."""
        begin, end = int(self._starts[at]), int(self._starts[at + 1])
        internal, values = (
            np.fromfile(path, dtype, end - begin, offset=begin * dtype.itemsize)
            for path, dtype in zip(self._paths, self._dtypes, strict=True)
        )
        return internal, values

    def remove(self) -> None:
        """Make room on the disk."""
        for path in self._paths:
            path.unlink()


@dataclass(frozen=True, slots=True)
class _Build:
    """One build. folder: where the arrays go; spill: where what is wanted no longer than the build goes."""

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

    def run(self) -> State:
        counts = self._count()
        n, postings = len(counts.lengths), int(counts.lengths.sum(dtype=np.int64))
        n_components = len(counts.components.external)
        sizes = _Sizes(n, postings, n_components, int(counts.lengths.max(initial=0)))
        _check_memory(self.memory, sizes, self.config)
        engine, recall = trial.choose_engine(
            n,
            lambda: self._build_blocks(counts, postings),
            lambda: self._invert(counts),
            self.config.seed,
            self.threads,
            self.few_terms,
        )
        if isinstance(engine, BlockEngine) and self.config.knn:
            graph = build_graph(engine, self.config.knn, self.threads, self.progress)
            save_arrays(self.folder, {"graph": graph})
            engine.graph = load_array(self.folder, "graph")
        return State(engine, self.config, recall, {})

    def _build_blocks(self, counts: _Counts, postings: int) -> BlockEngine:
        """Write all arrays of blocks."""
        maxima = self._gather_sketches(counts)
        order = self._cluster(len(counts.frequency))
        scale = _Scale(scale_of(maxima), head_layout(postings, len(counts.lengths)))
        arrays = {"components": counts.components.external, "scale": scale.scale, "blocks": order.offsets}
        positions = positions_of(order.rows)
        save_arrays(self.folder, {**arrays, "rows": order.rows, "positions": positions})
        n_frequent = count_frequent(counts.frequency)
        self._write_forward(counts, order, positions, scale)
        self._write_summaries(order.offsets, scale, n_frequent)
        blocks = Blocks.of([load_array(self.folder, name) for name in BLOCK_ARRAYS], n_frequent)
        forward = self._forward(_Scale(load_array(self.folder, "scale"), scale.head_size))
        return BlockEngine(Parts(counts.components, forward, blocks), self.source.dim, postings)

    def _invert(self, counts: _Counts) -> InvertedEngine:
        """Write inverted lists in the place of blocks, if there are any."""
        for name in (*ARRAYS, "tails"):
            (self.folder / f"{name}.npy").unlink(missing_ok=True)
        components, n = counts.components.sorted_external, len(counts.lengths)
        starts = indptr_of(counts.frequency[counts.components.sorted_internal])
        indptr = indptr_of(counts.lengths)
        save_arrays(self.folder, {"components": components, "starts": starts, "indptr": indptr})
        room = self.memory - _fixed(len(components), int(counts.lengths.max(initial=0))) - n * OF_ORDERED
        ranges = list(row_steps(starts, max(room, 0) // OF_LISTED)) or [(0, 0)]

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
                del rows, weights  # before there are the next ones
        inverted = Inverted(*(load_array(self.folder, name) for name in Inverted._fields))
        of_rows = ListsOfRows(*(load_array(self.folder, name) for name in ListsOfRows._fields))
        return InvertedEngine(inverted, n, self.source.dim, of_rows)

    def _count(self) -> _Counts:
        """Read the vectors for the first time, and write ids.*.npy if they have ids."""
        lengths, frequencies = [np.empty(0, np.uint32)], _Frequencies()
        with progress_bar("counting", None, "documents", self.progress) as advance:

            def ids() -> Iterator[str]:
                unique = UniqueIds()
                for first, batch in self.source.batches():
                    check_lengths(np.diff(batch.indptr), first)
                    lengths.append(np.diff(batch.indptr).astype(np.uint32))
                    frequencies.add(*document_frequencies(batch.indices, batch.dim))
                    names = batch.ids or []
                    repeated = unique.add(names)
                    if repeated is not None:
                        raise VectorsError(
                            f"row {first + repeated}: id {names[repeated]!r} occurs a second time; ids must be unique"
                        )
                    yield from names
                    advance(len(batch))

            has_ids = IdColumn.write(self.folder, "ids", ids()) > 0
        if not has_ids:
            for path in self.folder.glob("ids.*.npy"):
                path.unlink()
        components, frequency = number_components(*frequencies.merged())
        return _Counts(np.concatenate(lengths), components, frequency)

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

    def _cluster(self, n_components: int) -> _Order:
        """Order the documents by their sketches, which are removed."""
        paths = [self.spill / f"{name}.npy" for name in Sketches._fields]
        # "c" maps what a kernel could write to, like an array in memory, for which it has been compiled.
        sketches = Sketches(*(np.load(path, mmap_mode="c").view(np.ndarray) for path in paths))
        order = _Order(*cluster(sketches, n_components, self.config, self.executor))
        for path in paths:
            path.unlink()
        return order

    def _write_forward(self, counts: _Counts, order: _Order, positions: Array, scale: _Scale) -> None:
        """Write heads.npy and tails.npy, a range of documents at a time."""
        rows, lengths = order.rows, counts.lengths
        dtype = component_type(len(counts.components.external))
        width = head_width(scale.head_size, dtype.itemsize)
        ranges = self._ranges(lengths[rows], dtype.itemsize, width, len(scale.scale))
        spill = self._deal(counts, order, positions, ranges)
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
                del heads, tails  # before there are the next ones
        spill.remove()

    def _deal(self, counts: _Counts, order: _Order, positions: Array, ranges: list[tuple[int, int]]) -> _Spill:
        """Read the vectors for the last time, and write each row to the range that its document is in."""
        begins = np.array([begin for begin, _ in ranges], np.int64)
        postings = [int(counts.lengths[order.rows[begin:end]].sum(dtype=np.int64)) for begin, end in ranges]
        dtype = component_type(len(counts.components.external))
        spill = _Spill(self.spill, dtype, np.cumsum([0, *postings], dtype=np.int64))
        with progress_bar("dealing", len(order.rows), "documents", self.progress) as advance:

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

    def _ranges(self, lengths: Array, itemsize: int, width: int, n_components: int) -> list[tuple[int, int]]:
        """Ranges of documents, of these lengths, that can be quantized in the memory there is."""
        room = self.memory - _fixed(n_components, int(lengths.max(initial=0))) - len(lengths) * OF_ORDERED
        # As read, and as a tail: a component, and weights of 32 and of 16 bits.
        of_posting = 2 * itemsize + 4 + 2
        costs = lengths.astype(np.int64) * of_posting + (width * itemsize + OF_QUANTIZED)
        return list(row_steps(np.concatenate([np.zeros(1, np.int64), np.cumsum(costs)]), room))

    def _write_summaries(self, offsets: Array, scale: _Scale, n_frequent: int) -> None:
        """Write the summaries of all blocks, a window at a time."""
        n_blocks = len(offsets) - 1
        windows = [0]
        with (
            growing_array(self.folder, "summary_starts", np.uint32) as add_starts,
            growing_array(self.folder, "summaries", np.uint16) as add_stream,
            progress_bar("summarizing", n_blocks, "blocks", self.progress) as advance,
        ):
            for first in range(0, n_blocks, WINDOW):
                last = min(first + WINDOW, n_blocks)
                entries = self._summarize(first, last, offsets, scale, n_frequent)
                starts, stream = invert_summaries(*entries, len(scale.scale), last - first)
                add_starts(starts)
                add_stream(stream)
                windows.append(windows[-1] + len(stream))
                advance(last - first)
        save_arrays(self.folder, {"summary_windows": np.array(windows, np.int64)})

    def _summarize(self, first: int, last: int, offsets: Array, scale: _Scale, n_frequent: int) -> list[Array]:
        """The summaries of a window, as summarize_blocks gives them, slice by slice, by way of the disk."""

        def work(begin: int) -> tuple[Array, Array, Array]:
            # Mapped for each slice anew, so that what it has read leaves memory with it.
            forward = self._forward(scale)
            end = min(begin + SLICE, last)
            return summarize_blocks(begin, end, first, offsets, forward, self.config.summary_energy, n_frequent)  # type: ignore[no-any-return]

        with (
            growing_array(self.spill, "components", component_type(len(scale.scale))) as add_components,
            growing_array(self.spill, "blocks", np.uint16) as add_blocks,
            growing_array(self.spill, "codes", np.uint8) as add_codes,
        ):
            for components, blocks, codes in self._in_order(work, range(first, last, SLICE)):
                add_components(components)
                add_blocks(blocks)
                add_codes(codes)
        # Read, not mapped: what can be written has the type for which the kernel has been compiled.
        return [np.load(self.spill / f"{name}.npy") for name in ("components", "blocks", "codes")]

    def _forward(self, scale: _Scale) -> Forward:
        return Forward.of(load_array(self.folder, "heads"), load_array(self.folder, "tails"), *scale)

    def _in_order(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """What `work` returns of each item, in order; threads work on a few items ahead."""
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(self.executor.submit(work, item))
            if len(waiting) > self.ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _placed(rows: Array, lengths: Array) -> tuple[Array, Array]:
    """(place uint32[m] of each of these rows among them, by row; indptr int64[m + 1] of the rows in that order)."""
    order = np.argsort(rows)
    places = np.empty(len(rows), np.uint32)
    places[order] = np.arange(len(rows), dtype=np.uint32)
    return places, indptr_of(lengths[rows[order]])
