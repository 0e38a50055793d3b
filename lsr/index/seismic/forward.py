"""The forward index: every document's vector, quantized, laid out so that most visits cost one cache line.

A document is a *head*, its heaviest components, and a *tail*, the rest. Heads have 16, 32, 48 or 64 components, all of
an index the same number, about a third of a document. Weights are 16-bit codes times a scale of
their component, `weight = code16 * scale[component]`, cut in two: the high byte, rounded, that the search reads
(`code`), and the signed remainder (`residual`) that only the final scores of the documents returned read.

    head of document d, one row of `heads`, whole cache lines (one, for 16 components of 16 bits):
        component x size | code x size | tail start << 24 | tail length, as one uint64 | unused
    tail of document d, from `tails[start]`, counted in components:
        component x length | code x length | residual of the head x size | residual of the tail x length
    tail in the compact layout, where `tails` is uint8: components rise, each written as its distance from the one
    before (the first from 0), seven bits a byte, the lowest first, the highest bit of a byte saying that more follow:
        code x length | distances

Documents stand in the order of their blocks (cluster.py), so that those of a block are read in one go; `document` is a
place in that order, `row` one in the vectors that were indexed. Components here are *internal*: the components that
occur at all, numbered by falling document frequency, so that the few that most heads share lie next to each other in
the query's table, and fit in 16 bits where they can.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lsr.errors import IndexFormatError
from lsr.index.jit import allocating, inlined_kernel, kernel
from lsr.index.rows import GatheredRows
from lsr.storage.arrays import Array, Scalar, read_only

if TYPE_CHECKING:
    from lsr.vectors.sparse_vectors import SparseVectors

HEAD_STEP = 16  # heads are a multiple of this, so that loops over them unroll
MAX_HEAD = 64
HEAD_SHARE = 0.35  # of the average document
CACHE_LINE = 64
JOB_ROWS = 16384
SHORT = 96  # weights that are sorted by insertion, which takes less than half of the time for 46 of them
SMALL_TABLE = 1 << 20  # components; a table of more is made only where at least as many are looked up
TAIL_LENGTH_BITS = np.uint64(24)
TAIL_LENGTH_MASK = np.uint64((1 << 24) - 1)
CODE_STEPS = 256  # 16-bit steps in one unit of code
MAX_CODE16 = 255 * CODE_STEPS  # so that the rounded high byte never exceeds 255
DAMAGED_DOCUMENTS = "a document has components that its index lacks; lsr check INDEX tells which files differ"


class Forward(NamedTuple):
    """The arrays of a forward index and the views that kernels need of them.

    heads T[n, width], T uint16 or uint32; head_bytes and head_meta are views of it. tails T[m], or uint8[m] if compact;
    tail_bytes a view. Kernels tell the layouts apart by tails.itemsize, which is a constant when they are compiled.
    scale float32[components]: the weight of one unit of code. head_size: components in a head.
    """

    heads: Array
    head_bytes: Array
    head_meta: Array
    tails: Array
    tail_bytes: Array
    scale: Array
    head_size: int

    @classmethod
    def of(cls, heads: Array, tails: Array, scale: Array, head_size: int) -> Forward:
        """Views of read-only arrays: Numba then compiles the kernels once for built and for memory-mapped indexes."""
        heads, tails, scale = read_only(heads), read_only(tails), read_only(scale)
        return cls(heads, heads.view(np.uint8), heads.view(np.uint64), tails, tails.view(np.uint8), scale, head_size)


class Components(NamedTuple):
    """internal component -> external (uint32, by falling document frequency), and the way back (sorted external)."""

    external: Array
    sorted_external: Array
    sorted_internal: Array

    @classmethod
    def of(cls, external: Array) -> Components:
        order = np.argsort(external, kind="stable")
        return cls(read_only(external), external[order], order.astype(np.uint32))

    def renumber(self, components: Array, dtype: np.dtype[Any]) -> Array:
        """The internal numbers, as `dtype`, of components all of which occur in the index."""
        top = int(self.sorted_external[-1]) + 1 if len(self.external) else 0
        if top <= max(SMALL_TABLE, len(components)):
            table = np.zeros(top, dtype)
            table[self.sorted_external] = self.sorted_internal
            return table[components]
        return self.sorted_internal[np.searchsorted(self.sorted_external, components)].astype(dtype)


def count_components(vectors: SparseVectors) -> Components:
    """The components that occur, by falling document frequency (ties by component)."""
    return number_components(*document_frequencies(vectors.indices, vectors.dim))[0]


@kernel
def count_occurrences(indices: Array, counts: Array) -> None:
    """Count each component of T[m] in counts int64[components]."""
    for component in indices:
        counts[component] += 1


def document_frequencies(indices: Array, dim: int) -> tuple[Array, Array]:
    """(the components that occur in rows of vectors, uint32[m], rising, how often int64[m])."""
    if dim <= max(SMALL_TABLE, len(indices)):
        frequency = np.zeros(dim, np.int64)
        count_occurrences(indices, frequency)  # np.bincount would make eight bytes of each of them first
        used = np.flatnonzero(frequency)
        return used.astype(np.uint32), frequency[used]
    used, frequency = np.unique(indices, return_counts=True)
    return used.astype(np.uint32), frequency


def number_components(used: Array, frequency: Array) -> tuple[Components, Array]:
    """(numbering by falling frequency, ties by component; frequencies in its order), of document_frequencies."""
    order = np.lexsort((used, -frequency))
    return Components.of(used[order]), frequency[order]


def aligned_zeros(shape: tuple[int, int], dtype: np.dtype) -> Array:
    """Zeros whose first byte starts a cache line; NumPy itself promises 16 bytes only."""
    size = shape[0] * shape[1] * dtype.itemsize
    raw = np.zeros(size + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def head_layout(nnz: int, n_documents: int) -> int:
    """Components in a head, for documents of this average size."""
    average = nnz / max(n_documents, 1)
    return HEAD_STEP * min(max(round(HEAD_SHARE * average / HEAD_STEP), 1), MAX_HEAD // HEAD_STEP)


def head_width(head_size: int, itemsize: int) -> int:
    """Elements in a row of `heads`."""
    lines = -(-(head_size * (itemsize + 1) + 8) // CACHE_LINE)
    return lines * CACHE_LINE // itemsize


def tail_elements(lengths: Array, head_size: int, itemsize: int) -> Array:
    """Elements of `tails` that documents with these tail lengths take: components, then bytes rounded up."""
    elements: Array = lengths + (2 * lengths + head_size + itemsize - 1) // itemsize
    return elements


@inlined_kernel
def tail_of(forward: Forward, document: Scalar) -> tuple[Scalar, Scalar]:
    """(start in `tails`, length in components) of a document's tail."""
    meta = forward.head_meta[document, forward.head_size * (forward.heads.itemsize + 1) // 8]
    return np.int64(meta >> TAIL_LENGTH_BITS), np.int64(meta & TAIL_LENGTH_MASK)


def table_size(n_components: int, itemsize: int) -> int:
    """Floats in a table of the weights of a query: as many as components can name, or a power of two (see slot_of)."""
    return 1 << (16 if itemsize == 2 else max(n_components - 1, 1).bit_length())


@inlined_kernel
def slot_of(component: Scalar, table: Array) -> Scalar:
    """Where a component stands in a table of table_size, inside it whatever a damaged file says."""
    return np.uint64(component) & np.uint64(table.size - 1)


@kernel
def component_maxima(internal: Array, values: Array, maxima: Array) -> None:
    """The largest weight of each component, into maxima float32[components]."""
    for entry in range(values.size):
        maxima[internal[entry]] = max(maxima[internal[entry]], values[entry])


@kernel
def distance_bytes(distance: Scalar) -> Scalar:
    """Bytes that a distance takes."""
    n = 1
    while distance >= 128:
        distance >>= 7
        n += 1
    return n


@kernel
def write_distance(distance: Scalar, at: Scalar, out: Array) -> Scalar:
    """Write a distance to out[at:], uint8; returns where the next one goes."""
    while distance >= 128:
        out[at] = 128 | (distance & 127)
        distance >>= 7
        at += 1
    out[at] = distance
    return at + 1


@inlined_kernel
def read_distance(at: Scalar, tail_bytes: Array) -> tuple[Scalar, Scalar]:
    """(distance, where the next one stands)."""
    byte = np.int64(tail_bytes[np.uint64(at)])
    at += 1
    distance = byte & 127
    shift = 7
    while byte >= 128:
        byte = np.int64(tail_bytes[np.uint64(at)])
        at += 1
        distance |= (byte & 127) << shift
        shift += 7
    return distance, at


@allocating
def weight_order(values: Array) -> Array:
    """Positions by falling weight, int64[m]; stable, so that of equal weights the smaller component comes first."""
    if values.size > SHORT:
        return np.argsort(-values, kind="mergesort")
    # By insertion, of a weight and its position as one number: the bits of positive floats rise as they do.
    bits = values.view(np.uint32)
    keys = np.empty(values.size, np.int64)
    for i in range(values.size):
        key = i - (np.int64(bits[i]) << 32)
        j = i
        while j > 0 and keys[j - 1] > key:
            keys[j] = keys[j - 1]
            j -= 1
        keys[j] = key
    for i in range(values.size):
        keys[i] &= 0xFFFFFFFF
    return keys


@allocating
def compact_sizes(
    begin: Scalar,
    end: Scalar,
    rows: Array,
    indptr: Array,
    internal: Array,
    values: Array,
    head_size: Scalar,
    out: Array,
) -> None:
    """out[d], int64[n] = bytes of the tail of document d in the compact layout, for d in begin..end."""
    for document in range(begin, end):
        first, last = indptr[rows[document]], indptr[rows[document] + 1]
        components = np.sort(internal[first:last][weight_order(values[first:last])[head_size:]])
        size = components.size
        before = np.int64(0)
        for component in components:
            size += distance_bytes(np.int64(component) - before)
            before = np.int64(component)
        out[document] = size


@allocating
def fill_forward(
    begin: Scalar,
    end: Scalar,
    rows: Array,
    indptr: Array,
    internal: Array,
    values: Array,
    starts: Array,
    scale: Array,
    head_size: Scalar,
    heads: Array,
    tails: Array,
) -> None:
    """Write the heads and tails of documents begin..end; `starts` int64[n] says where each tail goes.

    rows uint32[n]: the row of `indptr` that each document is.
    """
    head_bytes, head_meta, tail_bytes = heads.view(np.uint8), heads.view(np.uint64), tails.view(np.uint8)
    itemsize = heads.itemsize
    compact = tails.itemsize == 1
    for document in range(begin, end):
        first = indptr[rows[document]]
        count = indptr[rows[document] + 1] - first
        order = weight_order(values[first : first + count])
        length = max(count - head_size, 0)
        start = starts[document]
        meta_at = head_size * (itemsize + 1) // 8
        head_meta[document, meta_at] = (np.uint64(start) << TAIL_LENGTH_BITS) | np.uint64(length)
        codes_at = start if compact else (start + length) * itemsize
        residuals_at = codes_at + length
        distances_at = start + length
        before = np.int64(0)
        if compact:
            tail = order[head_size:]
            order[head_size:] = tail[np.argsort(internal[first : first + count][tail])]
        for rank in range(count):
            entry = first + order[rank]
            component = internal[entry]
            code16 = np.int64(np.rint(np.float64(values[entry]) * CODE_STEPS / scale[component]))
            code = (code16 + CODE_STEPS // 2) >> 8
            if not compact:
                tail_bytes[residuals_at + rank] = np.uint8((code16 - code * CODE_STEPS) & 255)
            if rank < head_size:
                heads[document, rank] = component
                head_bytes[document, head_size * itemsize + rank] = code
            else:
                tail_bytes[codes_at + rank - head_size] = code
                if compact:
                    distances_at = write_distance(np.int64(component) - before, distances_at, tail_bytes)
                    before = np.int64(component)
                else:
                    tails[start + rank - head_size] = component


@kernel
def longest_document(begin: Scalar, end: Scalar, forward: Forward) -> Scalar:
    """Components that the longest of documents begin..end has, at most: room for read_document."""
    longest = np.int64(0)
    for document in range(begin, end):
        longest = max(longest, tail_of(forward, document)[1])
    return forward.head_size + longest


@kernel
def read_document(document: Scalar, forward: Forward, components: Array, codes16: Array) -> Scalar:
    """The entries of a document into components and codes16 (int64), at least as long; returns their number.

    Those of the head come first. Weights are codes16 / CODE_STEPS * scale; entries of code 0 are left out.
    """
    heads, head_bytes, tails, tail_bytes = forward.heads, forward.head_bytes, forward.tails, forward.tail_bytes
    itemsize, head_size = heads.itemsize, forward.head_size
    start, length = tail_of(forward, document)
    compact = tails.itemsize == 1
    codes_at = start if compact else (start + length) * itemsize
    residuals_at = codes_at + length
    distances_at = start + length
    component = np.int64(0)
    n = 0
    for j in range(head_size + length):
        if j < head_size:
            component = np.int64(heads[document, j])
            code16 = np.int64(head_bytes[document, head_size * itemsize + j]) * CODE_STEPS
        else:
            if compact:
                if j == head_size:
                    component = np.int64(0)
                distance, distances_at = read_distance(distances_at, tail_bytes)
                component += distance
            else:
                component = np.int64(tails[start + j - head_size])
            code16 = np.int64(tail_bytes[codes_at + j - head_size]) * CODE_STEPS
        if not compact:
            code16 += np.int64(np.int8(tail_bytes[residuals_at + j]))
        if code16 > 0:  # the rest is padding, or too light for a code
            components[n] = component
            codes16[n] = code16
            n += 1
    return n


@kernel
def fine_score(document: Scalar, table: Array, forward: Forward) -> Scalar:
    """Inner product of the query in `table` (float32[table_size]) with a document, by all bits that its codes have."""
    heads, head_bytes, tails, tail_bytes = forward.heads, forward.head_bytes, forward.tails, forward.tail_bytes
    itemsize = heads.itemsize
    head_size = forward.head_size
    start, length = tail_of(forward, document)
    score: Scalar = np.float32(0)
    if tails.itemsize == 1:
        for j in range(head_size):
            head = slot_of(heads[document, j], table)
            score += table[head] * np.float32(head_bytes[document, head_size * itemsize + j])
        at, component = start + length, np.int64(0)
        for j in range(length):
            distance, at = read_distance(at, tail_bytes)
            component += distance
            score += table[slot_of(component, table)] * np.float32(tail_bytes[start + j])
        return score
    codes_at = (start + length) * itemsize
    residuals_at = codes_at + length
    step = np.float32(1 / CODE_STEPS)
    for j in range(head_size):
        residual = np.float32(np.int8(tail_bytes[residuals_at + j]))
        score += table[slot_of(heads[document, j], table)] * (
            np.float32(head_bytes[document, head_size * itemsize + j]) + step * residual
        )
    for j in range(length):
        residual = np.float32(np.int8(tail_bytes[residuals_at + head_size + j]))
        score += table[slot_of(tails[start + j], table)] * (np.float32(tail_bytes[codes_at + j]) + step * residual)
    return score


def weight_scale(internal: Array, values: Array, n_components: int) -> Array:
    """The weight of one unit of code, float32[n_components]: 1/255 of each component's largest, or very nearly."""
    maxima = np.zeros(n_components, np.float32)
    component_maxima(internal, read_only(values), maxima)
    return scale_of(maxima)


def scale_of(maxima: Array) -> Array:
    """The scale float32[components] of components with these largest weights, float32[components]."""
    # The smallest normal number keeps the quotient finite where every weight of a component is subnormal.
    scale: Array = np.maximum(maxima * np.float32(CODE_STEPS / MAX_CODE16), np.finfo(np.float32).tiny)
    return scale


def quantize(
    rows: Array,
    indptr: Array,
    internal: Array,
    values: Array,
    scale: Array,
    head_size: int,
    compact: bool,
    executor: Executor,
) -> tuple[Array, Array]:
    """(heads, tails) of CSR rows with internal components (int64[n + 1], T[nnz], float32[nnz]).

    rows uint32[n]: the rows in the order in which the forward index has them. scale: of weight_scale. head_size: of
    head_layout, for all rows of the collection.
    """
    n = len(rows)
    indptr, values = read_only(indptr), read_only(values)
    itemsize = internal.dtype.itemsize
    ranges = [(begin, min(begin + JOB_ROWS, n)) for begin in range(0, n, JOB_ROWS)]
    if compact:
        sizes = np.empty(n, np.int64)
        _wait(
            executor.submit(compact_sizes, *each, rows, indptr, internal, values, head_size, sizes) for each in ranges
        )
    else:
        sizes = tail_elements(np.maximum(np.diff(indptr)[rows] - head_size, 0), head_size, itemsize)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    heads = aligned_zeros((n, head_width(head_size, itemsize)), internal.dtype)
    tails = np.zeros(starts[-1], np.uint8 if compact else internal.dtype)
    _wait(
        executor.submit(fill_forward, *each, rows, indptr, internal, values, starts, scale, head_size, heads, tails)
        for each in ranges
    )
    return heads, tails


def move_tails(heads: Array, head_size: int, by: int) -> None:
    """Let `heads` say that their tails stand `by` elements farther on."""
    meta = heads.view(np.uint64)[:, head_size * (heads.itemsize + 1) // 8]
    meta += np.uint64(by) << TAIL_LENGTH_BITS


def _wait(jobs: Iterable[Future[None]]) -> None:
    for job in list(jobs):
        job.result()


def document_rows(forward: Forward, documents: Array, components: Components) -> GatheredRows:
    """The vectors of many documents (int64[n]), their components external but unsorted.

    Raises IndexFormatError for a damaged file.
    """
    most = 0
    for document in documents.tolist():
        most += forward.head_size + int(tail_of(forward, document)[1])
    read = GatheredRows(np.zeros(len(documents) + 1, np.int64), np.empty(most, np.uint32), np.empty(most, np.float32))
    if not read_rows(forward, documents, components.external, read):
        raise IndexFormatError(DAMAGED_DOCUMENTS)
    return GatheredRows(read.indptr, read.indices[: read.indptr[-1]], read.values[: read.indptr[-1]])


@allocating
def read_rows(forward: Forward, documents: Array, external: Array, out: GatheredRows) -> bool:
    """The vectors of the documents into `out`, whose arrays have room for heads and tails; fills its indptr.

    False where a component is none of the index.
    """
    entry = np.int64(0)
    for at in range(documents.size):
        room = forward.head_size + tail_of(forward, documents[at])[1]
        components, codes16 = np.empty(room, np.int64), np.empty(room, np.int64)
        n = read_document(documents[at], forward, components, codes16)
        for j in range(n):
            component = components[j]
            if not 0 <= component < external.size:
                return False
            out.indices[entry] = external[component]
            out.values[entry] = forward.scale[component] * (np.float32(codes16[j]) / np.float32(CODE_STEPS))
            entry += 1
        out.indptr[at + 1] = entry
    return True
