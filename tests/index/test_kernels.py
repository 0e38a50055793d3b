"""The kernels of search, one by one and all together, against their twins on dictionaries.

Weights are such that no sum is rounded (samples.unrounded): scores are then equal, not close, and so is whatever
depends on them.
"""

from __future__ import annotations

from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index import kernels
from lsr.index.config import IndexConfig, SearchParams
from lsr.index.forward import tail_of
from lsr.index.kernels import NOTHING, Scratch
from lsr.index.result import SearchResult
from lsr.index.seismic import SeismicIndex
from lsr.index.summarize import free_slot
from lsr.vectors import SparseVectors
from tests.index.samples import (
    DIMS,
    NARROW,
    WIDE,
    build,
    configs,
    make_forward,
    unrounded,
    vectors_and_queries,
    whole_numbers,
    zipf_vectors,
)
from tests.naive import kernels as naive
from tests.naive.forward import read_documents
from tests.naive.seismic import Hits, NaiveIndex
from tests.strategies import from_pairs

Drawn = tuple[SparseVectors, SparseVectors]


def hits(result: SearchResult) -> list[Hits]:
    """(score, row) of each query's hits; checks the padding behind them."""
    found = result.rows >= 0
    assert (np.diff(found.astype(int), axis=1) <= 0).all()
    assert np.isneginf(result.scores[~found]).all()
    assert (result.rows[~found] == -1).all()
    return [
        list(zip(scores[: sum(there)].tolist(), rows[: sum(there)].tolist(), strict=True))
        for scores, rows, there in zip(result.scores, result.rows, found, strict=True)
    ]


def scratch_of(index: SeismicIndex, heap_size: int = 5, query_cut: int = 100, n_terms: int = 100) -> Scratch:
    return index._borrow(heap_size, query_cut, query_cut * n_terms)


@st.composite
def params(draw: st.DrawFn) -> SearchParams:
    return SearchParams(
        query_cut=draw(st.sampled_from([1, 2, 5, 100])), heap_factor=draw(st.sampled_from([0.0, 0.5, 0.8, 1.0, 1.5]))
    )


# The heap


@given(scores=st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.5, 7.0]), min_size=1, max_size=60), size=st.integers(1, 20))
def test_heap(scores: list[float], size: int) -> None:
    heap_scores, heap_documents = np.zeros(size, np.float32), np.full(size, NOTHING, np.uint32)
    heap = naive.Heap(size)
    for document, score in enumerate(scores):
        assert heap_scores[0] == heap.threshold
        if score > heap.threshold:
            kernels.replace_worst(np.float32(score), np.uint32(document), heap_scores, heap_documents)
            heap.replace_worst(np.float32(score), document)
    found = {d: s for d, s in zip(heap_documents.tolist(), heap_scores.tolist(), strict=True) if d != NOTHING}
    assert found == heap.documents


# Documents


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(drawn=vectors_and_queries(max_rows=60))
@settings(max_examples=30)
def test_heads_and_tails(drawn: Drawn, dtype: type) -> None:
    forward, components = make_forward(unrounded(drawn[0]), dtype)
    table = np.random.default_rng(7).integers(0, 5, len(components.external)).astype(np.float32)
    query = dict(enumerate(table.tolist()))
    for row, document in enumerate(read_documents(forward)):
        assert kernels.score_head(row, table, forward) == naive.score_head(document, query)
        start, length = tail_of(forward, row)
        assert kernels.score_tail(start, length, table, forward) == naive.score_tail(document, query)


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
def test_heads_and_tails_of_real_vectors(passages: SparseVectors, dtype: type) -> None:
    forward, components = make_forward(unrounded(passages[:200]), dtype)
    table = np.random.default_rng(7).integers(0, 5, len(components.external)).astype(np.float32)
    query = dict(enumerate(table.tolist()))
    for row, document in enumerate(read_documents(forward)):
        assert kernels.score_head(row, table, forward) == naive.score_head(document, query)
        assert kernels.score_tail(*tail_of(forward, row), table, forward) == naive.score_tail(document, query)


