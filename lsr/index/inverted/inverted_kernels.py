"""The Numba kernels of posting lists: pure functions over arrays that inverted_engine.py has checked."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

from lsr.index.clock import NEVER, kernel_now
from lsr.index.heaps import count_below, merge_hits, place_in_heap, put
from lsr.index.jit import Kernel, kernel
from lsr.index.prefetch import prefetch
from lsr.index.rows import GatheredRows
from lsr.storage.arrays import Array, Scalar

STRETCH = 64  # documents whose scores are checked together

# Columns of a ListTable: addresses of arrays, their sizes, and numbers.
COMPONENTS, N_LISTS, STARTS, ROWS, WEIGHTS, N_POSTINGS, DOCUMENTS, FIRST = range(8)
DELETED, N_DELETED, PASSAGES, N_PASSAGES, ALLOWED, N_ALLOWED, MAXIMA = range(8, 15)
COLUMNS = 15

NOTHING = np.uint32(0xFFFFFFFF)
LARGEST = np.float64(np.finfo(np.float32).max)
# Largest share of the floor that skipped lists are expected to add. With a larger share, more documents must be
# looked up in them.
SKIPPED = 0.2
ROUNDING = 2.0**-22
POSTINGS_OF_LINE = 16  # of the processor's cache
FETCHED = 128  # postings of each list that are fetched before the first list is added
# Nanoseconds to add a posting, and to check and clear the sum of a document, by which the remaining time is spent.
ADDING = 1.5
COLLECTING = 0.5
BELOW = 1 - 2.0**-22  # factor just below 1: a document with an equal score can have a lower row


class Inverted(NamedTuple):
    """Posting lists, one for each component that occurs.

    components: uint32[lists], ascending; list i is rows[starts[i]:starts[i + 1]] and the same range of weights.
    starts: int64[lists + 1].
    rows: uint32[postings], ascending within a list.
    weights: float32[postings].
    """

    components: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.uint32]
    weights: npt.NDArray[np.float32]


class Terms(NamedTuple):
    """The terms of one query that an engine has, by ascending component.

    lists: int64[m]. weights: float32[m], of the query. bounds: float64[m], the most that a skipped list adds to a
        score; 0 for others. worths: float64[m], the most that a list adds relative to its length, descending. order:
        int64[m], the terms in this order. worths and order are not filled if nothing is skipped.
    """

    lists: Array
    weights: Array
    bounds: Array
    worths: Array
    order: Array


def _array_at(typing_context: Any, address: Any, size: Any, like: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from numba.np.arrayobj import populate_array  # compiled kernels do not need it

        made = context.make_array(like)(context, builder)
        itemsize = context.get_constant(types.intp, like.dtype.bitwidth // 8)
        data = builder.inttoptr(arguments[0], made.data.type)
        shape: dict[str, Any] = {"shape": [arguments[1]], "strides": [itemsize], "itemsize": itemsize}
        populate_array(made, data=data, **shape, meminfo=None)  # type: ignore[no-untyped-call]
        return made._getvalue()

    return like(types.int64, types.int64, like), generate


# array_at(address, size, like): the array at an address, of the type of another array. A kernel cannot take a list of
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
    """Distribute the postings of rows, from `first_row`, to a range of lists, in row order.

    indptr int64[n + 1], lists T[nnz] (the list of each posting), values float32[nnz]; next_posting int64[m] (the place
    of the next posting of each of the m lists from `first_list`, updated); rows uint32 and weights float32: filled.
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
    """Write the lists of each row, ascending, to T[postings].

    next_entry: int64[n], the begin of each row; afterwards its end.
    """
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

    indptr int64[n + 1], lists T[postings]: the lists of each row, ascending. Returns whether each row is in its lists,
    which is true unless a file is damaged.
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
    share: float,
    deadline: int,
    missed: Array,
    kept: Array,
    nothing: Array,
    terms: Terms,
    sums: Array,
    bits: Array,
    found_scores: Array,
    found_bits: Array,
    found_rows: Array,
    scores: Array,
    rows: Array,
) -> bool:
    """Merge the best documents of queries begin..end into rows of scores, float32[n, k], and of rows, int64[n, k].

    indptr int64[n + 1], components uint32 (ascending), weights float32: the queries.
    table: int64[engines, columns], the addresses of the arrays of each engine: see ListTable. types_of: any Inverted.
    share: the expected share of the most that skipped lists could add to a score. With 1, nothing is missed.
    deadline: by the clock of kernels, NEVER for none. missed: float64[1], to which the expected number of documents
        that were not searched is added: the documents of an engine times the share of its best documents that it
        probably missed.
    kept: float64[end - begin, heap size], heaps of the scores of other segments, updated, and as many `nothing`,
        uint32; float64[end - begin, 0] if there are no others.
    terms: room for the longest query.
    sums: float32, one per document of the largest engine, all zero before and after. found_scores float32[m],
        found_rows int64[m], for the m documents that can be found. bits, found_bits: int32, the memory of the two
        arrays of scores. They are not viewed as integers here, because a process that loads a compiled view first
        imports much of Numba.

    A score is the sum of query weight x document weight, each product and each partial sum rounded to float32, by
    ascending component. Returns whether all lists were valid; if not, the filled arrays are invalid.
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
        maxima = array_at(where[MAXIMA], where[N_LISTS], sums)
        allowed = array_at(where[ALLOWED], where[N_ALLOWED], types_of.weights)
        n, first_row = where[DOCUMENTS], where[FIRST]
        for query in range(begin, end):
            if deadline != NEVER and kernel_now() > deadline:
                missed[0] += n
                continue
            first, last = indptr[query], indptr[query + 1]
            shared = find_terms(components[first:last], weights[first:last], inverted, maxima, n, terms)
            if shared < 0:
                return False
            if shared == 0:
                continue
            others = kept[query - begin]
            floor = np.float32(min(others[0] * BELOW, LARGEST)) if others.size else np.float32(0)
            of_query = Terms(
                terms.lists[:shared],
                terms.weights[:shared],
                terms.bounds[:shared],
                terms.worths[:shared],
                terms.order[:shared],
            )
            rest = skip_lists(floor, share, inverted, maxima, of_query)
            late = 0.0
            if deadline == NEVER or in_time(inverted, of_query, n, deadline):
                add_lists(inverted, of_query, sums)
            else:
                late = add_in_time(inverted, maxima, of_query, n, deadline, sums)
            for row in range(allowed.size):
                sums[row] *= allowed[row]
            if not allowed.size:
                for row in deleted:
                    sums[row] = 0
            if late > 0:
                floor, rest = np.float32(0), 0.0
                missed[0] += n * late
            added = sums[:n], bits[:n], floor, share, rest, inverted, of_query, passages
            found = collect(*added, found_scores, found_bits, found_rows)
            if late > 0:
                add_late(inverted, of_query, found_scores[:found], found_rows[:found])
            sums[:n] = 0
            for i in range(found):
                found_rows[i] += first_row - count_below(found_rows[i], deleted)
                if others.size and found_scores[i] > others[0]:
                    put(np.float64(found_scores[i]), NOTHING, 0, others, nothing)
            merge_hits(found_scores, found_rows, found, scores[query], rows[query])
    return True


@kernel
def largest_weight(inverted: Inverted, chosen: int, documents: int) -> Scalar:
    """The largest weight of a list, or -1 unless all of its rows are below `documents`."""
    last_row, largest = np.uint32(0), np.float32(0)
    for at in range(np.uint64(inverted.starts[chosen]), np.uint64(inverted.starts[chosen + 1])):
        last_row = max(last_row, inverted.rows[at])
        largest = max(largest, inverted.weights[at])
    return largest if last_row < documents else np.float32(-1)


@kernel
def find_terms(
    components: Array, weights: Array, inverted: Inverted, maxima: Array, documents: int, terms: Terms
) -> int:
    """Fill lists and weights of a query's terms, uint32[m] ascending and float32[m], that an engine has.

    Returns their number, or -1 for damage. maxima float32[lists]: the largest weight of each list, below 0 for lists
    that no query has used, which are now checked.
    """
    shared = 0
    at = np.int64(0)
    for i in range(components.size):
        at += count_below(components[i], inverted.components[at:])
        if at == inverted.components.size:
            break
        if inverted.components[at] == components[i]:
            prefetch(inverted.starts, at)
            prefetch(maxima, at)
            terms.lists[shared], terms.weights[shared] = at, weights[i]
            shared += 1
    for i in range(shared):
        chosen = terms.lists[i]
        if maxima[chosen] < 0:
            maxima[chosen] = largest_weight(inverted, chosen, documents)
            if maxima[chosen] < 0:
                return -1
    return shared


@kernel
def skip_lists(floor: Scalar, share: float, inverted: Inverted, maxima: Array, terms: Terms) -> Scalar:
    """Choose lists to skip, first those that add least for their length; returns the most that they add.

    A document whose other lists do not reach the floor without this cannot be among the best; the few others are looked
    up in the skipped lists: MaxScore (Turtle and Flood, 1995). With a query of 21 terms and a segment of 10,000
    documents among 500,000, 5,000 of 16,000 postings are added, and 3 documents are looked up. share: see search_lists.
    """
    n, rest = terms.lists.size, 0.0
    terms.bounds[:] = 0
    if not floor > 0:
        return rest
    worths, order = terms.worths, terms.order
    for i in range(n):
        chosen = terms.lists[i]
        worths[i] = terms.weights[i] * maxima[chosen] / max(inverted.starts[chosen + 1] - inverted.starts[chosen], 1)
        order[i] = i
    sort_hits(worths, order, True)
    for i in order[::-1]:
        bound = np.float64(terms.weights[i] * maxima[terms.lists[i]])
        if (rest + bound) * share <= SKIPPED * floor:
            rest += bound
            terms.bounds[i] = bound
    return rest


@kernel
def add_lists(inverted: Inverted, terms: Terms, sums: Array) -> None:
    """Add the lists that are not skipped to the sums."""
    for i in range(terms.lists.size):
        if not terms.bounds[i] > 0:
            first, last = inverted.starts[terms.lists[i]], inverted.starts[terms.lists[i] + 1]
            for at in range(first, min(last, first + FETCHED), POSTINGS_OF_LINE):
                prefetch(inverted.rows, at)
                prefetch(inverted.weights, at)
    for i in range(terms.lists.size):
        if not terms.bounds[i] > 0:
            chosen, weight = terms.lists[i], terms.weights[i]
            for posting in range(np.uint64(inverted.starts[chosen]), np.uint64(inverted.starts[chosen + 1])):
                sums[inverted.rows[posting]] += weight * inverted.weights[posting]


@kernel
def add_in_time(inverted: Inverted, maxima: Array, terms: Terms, documents: int, deadline: int, sums: Array) -> Scalar:
    """Like add_lists, first those that can add most, until the time is over.

    Lists that are not added get bounds. Returns the share of the best documents that are probably missed; 0 if all were
    added.
    """
    total = late = 0.0
    left_out = False
    for i in range(terms.lists.size):
        terms.worths[i] = terms.weights[i] * maxima[terms.lists[i]]
        terms.order[i] = i
        total += terms.worths[i]
    sort_hits(terms.worths, terms.order, True)
    for place in range(terms.order.size):
        i, bound = terms.order[place], terms.worths[place]
        if terms.bounds[i] > 0:
            late += bound
            continue
        first, last = inverted.starts[terms.lists[i]], inverted.starts[terms.lists[i] + 1]
        if kernel_now() + (last - first) * ADDING + documents * COLLECTING > deadline:
            terms.bounds[i] = bound
            late += bound
            left_out = True
            continue
        weight = terms.weights[i]
        for posting in range(np.uint64(first), np.uint64(last)):
            sums[inverted.rows[posting]] += weight * inverted.weights[posting]
    return late / max(total, 1e-30) if left_out else 0.0


@kernel
def in_time(inverted: Inverted, terms: Terms, documents: int, deadline: int) -> bool:
    """Whether there is time for all lists that are not skipped."""
    postings = 0
    for i in range(terms.lists.size):
        if not terms.bounds[i] > 0:
            postings += inverted.starts[terms.lists[i] + 1] - inverted.starts[terms.lists[i]]
    enough: bool = kernel_now() + postings * ADDING + documents * COLLECTING <= deadline
    return enough


@kernel
def add_late(inverted: Inverted, terms: Terms, scores: Array, rows: Array) -> None:
    """Add the lists that were not added to scores, float32[m], and sort them."""
    for at in range(rows.size):
        for i in range(terms.lists.size):
            if terms.bounds[i] > 0:
                scores[at] += impact(rows[at], i, inverted, terms)
    sort_hits(scores, rows, True)


@kernel
def impact(row: int, i: int, inverted: Inverted, terms: Terms) -> Scalar:
    """The contribution of term i to the score of a row."""
    first, last = inverted.starts[terms.lists[i]], inverted.starts[terms.lists[i] + 1]
    at = first + count_below(row, inverted.rows[first:last])
    there = at < last and inverted.rows[at] == row
    return terms.weights[i] * inverted.weights[at] if there else np.float32(0)


@kernel
def whole_score(row: int, score: float, least: float, rest: float, inverted: Inverted, terms: Terms) -> Scalar:
    """The score of a row by all lists; 0 if it is below `least`.

    score: by the lists that are not skipped. rest: the most that the others add.
    """
    for i in terms.order:  # first terms that add much and have short lists
        if terms.bounds[i] > 0:
            rest -= terms.bounds[i]
            score += np.float64(impact(row, i, inverted, terms))
            if score + rest < least:
                return np.float32(0)
    whole = np.float32(0)
    for i in range(terms.lists.size):
        whole += impact(row, i, inverted, terms)
    return whole


@kernel
def largest_of(bits: Array) -> Scalar:
    """The largest of some int32 numbers, or 0. A separate kernel, so that 16 are compared at once."""
    top = np.int32(0)
    for at in range(bits.size):
        top = max(top, bits[np.uint64(at)])
    return top


@kernel
def collect(
    sums: Array,
    bits: Array,
    floor: Scalar,
    share: float,
    rest: float,
    inverted: Inverted,
    terms: Terms,
    passages: Array,
    scores: Array,
    score_bits: Array,
    rows: Array,
) -> int:
    """Fill scores float32[k] and rows int64[k] with the best scores above a floor; returns their number.

    sums: scores by the lists that are not skipped. rest: the most that the others add, 0 if there are none. share: see
        search_lists. bits, score_bits: the memory of the sums and scores as int32. passages: int64[documents + 1], the
        rows of each document, of which the best one counts; empty if each row is a document.
    """
    k = scores.size
    found = 0
    worst = floor
    skipping = rest > 0
    # A sum of m numbers may be off by m units in the last place, half of the rounding here, and there are two of them.
    whole = floor * (1 - terms.lists.size * ROUNDING) if skipping else np.float64(floor)
    reach = np.float32(max(whole - share * rest, 0))
    scores[0] = reach
    least = score_bits[0]  # the bits of the worst of the best scores
    for begin in range(0, len(sums), STRETCH):
        end = min(begin + STRETCH, len(sums))
        # Positive floats are ordered like their bits, and many integers are compared at once: most stretches are
        # left after this (93 us a query instead of 143, 120,000 documents and queries of 12 terms).
        if largest_of(bits[begin:end]) <= least:
            continue
        for row in range(begin, end):
            score = sums[row]
            if not score > reach:
                continue
            if skipping:
                score = whole_score(row, np.float64(score), whole, rest, inverted, terms)
            # Rows ascend, so that of equal scores the first one, with the lower row, is kept.
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
            worst = scores[0]
            if not skipping:
                reach, least = worst, score_bits[0]
    sort_hits(scores[:found], rows[:found], found < k)
    return found


@kernel
def sort_hits(scores: Array, rows: Array, loose: bool) -> None:
    """Sort hits, best first. They are a heap, or `loose`."""
    n = scores.size
    if loose:
        for at in range(n // 2 - 1, -1, -1):
            put(scores[at], rows[at], at, scores, rows)
    for last in range(n - 1, 0, -1):
        score, row = scores[last], rows[last]
        scores[last], rows[last] = scores[0], rows[0]
        put(score, row, 0, scores[:last], rows[:last])
