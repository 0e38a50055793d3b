"""The Numba kernels of inverted lists: pure functions over arrays that inverted_engine.py has checked."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.index.jit import kernel
from lsr.index.rows import GatheredRows

STRETCH = 64  # documents whose scores are looked at together


class Inverted(NamedTuple):
    """Posting lists, one for each component that occurs.

    components: uint32[lists], rising; list i is rows[starts[i]:starts[i + 1]] and the same range of weights.
    starts: int64[lists + 1].
    rows: uint32[postings], rising within a list.
    weights: float32[postings].
    """

    components: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.uint32]
    weights: npt.NDArray[np.float32]


@kernel
def find_lists(indices: npt.NDArray[Any], components: npt.NDArray[np.uint32], out: npt.NDArray[np.uint32]) -> None:
    """out[i] = the position of indices[i] in `components`, where it must occur."""
    for i in range(len(indices)):
        wanted = indices[i]
        low, high = 0, len(components) - 1
        while low < high:
            middle = (low + high) // 2
            if components[middle] < wanted:
                low = middle + 1
            else:
                high = middle
        out[i] = low


@kernel
def scatter_postings(
    indptr: npt.NDArray[np.int64],
    lists: npt.NDArray[Any],
    values: npt.NDArray[np.float32],
    first_row: int,
    first_list: int,
    next_posting: npt.NDArray[np.int64],
    rows: npt.NDArray[np.uint32],
    weights: npt.NDArray[np.float32],
) -> None:
    """Deal the postings of rows, the first of which is `first_row`, out to a range of lists, in row order.

    indptr int64[n + 1], lists T[nnz] (the list of each posting), values float32[nnz]; next_posting int64[m] (where the
    next posting of each of the m lists from `first_list` on goes, updated); rows uint32 and weights float32: filled.
    """
    for row in range(len(indptr) - 1):
        for i in range(indptr[row], indptr[row + 1]):
            chosen = np.int64(lists[i]) - first_list
            if 0 <= chosen < len(next_posting):
                at = next_posting[chosen]
                rows[at] = first_row + row
                weights[at] = values[i]
                next_posting[chosen] = at + 1


@kernel
def transpose_lists(inverted: Inverted, next_entry: npt.NDArray[np.int64], lists: npt.NDArray[Any]) -> None:
    """The lists of each row, rising, into T[postings]; next_entry int64[n]: where each row begins, and then ends."""
    for chosen in range(len(inverted.components)):
        for at in range(inverted.starts[chosen], inverted.starts[chosen + 1]):
            row = inverted.rows[at]
            lists[next_entry[row]] = chosen
            next_entry[row] += 1


@kernel
def read_rows(
    inverted: Inverted,
    indptr: npt.NDArray[np.int64],
    lists: npt.NDArray[Any],
    wanted: npt.NDArray[np.int64],
    out: GatheredRows,
) -> bool:
    """The vectors of the `wanted` rows into `out`, whose indptr is filled; each weight is looked up in its list.

    indptr int64[n + 1], lists T[postings]: the lists of each row, rising. Returns whether each row is in its lists, as
    it is unless a file is damaged.
    """
    for i in range(len(wanted)):
        row = wanted[i]
        first = indptr[row]
        for entry in range(out.indptr[i + 1] - out.indptr[i]):
            chosen = lists[first + entry]
            if chosen >= inverted.components.size:
                return False
            low, high = inverted.starts[chosen], inverted.starts[chosen + 1] - 1
            while low < high:
                middle = (low + high) // 2
                if inverted.rows[middle] < row:
                    low = middle + 1
                else:
                    high = middle
            if inverted.rows[low] != row:
                return False
            out.indices[out.indptr[i] + entry] = inverted.components[chosen]
            out.values[out.indptr[i] + entry] = inverted.weights[low]
    return True


@kernel
def search_queries(
    query_starts: npt.NDArray[np.int64],
    query_lists: npt.NDArray[np.int64],
    query_weights: npt.NDArray[np.float32],
    inverted: Inverted,
    allowed: npt.NDArray[np.float32],
    checked: npt.NDArray[np.uint8],
    sums: npt.NDArray[np.float32],
    bits: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
) -> bool:
    """The best documents of each query, best first.

    query_starts int64[q + 1], query_lists int64 (list of each query term, rising), query_weights float32;
    allowed float32[documents], 1 for documents that may be found and 0 for others, or empty if all may be;
    checked uint8[lists]: not zero for lists all of whose rows exist, which is seen when a list is first used;
    sums float32[documents], all zero before and after; bits int32[documents], the memory of the sums;
    scores float32[q, k] and rows int64[q, k], prefilled with the padding, k at most the number of documents.

    A score is the sum of query weight x document weight, each product and each partial sum rounded to float32, by
    rising component. Returns whether all lists were in order; if not, nothing that was filled is of use.
    """
    for query in range(len(query_starts) - 1):
        for i in range(query_starts[query], query_starts[query + 1]):
            weight = query_weights[i]
            chosen = query_lists[i]
            if not checked[chosen]:
                if not rows_exist(inverted, chosen, sums.size):
                    return False
                checked[chosen] = 1
            for at in range(np.uint64(inverted.starts[chosen]), np.uint64(inverted.starts[chosen + 1])):
                sums[inverted.rows[at]] += weight * inverted.weights[at]
        if allowed.size:
            for row in range(sums.size):
                sums[row] *= allowed[row]
        found = collect(sums, bits, scores[query], rows[query])
        sums[:] = 0
        if found < scores.shape[1]:
            for at in range(found // 2 - 1, -1, -1):
                sift_down(scores[query], rows[query], at, found)
        for end in range(found - 1, 0, -1):
            scores[query, 0], scores[query, end] = scores[query, end], scores[query, 0]
            rows[query, 0], rows[query, end] = rows[query, end], rows[query, 0]
            sift_down(scores[query], rows[query], 0, end)
    return True


@kernel
def rows_exist(inverted: Inverted, chosen: int, documents: int) -> bool:
    """Whether a list names rows below `documents` alone."""
    largest = np.uint32(0)
    for at in range(np.uint64(inverted.starts[chosen]), np.uint64(inverted.starts[chosen + 1])):
        largest = max(largest, inverted.rows[at])
    return bool(largest < documents)


@kernel
def collect(
    sums: npt.NDArray[np.float32],
    bits: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
) -> int:
    """Fill scores and rows, float32 and int64[k], with the k best of the sums; the number found, all above zero.

    bits: the memory of the sums, which are not viewed as integers here: a process that loads a compiled view first
    imports much of Numba. If k are found they form a heap, the worst on top; otherwise they are in row order.
    """
    k = scores.size
    found = 0
    least = np.int32(0)  # the bits of the worst score that is still among the best
    for begin in range(0, len(sums), STRETCH):
        end = min(begin + STRETCH, len(sums))
        # Floats above zero are ordered as their bits are, and integers are compared many at once: most stretches are
        # left after this (93 us a query instead of 143, 120,000 documents and queries of 12 terms).
        top = np.int32(0)
        for row in range(begin, end):
            top = max(top, bits[row])
        if top <= least:
            continue
        for row in range(begin, end):
            score = sums[row]
            # Rows rise, so that of equal scores the one found first, the lower row, stays.
            if score > 0 and found < k:
                scores[found] = score
                rows[found] = row
                found += 1
                if found == k:
                    for at in range(k // 2 - 1, -1, -1):
                        sift_down(scores, rows, at, k)
                    least = bits[rows[0]]
            elif found == k and score > scores[0]:
                scores[0] = score
                rows[0] = row
                sift_down(scores, rows, 0, k)
                least = bits[rows[0]]
    return found


@kernel
def sift_down(scores: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], at: int, size: int) -> None:
    """Restore the heap order below `at`: no parent is better than its children, so that the worst hit is on top."""
    while True:
        worst = at
        for child in (2 * at + 1, 2 * at + 2):
            if child < size and (
                scores[child] < scores[worst] or (scores[child] == scores[worst] and rows[child] > rows[worst])
            ):
                worst = child
        if worst == at:
            return
        scores[at], scores[worst] = scores[worst], scores[at]
        rows[at], rows[worst] = rows[worst], rows[at]
        at = worst
