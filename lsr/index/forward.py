"""The forward index: every document's vector, quantised, laid out so that most visits cost one cache line.

A document is a *head*, its heaviest components, and a *tail*, the rest. Heads have 16, 32, 48 or 64 components, all of
an index the same number, about a third of a document. Weights are 16-bit codes times a scale of
their component, `weight = code16 * scale[component]`, cut in two: the high byte, rounded, that the search reads
(`code`), and the signed remainder (`residual`) that only the final scores of the documents returned read.

    head of document d, one row of `heads`, whole cache lines (one, for 16 components of 16 bits):
        component x size | code x size | tail start << 24 | tail length, as one uint64 | unused
    tail of document d, from `tails[start]`, counted in components:
        component x length | code x length | residual of the head x size | residual of the tail x length

Components here are *internal*: the components that occur at all, numbered by falling document frequency, so that the
few that most heads share lie next to each other in the query's table, and fit in 16 bits where they can.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lsr.index.arrays import Array, Scalar, read_only
from lsr.index.jit import allocating, kernel
from lsr.index.rows import Rows

if TYPE_CHECKING:
    from lsr.vectors import SparseVectors

HEAD_STEP = 16  # heads are a multiple of this, so that loops over them unroll
MAX_HEAD = 64
HEAD_SHARE = 0.35  # of the average document
CACHE_LINE = 64
JOB_ROWS = 16384
TAIL_LENGTH_BITS = np.uint64(24)
TAIL_LENGTH_MASK = np.uint64((1 << 24) - 1)
CODE_STEPS = 256  # 16-bit steps in one unit of code
MAX_CODE16 = 255 * CODE_STEPS  # so that the rounded high byte never exceeds 255


class Forward(NamedTuple):
    """The arrays of a forward index and the views that kernels need of them.

    heads T[n, width], T uint16 or uint32; head_bytes and head_meta are views of it. tails T[m]; tail_bytes a view.
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
        return cls(external, external[order], order.astype(np.uint32))

    def to_internal(self, components: Array) -> tuple[Array, Array]:
        """(internal uint32[m], mask bool[m] of those components that occur in the index)."""
        if not len(self.external):
            return np.zeros(len(components), np.uint32), np.zeros(len(components), bool)
        at = np.minimum(np.searchsorted(self.sorted_external, components), len(self.sorted_external) - 1)
        return self.sorted_internal[at], self.sorted_external[at] == components

    def renumber(self, components: Array, dtype: np.dtype[Any]) -> Array:
        """The internal numbers, as `dtype`, of components all of which occur in the index."""
        top = int(self.sorted_external[-1]) + 1 if len(self.external) else 0
        if top <= 1 << 26:
            table = np.zeros(top, dtype)
            table[self.sorted_external] = self.sorted_internal
            return table[components]
        return self.to_internal(components)[0].astype(dtype)


def count_components(vectors: SparseVectors) -> Components:
    """The components that occur, by falling document frequency (ties by component)."""
    if vectors.dim <= 1 << 26:
        frequency = np.bincount(vectors.indices, minlength=1)
        used = np.flatnonzero(frequency)
        frequency = frequency[used]
    else:
        used, frequency = np.unique(vectors.indices, return_counts=True)
    order = np.lexsort((used, -frequency))
    return Components.of(used[order].astype(np.uint32))


