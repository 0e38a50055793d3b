"""The Numba kernels of search: pure functions over arrays that engine.py and seismic_files.py have checked.

A query goes through five stages:

1. Every node, a block or a superblock, is estimated by the query terms that can contribute most, and the best nodes are
listed (estimates.py).
2. If nodes are superblocks, their pages are read, and their blocks are estimated (superblock_pages.py).
3. The best blocks are visited in the order of their estimates: the best documents come first, so that the threshold for
skipping blocks rises early. The documents of a block are adjacent.
4. If requested, the neighbors of the best documents in the kNN graph are visited, too.
5. The documents in the heap are scored again with 16-bit weights, and the k best are returned.

Timings below: 300,000 SPLADE rows of 46 non-zeros, queries of 21, one core of an AMD EPYC (Zen 5).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsr.index.clock import NEVER, kernel_now
from lsr.index.heaps import count_below, merge_hits, offer
from lsr.index.jit import allocating, inlined_kernel, kernel, summing_kernel
from lsr.index.prefetch import prefetch
from lsr.index.seismic.build.summarize import SUPER, Blocks
from lsr.index.seismic.build.superblock_pages import CODES_AT, PAGE, TAGS, UNIT, line_of, tag_of
from lsr.index.seismic.forward import CACHE_LINE, HEAD_STEP, Forward, fine_score, read_distance, slot_of, tail_of
from lsr.index.seismic.search.estimates import (
    LARGEST_ESTIMATE,
    choose_terms,
    estimate_nodes,
    floor_of,
    list_nodes,
    node_count,
    whole_weights,
)
from lsr.index.seismic.search.lanes import LANES, equal_lanes, lowest_bit
from lsr.index.seismic.search.list_kernels import PostingLists, scan_lists
from lsr.index.seismic.search.queries import Queries
from lsr.storage.arrays import Array, Scalar

# Blocks whose heads are prefetched before the first is scored: a head scored at once waits 170 ns for memory.
AHEAD = 8

# Superblocks whose lines are prefetched before the first is read.
PAGES_AHEAD = 2

# Blocks that are visited, and documents that are scanned, between two reads of the clock, if there is a deadline.
CLOCK_EVERY = 16
DOCUMENTS_EVERY = 256

# Documents whose tails are prefetched before the first is scored.
BATCH = 32

# A document's tail is read only if its head's score, times this, reaches the worst score in the heap.
HEAD_REACH = np.float32(2.6)

# While the heap is not full, each further list of nodes has this many times more of them.
MORE_NODES = 4

# Blocks are sorted into this many bins of their estimates, which takes 2 ns per block.
BINS = 256

# Approximate number of superblocks that are listed for each block to visit. Only the heavier two thirds of the terms
# that estimate blocks estimate superblocks: at 8.8 million rows, .95 of the true top ten then take an eighth less time.
SUPERBLOCKS_OF_BLOCK = 4

NOTHING = np.uint32(0xFFFFFFFF)
LARGEST = np.finfo(np.float32).max
SMALLEST = np.finfo(np.float32).tiny
FAINT = SMALLEST * np.float32(1 << 16)  # above the estimate of a block about which its superblock's page says nothing


class Limits(NamedTuple):
    """The limits of a search: SearchParams, and the allowed documents."""

    query_cut: int
    heap_factor: Scalar  # float32
    max_blocks: int
    nodes: int  # approximate number of listed nodes: blocks, or superblocks
    knn: int
    exact: bool
    k: int
    candidates: int  # number of allowed documents
    allowed: Array  # uint8[n], zero for documents that are not allowed; empty if all are
    open: Array  # uint8[nodes], a bit per block with an allowed document; empty if nearly all have one
    scanned: Array  # uint32[m]: the allowed documents, if they are few; otherwise empty
    first: int  # the number of the first row in results, and the next two as in NumberedRows
    deleted: Array
    starts: Array
    deadline: int  # by the clock of kernels, NEVER for none
    share: float  # share of all documents that are in this segment


class Scratch(NamedTuple):
    """Scratch memory of one thread, allocated once."""

    table: Array  # float32[table_size]: the query, dense; zero between queries
    estimates: Array  # uint16[nodes, rounded up to whole lines]; zero beyond the nodes (see new_estimates)
    nodes: Array  # uint32[m]: those listed
    queue: Array  # uint32[SUPER * m]: blocks, unordered and with their estimates
    queue_scores: Array  # float32[SUPER * m]
    ordered: Array  # uint32[SUPER * m]: those of them to be visited, in order, and their estimates
    ordered_scores: Array  # float32[SUPER * m]
    bins: Array  # int64[BINS]
    chosen: Array  # uint32[query_cut]: the query's terms that estimate
    whole: Array  # uint16[query_cut]: their weights
    floors: Array  # float32[2]: estimate required by the last list of nodes; the largest required by a list of blocks
    run_starts: Array  # int64[windows * query_cut]: where the runs of the chosen terms begin in the stream
    run_lengths: Array  # int64, likewise; DENSE for runs with a code for every node
    pending: Array  # uint32[BATCH]: documents whose tails are being prefetched
    partial: Array  # float32[BATCH]: scores of their heads
    heap_scores: Array  # float32[heap size], smallest first
    heap_rows: Array  # uint32[heap size]
    snapshot: Array  # uint32[heap size]: the heap's rows before it takes in neighbors
    sums: Array  # float32[LIST_WINDOW or fewer]: scores by posting lists, times CODE_STEPS; zero between windows
    sum_bits: Array  # int32, the memory of the sums: positive floats are ordered like their bits
    reach: Array  # float32[1]: the value that a sum must exceed
    reach_bits: Array  # int32[1], its memory
    gate_scores: Array  # float32[heap size] and uint32[heap size]: the heap by these scores
    gate_rows: Array
    listed: Array  # uint32[m]: documents that may be among the best by these scores, and their sums
    listed_sums: Array  # float32[m]
    missed: Array  # float64[1]: expected number of the k best that the search missed because of its deadline


@inlined_kernel
def threshold(heap_factor: Scalar, scores: Array) -> Scalar:
    """The estimate that a block must reach: heap_factor times the worst score in the heap. Never NaN."""
    return heap_factor * min(scores[0], LARGEST)


@inlined_kernel
def hits_of_block(estimate: Scalar, worst: Scalar) -> Scalar:
    """The expected number of the k best documents in a block, by its estimate. worst: the worst score in the heap.

    Fits 30,000 SPLADE rows of 46 non-zeros and 10,000 of 180, k of 10 and 100, and searches that stopped after 16 to
    200 blocks: at .75, .95, 1.15 and 1.3 times the worst score, there were .0005, .008, .05 and .12 of them in a block.
    """
    ratio = np.float64(1.25) * np.float64(worst) / np.float64(estimate)
    power = ratio * ratio * ratio * ratio
    return np.float64(0.2) / (1 + power * power * power)


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
        # Unsigned indices avoid Numba's check for negative ones, which prevents LLVM from unrolling.
        component = slot_of(tails[np.uint64(start + j)], table)
        score += table[component] * np.float32(tail_bytes[np.uint64(codes_at + j)])
    return score


@kernel
def score_tails(n: Scalar, once: bool, limits: Limits, forward: Forward, rows: Array, scratch: Scratch) -> None:
    """Score the tails of the first n pending documents, and push the good ones into the heap.

    once: a document may already be in the heap; it is not pushed again.
    """
    table, pending, partial = scratch.table, scratch.pending, scratch.partial
    scores = scratch.heap_scores
    for i in range(n):
        document = pending[i]
        start, length = tail_of(forward, document)
        score = partial[i] + score_tail(start, length, table, forward)
        if score == 0 and scores[0] == 0:
            score = fine_score(document, table, forward)  # all high bytes are zero, and the heap is not full
        if score > scores[0]:
            offer(score, rows[document], once, limits.starts, scores, scratch.heap_rows)


@inlined_kernel
def visit(
    document: Scalar, once: bool, n_pending: Scalar, limits: Limits, forward: Forward, rows: Array, scratch: Scratch
) -> Scalar:
    """Score the head of an allowed document, and prefetch its tail if it can still be among the best.

    Tails are scored when BATCH of them are pending, because a tail that is read at once waits 260 ns for memory.
    Returns the new n_pending.
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
    """Prefetch the heads of documents begin..end, and whether the first of them is allowed."""
    if limits.allowed.size > 0:
        prefetch(limits.allowed, begin)
    line = forward.head_bytes.shape[1]
    for at in range(np.int64(begin) * line, np.int64(end) * line, CACHE_LINE):
        prefetch(forward.head_bytes, at)