# Lists


@given(weights=st.lists(st.integers(0, 5), max_size=12), query_cut=st.integers(1, 15))
def test_chosen_lists(weights: list[int], query_cut: int) -> None:
    query = {component * 7: float(weight) for component, weight in enumerate(weights)}
    visited = np.empty(query_cut, np.uint32)
    n_visited = kernels.choose_lists(
        np.array(list(query), np.uint32), np.array(list(query.values()), np.float32), query_cut, visited
    )
    assert visited[:n_visited].tolist() == naive.choose_lists(query, query_cut)


@given(drawn=vectors_and_queries(), config=configs())
@settings(max_examples=30)
def test_estimates(drawn: Drawn, config: IndexConfig) -> None:
    index = build(unrounded(drawn[0]), config, short_list=5)
    twin = NaiveIndex.read(index)
    scratch = scratch_of(index)
    for query in twin.prepare(drawn[1]):
        visited = naive.choose_lists(query, 3)
        n_blocks = kernels.estimate_blocks(
            np.array(list(query), np.uint32),
            np.array(list(query.values()), np.float32),
            np.array(visited, np.uint32),
            index._lists,
            free_slot(index._lists.keys.dtype),
            scratch,
        )
        assert scratch.estimates[:n_blocks].tolist() == naive.estimate_blocks(query, visited, twin.lists)


