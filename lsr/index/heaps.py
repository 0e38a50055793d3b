"""What the kernels of all engines share: heaps of hits, passages of documents, and results that segments add to."""

from __future__ import annotations

import numpy as np

from lsr.index.jit import inlined_kernel, kernel
from lsr.storage.arrays import Array, Scalar


@inlined_kernel
def is_worse(score: Scalar, row: Scalar, other_score: Scalar, other_row: Scalar) -> bool:
    """Whether a hit ranks behind another: a smaller score, or the same one and a higher row."""
    worse: bool = score < other_score or (score == other_score and row > other_row)
    return worse


@kernel
def put(score: Scalar, row: Scalar, at: Scalar, scores: Array, rows: Array) -> None:
    """Put a hit in place of one that is no better, in a heap whose worst hit stands first."""
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
    """How many of some rising numbers are below a value."""
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
    """Where a heap has a passage of the same document, or -1; starts: int64[documents + 1], or empty for rows alone."""
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
    """Put a hit in place of the worst in a full heap, or of another passage of its document, if it is better.

    once: the row may be there already. Documents are looked for only when a passage is good enough to be kept at all,
    some eighty times a query: a number of the document for each row would spare 10 us of 200, and take 4 bytes a row.
    """
    place = place_in_heap(row, starts, rows) if once or starts.size > 0 else 0
    place = max(place, 0)
    if is_worse(scores[place], rows[place], score, row):
        put(score, row, place, scores, rows)


@kernel
def merge_hits(scores: Array, rows: Array, n: Scalar, out_scores: Array, out_rows: Array) -> None:
    """Put n hits, best first, among the best of others, best first and -1 behind them, as many as there is room for."""
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