@inlined_kernel
def fetch_block(block: Scalar, limits: Limits, forward: Forward, blocks: Blocks) -> None:
    """Prefetch the heads of a block's documents."""
    begin = np.int64(block) * blocks.block_size
    fetch_heads(begin, min(begin + blocks.block_size, blocks.rows.size), limits, forward)


@kernel
def miss_blocks(estimates: Array, limits: Limits, scratch: Scratch) -> None:
    """Add the expected hits of blocks with these estimates, float32[n], that are no longer visited."""
    limit, worst = threshold(limits.heap_factor, scratch.heap_scores), scratch.heap_scores[0]
    scratch.missed[0] += SMALLEST  # something was not searched
    for estimate in estimates:
        if estimate >= limit:
            scratch.missed[0] += hits_of_block(estimate, worst)


@kernel
def visit_blocks(n: Scalar, once: bool, limits: Limits, forward: Forward, blocks: Blocks, scratch: Scratch) -> None:
    """Visit the first n ordered blocks, as far as the rising threshold and the deadline allow.

    once: some may already have been visited.
    """
    ordered, block_size, n_documents = scratch.ordered, blocks.block_size, np.int64(blocks.rows.size)
    for i in range(min(AHEAD, n)):
        fetch_block(ordered[i], limits, forward, blocks)
    n_pending = 0
    for i in range(n):
        if limits.deadline != NEVER and i % CLOCK_EVERY == 0 and kernel_now() > limits.deadline:
            score_tails(n_pending, once, limits, forward, blocks.rows, scratch)
            miss_blocks(scratch.ordered_scores[i:n], limits, scratch)
            return
        if i + AHEAD < n:
            fetch_block(ordered[np.uint64(i + AHEAD)], limits, forward, blocks)
        if scratch.ordered_scores[i] >= threshold(limits.heap_factor, scratch.heap_scores):
            begin = np.int64(ordered[i]) * block_size
            for document in range(begin, min(begin + block_size, n_documents)):
                n_pending = visit(np.uint32(document), once, n_pending, limits, forward, blocks.rows, scratch)
    score_tails(n_pending, once, limits, forward, blocks.rows, scratch)


