"""The forward index: the quantized vectors of documents, in a layout in which most visits read one cache line.

A document has a *head*, its heaviest components, and a *tail*, the others. Heads have 16, 32, 48 or 64 components, the
same number in an index, about a third of a document. Weights are 16-bit codes times a scale per component, `weight =
code16 * scale[component]`, in two parts: the rounded high byte, which a search reads (`code`), and the signed remainder
(`residual`), which only the final scores of returned documents read.

    head of document d, one row of `heads`, whole cache lines (one, for 16 components of 16 bits):
        component x size | code x size | tail start << 24 | tail length, as one uint64 | unused
    tail of document d, from `tails[start]`, counted in components:
        component x length | code x length | residual of the head x size | residual of the tail x length
    tail in the compact layout, where `tails` is uint8: components ascend, each written as its distance from the one
    before (the first from 0), seven bits per byte, the lowest first; the highest bit of a byte says that more follow:
        code x length | distances

Documents are in the order of their blocks (cluster.py), so that those of a block are read together. `document` is a
position in that order, `row` a row of the input vectors. Components here are *internal*: the components that occur,
numbered by descending document frequency, so that the few that most heads share are neighbors in the query's table, and
fit in 16 bits if possible.
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

HEAD_STEP = 16  # sizes of heads are multiples of this, so that loops over them are unrolled
MAX_HEAD = 64
HEAD_SHARE = 0.35  # share of the mean length of documents
CACHE_LINE = 64
JOB_ROWS = 16384
SHORT = 96  # weights that are sorted by insertion, in less than half of the time for 46 of them
SMALL_TABLE = 1 << 20  # components; a larger table is created only to look up at least as many
TAIL_LENGTH_BITS = np.uint64(24)
TAIL_LENGTH_MASK = np.uint64((1 << 24) - 1)
CODE_STEPS = 256  # 16-bit steps in one unit of code
MAX_CODE16 = 255 * CODE_STEPS  # so that the rounded high byte never exceeds 255
DAMAGED_DOCUMENTS = "a document has invalid components; lsr check INDEX tells which files are damaged"


class Forward(NamedTuple):
    """The arrays of a forward index, and views of them for kernels.

    heads T[n, width], T uint16 or uint32; head_bytes and head_meta are views of it. tails T[m], or uint8[m] if compact;
    tail_bytes is a view. Kernels distinguish the layouts by tails.itemsize, a constant at compilation. scale
    float32[components]: the weight of one unit of code. head_size: components in a head.
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
        """Read-only views, so that kernels are compiled once for built and for memory-mapped indexes."""
        heads, tails, scale = read_only(heads), read_only(tails), read_only(scale)
        return cls(heads, heads.view(np.uint8), heads.view(np.uint64), tails, tails.view(np.uint8), scale, head_size)


class Components(NamedTuple):
    """From internal to external components (uint32, by descending document frequency), and back (sorted external)."""

    external: Array
    sorted_external: Array
    sorted_internal: Array

    @classmethod
    def of(cls, external: Array) -> Components:
        order = np.argsort(external, kind="stable")
        return cls(read_only(external), external[order], order.astype(np.uint32))

    def renumber(self, components: Array, dtype: np.dtype[Any]) -> Array:
        """The internal numbers, as `dtype`, of components that occur in the index."""
        top = int(self.sorted_external[-1]) + 1 if len(self.external) else 0
        if top <= max(SMALL_TABLE, len(components)):
            table = np.zeros(top, dtype)
            table[self.sorted_external] = self.sorted_internal
            return table[components]
        return self.sorted_internal[np.searchsorted(self.sorted_external, components)].astype(dtype)


def count_components(vectors: SparseVectors) -> Components:
    """The components that occur, by descending document frequency (equal ones by component)."""
    return number_components(*document_frequencies(vectors.indices, vectors.dim))[0]


@kernel
def count_occurrences(indices: Array, counts: Array) -> None:
    """Count each component of T[m] in counts int64[components]."""
    for component in indices:
        counts[component] += 1


def document_frequencies(indices: Array, dim: int) -> tuple[Array, Array]:
    """(the components that occur in rows of vectors, uint32[m], ascending; their counts int64[m])."""
    if dim <= max(SMALL_TABLE, len(indices)):
        frequency = np.zeros(dim, np.int64)
        count_occurrences(indices, frequency)  # np.bincount would first convert each to eight bytes
        used = np.flatnonzero(frequency)
        return used.astype(np.uint32), frequency[used]
    used, frequency = np.unique(indices, return_counts=True)
    return used.astype(np.uint32), frequency


def number_components(used: Array, frequency: Array) -> tuple[Components, Array]:
    """(numbering by descending frequency, then by component; frequencies in that order)."""
    order = np.lexsort((used, -frequency))
    return Components.of(used[order]), frequency[order]


def aligned_zeros(shape: tuple[int, int], dtype: np.dtype) -> Array:
    """Zeros aligned to a cache line; NumPy itself aligns to 16 bytes only."""
    size = shape[0] * shape[1] * dtype.itemsize
    raw = np.zeros(size + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def head_layout(nnz: int, n_documents: int) -> int:
    """Components in a head, for documents of this mean length."""
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
    """Floats in a table of query weights: as many as there are component numbers, or a power of two (see slot_of)."""
    return 1 << (16 if itemsize == 2 else max(n_components - 1, 1).bit_length())


@inlined_kernel
def slot_of(component: Scalar, table: Array) -> Scalar:
    """The place of a component in a table of table_size, inside the table even for a damaged file."""
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
    """(distance, place of the next one)."""
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
    """Positions by descending weight, int64[m]; stable, so of equal weights the smaller component is first."""
    if values.size > SHORT:
        return np.argsort(-values, kind="mergesort")
    # Insertion sort of a weight and its position as one number: positive floats are ordered like their bits.
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
    """Write the heads and tails of documents begin..end. starts: int64[n], the place of each tail.

    rows uint32[n]: the row of `indptr` of each document.
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
    """An upper bound of the components of documents begin..end: room for read_document."""
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
        if code16 > 0:  # otherwise padding, or too light for a code
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
    """The weight of one unit of code, float32[n_components]: about 1/255 of each component's largest weight."""
    maxima = np.zeros(n_components, np.float32)
    component_maxima(internal, read_only(values), maxima)
    return scale_of(maxima)


def scale_of(maxima: Array) -> Array:
    """The scale float32[components] of components with these largest weights, float32[components]."""
    # The smallest normal number keeps the quotient finite if all weights of a component are subnormal.
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

    rows uint32[n]: the rows in the order of the forward index. scale: of weight_scale. head_size: of head_layout, for
    all rows of the collection.
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
    """Move the tail starts in `heads` by `by` elements."""
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

    False if a component is not in the index.
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
