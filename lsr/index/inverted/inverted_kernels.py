"""The Numba kernels of inverted lists: pure functions over arrays that inverted_engine.py has checked."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

from lsr.index.heaps import count_below, merge_hits, place_in_heap, put
from lsr.index.jit import Kernel, kernel
from lsr.index.rows import GatheredRows
from lsr.storage.arrays import Array, Scalar

STRETCH = 64  # documents whose scores are looked at together

# Columns of a ListTable: addresses of arrays, their sizes, and numbers.
COMPONENTS, N_LISTS, STARTS, ROWS, WEIGHTS, N_POSTINGS, DOCUMENTS, FIRST = range(8)
DELETED, N_DELETED, PASSAGES, N_PASSAGES, ALLOWED, N_ALLOWED, CHECKED = range(8, 15)
COLUMNS = 15

NOTHING = np.uint32(0xFFFFFFFF)
LARGEST = np.float64(np.finfo(np.float32).max)
BELOW = 1 - 2.0**-22  # of a score, what is a little lower: a document that ties with others may have a lower row


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


def _array_at(typing_context: Any, address: Any, size: Any, like: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from numba.np.arrayobj import populate_array  # whatever is compiled already needs none of it

        made = context.make_array(like)(context, builder)
        itemsize = context.get_constant(types.intp, like.dtype.bitwidth // 8)
        data = builder.inttoptr(arguments[0], made.data.type)
        shape: dict[str, Any] = {"shape": [arguments[1]], "strides": [itemsize], "itemsize": itemsize}
        populate_array(made, data=data, **shape, meminfo=None)  # type: ignore[no-untyped-call]
        return made._getvalue()

    return like(types.int64, types.int64, like), generate


# array_at(address, size, like): the array that lies there, of the type of another. A kernel cannot take a list of
# arrays of any length, but it can take their addresses.
array_at: Kernel = intrinsic(_array_at)


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
def search_lists(
    indptr: Array,
    components: Array,
    weights: Array,
    begin: int,
    end: int,
    table: Array,
    types_of: Inverted,
    flags: Array,
    kept: Array,
    nothing: Array,
    sums: Array,
    bits: Array,
    found_scores: Array,
    found_bits: Array,
    found_rows: Array,
    scores: Array,
    rows: Array,
) -> bool:
    """Merge the best documents of queries begin..end into rows of scores, float32[n, k], and of rows, int64[n, k].

    indptr int64[n + 1], components uint32 (rising), weights float32: the queries.
    table: int64[engines, columns], where the arrays of each engine are: see ListTable. types_of: any Inverted.
    flags: any uint8.
    kept: float64[end - begin, heap size], heaps of the scores that other segments left, updated, and as many `nothing`,
    uint32; float64[end - begin, 0] if there are no others.
    sums: float32, as many as the largest engine has documents, all zero before and after. found_scores float32[m],
    found_rows int64[m], m as many as may be found. bits, found_bits: int32, the memory of the two arrays of scores,
    which are not viewed as integers here: a process that loads a compiled view first imports much of Numba.

    A score is the sum of query weight x document weight, each product and each partial sum rounded to float32, by
    rising component. Returns whether all lists were in order; if not, nothing that was filled is of use.
    """
    for engine in range(table.shape[0]):
        where = table[engine]
        inverted = Inverted(
            array_at(where[COMPONENTS], where[N_LISTS], types_of.components),
            array_at(where[STARTS], where[N_LISTS] + 1, types_of.starts),
            array_at(where[ROWS], where[N_POSTINGS], types_of.rows),
            array_at(where[WEIGHTS], where[N_POSTINGS], types_of.weights),
        )
        deleted = array_at(where[DELETED], where[N_DELETED], types_of.rows)
        passages = array_at(where[PASSAGES], where[N_PASSAGES], types_of.starts)
        checked = array_at(where[CHECKED], where[N_LISTS], flags)
        allowed = array_at(where[ALLOWED], where[N_ALLOWED], types_of.weights)
        n, first_row = where[DOCUMENTS], where[FIRST]
        for query in range(begin, end):
            first, last = indptr[query], indptr[query + 1]
            added = add_lists(components[first:last], weights[first:last], inverted, checked, sums[:n])
            if added < 0:
                return False
            if added == 0:
                continue
            for row in range(allowed.size):
                sums[row] *= allowed[row]
            if not allowed.size:
                for row in deleted:
                    sums[row] = 0
            others = kept[query - begin]
            floor = np.float32(min(others[0] * BELOW, LARGEST)) if others.size else np.float32(0)
            found = collect(sums[:n], bits[:n], floor, passages, found_scores, found_bits, found_rows)
            sums[:n] = 0
            for i in range(found):
                found_rows[i] += first_row - count_below(found_rows[i], deleted)
                if others.size and found_scores[i] > others[0]:
                    put(np.float64(found_scores[i]), NOTHING, 0, others, nothing)
            merge_hits(found_scores, found_rows, found, scores[query], rows[query])
    return True


@kernel
def rows_exist(inverted: Inverted, chosen: int, documents: int) -> bool:
    """Whether a list names rows below `documents` alone."""
    largest = np.uint32(0)
    for at in range(np.uint64(inverted.starts[chosen]), np.uint64(inverted.starts[chosen + 1])):
        largest = max(largest, inverted.rows[at])
    return bool(largest < documents)


@kernel
def add_lists(components: Array, weights: Array, inverted: Inverted, checked: Array, sums: Array) -> int:
    """Add the lists of a query's terms, uint32[m] rising and float32[m], to the sums; how many, or -1 for damage.

    checked uint8[lists]: not zero for lists all of whose rows exist, which is seen when a list is first used.
    """
    added = 0
    at = np.int64(0)
    for i in range(components.size):
        at += count_below(components[i], inverted.components[at:])
        if at == inverted.components.size:
            break
        if inverted.components[at] == components[i]:
            added += 1
            if not checked[at]:
                if not rows_exist(inverted, at, sums.size):
                    return -1
                checked[at] = 1
            weight = weights[i]
            for posting in range(np.uint64(inverted.starts[at]), np.uint64(inverted.starts[at + 1])):
                sums[inverted.rows[posting]] += weight * inverted.weights[posting]
    return added


@kernel
def collect(
    sums: Array, bits: Array, floor: Scalar, passages: Array, scores: Array, score_bits: Array, rows: Array
) -> int:
    """Fill scores and rows, float32 and int64[k], with the k best sums above a floor, best first; the number found.

    bits, score_bits: the memory of the sums and scores as int32. passages: int64[documents + 1], the rows of each
    document, of which the best one counts; empty where each row is a document.
    """
    k = scores.size
    found = 0
    worst = floor
    scores[0] = floor
    least = score_bits[0]  # the bits of the worst score that is still among the best
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
            if not score > worst:
                continue
            place = place_in_heap(row, passages, rows[:found]) if passages.size > 0 else -1
            if place >= 0 and not score > scores[place]:
                continue
            if found < k:
                place = found if place < 0 else place
                scores[place], rows[place] = score, row
                found = max(found, place + 1)
                if found < k:
                    continue
                for at in range(k // 2 - 1, -1, -1):
                    put(scores[at], rows[at], at, scores, rows)
            else:
                put(score, row, max(place, 0), scores, rows)
            worst, least = scores[0], score_bits[0]
    if found < k:
        for at in range(found // 2 - 1, -1, -1):
            put(scores[at], rows[at], at, scores[:found], rows[:found])
    for last in range(found - 1, 0, -1):
        score, row = scores[last], rows[last]
        scores[last], rows[last] = scores[0], rows[0]
        put(score, row, 0, scores[:last], rows[:last])
    return found
