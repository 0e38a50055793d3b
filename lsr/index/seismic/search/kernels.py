"""The Numba kernels of search: pure functions over arrays that engine.py and seismic_files.py have checked.

One query goes through four stages:

1. `estimate_blocks` adds up, for every block, what the query's heaviest terms could contribute.
2. Blocks are visited in bands of falling estimate: there is nothing to sort, and the best documents come first, so that
   the threshold that lets blocks be skipped rises early. A block's documents lie side by side.
3. If asked for, the neighbors of the best documents in the kNN graph are visited too.
4. The heap's documents are scored again with 16-bit weights, and the k best returned.

Timings below: 300,000 SPLADE rows of 46 non-zeros, queries of 21, one core of an AMD EPYC (Zen 5).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsr.index.heaps import count_below, merge_hits, offer
from lsr.index.jit import allocating, inlined_kernel, kernel, summing_kernel
from lsr.index.prefetch import prefetch
from lsr.index.seismic.build.summarize import DENSE, WINDOW, Blocks, run_length
from lsr.index.seismic.forward import CACHE_LINE, HEAD_STEP, Forward, fine_score, read_distance, slot_of, tail_of
from lsr.index.seismic.search.queries import Queries
from lsr.storage.arrays import Array, Scalar

# Blocks whose heads are fetched before the first of them is scored: a head scored at once waits 170 ns for memory.
AHEAD = 8

# Documents whose tails are fetched before the first is scored.
BATCH = 32

# A document's tail is read only if its head's score, times this, reaches the worst that the heap keeps.
HEAD_REACH = np.float32(2.6)

# The first band has so many strips' best blocks, or as many as half the heap; while the heap is not full, each further
# one has four times as many, and then the last one has the rest. More bands find no more, and each takes 5 us.
FIRST_BAND = 16
BAND_STEP = np.float32(0.95)

# Estimates of which only the largest is compared with a band: most strips have none that reaches it. A window of S
# strips has in its strip s the blocks s, s + S, s + 2 S, ..., so that many strips' maxima are found at once.
STRIP = 32
STRIPS_OF_WINDOW = WINDOW // STRIP

# Up to this share of the strips, strips that reach a floor are as good as blocks that do, and quicker to count.
FEW_OF_STRIPS = 4

NOTHING = np.uint32(0xFFFFFFFF)
LARGEST = np.finfo(np.float32).max
SMALLEST = np.finfo(np.float32).tiny


class Limits(NamedTuple):
    """How far a search goes: SearchParams, and what may be found."""

    query_cut: int
    heap_factor: Scalar  # float32
    max_blocks: int
    knn: int
    exact: bool
    k: int
    candidates: int  # that may be found
    allowed: Array  # uint8[n], zero for documents that must not be found; empty if all may be
    open: Array  # float32[blocks], zero for blocks that have none of these; empty if nearly all have some
    scanned: Array  # uint32[m]: the documents that may be found, if they are few; otherwise empty
    first: int  # the number of the first row in results, and the next two as in NumberedRows
    deleted: Array
    starts: Array


class Scratch(NamedTuple):
    """What one thread needs, allocated once."""

    table: Array  # float32[table_size]: the query, dense; zero between queries
    estimates: Array  # float32[blocks, rounded up to whole strips]; zero beyond the blocks (see new_estimates)
    strips: Array  # float32[strips]: the largest estimate of each
    reaching: Array  # uint32[strips]: the strips that reach the bands that are visited
    queue: Array  # uint32[blocks]: the blocks of a band
    chosen: Array  # uint32[query_cut]: the query's terms that estimate
    run_starts: Array  # int64[windows * query_cut]: where the runs of the chosen terms begin in the stream
    run_lengths: Array  # int64, likewise; DENSE for those that have a code for every block
    pending: Array  # uint32[BATCH]: documents whose tails are on their way
    partial: Array  # float32[BATCH]: scores of their heads
    heap_scores: Array  # float32[heap size], smallest first
    heap_rows: Array  # uint32[heap size]
    snapshot: Array  # uint32[heap size]: the heap's rows before it takes in neighbors


def new_estimates(n_blocks: int) -> Array:
    """Scratch.estimates. What follows them in memory takes what any block number of 16 bits may add to them."""
    size = -(-n_blocks // STRIP) * STRIP
    return np.zeros(size + (1 << 16), np.float32)[:size]


@inlined_kernel
def threshold(heap_factor: Scalar, scores: Array) -> Scalar:
    """What an estimate must reach: heap_factor times the worst score kept; a number even where that is infinite."""
    return heap_factor * min(scores[0], LARGEST)


@summing_kernel
def score_head(document: Scalar, table: Array, forward: Forward) -> Scalar:
    """Inner product of the query with the head of a document, by its high bytes."""
    heads, head_bytes = forward.heads, forward.head_bytes
    code_at = forward.head_size * heads.itemsize
    score: Scalar = np.float32(0)
    for step in range(0, forward.head_size, HEAD_STEP):
        for j in range(HEAD_STEP):
            at = np.uint64(step + j)
            score += table[slot_of(heads[document, at], table)] * np.float32(
                head_bytes[document, np.uint64(code_at) + at]
            )
    return score


@summing_kernel
def score_tail(start: Scalar, length: Scalar, table: Array, forward: Forward) -> Scalar:
    """Inner product of the query with a tail, by its high bytes."""
    tails, tail_bytes = forward.tails, forward.tail_bytes
    score: Scalar = np.float32(0)
    if tails.itemsize == 1:
        at, component = start + length, np.int64(0)
        for j in range(length):
            distance, at = read_distance(at, tail_bytes)
            component += distance
            score += table[slot_of(component, table)] * np.float32(tail_bytes[np.uint64(start + j)])
        return score
    codes_at = (start + length) * tails.itemsize
    for j in range(length):
        # Unsigned indices spare Numba's test for negative ones, which keeps LLVM from unrolling.
        component = slot_of(tails[np.uint64(start + j)], table)
        score += table[component] * np.float32(tail_bytes[np.uint64(codes_at + j)])
    return score


@kernel
def score_tails(n: Scalar, once: bool, limits: Limits, forward: Forward, rows: Array, scratch: Scratch) -> None:
    """Score the tails of the first n pending documents and push those that belong there into the heap.

    once: a document may be in the heap already; it is not pushed again.
    """
    table, pending, partial = scratch.table, scratch.pending, scratch.partial
    scores = scratch.heap_scores
    for i in range(n):
        document = pending[i]
        start, length = tail_of(forward, document)
        score = partial[i] + score_tail(start, length, table, forward)
        if score == 0 and scores[0] == 0:
            score = fine_score(document, table, forward)  # high bytes of zero, and there is room
        if score > scores[0]:
            offer(score, rows[document], once, limits.starts, scores, scratch.heap_rows)


@inlined_kernel
def visit(
    document: Scalar, once: bool, n_pending: Scalar, limits: Limits, forward: Forward, rows: Array, scratch: Scratch
) -> Scalar:
    """Score the head of a document that may be found, and fetch its tail if it may still make it.

    Tails are scored when BATCH of them are pending, as one that is read at once waits 260 ns for memory. Returns the
    new n_pending.
    """
    if limits.allowed.size > 0 and limits.allowed[np.uint64(document)] == 0:
        return n_pending
    score = score_head(document, scratch.table, forward)
    if score * HEAD_REACH < scratch.heap_scores[0]:
        return n_pending
    start, length = tail_of(forward, document)
    first = start * forward.tails.itemsize
    for at in range(first, first + length * (forward.tails.itemsize + 1), CACHE_LINE):
        prefetch(forward.tail_bytes, at)
    scratch.pending[n_pending] = document
    scratch.partial[n_pending] = score
    n_pending += 1
    if n_pending == BATCH:
        score_tails(n_pending, once, limits, forward, rows, scratch)
        n_pending = 0
    return n_pending


@inlined_kernel
def fetch_heads(begin: Scalar, end: Scalar, limits: Limits, forward: Forward) -> None:
    """Have the heads of documents begin..end brought from memory, and whether the first of them may be found."""
    if limits.allowed.size > 0:
        prefetch(limits.allowed, begin)
    line = forward.head_bytes.shape[1]
    for at in range(np.int64(begin) * line, np.int64(end) * line, CACHE_LINE):
        prefetch(forward.head_bytes, at)


@kernel
def visit_queue(n_queued: Scalar, limits: Limits, forward: Forward, blocks: Blocks, scratch: Scratch) -> None:
    """Visit the queued blocks, as far as the threshold, which may rise meanwhile, lets them pass."""
    offsets, queue = blocks.offsets, scratch.queue
    for i in range(min(AHEAD, n_queued)):
        block = np.uint64(queue[i])
        fetch_heads(offsets[block], offsets[block + np.uint64(1)], limits, forward)
    n_pending = 0
    for i in range(n_queued):
        if i + AHEAD < n_queued:
            block = np.uint64(queue[i + AHEAD])
            fetch_heads(offsets[block], offsets[block + np.uint64(1)], limits, forward)
        block = np.uint64(queue[i])
        if scratch.estimates[block] >= threshold(limits.heap_factor, scratch.heap_scores):
            for document in range(offsets[block], offsets[block + np.uint64(1)]):
                n_pending = visit(document, False, n_pending, limits, forward, blocks.rows, scratch)
    score_tails(n_pending, False, limits, forward, blocks.rows, scratch)


@inlined_kernel
def add_run(
    estimates: Array,
    base: Scalar,
    stream: Array,
    stream_bytes: Array,
    start: Scalar,
    length: Scalar,
    weight: Scalar,
) -> None:
    """estimates[base + block] += weight x code, over one run."""
    codes_at = 2 * (start + length)
    for i in range(length):
        block = np.uint64(base + stream[np.uint64(start + i)])
        estimates[block] += weight * np.float32(stream_bytes[np.uint64(codes_at + i)])


@kernel
def add_codes(estimates: Array, codes: Array, weight: Scalar) -> None:
    """estimates[block] += weight x code, of all blocks. A kernel of its own, so that 16 are added at once."""
    for block in range(codes.size):
        estimates[np.uint64(block)] += weight * np.float32(codes[np.uint64(block)])


@kernel
def strip_maxima(estimates: Array, strips: Array) -> None:
    """The largest of each strip of a window. A kernel of its own, or LLVM does not compare 16 at once; 0.5 us so."""
    # Floats above zero are ordered as their bits are, and integers are compared many at once.
    bits, largest = estimates.view(np.int32), strips.view(np.int32)
    largest[:] = 0
    for first in range(0, bits.size, largest.size):
        for strip in range(largest.size):
            largest[np.uint64(strip)] = max(largest[np.uint64(strip)], bits[np.uint64(first + strip)])


@kernel
def estimate_blocks(
    components: Array, weights: Array, chosen: Array, opened: Array, blocks: Blocks, scratch: Scratch
) -> None:
    """Estimates of all blocks by the chosen terms, and the largest of each strip; opened: Limits.open.

    Three passes over all pairs of window and term, so that none waits for memory: fetch where the run's place is
    written, read it and fetch the run, add the run. A window is done with while it is in the nearest caches.
    """
    estimates, run_starts, run_lengths = scratch.estimates, scratch.run_starts, scratch.run_lengths
    n_windows, n_blocks = blocks.windows.size - 1, blocks.offsets.size - 1
    stride = blocks.starts.size // max(n_windows, 1)
    for window in range(n_windows):
        for term in chosen:
            prefetch(blocks.starts, window * stride + components[term])
    pair = 0
    for window in range(n_windows):
        size = min(n_blocks - window * WINDOW, WINDOW)
        for term in chosen:
            at = np.uint64(window * stride + components[term])
            start = blocks.starts[at]
            run_starts[pair] = blocks.windows[window] + start
            run_lengths[pair] = run_length(np.int64(blocks.starts[at + np.uint64(1)] - start), size)
            prefetch(blocks.stream, run_starts[pair])
            prefetch(blocks.stream, run_starts[pair] + CACHE_LINE // 2)
            pair += 1
    pair = 0
    for window in range(n_windows):
        base, end = window * WINDOW, min((window + 1) * WINDOW, estimates.size)
        size = min(n_blocks - base, WINDOW)
        estimates[base:end] = 0
        for term in chosen:
            start, length = run_starts[pair], run_lengths[pair]
            if length == DENSE:
                codes = blocks.stream_bytes[2 * start : 2 * start + size]
                add_codes(estimates[base : base + size], codes, weights[term])
            else:
                add_run(estimates, base, blocks.stream, blocks.stream_bytes, start, length, weights[term])
            pair += 1
        for block in range(min(n_blocks, end), end):
            estimates[block] = 0  # no run of an intact index adds to these
        for block in range(base, min(end, opened.size)):
            estimates[block] *= opened[block]
        strip_maxima(estimates[base:end], scratch.strips[base // STRIP : end // STRIP])


@kernel
def choose_terms(weights: Array, query_cut: Scalar, chosen: Array) -> Scalar:
    """The positions of the query_cut heaviest terms, heaviest first, into `chosen`; returns their number."""
    n_chosen = 0
    for i in range(weights.size):
        at = min(n_chosen, query_cut - 1)
        if n_chosen == query_cut:
            if weights[i] <= weights[chosen[at]]:
                continue
        else:
            n_chosen += 1
        while at > 0 and weights[chosen[at - 1]] < weights[i]:
            chosen[at] = chosen[at - 1]
            at -= 1
        chosen[at] = i
    return n_chosen


@kernel
def largest_of(strips: Array) -> Scalar:
    """The largest of float32 numbers, none negative, or the largest finite number."""
    bits = strips.view(np.int32)
    largest = np.int32(0)
    for strip in range(bits.size):
        largest = max(largest, bits[np.uint64(strip)])
    return min(np.int32(largest).view(np.float32), LARGEST)


@kernel
def count_reaching(floor: Scalar, strips: Array) -> Scalar:
    """How many of some float32 numbers, none negative, reach a floor. A kernel of its own, as strip_maxima is."""
    bits, least = strips.view(np.int32), np.float32(floor).view(np.int32)
    n = np.int32(0)
    for strip in range(bits.size):
        n += np.int32(bits[np.uint64(strip)] >= least)
    return n


@kernel
def band_floor(floor: Scalar, limit: Scalar, wanted: Scalar, strips: Array, estimates: Array) -> Scalar:
    """An estimate, at most `floor` and at least `limit`, that about `wanted` blocks reach, or all if they are fewer."""
    # Where so many are wanted that the best of several blocks would share a strip, blocks are counted themselves.
    counted = strips if wanted * FEW_OF_STRIPS <= strips.size else estimates
    if count_reaching(np.float32(limit), counted) <= wanted:
        return limit
    while floor > limit:
        floor *= BAND_STEP
        if count_reaching(np.float32(floor), counted) >= wanted:
            break
    return max(floor, limit)


@kernel
def reaching_strips(floor: Scalar, scratch: Scratch) -> Scalar:
    """List the strips that reach a floor; returns their number. Without branches, which takes half the time."""
    strips, reaching = scratch.strips, scratch.reaching
    n_reaching = 0
    for strip in range(strips.size):
        reaching[n_reaching] = strip
        n_reaching += strips[np.uint64(strip)] >= floor
    return n_reaching


@kernel
def queue_band(floor: Scalar, above: Scalar, n_reaching: Scalar, offsets: Array, scratch: Scratch) -> Scalar:
    """Queue the blocks with floor <= estimate < above, fetching their offsets; returns their number.

    n_reaching: of strips in scratch.reaching, all that reach the floor among them.
    """
    estimates, strips, queue = scratch.estimates, scratch.strips, scratch.queue
    n_queued = 0
    for strip in scratch.reaching[:n_reaching]:
        if strips[strip] >= floor:
            window = np.int64(strip) // STRIPS_OF_WINDOW
            begin = window * STRIPS_OF_WINDOW
            step = STRIPS_OF_WINDOW if begin + STRIPS_OF_WINDOW <= strips.size else strips.size - begin
            first = window * WINDOW + strip - begin
            for block in range(first, first + step * STRIP, step):
                estimate = estimates[np.uint64(block)]
                if estimate >= floor and not estimate >= above:
                    queue[n_queued] = block
                    prefetch(offsets, block)
                    n_queued += 1
    return n_queued


@kernel
def search_blocks(
    components: Array, weights: Array, limits: Limits, forward: Forward, blocks: Blocks, scratch: Scratch
) -> None:
    """Fill the heap with the best documents of the blocks whose estimate lets them through."""
    scores = scratch.heap_scores
    chosen = scratch.chosen[: choose_terms(weights, limits.query_cut, scratch.chosen)]
    estimate_blocks(components, weights, chosen, limits.open, blocks, scratch)
    highest = largest_of(scratch.strips)
    if highest == 0:
        return
    least = band_floor(highest, SMALLEST, limits.max_blocks, scratch.strips, scratch.estimates)
    listed, n_reaching = least, reaching_strips(least, scratch)
    above, floor = np.float32(np.nan), highest  # nothing is above the first band
    wanted = max(FIRST_BAND, scores.size // 2)
    while True:
        # However few blocks were asked for, those are visited that it takes to find k documents.
        full = scores[0] > 0
        limit = max(threshold(limits.heap_factor, scores), least if full else SMALLEST)
        floor = limit if full else band_floor(floor, limit, wanted, scratch.strips, scratch.estimates)
        if floor < listed:
            listed, n_reaching = floor, reaching_strips(floor, scratch)
        n_queued = queue_band(floor, above, n_reaching, blocks.offsets, scratch)
        visit_queue(n_queued, limits, forward, blocks, scratch)
        if floor == limit:
            break
        above = floor
        wanted *= 4


@kernel
def visit_neighbors(limits: Limits, graph: Array, forward: Forward, blocks: Blocks, scratch: Scratch) -> None:
    """Score the nearest limits.knn neighbors of each document of the heap; graph uint32[n, neighbors]."""
    n_documents, n_neighbors = blocks.rows.size, min(limits.knn, graph.shape[1])
    for i in range(scratch.snapshot.size):
        scratch.snapshot[i] = scratch.heap_rows[i]
        if scratch.snapshot[i] != NOTHING:
            prefetch(blocks.positions, scratch.snapshot[i])
    n_pending = 0
    for row in scratch.snapshot:
        if row != NOTHING:
            neighbors = graph[blocks.positions[row]]
            for j in range(n_neighbors):
                if neighbors[j] < n_documents:  # NOTHING is none, nor is what a damaged file may say
                    fetch_heads(neighbors[j], np.int64(neighbors[j]) + 1, limits, forward)
            for j in range(n_neighbors):
                if neighbors[j] < n_documents:
                    n_pending = visit(neighbors[j], True, n_pending, limits, forward, blocks.rows, scratch)
    score_tails(n_pending, True, limits, forward, blocks.rows, scratch)


@kernel
def may_lack(components: Array, limits: Limits, blocks: Blocks, scratch: Scratch) -> bool:
    """Whether fewer than k documents were found although more may share a term with the query.

    Summaries have all that there is of rare terms; of others they may lack what would have been needed.
    """
    found = found_here = 0
    for i in range(scratch.heap_scores.size):
        found += scratch.heap_scores[i] > 0
        found_here += scratch.heap_rows[i] != NOTHING
    complete = components.size <= limits.query_cut
    for component in components:
        complete &= component >= blocks.n_frequent
    lacks: bool = found < limits.k and found_here < limits.candidates and not complete
    return lacks


@kernel
def scan(limits: Limits, weights: Array, forward: Forward, rows: Array, scratch: Scratch) -> None:
    """Fill the heap with the best of all documents that may be found, by their 16-bit weights.

    High bytes alone are off by half a code at most, which bounds what the fine score can add: only documents that the
    bound lets pass are scored twice, which takes 8 ms instead of 20.
    """
    table, scores, listed, allowed = scratch.table, scratch.heap_scores, limits.scanned, limits.allowed
    error = np.float32(0)
    for weight in weights:
        error += weight
    error *= np.float32(0.5001)  # and a little for the rounding of the sums themselves
    some = listed.size > 0
    for i in range(listed.size if some else rows.size):
        document = listed[i] if some else np.uint32(i)
        if allowed.size > 0 and allowed[np.uint64(document)] == 0:
            continue
        start, length = tail_of(forward, document)
        coarse = score_head(document, table, forward) + score_tail(start, length, table, forward)
        if coarse + error >= scores[0]:
            score = fine_score(document, table, forward)
            if score > 0:
                offer(score, rows[document], False, limits.starts, scores, scratch.heap_rows)


@kernel
def start_heap(kept: Array, factor: Scalar, scratch: Scratch) -> None:
    """Let the heap have the scores that former segments kept, float64[heap size], or be empty, if `kept` is.

    Slots that hold no document of this segment have row NOTHING; their score is 0 if none was kept. factor: by which
    scores here must be multiplied to be comparable with others.
    """
    scratch.heap_rows[:] = NOTHING
    scratch.heap_scores[:] = 0
    for i in range(kept.size):
        scratch.heap_scores[i] = min(kept[i] / factor, np.float64(LARGEST))


@allocating
def rank(
    factor: Scalar,
    limits: Limits,
    forward: Forward,
    positions: Array,
    scratch: Scratch,
    out_scores: Array,
    out_rows: Array,
) -> None:
    """Merge the heap's rows into results, by falling 16-bit score, equal ones by row; -inf and -1 where there are none.

    factor: by which scores are multiplied. Those of which every product underflows are no hits.
    """
    rows = scratch.heap_rows
    found = np.sort(rows)[: np.sum(rows != NOTHING)]
    fine = np.empty(found.size, np.float32)
    for i in range(found.size):
        fine[i] = fine_score(positions[found[i]], scratch.table, forward)
    order = np.argsort(-fine, kind="mergesort")
    scores, numbers = np.empty(found.size, np.float32), np.empty(found.size, np.int64)
    n = 0
    for i in order:
        scores[n] = fine[i] * factor
        numbers[n] = limits.first + found[i] - count_below(found[i], limits.deleted)
        n += scores[n] > 0
    merge_hits(scores, numbers, n, out_scores, out_rows)


@allocating
def search_batch(
    queries: Queries,
    factors: Array,
    begin: Scalar,
    end: Scalar,
    limits: Limits,
    forward: Forward,
    blocks: Blocks,
    graph: Array,
    scratch: Scratch,
    kept: Array,
    out_scores: Array,
    out_rows: Array,
) -> None:
    """Search for queries begin..end.

    The hits of query i are merged into row i of out_scores, float32[n, k], and of out_rows, int64[n, k].
    factors: float64[n], by which scores are multiplied. kept: float64[end - begin, heap size], the heaps that segments
    searched before this one have left, updated; float64[end - begin, 0] if there are no others.
    """
    for i in range(begin, end):
        first, stop = queries.indptr[i], queries.indptr[i + 1]
        components, weights = queries.components[first:stop], queries.weights[first:stop]
        for j in range(components.size):
            scratch.table[components[j]] = weights[j]
        before = kept[i - begin]
        start_heap(before, factors[i], scratch)
        exact = limits.exact
        if not exact:
            search_blocks(components, weights, limits, forward, blocks, scratch)
            if limits.knn > 0:
                visit_neighbors(limits, graph, forward, blocks, scratch)
            if scratch.heap_scores[0] == 0 and may_lack(components, limits, blocks, scratch):
                start_heap(before, factors[i], scratch)
                exact = True
        if exact:
            scan(limits, weights, forward, blocks.rows, scratch)
        rank(factors[i], limits, forward, blocks.positions, scratch, out_scores[i], out_rows[i])
        for j in range(before.size):
            before[j] = scratch.heap_scores[j] * factors[i]
        for component in components:
            scratch.table[component] = 0