@kernel
def fetch_lines(superblock: Scalar, components: Array, chosen: Array, pages: Array) -> None:
    """Prefetch the lines of a page that the chosen terms read."""
    for term in chosen:
        prefetch(pages, np.int64(superblock) * PAGE + line_of(components[term]))


@kernel
def open_superblocks(
    n: Scalar, components: Array, weights: Array, chosen: Array, opened: Array, pages: Array, scratch: Scratch
) -> None:
    """Queue the blocks of the first n listed superblocks, SUPER of each, with their estimates; opened: Limits.open.

    A page lacks light components, so a block about which it says nothing can still have terms of the query. With an
    estimate below FAINT, from its superblock's, such a block is visited only if there is no better one.
    """
    nodes, queue, scores = scratch.nodes, scratch.queue, scratch.queue_scores
    for i in range(min(PAGES_AHEAD, n)):
        fetch_lines(nodes[i], components, chosen, pages)
    for i in range(n):
        if i + PAGES_AHEAD < n:
            fetch_lines(nodes[np.uint64(i + PAGES_AHEAD)], components, chosen, pages)
        page = np.int64(nodes[i]) * PAGE
        first = second = third = fourth = np.float32(0)
        for term in chosen:
            line = page + line_of(components[term])
            equal = equal_lanes(pages, line, tag_of(components[term])) & np.uint32((1 << TAGS) - 1)
            if equal != 0:
                at = np.uint64(line + CODES_AT + 2 * np.int64(lowest_bit(equal)))
                low, high = pages[at], pages[at + np.uint64(1)]
                weight = weights[term] * np.float32(UNIT)
                root = np.float32(low & 15)
                first += weight * root * root
                root = np.float32(low >> 4)
                second += weight * root * root
                root = np.float32(high & 15)
                third += weight * root * root
                root = np.float32(high >> 4)
                fourth += weight * root * root
        least = SMALLEST * np.float32(max(scratch.estimates[nodes[i]], np.uint16(1)))
        bits = np.int64(opened[nodes[i]]) if opened.size > 0 else np.int64((1 << SUPER) - 1)
        to = SUPER * i
        for block in range(SUPER):
            queue[to + block] = SUPER * np.int64(nodes[i]) + block
        scores[to] = max(first, least) * np.float32(bits & 1)
        scores[to + 1] = max(second, least) * np.float32((bits >> 1) & 1)
        scores[to + 2] = max(third, least) * np.float32((bits >> 2) & 1)
        scores[to + 3] = max(fourth, least) * np.float32(bits >> 3)