def aligned_zeros(shape: tuple[int, int], dtype: np.dtype) -> Array:
    """Zeros whose first byte starts a cache line; NumPy itself promises 16 bytes only."""
    size = shape[0] * shape[1] * dtype.itemsize
    raw = np.zeros(size + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def head_layout(nnz: int, n_documents: int, itemsize: int) -> tuple[int, int]:
    """(components in a head, elements in a row of `heads`) for documents of this average size."""
    average = nnz / max(n_documents, 1)
    head_size = HEAD_STEP * min(max(round(HEAD_SHARE * average / HEAD_STEP), 1), MAX_HEAD // HEAD_STEP)
    lines = -(-(head_size * (itemsize + 1) + 8) // CACHE_LINE)
    return head_size, lines * CACHE_LINE // itemsize


def tail_elements(lengths: Array, head_size: int, itemsize: int) -> Array:
    """Elements of `tails` that documents with these tail lengths take: components, then bytes rounded up."""
    elements: Array = lengths + (2 * lengths + head_size + itemsize - 1) // itemsize
    return elements


@kernel
def tail_of(forward: Forward, document: Scalar) -> tuple[Scalar, Scalar]:
    """(start in `tails`, length in components) of a document's tail."""
    meta = forward.head_meta[document, forward.head_size * (forward.heads.itemsize + 1) // 8]
    return np.int64(meta >> TAIL_LENGTH_BITS), np.int64(meta & TAIL_LENGTH_MASK)


@kernel
def component_maxima(internal: Array, values: Array, maxima: Array) -> None:
    """The largest weight of each component, into maxima float32[components]."""
    for entry in range(values.size):
        maxima[internal[entry]] = max(maxima[internal[entry]], values[entry])


@allocating
def fill_forward(
    begin: Scalar,
    end: Scalar,
    indptr: Array,
    internal: Array,
    values: Array,
    starts: Array,
    scale: Array,
    head_size: Scalar,
    heads: Array,
    tails: Array,
) -> None:
    """Write the heads and tails of rows begin..end; `starts` int64[n] says where each tail goes."""
    head_bytes, head_meta, tail_bytes = heads.view(np.uint8), heads.view(np.uint64), tails.view(np.uint8)
    itemsize = heads.itemsize
    for row in range(begin, end):
        first = indptr[row]
        count = indptr[row + 1] - first
        # Stable, so that of equal weights the smaller component comes first.
        order = np.argsort(-values[first : first + count], kind="mergesort")
        length = max(count - head_size, 0)
        start = starts[row]
        meta_at = head_size * (itemsize + 1) // 8
        head_meta[row, meta_at] = (np.uint64(start) << TAIL_LENGTH_BITS) | np.uint64(length)
        codes_at = (start + length) * itemsize
        residuals_at = codes_at + length
        for rank in range(count):
            entry = first + order[rank]
            component = internal[entry]
            code16 = np.int64(np.rint(np.float64(values[entry]) * CODE_STEPS / scale[component]))
            code = (code16 + CODE_STEPS // 2) >> 8
            tail_bytes[residuals_at + rank] = np.uint8((code16 - code * CODE_STEPS) & 255)
            if rank < head_size:
                heads[row, rank] = component
                head_bytes[row, head_size * itemsize + rank] = code
            else:
                tails[start + rank - head_size] = component
                tail_bytes[codes_at + rank - head_size] = code


@kernel
def fine_score(document: Scalar, table: Array, forward: Forward) -> Scalar:
    """Inner product of the query in `table` (float32[components]) with a document, at the full 16 bits."""
    heads, head_bytes, tails, tail_bytes = forward.heads, forward.head_bytes, forward.tails, forward.tail_bytes
    itemsize = heads.itemsize
    head_size = forward.head_size
    start, length = tail_of(forward, document)
    codes_at = (start + length) * itemsize
    residuals_at = codes_at + length
    score = np.float32(0)
    step = np.float32(1 / CODE_STEPS)
    for j in range(head_size):
        residual = np.float32(np.int8(tail_bytes[residuals_at + j]))
        score += table[heads[document, j]] * (
            np.float32(head_bytes[document, head_size * itemsize + j]) + step * residual
        )
    for j in range(length):
        residual = np.float32(np.int8(tail_bytes[residuals_at + head_size + j]))
        score += table[tails[start + j]] * (np.float32(tail_bytes[codes_at + j]) + step * residual)
    return score


def build_forward(indptr: Array, internal: Array, values: Array, n_components: int, executor: Executor) -> Forward:
    """Quantise CSR rows with internal components (int64[n + 1], T[nnz], float32[nnz]) into a forward index."""
    maxima = np.zeros(n_components, np.float32)
    component_maxima(internal, values, maxima)
    # The smallest normal number keeps the quotient finite where every weight of a component is subnormal.
    scale = np.maximum(maxima * np.float32(CODE_STEPS / MAX_CODE16), np.finfo(np.float32).tiny)
    n = len(indptr) - 1
    itemsize = internal.dtype.itemsize
    head_size, width = head_layout(len(values), n, itemsize)
    sizes = tail_elements(np.maximum(np.diff(indptr) - head_size, 0), head_size, itemsize)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    heads = aligned_zeros((n, width), internal.dtype)
    tails = np.zeros(starts[-1], internal.dtype)
    jobs = [
        executor.submit(
            fill_forward, row, min(row + JOB_ROWS, n), indptr, internal, values, starts, scale, head_size, heads, tails
        )
        for row in range(0, n, JOB_ROWS)
    ]
    for job in jobs:
        job.result()
    return Forward.of(heads, tails, scale, head_size)


def document_vector(forward: Forward, row: int, components: Components) -> tuple[Array, Array]:
    """(external components uint32[m], ascending, weights float32[m]) of one document."""
    rows = document_rows(forward, np.array([row], np.int64), components)
    order = np.argsort(rows.indices)
    return rows.indices[order], rows.values[order]


def document_rows(forward: Forward, rows: Array, components: Components) -> Rows:
    """The vectors of many documents (int64[n]), their components external but unsorted."""
    most = 0
    for row in rows.tolist():
        most += forward.head_size + int(tail_of(forward, row)[1])
    read = Rows(np.zeros(len(rows) + 1, np.int64), np.empty(most, np.uint32), np.empty(most, np.float32))
    read_rows(forward, rows, components.external, read)
    return Rows(read.indptr, read.indices[: read.indptr[-1]], read.values[: read.indptr[-1]])


@kernel
def read_rows(forward: Forward, rows: Array, external: Array, out: Rows) -> None:
    """The vectors of the documents into `out`, whose arrays have room for heads and tails; fills its indptr."""
    itemsize, head_size = forward.heads.itemsize, forward.head_size
    entry = np.int64(0)
    for at in range(rows.size):
        document = rows[at]
        start, length = tail_of(forward, document)
        codes_at = (start + length) * itemsize
        residuals_at = codes_at + length
        for j in range(head_size + length):
            if j < head_size:
                component = forward.heads[document, j]
                code = np.int64(forward.head_bytes[document, head_size * itemsize + j])
            else:
                component = forward.tails[start + j - head_size]
                code = np.int64(forward.tail_bytes[codes_at + j - head_size])
            code16 = code * CODE_STEPS + np.int8(forward.tail_bytes[residuals_at + j])
            if code16 > 0:  # the rest is padding, or too light for a code
                out.indices[entry] = external[component]
                out.values[entry] = forward.scale[component] * (np.float32(code16) / np.float32(CODE_STEPS))
                entry += 1
        out.indptr[at + 1] = entry
