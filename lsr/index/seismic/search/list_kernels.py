"""The Numba kernels of posting lists in the order of blocks, for many exact queries.

A posting is a document's place in its window and the 16-bit code of its weight. The sum of the postings of a query's
terms is the fine score of a document up to rounding, which is bounded: documents that may be among the best by the
bound are scored again with the forward index, so that results equal those of a scan to the last bit. For a query of 21
terms that finds 10 of 300,000 documents, a scan reads 14 million weights, and this search reads 470,000 postings and 20
documents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lsr.index.clock import NEVER, kernel_now
from lsr.index.heaps import offer
from lsr.index.inverted.inverted_kernels import largest_of
from lsr.index.jit import allocating, inlined_kernel, kernel
from lsr.index.prefetch import prefetch
from lsr.index.seismic.forward import (
    CACHE_LINE,
    CODE_STEPS,
    Forward,
    fine_score,
    longest_document,
    read_document,
    tail_of,
)
from lsr.storage.arrays import Array, Scalar, read_only

if TYPE_CHECKING:
    from lsr.index.seismic.search.kernels import Limits, Scratch

# Documents whose sums stay in the L2 cache; a place in a window fits in 16 bits.
LIST_WINDOW = 1 << 16

PLACE_BITS = np.uint32(16)
PLACE_MASK = np.uint32((1 << 16) - 1)

# Sums whose maximum is checked first, as integers: few such stretches have a sum that matters.
STRETCH = 512

# Postings of each list that are prefetched before any is added.
FETCHED = 256

# Documents whose heads, and then tails, are prefetched before the first is scored.
FETCHED_DOCUMENTS = 32

# A score below the first may have lost digits, and one above the second may be infinite: they give no bound.
LEAST_EXACT, MOST_EXACT = np.float32(2.0**-100), np.float32(2.0**127)


class PostingLists(NamedTuple):
    """Postings by window of documents, then by internal component, then by document.

    starts int64[windows * components + 1]: the begin of each list, and the end of the last one; empty if there are no
    lists. postings uint32: the place in the window, and the code from bit 16. window: documents per window, except for
    the last one; at most LIST_WINDOW.
    """

    starts: Array
    postings: Array
    window: int


NO_LISTS = PostingLists(read_only(np.empty(0, np.int64)), read_only(np.empty(0, np.uint32)), LIST_WINDOW)


@allocating
def count_postings(begin: Scalar, end: Scalar, forward: Forward, counts: Array) -> bool:
    """Count the postings of documents begin..end by component, int64[components].

    False for a component that is not in the index.
    """
    most = longest_document(begin, end, forward)
    components, codes16 = np.empty(most, np.int64), np.empty(most, np.int64)
    for document in range(begin, end):
        for i in range(read_document(document, forward, components, codes16)):
            if not 0 <= components[i] < counts.size:
                return False
            counts[components[i]] += 1
    return True


@allocating
def fill_postings(begin: Scalar, end: Scalar, forward: Forward, next_posting: Array, postings: Array) -> None:
    """Write the postings of documents begin..end, a window counted by count_postings.

    next_posting int64[components]: the place of the next posting of each component, updated.
    """
    most = longest_document(begin, end, forward)
    components, codes16 = np.empty(most, np.int64), np.empty(most, np.int64)
    for document in range(begin, end):
        for i in range(read_document(document, forward, components, codes16)):
            at = next_posting[components[i]]
            postings[at] = np.uint32(document - begin) | (np.uint32(codes16[i]) << PLACE_BITS)
            next_posting[components[i]] = at + 1


@kernel
def add_postings(begin: Scalar, end: Scalar, weight: Scalar, postings: Array, sums: Array) -> None:
    """Add a list to the sums."""
    for at in range(np.uint64(begin), np.uint64(end)):
        posting = postings[at]
        sums[posting & PLACE_MASK] += weight * np.float32(posting >> PLACE_BITS)


@kernel
def add_window(first: Scalar, components: Array, weights: Array, lists: PostingLists, sums: Array) -> None:
    """Add the lists of a query's terms to the sums, float32[LIST_WINDOW]; first: the begin of the window's lists."""
    starts, postings = lists.starts, lists.postings
    for component in components:
        begin, end = starts[first + component], starts[first + component + 1]
        for at in range(begin, min(end, begin + FETCHED), CACHE_LINE // postings.itemsize):
            prefetch(postings, at)
    for i in range(components.size):
        add_postings(starts[first + components[i]], starts[first + components[i] + 1], weights[i], postings, sums)


@inlined_kernel
def reach_of(worst: Scalar, terms: Scalar) -> Scalar:
    """The value that a sum must exceed so that the fine score can be among the best. worst: the last of the best sums.

    Products are equal in both, except for the factor CODE_STEPS. Each sum has an error of at most half a unit in the
    last place per term, and there are four of them: of the worst document and of this one, in both directions.
    """
    if worst < LEAST_EXACT:
        return np.float32(0)
    reach = np.float64(worst) * CODE_STEPS * max(1 - (terms + 4) * 2.0**-22, 0.0)
    return np.float32(min(reach, np.float64(MOST_EXACT)))


@kernel
def score_listed(n: Scalar, limits: Limits, forward: Forward, rows: Array, scratch: Scratch) -> None:
    """Push the first n listed documents whose sum exceeds the reach into the heap, by their fine scores."""
    listed = scratch.listed
    kept = 0
    for i in range(n):
        if scratch.listed_sums[i] > scratch.reach[0]:
            listed[kept] = listed[i]
            kept += 1
    line, itemsize = forward.head_bytes.shape[1], forward.tails.itemsize
    for begin in range(0, kept, FETCHED_DOCUMENTS):
        some = listed[begin : min(begin + FETCHED_DOCUMENTS, kept)]
        for document in some:
            for at in range(np.int64(document) * line, (np.int64(document) + 1) * line, CACHE_LINE):
                prefetch(forward.head_bytes, at)
        for document in some:
            start, length = tail_of(forward, document)
            # Component, code and residual; there is a residual for each component of the head.
            size = length * (itemsize + 2) + forward.head_size
            for at in range(start * itemsize, start * itemsize + size, CACHE_LINE):
                prefetch(forward.tail_bytes, at)
        for document in some:
            score = fine_score(document, scratch.table, forward)
            if score > 0:
                offer(score, rows[document], False, limits.starts, scratch.heap_scores, scratch.heap_rows)


@kernel
def scan_lists(
    components: Array,
    weights: Array,
    lists: PostingLists,
    limits: Limits,
    forward: Forward,
    rows: Array,
    scratch: Scratch,
) -> None:
    """Fill the heap with the best allowed documents, like `scan`.

    A second heap has the best by their sums. It decides which documents are listed, to be scored when no more can be
    listed.
    """
    sums, allowed, gate = scratch.sums, limits.allowed, scratch.gate_scores
    listed, n, terms = scratch.listed, 0, components.size
    for i in range(gate.size):
        gate[i], scratch.gate_rows[i] = scratch.heap_scores[i], scratch.heap_rows[i]
    reach = scratch.reach
    reach[0] = reach_of(gate[0], terms)
    for window in range((rows.size + lists.window - 1) // lists.window):
        first = window * lists.window
        if limits.deadline != NEVER and kernel_now() > limits.deadline:
            missed = limits.k * limits.share * np.float64(rows.size - first) / rows.size
            scratch.missed[0] += np.float64(1e-30) + missed
            break
        size = min(lists.window, rows.size - first)
        add_window(window * forward.scale.size, components, weights, lists, sums)
        for begin in range(0, size, STRETCH):
            end = min(begin + STRETCH, size)
            if largest_of(scratch.sum_bits[begin:end]) <= scratch.reach_bits[0]:
                continue
            for place in range(begin, end):
                if not sums[place] > reach[0]:
                    continue
                document = np.uint32(first + place)
                if allowed.size > 0 and allowed[np.uint64(document)] == 0:
                    continue
                if n == listed.size:
                    score_listed(n, limits, forward, rows, scratch)
                    n = 0
                listed[n], scratch.listed_sums[n] = document, sums[place]
                n += 1
                offer(
                    sums[place] / np.float32(CODE_STEPS), rows[document], False, limits.starts, gate, scratch.gate_rows
                )
                reach[0] = reach_of(gate[0], terms)
        sums[:size] = 0
    score_listed(n, limits, forward, rows, scratch)
