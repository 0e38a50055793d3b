"""The Numba kernels of search: pure functions over arrays, whose class in seismic.py has checked everything before.

One query goes through four stages:

1. `estimate_blocks` adds up, for every block of the visited lists, what the query's terms could contribute.
2. Documents of lists too short for summaries are scored outright, which gives the heap its first threshold.
3. Blocks are visited in bands of falling estimate, all lists together: there is nothing to sort, and the best documents
   of all lists come first, so that the threshold that lets blocks be skipped rises early.
4. The heap's documents are scored again with 16-bit weights, and the k best returned.

Timings below: 300,000 SPLADE rows of 46 non-zeros, queries of 21, one core of an AMD EPYC (Zen 5).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lsr.index.arrays import Array, Scalar, read_only
from lsr.index.forward import CACHE_LINE, HEAD_STEP, Forward, fine_score, tail_of
from lsr.index.jit import Kernel, allocating, kernel, summing_kernel
from lsr.index.summarize import find_slot, slot_of

# Documents whose heads are fetched before the first is scored. A head scored at once waits 170 ns for memory; one
# fetched 16 or more documents earlier takes 20 ns.
BATCH = 32

# A document's tail is read only if its head's score, times this, reaches the threshold times the heap factor: more than
# half of the documents end at their head, for 0.2 % of recall@10.
HEAD_REACH = np.float32(1.9)

# Each band of block estimates reaches down to this fraction of the one before.
FIRST_BAND = np.float32(0.8)
NEXT_BAND = np.float32(0.5)

NOTHING = np.uint32(0xFFFFFFFF)
LARGEST = np.finfo(np.float32).max

# Columns of Lists.table: one row, one cache line, says where everything of a posting list begins.
POSTINGS, N_POSTINGS, BLOCKS, N_BLOCKS, KEYS, N_SLOTS, STARTS, STREAM = range(8)


class Lists(NamedTuple):
    """The inverted index: posting lists cut into blocks, and the directories of their summaries (summarize.py)."""

    table: Array  # int64[components, 8]
    documents: Array  # uint32[postings], list after list, block after block
    offsets: Array  # uint32: of each list with summaries, blocks + 1 offsets from its first posting
    keys: Array  # T[slots]
    starts: Array  # uint32: slots + 1 a list
    stream: Array  # uint16
    stream_bytes: Array  # view of stream

    @classmethod
    def of(
        cls,
        table: Array,
        documents: Array,
        offsets: Array,
        keys: Array,
        starts: Array,
        stream: Array,
    ) -> Lists:
        """Views of read-only arrays, for the same reason as in Forward.of."""
        arrays = [read_only(array) for array in (table, documents, offsets, keys, starts, stream)]
        table, documents, offsets, keys, starts, stream = arrays
        return cls(table, documents, offsets, keys, starts, stream, stream.view(np.uint8))


class Queries(NamedTuple):
    """CSR rows with internal components; each weight is already multiplied by its component's scale."""

    indptr: Array  # int64[n + 1]
    components: Array  # uint32[nnz]
    weights: Array  # float32[nnz]


QUEUED = np.dtype([("begin", np.int64), ("end", np.int64), ("estimate", np.float32)], align=True)


class Scratch(NamedTuple):
    """What one thread needs, allocated once: zeroing 300,000 documents' bits costs more than touching 2,000."""

    table: Array  # float32[components]: the query, dense; zero between queries
    seen: Array  # uint64[documents / 64]: a bit for each document visited; zero between queries
    dirty: Array  # uint32[documents / 64]: the words of `seen` to clear
    estimates: Array  # float32[most blocks that a query can meet]
    queue: Array  # QUEUED[as many]: the blocks of a band
    visited: Array  # uint32[query_cut]: the components of the visited lists
    run_starts: Array  # int64[pairs of list and term, at least as many as a query has terms]: where its run begins
    run_lengths: Array  # int64, likewise
    pending: Array  # uint32[BATCH]: documents whose heads are on their way
    partial: Array  # float32[BATCH]: scores of their heads
    heap_scores: Array  # float32[heap size], smallest first
    heap_documents: Array  # uint32[heap size]


def _prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte_pointer, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte_pointer)
        kind = ir.FunctionType(ir.VoidType(), [byte_pointer, i32, i32, i32])
        name = "llvm.prefetch.p0"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        read, keep_in_all_caches, data_cache = ir.Constant(i32, 0), ir.Constant(i32, 3), ir.Constant(i32, 1)
        builder.call(function, [address, read, keep_in_all_caches, data_cache])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


# prefetch(array, index): fetch the cache line of an element of a contiguous array without waiting for it; cannot fault.
prefetch: Kernel = intrinsic(_prefetch)