@kernel
def order_blocks(n: Scalar, wanted: Scalar, scratch: Scratch) -> tuple[Scalar, Scalar]:
    """Put about `wanted` of the best of the first n queued blocks roughly in descending order of estimates.

    Returns (their number, the estimate that they all reach).
    """
    queue, scores, bins = scratch.queue, scratch.queue_scores, scratch.bins
    largest = np.float32(0)
    for i in range(n):
        largest = max(largest, scores[i])
    if not largest > 0:
        return 0, np.float32(0)
    largest = min(largest, LARGEST)
    to_bin = np.float64(BINS - 1) / np.float64(largest)
    bins[:] = 0
    for i in range(n):
        bins[BINS - 1 - np.int64(min(scores[i], largest) * to_bin)] += scores[i] > 0
    n_bins, n_ordered = 0, 0
    while n_bins < BINS and n_ordered < wanted:
        size = bins[n_bins]
        bins[n_bins] = n_ordered
        n_ordered += size
        n_bins += 1
    for i in range(n):
        at = BINS - 1 - np.int64(min(scores[i], largest) * to_bin)
        if at < n_bins and scores[i] > 0:
            scratch.ordered[bins[at]], scratch.ordered_scores[bins[at]] = queue[i], scores[i]
            bins[at] += 1
    return n_ordered, max(np.float32((BINS - n_bins) / to_bin), SMALLEST)


