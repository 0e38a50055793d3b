"""The kernels of ExactIndex against their twins."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.index.clock import now
from lsr.index.filters import Filter
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.inverted.inverted_engine import InvertedEngine, ListTable
from lsr.index.inverted.inverted_kernels import (
    SKIPPED,
    Inverted,
    Terms,
    add_in_time,
    add_late,
    find_lists,
    find_terms,
    in_time,
    scatter_postings,
    skip_lists,
)
from lsr.index.numbered_rows import NumberedRows
from lsr.index.parameters import SearchParams
from lsr.vectors.sparse_vectors import SparseVectors
from tests.naive import inverted_kernels as naive
from tests.strategies import DIMS, sparse_vectors


@given(sparse_vectors())
def test_find_lists(vectors: SparseVectors) -> None:
    components = np.unique(vectors.indices).astype(np.uint32)
    found = np.empty(vectors.nnz, np.uint32)
    find_lists(vectors.indices, components, found)
    assert found.tolist() == naive.find_lists(vectors.indices, components)


@given(sparse_vectors())
def test_scatter_postings(vectors: SparseVectors) -> None:
    components, lists = np.unique(vectors.indices, return_inverse=True)
    starts = np.concatenate([[0], np.cumsum(np.bincount(lists, minlength=len(components)))]).astype(np.int64)
    rows, values = np.empty(vectors.nnz, np.uint32), np.empty(vectors.nnz, np.float32)
    next_posting = starts[:-1].copy()
    # A range of lists after the other, and the rows in two batches.
    first, half = len(components) // 3, len(vectors) // 2
    for lists_range in (slice(0, first), slice(first, None)):
        for begin, end in ((0, half), (half, len(vectors))):
            postings = slice(vectors.indptr[begin], vectors.indptr[end])
            indptr = vectors.indptr[begin : end + 1] - vectors.indptr[begin]
            numbers = lists.astype(np.uint32)[postings]
            into = next_posting[lists_range]
            scatter_postings(indptr, numbers, vectors.values[postings], begin, lists_range.start, into, rows, values)
    expected = naive.scatter_postings(vectors.indptr, lists.astype(np.uint32), vectors.values, len(components))
    assert (rows.tolist(), values.tolist()) == expected
    assert next_posting.tolist() == starts[1:].tolist()


@given(sparse_vectors())
def test_rows_are_read_back_from_lists(vectors: SparseVectors) -> None:
    built = ExactIndex.build(vectors).engine
    derived = InvertedEngine(built.inverted, len(vectors), vectors.dim)
    for array, expected in zip(derived.of_rows, built.of_rows, strict=True):
        assert array.dtype == expected.dtype
        assert array.tolist() == expected.tolist()
    rows = np.arange(len(vectors) - 1, -1, -1)
    expected_rows = vectors[rows]
    for engine in (built, derived):
        gathered = engine.gather(rows)
        assert gathered.indptr.tolist() == expected_rows.indptr.tolist()
        assert gathered.indices.tolist() == expected_rows.indices.tolist()
        assert gathered.values.tolist() == expected_rows.values.tolist()


@given(
    drawn=st.sampled_from(DIMS).flatmap(
        lambda dim: st.tuples(
            st.lists(sparse_vectors(dim, max_rows=6), max_size=3), sparse_vectors(dim, max_rows=4), st.integers(1, 9)
        )
    ),
    length=st.sampled_from([None, 1, 3]),
    share=st.sampled_from([None, 0.5]),
    more=st.sampled_from([None, 0, 3]),
    kept_before=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_search_lists(
    drawn: tuple[list[SparseVectors], SparseVectors, int],
    length: int | None,
    share: float | None,
    more: int | None,
    kept_before: int,
    seed: int,
) -> None:
    # Several engines, deleted documents, passages of one or three rows, a filter, and scores that others kept.
    parts, queries, k = drawn
    heap_size = 0 if more is None else k + more
    rng = np.random.default_rng(seed)
    gone = (rng.random(sum(map(len, parts))) < 0.2).tolist()
    mask = None if share is None else (rng.random(len(gone)) < share).tolist()
    firsts = np.cumsum([0, *map(len, parts)]).tolist()
    rows = [range(first, first + len(part)) for first, part in zip(firsts, parts, strict=False)]
    live = [
        NumberedRows(
            100 + sum(not each for each in gone[: mine.start]),
            np.flatnonzero(gone[mine.start : mine.stop]).astype(np.uint32),
            np.empty(0, np.int64) if length is None else np.array([*range(0, len(mine), length), len(mine)]),
        )
        for mine in rows
    ]
    engines = [InvertedEngine.build(part) for part in parts]
    lists = ListTable(engines, live)
    allowed = [not each and (mask is None or mask[row]) for row, each in enumerate(gone)]
    filters = [Filter(np.array(allowed[mine.start : mine.stop], bool)) for mine in rows]
    lines = lists.lines if mask is None else lists.lines_of(filters)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    found = np.full((len(queries), k), -1, np.int64)
    kept = np.full((len(queries), heap_size), kept_before / 2)
    search = lists.search_with(queries, k, lines, share=1)
    if search:
        search(0, len(queries), kept, scores, found, None)
    documents = [(at, row // (length or 1)) for at, part in enumerate(parts) for row in range(len(part))]
    expected = naive.search_lists([each.inverted for each in engines], queries, documents, allowed)
    numbers = np.cumsum([not each for each in gone]) + 99
    floor = kept_before / 2 if heap_size else 0
    for query, hits in enumerate(expected):
        wanted = [(score, numbers[row]) for score, row in hits[:k] if score >= floor]
        there = zip(scores[query].tolist(), found[query].tolist(), strict=True)
        assert [(score, row) for score, row in there if row >= 0 and score >= floor] == wanted
        # Each engine hands on its k best.
        least, most = (sorted([floor] * heap_size + [score for score, _ in each]) for each in (hits[:k], hits))
        for at, score in enumerate(sorted(kept[query].tolist(), reverse=True), start=1):
            assert least[-at] <= score <= most[-at]
    assert not any(each.any() for each in lists.idle)


def nothing_found(queries: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1, np.int64)


def test_lists_are_skipped_where_others_are_better(packages: SparseVectors, package_queries: SparseVectors) -> None:
    engines = [InvertedEngine.build(packages[begin : begin + 4000]) for begin in (0, 4000, 8000)]
    lists = ListTable(engines, [NumberedRows(first) for first in (0, 4000, 8000)])
    search, n = lists.search_with(package_queries, 30, lists.lines, share=1), len(package_queries)
    assert search is not None
    kept_before = np.empty((n, 0))
    for _ in range(2):
        scores, rows = nothing_found(n, 30)
        search(0, n, kept_before.copy(), scores, rows, None)
        if not kept_before.size:
            expected = scores, rows
            kept_before = np.repeat(np.maximum(scores[:, 9:10], 0).astype(float), 14, axis=1)
    found = expected[0] >= kept_before[:, :1]
    assert found.sum() > 9 * n
    assert [each[found].tolist() for each in (scores, rows)] == [each[found].tolist() for each in expected]
    assert (rows >= 0).sum() < 1.1 * found.sum()

    approximate = lists.search_with(package_queries, 30, lists.lines, share=0.65)
    assert approximate is not None
    scores, rows = nothing_found(n, 30)
    approximate(0, n, kept_before.copy(), scores, rows, None)
    there = (rows[:, :, None] == expected[1][:, None, :]) & (rows >= 0)[:, :, None]
    assert (there.any(axis=1) & found).sum() > 0.98 * found.sum()
    of_expected = np.take_along_axis(expected[0], there.argmax(axis=2), axis=1)
    assert np.array_equal(scores[there.any(axis=2)], of_expected[there.any(axis=2)])

    inverted, maxima, skipped = engines[0].inverted, engines[0].maxima, 0
    for query, (floor, *_) in enumerate(kept_before):
        components, weights = package_queries.row(query)
        made = [np.empty(len(components), kind) for kind in (np.int64, np.float32, float, float, np.int64)]
        shared = find_terms(components, weights, inverted, maxima, 4000, Terms(*made))
        terms = Terms(*(each[:shared] for each in made))
        rest = skip_lists(np.float32(floor), 1, inverted, maxima, terms)
        largest = [
            inverted.weights[inverted.starts[chosen] : inverted.starts[chosen + 1]].max() for chosen in terms.lists
        ]
        assert rest == pytest.approx(terms.bounds.sum())
        assert rest <= SKIPPED * floor
        bounds = terms.weights * np.array(largest, np.float32)
        assert terms.bounds[terms.bounds > 0].tolist() == bounds[terms.bounds > 0].tolist()
        skipped += np.count_nonzero(terms.bounds)
    assert skipped > n


@given(
    vectors=sparse_vectors(40, max_rows=12),
    skipped=st.lists(st.booleans(), min_size=40, max_size=40),
    long=st.lists(st.booleans(), min_size=40, max_size=40),
    seed=st.integers(0, 99),
)
def test_lists_for_which_there_is_no_time(
    vectors: SparseVectors, skipped: list[bool], long: list[bool], seed: int
) -> None:
    real = InvertedEngine.build(vectors).inverted
    n, rng = len(real.components), np.random.default_rng(seed)
    weights, rows = rng.integers(1, 5, n).astype(np.float32), rng.permutation(len(vectors))
    maxima = np.array([real.weights[begin:end].max() for begin, end in pairwise(real.starts)], np.float32)
    bounds = np.where(skipped[:n], weights * maxima, 0.0)
    too_long = [each for each in range(n) if long[each]]
    # List i as list 2 i, followed by one that no term has, so that the end of list i can be anywhere.
    starts = np.append(np.repeat(real.starts[:-1], 2), real.starts[-1])
    starts[1::2] = real.starts[1:]
    endless = starts.copy()
    endless[[2 * each + 1 for each in too_long]] += 10**15
    doubled = Inverted(np.arange(2 * n, dtype=np.uint32), endless, real.rows, real.weights)
    terms = Terms(2 * np.arange(n), weights, bounds.copy(), np.empty(n), np.empty(n, np.int64))
    deadline = now() + 10**11
    missing = {each for each in too_long if not skipped[each]}
    assert in_time(doubled, terms, len(vectors), deadline) == (not missing)
    assert not in_time(doubled, terms, len(vectors), 1)
    sums = np.zeros(len(vectors), np.float32)
    share = add_in_time(doubled, np.repeat(maxima, 2), terms, len(vectors), deadline, sums)
    expected = naive.add_in_time(real, range(n), weights, bounds.tolist(), too_long, len(vectors))
    np.testing.assert_allclose(sums, expected[0], rtol=1e-5)
    assert terms.bounds.tolist() == expected[1]
    assert share == pytest.approx(expected[2])
    hits, scores, found = list(zip(sums, rows.tolist(), strict=True)), sums.copy(), rows.copy()
    add_late(doubled._replace(starts=starts), terms, scores, found)
    assert list(zip(scores, found.tolist(), strict=True)) == naive.add_late(
        real, range(n), weights, terms.bounds.tolist(), hits
    )


def test_a_searched_engine_goes_when_nobody_holds_it() -> None:
    """At once, with the descriptors of its files, and not when garbage is collected."""
    vectors = SparseVectors.from_dicts([{0: 1.0}, {0: 2.0}], dim=1)
    engine = InvertedEngine.build(vectors)
    engine.search(vectors, 1, SearchParams(), 1, None)
    there = weakref.ref(engine)
    gc.disable()
    try:
        del engine
        assert there() is None
    finally:
        gc.enable()


def test_a_search_holds_the_arrays_whose_addresses_it_has() -> None:
    """As when two threads make those of a filter at once, of which it keeps one."""
    vectors = SparseVectors.from_dicts([{0: 1.0}, {0: 2.0}], dim=1)
    lists, chosen = InvertedEngine.build(vectors).lists, Filter(np.array([True, False]))
    search = lists.search_with(vectors, 1, lists.lines_of([chosen]), share=1)
    assert search is not None
    factors = weakref.ref(chosen.factors)
    del chosen.factors
    gc.collect()
    assert factors() is not None
    scores, rows = np.full((2, 1), -np.inf, np.float32), np.full((2, 1), -1, np.int64)
    search(0, 2, np.empty((2, 0)), scores, rows, None)
    assert rows.tolist() == [[0], [0]]


def test_a_filter_keeps_the_value_that_is_prepared_first() -> None:
    chosen, key = Filter(np.array([True])), object()
    first = chosen.prepared(key, lambda: [chosen.prepared(key, lambda: ["of the other thread"]), "of this one"])
    assert first == chosen.prepared(key, list) == ["of the other thread"]
