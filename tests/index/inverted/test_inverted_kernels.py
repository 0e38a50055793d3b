"""The kernels of ExactIndex against their twins."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.inverted.inverted_engine import InvertedEngine, find_terms
from lsr.index.inverted.inverted_kernels import Inverted, find_lists, scatter_postings, search_queries, sift_down
from lsr.vectors.sparse_vectors import SparseVectors
from tests.naive import inverted_kernels as naive
from tests.strategies import DIMS, sparse_vectors, weights


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


def inverted_of(vectors: SparseVectors) -> Inverted:
    return ExactIndex.build(vectors).engine.inverted


@given(
    st.sampled_from(DIMS).flatmap(
        lambda dim: st.tuples(sparse_vectors(dim, min_rows=1), sparse_vectors(dim), st.integers(1, 14))
    ),
    st.one_of(st.none(), st.lists(st.booleans(), min_size=12, max_size=12)),
)
def test_search_queries(drawn: tuple[SparseVectors, SparseVectors, int], mask: list[bool] | None) -> None:
    documents, queries, k = drawn
    allowed = [True] * len(documents) if mask is None else mask[: len(documents)]
    masked = np.array([] if mask is None else allowed, np.float32)
    k = min(k, len(documents))
    inverted = inverted_of(documents)
    starts, lists, query_weights = find_terms(inverted, queries)
    sums = np.zeros(len(documents), np.float32)
    checked = np.zeros(len(inverted.components), np.uint8)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    rows = np.full((len(queries), k), -1, np.int64)
    search_queries(starts, lists, query_weights, inverted, masked, checked, sums, sums.view(np.int32), scores, rows)
    assert checked[np.unique(lists)].all()
    assert checked.sum() == len(np.unique(lists))
    expected_scores, expected_rows = naive.search_queries(starts, lists, query_weights, inverted, allowed, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)  # to the last bit
    assert not sums.any()


@given(st.lists(st.tuples(weights(), st.integers(0, 99)), min_size=1, max_size=40, unique_by=lambda hit: hit[1]))
def test_sift_down(hits: list[tuple[float, int]]) -> None:
    scores = np.array([score for score, _ in hits], np.float32)
    rows = np.array([row for _, row in hits], np.int64)
    before = sorted(zip(scores.tolist(), rows.tolist(), strict=True))
    for at in range(len(hits) - 1, -1, -1):
        sift_down(scores, rows, at, len(hits))
    assert naive.is_heap(scores, rows, len(hits))
    assert sorted(zip(scores.tolist(), rows.tolist(), strict=True)) == before