@kernel
def is_worse(score: Scalar, document: Scalar, other_score: Scalar, other_document: Scalar) -> bool:
    """Whether a document ranks behind another: a smaller score, or the same one and a higher row."""
    worse: bool = score < other_score or (score == other_score and document > other_document)
    return worse


@kernel
def replace_worst(score: Scalar, document: Scalar, scores: Array, documents: Array) -> None:
    """Put a document in place of the root of a heap whose worst document stands first."""
    size = scores.size
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and is_worse(scores[child + 1], documents[child + 1], scores[child], documents[child]):
            child += 1
        if not is_worse(scores[child], documents[child], score, document):
            break
        scores[at], documents[at] = scores[child], documents[child]
        at = child
    scores[at], documents[at] = score, document


@kernel
def threshold(heap_factor: Scalar, scores: Array) -> Scalar:
    """What an estimate must reach: heap_factor times the k-th best score; a number even where that is infinite."""
    return heap_factor * min(scores[0], LARGEST)


@summing_kernel
def score_head(document: Scalar, table: Array, forward: Forward) -> Scalar:
    """Inner product of the query with the head of a document, by its high bytes."""
    heads, head_bytes = forward.heads, forward.head_bytes
    code_at = forward.head_size * heads.itemsize
    score = np.float32(0)
    for step in range(0, forward.head_size, HEAD_STEP):
        for j in range(HEAD_STEP):
            at = np.uint64(step + j)
            score += table[heads[document, at]] * np.float32(head_bytes[document, np.uint64(code_at) + at])
    return score


@summing_kernel
def score_tail(start: Scalar, length: Scalar, table: Array, forward: Forward) -> Scalar:
    """Inner product of the query with a tail, by its high bytes."""
    tails, tail_bytes = forward.tails, forward.tail_bytes
    codes_at = (start + length) * tails.itemsize
    score = np.float32(0)
    for j in range(length):
        # Unsigned indices spare Numba's test for negative ones, which keeps LLVM from unrolling.
        component = tails[np.uint64(start + j)]
        score += table[component] * np.float32(tail_bytes[np.uint64(codes_at + j)])
    return score


@kernel
def score_pending(n: Scalar, heap_factor: Scalar, forward: Forward, scratch: Scratch) -> None:
    """Score the first n pending documents and push those that belong there into the heap.

    In two waves: all heads first, fetching the tails of those that may still make it, then these tails, which would
    take 260 ns each if the first read had to wait.
    """
    table, pending, partial = scratch.table, scratch.pending, scratch.partial
    scores, documents = scratch.heap_scores, scratch.heap_documents
    itemsize = forward.tails.itemsize
    promising = 0
    for i in range(n):
        document = pending[i]
        score = score_head(document, table, forward)
        if score * HEAD_REACH >= threshold(heap_factor, scores):
            start, length = tail_of(forward, document)
            first = start * itemsize
            for at in range(first, first + length * (itemsize + 1), CACHE_LINE):
                prefetch(forward.tail_bytes, at)
            pending[promising] = document
            partial[promising] = score
            promising += 1
    for i in range(promising):
        document = pending[i]
        start, length = tail_of(forward, document)
        score = partial[i] + score_tail(start, length, table, forward)
        if score > scores[0]:
            replace_worst(score, document, scores, documents)


@kernel
def visit(
    begin: Scalar,
    end: Scalar,
    heap_factor: Scalar,
    n_pending: Scalar,
    n_dirty: Scalar,
    lists: Lists,
    forward: Forward,
    scratch: Scratch,
) -> tuple[Scalar, Scalar]:
    """Queue the documents of postings begin..end not met before; returns the new (n_pending, n_dirty)."""
    pending = scratch.pending
    seen = scratch.seen
    line = forward.head_bytes.shape[1]
    for posting in range(begin, end):
        document = lists.documents[np.uint64(posting)]
        word = document >> np.uint32(6)
        bit = np.uint64(1) << np.uint64(document & np.uint32(63))
        bits = seen[word]
        if bits & bit == 0:
            if bits == 0:
                scratch.dirty[n_dirty] = word
                n_dirty += 1
            seen[word] = bits | bit
            for at in range(np.int64(document) * line, np.int64(document) * line + line, CACHE_LINE):
                prefetch(forward.head_bytes, at)
            pending[n_pending] = document
            n_pending += 1
            if n_pending == BATCH:
                score_pending(n_pending, heap_factor, forward, scratch)
                n_pending = 0
    return n_pending, n_dirty


@kernel
def add_run(
    estimates: Array,
    base: Scalar,
    stream: Array,
    stream_bytes: Array,
    start: Scalar,
    length: Scalar,
    weight: Scalar,
) -> None:
    """estimates[base + block] += weight x code, over one run of a summary directory."""
    codes_at = 2 * (start + length)
    for i in range(length):
        block = np.uint64(base + stream[np.uint64(start + i)])
        estimates[block] += weight * np.float32(stream_bytes[np.uint64(codes_at + i)])