@kernel
def search_blocks(
    components: Array, weights: Array, limits: Limits, forward: Forward, blocks: Blocks, scratch: Scratch
) -> Scalar:
    """Fill the heap with the best documents of the blocks whose estimates reach the threshold; returns the unit.

    Even if fewer blocks were requested, as many are visited as are needed to find k documents. If superblocks were not
    enough, they are estimated by all chosen terms, and all of their blocks are visited, because pages lack light
    components.
    """
    estimates, heap, paged = scratch.estimates, scratch.heap_scores, blocks.pages.size > 0
    chosen = scratch.chosen[: choose_terms(weights, limits.query_cut, scratch.chosen)]
    listing = chosen[: (2 * chosen.size + 2) // 3] if paged and limits.nodes < node_count(blocks) else chosen
    runs = scratch.run_starts, scratch.run_lengths
    unit = whole_weights(weights, listing, scratch.whole)
    estimate_nodes(components, listing, scratch.whole, limits.open, blocks, *runs, estimates)
    above, nodes, most, all_blocks = LARGEST_ESTIMATE + 1, limits.nodes, limits.max_blocks, False
    scratch.floors[:] = 0
    while above > 1:
        floor = floor_of(nodes, above, estimates)
        scratch.floors[0] = unit * np.float32(floor)
        line = 0
        while line < estimates.size // LANES:
            n, line = list_nodes(line, floor, above, estimates, scratch.nodes)
            if paged:
                open_superblocks(n, components, weights, chosen, limits.open, blocks.pages, scratch)
                n *= SUPER
            else:
                for i in range(n):
                    scratch.queue[i] = scratch.nodes[i]
                    scratch.queue_scores[i] = unit * np.float32(estimates[scratch.nodes[i]])
            n, reached = order_blocks(n, most if paged and not all_blocks else n, scratch)
            if not all_blocks:
                scratch.floors[1] = max(scratch.floors[1], reached)
            visit_blocks(n, all_blocks, limits, forward, blocks, scratch)
        if heap[0] > 0 or scratch.missed[0] > 0:
            break
        nodes *= MORE_NODES
        most *= MORE_NODES
        above = floor
        if paged and not all_blocks:
            all_blocks, above = True, LARGEST_ESTIMATE + 1
            scratch.floors[1] = SMALLEST
            unit = whole_weights(weights, chosen, scratch.whole)
            estimate_nodes(components, chosen, scratch.whole, limits.open, blocks, *runs, estimates)
    return unit


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
                if neighbors[j] < n_documents:  # not NOTHING, nor invalid numbers of a damaged file
                    fetch_heads(neighbors[j], np.int64(neighbors[j]) + 1, limits, forward)
            for j in range(n_neighbors):
                if neighbors[j] < n_documents:
                    n_pending = visit(neighbors[j], True, n_pending, limits, forward, blocks.rows, scratch)
    score_tails(n_pending, True, limits, forward, blocks.rows, scratch)


@kernel
def may_lack(components: Array, limits: Limits, blocks: Blocks, scratch: Scratch) -> bool:
    """Whether fewer than k documents were found although more may share a term with the query.

    Summaries have all rare terms. Other terms that were needed can be missing in them.
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
    """Fill the heap with the best allowed documents, by their 16-bit weights.

    High bytes have an error of at most half a code, which bounds the difference to the fine score: only documents
    within the bound are scored twice, which takes 8 ms instead of 20. Each of both sums also has an error of at most
    half a unit in the last place per term.
    """
    table, scores, listed, allowed = scratch.table, scratch.heap_scores, limits.scanned, limits.allowed
    total = 0.0
    for weight in weights:
        total += weight
    error = np.float32(0.5001 * total)
    rounded_up = np.float32(1 + (weights.size + 4) * 2.0**-22)
    some = listed.size > 0
    for i in range(listed.size if some else rows.size):
        document = listed[i] if some else np.uint32(i)
        if limits.deadline != NEVER and i % DOCUMENTS_EVERY == 0 and kernel_now() > limits.deadline:
            n = listed.size if some else rows.size
            scratch.missed[0] += SMALLEST + limits.k * limits.share * np.float64(n - i) / n
            break
        if allowed.size > 0 and allowed[np.uint64(document)] == 0:
            continue
        start, length = tail_of(forward, document)
        coarse = score_head(document, table, forward) + score_tail(start, length, table, forward)
        if rounded_up * coarse + error >= scores[0]:
            score = fine_score(document, table, forward)
            if score > 0:
                offer(score, rows[document], False, limits.starts, scores, scratch.heap_rows)


@kernel
def start_heap(kept: Array, factor: Scalar, scratch: Scratch) -> None:
    """Initialize the heap with the scores of earlier segments, float64[heap size], or empty, if `kept` is empty.

    Slots without a document of this segment have row NOTHING; their score is 0 if none was kept. factor: by which
    scores here are multiplied to be comparable with others.
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
    scored: bool,
    scratch: Scratch,
    out_scores: Array,
    out_rows: Array,
) -> None:
    """Merge the heap's rows into results, by descending 16-bit score, equal ones by row; -inf and -1 for missing ones.

    factor: by which scores are multiplied. Documents of which every product underflows are not hits. scored: whether
        the heap has 16-bit scores.
    """
    by_row = np.argsort(scratch.heap_rows)[: np.sum(scratch.heap_rows != NOTHING)]
    found, fine = scratch.heap_rows[by_row], scratch.heap_scores[by_row]
    if not scored:
        for i in range(found.size):
            fine[i] = fine_score(positions[found[i]], scratch.table, forward)
    for i in range(found.size):
        fine[i] = np.float32(fine[i] * factor)  # which can make scores equal
    order = np.argsort(-fine, kind="mergesort")
    scores, numbers = np.empty(found.size, np.float32), np.empty(found.size, np.int64)
    n = 0
    for i in order:
        scores[n] = fine[i]
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
    lists: PostingLists,
    scratch: Scratch,
    kept: Array,
    out_scores: Array,
    out_rows: Array,
) -> None:
    """Search for queries begin..end.

    The hits of query i are merged into row i of out_scores, float32[n, k], and of out_rows, int64[n, k].
    lists: for exact searches, or NO_LISTS.
    factors: float64[n], by which scores are multiplied. kept: float64[end - begin, heap size], the heaps of segments
        searched before, updated; float64[end - begin, 0] if there are no others.
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
            if limits.knn > 0 and scratch.missed[0] == 0:
                visit_neighbors(limits, graph, forward, blocks, scratch)
            if scratch.heap_scores[0] == 0 and scratch.missed[0] == 0 and may_lack(components, limits, blocks, scratch):
                start_heap(before, factors[i], scratch)
                exact = True
        if exact and lists.starts.size > 0 and limits.scanned.size == 0:
            scan_lists(components, weights, lists, limits, forward, blocks.rows, scratch)
        elif exact:
            scan(limits, weights, forward, blocks.rows, scratch)
        rank(factors[i], limits, forward, blocks.positions, exact, scratch, out_scores[i], out_rows[i])
        for j in range(before.size):
            before[j] = scratch.heap_scores[j] * factors[i]
        for component in components:
            scratch.table[component] = 0
