"""Common kernels of all engines: heaps of hits, passages of documents, and merging of results."""

from __future__ import annotations

import numpy as np

from lsr.index.jit import inlined_kernel, kernel
from lsr.storage.arrays import Array, Scalar


@inlined_kernel
def is_worse(score: Scalar, row: Scalar, other_score: Scalar, other_row: Scalar) -> bool:
    """Whether a hit ranks below another one: a smaller score, or the same score and a higher row."""
    worse: bool = score < other_score or (score == other_score and row > other_row)
    return worse


@kernel
def put(score: Scalar, row: Scalar, at: Scalar, scores: Array, rows: Array) -> None:
    """Replace a hit by a better one, in a heap with its worst hit first."""
    size = scores.size
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and is_worse(scores[child + 1], rows[child + 1], scores[child], rows[child]):
            child += 1
        if not is_worse(scores[child], rows[child], score, row):
            break
        scores[at], rows[at] = scores[child], rows[child]
        at = child
    scores[at], rows[at] = score, row


@kernel
def count_below(value: Scalar, rising: Array) -> Scalar:
    """The number of ascending numbers that are below a value."""
    low, high = 0, rising.size
    while low < high:
        middle = (low + high) // 2
        if rising[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def place_in_heap(row: Scalar, starts: Array, rows: Array) -> Scalar:
    """The place of a passage of the same document in a heap, or -1. starts: int64[documents + 1]; empty for rows."""
    begin, end = np.int64(row), np.int64(row) + 1
    if starts.size > 0:
        document = count_below(end, starts) - 1
        begin, end = starts[document], starts[document + 1]
    place = -1
    for i in range(rows.size):
        if begin <= rows[i] < end:
            place = i
    return place


@kernel
def offer(score: Scalar, row: Scalar, once: bool, starts: Array, scores: Array, rows: Array) -> None:
    """Replace the worst hit of a full heap, or another passage of the hit's document, if the hit is better.

    once: the row may already be there. Documents are looked up only when a passage is good enough to be kept, some
        eighty times per query. A document number per row would save 10 us of 200, and take 4 bytes per row.
    """
    place = place_in_heap(row, starts, rows) if once or starts.size > 0 else 0
    place = max(place, 0)
    if is_worse(scores[place], rows[place], score, row):
        put(score, row, place, scores, rows)


@kernel
def merge_hits(scores: Array, rows: Array, n: Scalar, out_scores: Array, out_rows: Array) -> None:
    """Merge n hits, best first, into others, best first and padded with -1, as many as there is room for."""
    mine = others = 0
    while mine + others < out_rows.size:
        more = out_rows[others] >= 0
        if mine < n and (not more or is_worse(out_scores[others], out_rows[others], scores[mine], rows[mine])):
            mine += 1
        elif more:
            others += 1
        else:
            break
    at = mine + others
    while mine > 0:
        at -= 1
        if others > 0 and is_worse(out_scores[others - 1], out_rows[others - 1], scores[mine - 1], rows[mine - 1]):
            others -= 1
            out_scores[at], out_rows[at] = out_scores[others], out_rows[others]
        else:
            mine -= 1
            out_scores[at], out_rows[at] = scores[mine], rows[mine]