@kernel
def estimate_blocks(
    components: Array,
    weights: Array,
    visited: Array,
    lists: Lists,
    empty: Scalar,
    scratch: Scratch,
) -> Scalar:
    """Estimates of the blocks of the visited lists, one list after the other; returns their number.

    Lists go in groups, as many as `run_starts` has room for: a pair of list and query term takes one place.
    """
    n_blocks = 0
    for component in visited:
        n_blocks += lists.table[component, N_BLOCKS]
    scratch.estimates[:n_blocks] = 0
    group = max(1, scratch.run_starts.size // max(1, components.size))
    base = 0
    for first in range(0, visited.size, group):
        base = estimate_group(components, weights, visited[first : first + group], base, lists, empty, scratch)
    return n_blocks


@kernel
def estimate_group(
    components: Array,
    weights: Array,
    visited: Array,
    base: Scalar,
    lists: Lists,
    empty: Scalar,
    scratch: Scratch,
) -> Scalar:
    """Add to the estimates of the blocks of some lists, from estimates[base] on; returns where the next list's begin.

    Three passes over all pairs of list and query term, so that no pair waits for memory: fetch where the term should
    stand in the list's directory, look it up and fetch its run, add the run.
    """
    table = lists.table
    estimates, run_starts, run_lengths = scratch.estimates, scratch.run_starts, scratch.run_lengths
    for component in visited:
        n_slots = table[component, N_SLOTS]
        if n_slots > 0:
            for term in components:
                slot = np.int64(slot_of(term, n_slots))
                prefetch(lists.keys, table[component, KEYS] + slot)
                prefetch(lists.starts, table[component, STARTS] + slot)

    pair = 0
    for component in visited:
        if table[component, N_SLOTS] == 0:
            continue
        keys_at = table[component, KEYS]
        keys = lists.keys[keys_at : keys_at + table[component, N_SLOTS]]
        for term in components:
            slot = find_slot(keys, term, empty)
            run_lengths[pair] = 0
            if keys[slot] != empty:
                at = np.uint64(table[component, STARTS]) + slot
                start = lists.starts[at]
                run_starts[pair] = table[component, STREAM] + start
                run_lengths[pair] = np.int64(lists.starts[at + np.uint64(1)] - start) * 2 // 3
                prefetch(lists.stream, run_starts[pair])
                prefetch(lists.stream, run_starts[pair] + 32)
            pair += 1

    pair = 0
    for component in visited:
        if table[component, N_SLOTS] == 0:
            continue
        for weight in weights:
            add_run(estimates, base, lists.stream, lists.stream_bytes, run_starts[pair], run_lengths[pair], weight)
            pair += 1
        base += table[component, N_BLOCKS]
    return base


@kernel
def choose_lists(components: Array, weights: Array, query_cut: Scalar, visited: Array) -> Scalar:
    """The components of the query_cut heaviest terms, heaviest first, into `visited`; returns their number."""
    n_visited = 0
    for i in range(components.size):
        at = min(n_visited, query_cut - 1)
        if n_visited == query_cut:
            if weights[i] <= weights[visited[at]]:
                continue
        else:
            n_visited += 1
        while at > 0 and weights[visited[at - 1]] < weights[i]:
            visited[at] = visited[at - 1]
            at -= 1
        visited[at] = i
    for i in range(n_visited):
        visited[i] = components[visited[i]]
    return n_visited


@kernel
def queue_band(visited: Array, floor: Scalar, above: Scalar, lists: Lists, estimates: Array, queue: Array) -> Scalar:
    """Queue the blocks with floor <= estimate < above, list after list; returns their number.

    Their offsets are fetched while the rest of the band is looked for, and their postings while the offsets of the
    others are read: a block visited straight away would wait for memory twice, one after the other.
    """
    table = lists.table
    n_queued = 0
    base = 0
    for component in visited:
        blocks_at = table[component, BLOCKS]
        for block in range(table[component, N_BLOCKS]):
            estimate = estimates[np.uint64(base + block)]
            if floor <= estimate and not estimate >= above:
                queue[n_queued].estimate = estimate
                queue[n_queued].begin = blocks_at + block
                queue[n_queued].end = table[component, POSTINGS]
                prefetch(lists.offsets, blocks_at + block)
                n_queued += 1
        base += table[component, N_BLOCKS]
    for i in range(n_queued):
        at = np.uint64(queue[i].begin)
        postings = queue[i].end
        queue[i].begin = postings + lists.offsets[at]
        queue[i].end = postings + lists.offsets[at + np.uint64(1)]
        prefetch(lists.documents, queue[i].begin)
    return n_queued


@kernel
def search_query(
    components: Array,
    weights: Array,
    query_cut: Scalar,
    heap_factor: Scalar,
    forward: Forward,
    lists: Lists,
    empty: Scalar,
    scratch: Scratch,
) -> None:
    """Fill the heap of `scratch` with the best documents found for one query; other slots hold score 0 and NOTHING."""
    query, scores = scratch.table, scratch.heap_scores
    for i in range(components.size):
        query[components[i]] = weights[i]
    scores[:] = 0
    scratch.heap_documents[:] = NOTHING

    visited = scratch.visited[: choose_lists(components, weights, query_cut, scratch.visited)]
    table = lists.table
    estimates = scratch.estimates
    n_blocks = estimate_blocks(components, weights, visited, lists, empty, scratch)

    n_pending = n_dirty = 0
    for component in visited:
        if table[component, N_BLOCKS] == 0:
            begin = table[component, POSTINGS]
            end = begin + table[component, N_POSTINGS]
            n_pending, n_dirty = visit(begin, end, heap_factor, n_pending, n_dirty, lists, forward, scratch)

    highest = np.float32(0)
    for block in range(n_blocks):
        highest = min(max(highest, estimates[block]), LARGEST)
    above, floor = np.float32(np.nan), FIRST_BAND * highest  # nothing is above the first band
    while True:
        score_pending(n_pending, heap_factor, forward, scratch)
        n_pending = 0
        limit = threshold(heap_factor, scores)
        last = floor <= limit
        if last:
            floor = limit
        n_queued = queue_band(visited, floor, above, lists, estimates, scratch.queue)
        for i in range(n_queued):
            # The threshold may have risen since the band began.
            if scratch.queue[i].estimate >= threshold(heap_factor, scores):
                begin, end = scratch.queue[i].begin, scratch.queue[i].end
                n_pending, n_dirty = visit(begin, end, heap_factor, n_pending, n_dirty, lists, forward, scratch)
        if last:
            break
        above = floor
        # Where so little is left, everything that was not excluded may as well be visited at once.
        floor = floor * NEXT_BAND if floor > np.float32(0.01) * highest else np.float32(0)
    score_pending(n_pending, heap_factor, forward, scratch)
    for i in range(n_dirty):
        scratch.seen[scratch.dirty[i]] = 0


@kernel
def scan_query(components: Array, weights: Array, forward: Forward, scratch: Scratch) -> None:
    """Fill the heap with the best of all documents, by their 16-bit weights.

    High bytes alone are off by half a code at most, which bounds what the fine score can add: only documents that the
    bound lets pass are scored twice, which takes 8 ms instead of 20.
    """
    query, scores = scratch.table, scratch.heap_scores
    error = np.float32(0)
    for i in range(components.size):
        query[components[i]] = weights[i]
        error += weights[i]
    error *= np.float32(0.5001)  # and a little for the rounding of the sums themselves
    scores[:] = 0
    scratch.heap_documents[:] = NOTHING
    for document in range(forward.heads.shape[0]):
        start, length = tail_of(forward, document)
        coarse = score_head(document, query, forward) + score_tail(start, length, query, forward)
        if coarse + error >= scores[0]:
            score = fine_score(document, query, forward)
            if score > scores[0]:
                replace_worst(score, document, scores, scratch.heap_documents)


@allocating
def rank(forward: Forward, scratch: Scratch, out_scores: Array, out_rows: Array) -> None:
    """The heap's documents by falling 16-bit score, equal ones by row; where fewer, -inf and -1."""
    documents = scratch.heap_documents
    found = np.sort(documents)[: np.sum(documents != NOTHING)]
    fine = np.empty(found.size, np.float32)
    for i in range(found.size):
        fine[i] = fine_score(found[i], scratch.table, forward)
    order = np.argsort(-fine, kind="mergesort")
    out_scores[:] = -np.inf
    out_rows[:] = -1
    for i in range(min(found.size, out_rows.size)):
        out_scores[i] = fine[order[i]]
        out_rows[i] = found[order[i]]


@allocating
def search_batch(
    queries: Queries,
    begin: Scalar,
    end: Scalar,
    exact: bool,
    query_cut: Scalar,
    heap_factor: Scalar,
    forward: Forward,
    lists: Lists,
    empty: Scalar,
    scratch: Scratch,
    out_scores: Array,
    out_rows: Array,
) -> None:
    """Search queries begin..end, or scan all documents for them if `exact`.

    The hits of query i go into row i of out_scores, float32[n, k], and of out_rows, int64[n, k].
    """
    for i in range(begin, end):
        first, stop = queries.indptr[i], queries.indptr[i + 1]
        components, weights = queries.components[first:stop], queries.weights[first:stop]
        if exact:
            scan_query(components, weights, forward, scratch)
        else:
            search_query(components, weights, query_cut, heap_factor, forward, lists, empty, scratch)
        rank(forward, scratch, out_scores[i], out_rows[i])
        for component in components:
            scratch.table[component] = 0
