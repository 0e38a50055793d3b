"""Heaps of hits against their twin, and the merge of results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.index import heaps
from lsr.index.seismic.search.kernels import NOTHING
from tests.naive.kernels import Heap

HITS = st.lists(st.tuples(st.sampled_from([1.0, 2.0, 3.5, 7.0]), st.integers(0, 59)), min_size=1, max_size=60)


@given(hits=HITS, size=st.integers(1, 20), length=st.sampled_from([None, 1, 4, 60]))
def test_offers(hits: list[tuple[float, int]], size: int, length: int | None) -> None:
    # length: of documents, in passages.
    starts = np.empty(0, np.int64) if length is None else np.arange(0, 60 + length, length)
    heap_scores, heap_rows = np.zeros(size, np.float32), np.full(size, NOTHING, np.uint32)
    heap = Heap(size, None if length is None else [row // length for row in range(60)])
    scores = {row: score for score, row in hits}  # a row has one score
    for _, row in hits:
        assert heap_scores[0] == heap.threshold
        heaps.offer(np.float32(scores[row]), np.uint32(row), True, starts, heap_scores, heap_rows)
        heap.offer(np.float32(scores[row]), row)
        found = [(row, score) for row, score in zip(heap_rows.tolist(), heap_scores, strict=True) if row != NOTHING]
        assert sorted(found) == sorted(heap.rows.items())
        for at in range(1, size):
            up = (at - 1) // 2
            assert not heaps.is_worse(heap_scores[at], heap_rows[at], heap_scores[up], heap_rows[up])


@pytest.mark.parametrize(
    ("score", "row", "other_score", "other_row", "worse"),
    [(1, 5, 2, 9, True), (2, 5, 1, 9, False), (1, 5, 1, 4, True), (1, 5, 1, 6, False), (1, 5, 1, 5, False)],
)
def test_worse(score: float, row: int, other_score: float, other_row: int, worse: bool) -> None:
    assert heaps.is_worse(np.float32(score), np.uint32(row), np.float32(other_score), np.uint32(other_row)) == worse


@given(st.lists(st.integers(0, 20), max_size=20).map(sorted), st.integers(-1, 22))
def test_count_below(rising: list[int], value: int) -> None:
    assert heaps.count_below(value, np.array(rising, np.int64)) == sum(each < value for each in rising)


@given(hits=st.lists(st.tuples(st.sampled_from([-1.0, 2.0, 3.5]), st.booleans()), max_size=12), k=st.integers(1, 12))
def test_merged_hits(hits: list[tuple[float, bool]], k: int) -> None:
    ranked = sorted((-score, row, mine) for row, (score, mine) in enumerate(hits))
    scores, rows = np.full(k, -np.inf, np.float32), np.full(k, -1)
    others = [(-score, row) for score, row, mine in ranked if not mine][:k]
    for at, (score, row) in enumerate(others):
        scores[at], rows[at] = score, row
    mine = [(-score, row) for score, row, is_mine in ranked if is_mine]
    arrays = np.array([score for score, _ in mine], np.float32), np.array([row for _, row in mine], np.int64)
    heaps.merge_hits(*arrays, len(mine), scores, rows)
    best = [(-score, row) for score, row, _ in ranked][:k]
    assert list(zip(scores.tolist(), rows.tolist(), strict=True)) == best + [(-np.inf, -1)] * (k - len(best))