@given(rows=st.lists(st.lists(st.integers(0, 299), max_size=200), max_size=5))
def test_visits(rows: list[list[int]]) -> None:
    index = build(unrounded(zipf_vectors(3, 300, 40, 5, 8)))
    twin = NaiveIndex.read(index)
    query = {component: 1.0 + component % 3 for component in range(0, 30, 2)}
    search = naive.Search(query, 0.8, twin.documents, heap_size=5)
    scratch = scratch_of(index)
    for component, weight in query.items():
        scratch.table[component] = weight
    scratch.heap_scores[:] = 0
    scratch.heap_documents[:] = NOTHING
    n_pending = n_dirty = 0
    for members in rows:
        lists = index._lists._replace(documents=np.array(members, np.uint32))
        lists.documents.flags.writeable = False
        n_pending, n_dirty = kernels.visit(
            0, len(members), np.float32(0.8), n_pending, n_dirty, lists, index._forward, scratch
        )
        search.visit(members)
        assert scratch.pending[:n_pending].tolist() == search.pending
    found = zip(scratch.heap_documents.tolist(), scratch.heap_scores.tolist(), strict=True)
    assert {document: score for document, score in found if document != NOTHING} == search.heap.documents
    bits = np.unpackbits(scratch.seen.view(np.uint8), bitorder="little")
    assert set(np.flatnonzero(bits).tolist()) == search.seen
    assert set(scratch.dirty[:n_dirty].tolist()) == {document // 64 for document in search.seen}
    assert n_dirty == len(set(scratch.dirty[:n_dirty].tolist()))


# Whole searches


@given(drawn=vectors_and_queries(), config=configs(), params=params(), k=st.sampled_from([1, 3, 10, 500]))
@settings(max_examples=60)
def test_search(drawn: Drawn, config: IndexConfig, params: SearchParams, k: int) -> None:
    vectors, queries = unrounded(drawn[0]), whole_numbers(drawn[1])
    index = build(vectors, config, short_list=5)
    twin = NaiveIndex.build(vectors, config, short_list=5)
    assert twin == NaiveIndex.read(index)
    for each in (params, SearchParams(exact=True)):
        assert hits(index.search(queries, k, each)) == twin.search(queries, k, each)


@pytest.mark.parametrize("dim", DIMS[1:])
def test_searches_skip_and_stop_early(dim: int) -> None:
    # What the drawn cases rely on: that lists have blocks, and that parameters make a difference.
    vectors, queries = unrounded(zipf_vectors(5, 300, dim, 8, 1000)), whole_numbers(zipf_vectors(6, 30, dim, 5, 4))
    index = build(vectors, IndexConfig(summary_energy=0.4), short_list=5)
    twin = NaiveIndex.read(index)
    assert max(len(each.blocks) for each in twin.lists) > 10
    results = [
        hits(index.search(queries, 3, SearchParams(query_cut, heap_factor)))
        for query_cut, heap_factor in ((1, 0.0), (5, 0.0), (5, 1.0), (5, 2.0))
    ]
    assert all(result != results[0] for result in results[1:])
    assert results[1] != results[3]


@pytest.mark.parametrize("query_cut", [2, 10])
@pytest.mark.parametrize("heap_factor", [0.0, 0.8, 1.2])
def test_search_of_real_vectors(
    passages: SparseVectors, passage_queries: SparseVectors, query_cut: int, heap_factor: float
) -> None:
    # Long documents: tails are read, or not.
    vectors, queries = unrounded(passages[:600]), whole_numbers(passage_queries[:20])
    index = build(vectors, IndexConfig(), short_list=20)
    params = SearchParams(query_cut, heap_factor)
    assert hits(index.search(queries, 10, params)) == NaiveIndex.read(index).search(queries, 10, params)


def test_scan_of_real_vectors(packages: SparseVectors, package_queries: SparseVectors) -> None:
    vectors, queries = unrounded(packages[:1000]), whole_numbers(package_queries[:20])
    index = build(vectors)
    params = SearchParams(exact=True)
    assert hits(index.search(queries, 10, params)) == NaiveIndex.read(index).search(queries, 10, params)


def test_scan_by_low_bytes() -> None:
    # High bytes alone cannot tell these documents apart: each is a little better than the one before.
    codes = [255.0, *(100 + np.arange(128) / 256).tolist()]
    index = build(from_pairs([[(0, code)] for code in codes], 1))
    assert index._forward.scale.tolist() == [1]
    result = index.search(from_pairs([[(0, 1.0)]], 1), 10, SearchParams(exact=True))
    assert result.rows[0].tolist() == [0, *range(128, 119, -1)]


# Ranking


@given(drawn=vectors_and_queries(max_rows=80), k=st.integers(1, 100), data=st.data())
@settings(max_examples=50)
def test_rank(drawn: Drawn, k: int, data: st.DataObject) -> None:
    index = build(unrounded(drawn[0]))
    twin = NaiveIndex.read(index)
    rows = st.integers(0, len(index) - 1) if len(index) else st.nothing()
    found = data.draw(st.lists(rows, unique=True, max_size=90 if len(index) else 0))
    query = dict.fromkeys(range(len(twin.external)), 1.0)
    scratch = scratch_of(index, heap_size=90)
    scratch.heap_documents[:] = NOTHING
    scratch.heap_documents[data.draw(st.permutations(range(90)))[: len(found)]] = found
    scratch.table[:] = 1
    scores, ranked = np.empty(k, np.float32), np.empty(k, np.int64)
    kernels.rank(index._forward, scratch, scores, ranked)
    expected = naive.rank(found, query, twin.documents, k)
    assert hits(SearchResult(scores[None], ranked[None])) == [expected]


# Threads


def test_other_threads_go_on_during_a_search(packages_index: SeismicIndex, package_queries: SparseVectors) -> None:
    # One call of a kernel, watched from here: a middle state can be seen only if the call does not hold the GIL.
    index = packages_index
    queries, _ = index._prepare(SparseVectors.concatenate([package_queries] * 5))
    n = len(queries.indptr) - 1
    scores = np.empty((n, 10), np.float32)
    for _ in range(10):
        rows = np.full((n, 10), -2, np.int64)
        arguments = (
            queries, 0, n, True, 10, np.float32(0.8), index._forward, index._lists,
            free_slot(index._lists.keys.dtype), scratch_of(index, 12), scores, rows,
        )  # fmt: skip
        thread = Thread(target=kernels.search_batch, args=arguments)
        thread.start()
        seen_half_done = False
        while thread.is_alive():
            seen_half_done |= bool(rows[0, 0] != -2 and rows[-1, 0] == -2)
        thread.join()
        if seen_half_done:
            return
    pytest.fail("a search was never seen half done")
