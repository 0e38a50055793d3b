"""The kernels of search, one by one and all together, against their twins on dictionaries.

Weights are such that no sum is rounded (samples.unrounded): scores are then equal, not close, and so is whatever
depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lsr.index.filters import Filter
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.result import SearchResult
from lsr.index.seismic.build.in_memory import Parts
from lsr.index.seismic.build.summarize import WINDOW, Blocks, invert_summaries
from lsr.index.seismic.engine import ALONE, NO_GRAPH, ScratchPool
from lsr.index.seismic.forward import tail_of
from lsr.index.seismic.search import kernels
from lsr.index.seismic.search.kernels import HEAD_REACH, LARGEST, NOTHING, SMALLEST, STRIP, Limits, Scratch
from lsr.index.seismic.search.queries import Queries
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.storage.arrays import read_only
from lsr.vectors.sparse_vectors import SparseVectors
from tests import made_vectors
from tests.data import load_vectors
from tests.index.samples import (
    DIMS,
    EVERYTHING,
    LAYOUTS,
    NARROW,
    WIDE,
    build,
    configs,
    make_forward,
    sample_table,
    unrounded,
    vectors_and_queries,
    whole_numbers,
    zipf_vectors,
)
from tests.naive import kernels as naive
from tests.naive.forward import read_documents
from tests.naive.seismic import Hits, NaiveIndex
from tests.naive.summarize import read_runs
from tests.strategies import from_pairs

Drawn = tuple[SparseVectors, SparseVectors]

both_layouts = pytest.mark.parametrize("compact", [False, True], ids=["fast", "compact"])
both_widths = pytest.mark.parametrize("dtype", [NARROW, WIDE])


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


def arrays_of(query: naive.Query) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """A prepared query as kernels take it."""
    return np.array(list(query), np.uint32), np.array(list(query.values()), np.float32)


def scratch_for(index: SeismicIndex, query: naive.Query, heap_size: int = 5) -> Scratch:
    """Fresh scratch memory, the query in its table, its heap empty."""
    scratch = index.engine.scratch.new(heap_size, max(1, len(query)))
    for component, weight in query.items():
        scratch.table[component] = weight
    kernels.start_heap(ALONE[0], 1.0, scratch)
    return scratch


def scratch_of(index: SeismicIndex, blocks: Blocks, query_cut: int) -> Scratch:
    """Scratch memory for other blocks than the index has."""
    return ScratchPool(Parts(index.engine.components, index.engine.forward, blocks)).new(5, query_cut)


def limits_for(
    index: SeismicIndex, params: SearchParams = EVERYTHING, k: int = 5, mask: npt.NDArray[np.bool_] | None = None
) -> Limits:
    limits = index.engine.limits(params, k, None if mask is None else Filter(mask))
    return limits._replace(query_cut=min(limits.query_cut, 1000), exact=params.exact)


def heap_of(scratch: Scratch) -> dict[int, np.float32]:
    """{row: score} of what was found; no row is there twice, and the worst stands first."""
    found = scratch.heap_rows != NOTHING
    rows = scratch.heap_rows[found].tolist()
    assert len(set(rows)) == len(rows)
    assert not scratch.heap_scores[~found].any()
    assert scratch.heap_scores[0] == scratch.heap_scores.min()
    return dict(zip(rows, scratch.heap_scores[found], strict=True))


def layout(compact: bool) -> IndexConfig:
    return IndexConfig(layout="compact" if compact else "fast")


# The heap


@pytest.mark.parametrize(("factor", "worst", "limit"), [(0.5, 3.0, 1.5), (0, np.inf, 0), (1, np.inf, LARGEST)])
def test_threshold(factor: float, worst: float, limit: float) -> None:
    assert kernels.threshold(np.float32(factor), np.array([worst, 9, np.inf], np.float32)) == np.float32(limit)


# Documents


def check_heads_and_tails(vectors: SparseVectors, dtype: type[np.unsignedinteger], compact: bool) -> None:
    forward, components = make_forward(unrounded(vectors), dtype, compact)
    # Heads are padded with component 0, whether or not there is one.
    table = sample_table(len(components.external))
    query = dict(enumerate(table.tolist()))
    for at, document in enumerate(read_documents(forward)):
        assert kernels.score_head(at, table, forward) == naive.score_head(document, query)
        assert kernels.score_tail(*tail_of(forward, at), table, forward) == naive.score_tail(document, query)


@both_layouts
@both_widths
@given(drawn=vectors_and_queries(max_rows=60, min_rows=1))
@settings(max_examples=30)
def test_heads_and_tails(drawn: Drawn, dtype: type[np.unsignedinteger], compact: bool) -> None:
    check_heads_and_tails(drawn[0], dtype, compact)


@both_layouts
@both_widths
def test_heads_and_tails_of_real_vectors(
    passages: SparseVectors, dtype: type[np.unsignedinteger], compact: bool
) -> None:
    check_heads_and_tails(passages[:200], dtype, compact)


@cache
def long_documents(compact: bool) -> tuple[SeismicIndex, NaiveIndex]:
    """Whose tails are read, or not."""
    index = build(unrounded(zipf_vectors(3, 300, 40, 30, 8)), layout(compact))
    return index, NaiveIndex.read(index)


def visit_all(
    index: SeismicIndex, documents: list[int], limits: Limits, search: naive.Search, scratch: Scratch
) -> None:
    """Visit documents, by the kernel and by its twin."""
    n_pending = 0
    for document in documents:
        n_pending = kernels.visit(
            document, False, n_pending, limits, index.engine.forward, index.engine.blocks.rows, scratch
        )
        search.visit(document, once=False)
        assert scratch.pending[:n_pending].tolist() == search.pending
    kernels.score_tails(n_pending, False, limits, index.engine.forward, index.engine.blocks.rows, scratch)
    search.score_tails(once=False)
    assert heap_of(scratch) == search.heap.rows


QUERY = {component: 1.0 + component % 3 for component in range(0, 30, 2)}


@both_layouts
@given(documents=st.lists(st.integers(0, 299), unique=True, max_size=300), mask=st.booleans(), seed=st.integers(0, 99))
def test_visits(documents: list[int], mask: bool, seed: int, compact: bool) -> None:
    index, twin = long_documents(compact)
    allowed = np.random.default_rng(seed).random(300) < 0.7 if mask else None
    masked = None if allowed is None else [bool(allowed[row]) for row in twin.rows]
    search = naive.Search(QUERY, twin.documents, twin.rows, 5, masked)
    visit_all(index, documents, limits_for(index, mask=allowed), search, scratch_for(index, QUERY))


@both_layouts
@given(
    queue=st.lists(st.integers(0, 30), unique=True),
    heap_factor=st.sampled_from([0.0, 0.7, 1.0]),
    estimates=st.lists(st.sampled_from([0, 1000, 3000, 6000]), min_size=100, max_size=100),
)
def test_visits_of_a_queue(queue: list[int], heap_factor: float, estimates: list[float], compact: bool) -> None:
    index, twin = long_documents(compact)
    assert 30 < len(twin.blocks) < 100
    scratch, search = scratch_for(index, QUERY), naive.Search(QUERY, twin.documents, twin.rows, 5)
    scratch.queue[: len(queue)] = queue
    scratch.estimates[:] = estimates[: len(scratch.estimates)]
    limits = limits_for(index, SearchParams(heap_factor=heap_factor))
    kernels.visit_queue(len(queue), limits, index.engine.forward, index.engine.blocks, scratch)
    search.visit_queue(queue, twin.blocks, estimates, limits.heap_factor)
    assert heap_of(scratch) == search.heap.rows


@given(
    first=st.lists(st.integers(0, 29), unique=True, max_size=20),
    again=st.lists(st.one_of(st.integers(0, 29), st.just(int(NOTHING))), min_size=90, max_size=90),
    knn=st.integers(1, 4),
)
def test_neighbors(first: list[int], again: list[int], knn: int) -> None:
    # Among them are documents that were found before, and that are found twice.
    index, twin = long_documents(False)
    graph = np.full((300, 3), NOTHING, np.uint32)
    graph[:30] = np.array(again, np.uint32).reshape(30, 3)
    graph.flags.writeable = False
    limits = limits_for(index)._replace(knn=knn)
    scratch, search = scratch_for(index, QUERY), naive.Search(QUERY, twin.documents, twin.rows, 5)
    visit_all(index, first, limits, search, scratch)
    starts = [row for row in scratch.heap_rows.tolist() if row != NOTHING]
    kernels.visit_neighbors(limits, graph, index.engine.forward, index.engine.blocks, scratch)
    linked = {d: [each for each in graph[d, :knn].tolist() if each != NOTHING] for d in range(300)}
    search.visit_neighbors(starts, linked)
    assert heap_of(scratch) == search.heap.rows


# Blocks


@given(weights=st.lists(st.integers(0, 5), max_size=12), query_cut=st.integers(1, 15))
def test_chosen_terms(weights: list[int], query_cut: int) -> None:
    chosen = np.empty(query_cut, np.uint32)
    n_chosen = kernels.choose_terms(np.array(weights, np.float32), query_cut, chosen)
    assert chosen[:n_chosen].tolist() == naive.choose_terms(weights, query_cut)


def check_estimates(blocks: Blocks, query: naive.Query, chosen: Sequence[int], scratch: Scratch) -> None:
    n_blocks = len(blocks.offsets) - 1
    terms = list(query)
    expected = naive.estimate_blocks({terms[at]: query[terms[at]] for at in chosen}, read_runs(blocks), n_blocks)
    is_open = np.arange(n_blocks, dtype=np.float32) % 3 > 0
    for opened in (np.empty(0, np.float32), is_open.astype(np.float32)):
        kernels.estimate_blocks(*arrays_of(query), np.array(chosen, np.uint32), opened, blocks, scratch)
        estimates = scratch.estimates[:n_blocks].tolist()
        assert estimates == [each if not opened.size or is_open[at] else 0 for at, each in enumerate(expected)]
        assert not scratch.estimates[n_blocks:].any()
        assert scratch.strips.tolist() == naive.strips_of(scratch.estimates.tolist(), STRIP, WINDOW)
        assert kernels.largest_of(scratch.strips) == max(estimates)


@given(drawn=vectors_and_queries(min_rows=1), config=configs())
@settings(max_examples=30)
def test_estimates(drawn: Drawn, config: IndexConfig) -> None:
    index = build(unrounded(drawn[0]), config)
    # One scratch for all of them: nothing of a former query may be left.
    scratch = index.engine.scratch.new(5, 100)
    for query in NaiveIndex.read(index).prepare(drawn[1]):
        check_estimates(index.engine.blocks, query, naive.choose_terms(list(query.values()), 3), scratch)


@pytest.mark.parametrize("n_blocks", [1, STRIP, WINDOW, WINDOW + 1, 2 * WINDOW + 77])
def test_estimates_of_several_windows(n_blocks: int) -> None:
    n_components = 7
    blocks = random_blocks(n_blocks, n_components)
    index = SeismicIndex.build(SparseVectors(np.arange(n_components + 1), range(n_components), np.ones(7), 7))
    scratch = scratch_of(index, blocks, n_components)
    query = {component: 1.0 + component for component in (6, 0, 3, 5)}
    for chosen in ([0, 1, 2, 3], [2], []):
        check_estimates(blocks, query, chosen, scratch)


def random_blocks(n_blocks: int, n_components: int) -> Blocks:
    """Blocks of one document each and random summaries, some components in nearly all, some in hardly any."""
    rng = np.random.default_rng(n_blocks)
    starts, streams = [], []
    for first in range(0, n_blocks, WINDOW):
        size = min(WINDOW, n_blocks - first)
        share = 1 / 4 ** np.arange(n_components)
        numbers, components = np.nonzero(rng.random((size, n_components)) < share)
        codes = rng.integers(1, 256, len(components)).astype(np.uint8)
        window = invert_summaries(components.astype(np.uint16), numbers.astype(np.uint16), codes, n_components, size)
        starts.append(window[0])
        streams.append(window[1])
    rows = np.arange(n_blocks, dtype=np.uint32)
    offsets = np.arange(n_blocks + 1, dtype=np.uint32)
    windows = np.cumsum([0, *map(len, streams)], dtype=np.int64)
    return Blocks.of([rows, rows, offsets, windows, np.concatenate(starts), np.concatenate(streams)], 0)


ESTIMATES = st.one_of(st.just(0.0), st.floats(0, 1000, width=32), st.floats(0, float(LARGEST), width=32))


@given(
    strips=st.lists(ESTIMATES, min_size=1, max_size=30),
    floor=st.floats(float(SMALLEST), float(LARGEST), width=32),
    limit=st.floats(float(SMALLEST), float(LARGEST), width=32),
    wanted=st.integers(1, 40),
)
def test_floor_of_a_band(strips: list[float], floor: float, limit: float, wanted: int) -> None:
    values = np.array(strips, np.float32)
    estimates = np.repeat(values, 2)  # two blocks of each strip
    found = kernels.band_floor(np.float32(floor), np.float32(limit), wanted, values, estimates)
    assert found == naive.band_floor(np.float32(floor), np.float32(limit), wanted, list(values), list(estimates))
    assert kernels.count_reaching(found, values) == naive.count_reaching(found, list(values))
    assert limit <= found <= max(floor, limit)
    assert found == np.float32(limit) or (estimates >= found).sum() >= wanted


@pytest.mark.parametrize("strips", [[0.0], [3.0, 5.0, 0.0], [np.inf, 1.0], [float(LARGEST)]])
def test_largest_estimate(strips: list[float]) -> None:
    assert kernels.largest_of(np.array(strips, np.float32)) == naive.largest_of([np.float32(each) for each in strips])


@given(
    estimates=st.lists(st.one_of(st.integers(0, 4), st.just(np.inf)), min_size=1, max_size=100),
    floor=st.floats(0.5, 4, width=32),
    above=st.one_of(st.just(np.nan), st.floats(0.5, 5, width=32)),
)
def test_queued_blocks(estimates: list[float], floor: float, above: float) -> None:
    check_queued(estimates, floor, above)


@pytest.mark.parametrize("n_blocks", [WINDOW, WINDOW + 1, 2 * WINDOW + 77])
def test_queued_blocks_of_several_windows(n_blocks: int) -> None:
    estimates = np.random.default_rng(n_blocks).integers(0, 1000, n_blocks).tolist()
    check_queued(estimates, 990, 995)


def check_queued(estimates: list[float], floor: float, above: float) -> None:
    index = SeismicIndex.build(from_pairs([[(0, 1.0)]], 1))
    blocks = random_blocks(len(estimates), 1)
    scratch = scratch_of(index, blocks, 1)
    scratch.estimates[: len(estimates)] = estimates
    scratch.strips[:] = naive.strips_of(scratch.estimates.tolist(), STRIP, WINDOW)
    for listed in (floor, floor / 2):
        n_reaching = kernels.reaching_strips(np.float32(listed), scratch)
        expected = [at for at, most in enumerate(scratch.strips.tolist()) if most >= np.float32(listed)]
        assert scratch.reaching[:n_reaching].tolist() == expected
        n = kernels.queue_band(np.float32(floor), np.float32(above), n_reaching, blocks.offsets, scratch)
        assert sorted(scratch.queue[:n].tolist()) == naive.queue_band(np.float32(floor), np.float32(above), estimates)


# The search of blocks: not which of them it visits when, but what it may leave out


def check_search_of_blocks(
    index: SeismicIndex, twin: NaiveIndex, query: naive.Query, limits: Limits, heap_size: int
) -> None:
    scratch = scratch_for(index, query, heap_size)
    kernels.search_blocks(*arrays_of(query), limits, index.engine.forward, index.engine.blocks, scratch)
    found = heap_of(scratch)
    worst = scratch.heap_scores[0]
    chosen = naive.choose_terms(list(query.values()), limits.query_cut)
    estimated = {component: query[component] for at, component in enumerate(query) if at in chosen}
    allowed = [True] * len(index) if not limits.allowed.size else limits.allowed.astype(bool).tolist()
    estimates = [
        estimate if not limits.open.size or any(allowed[document] for document in documents) else 0
        for documents, estimate in zip(
            twin.blocks, naive.estimate_blocks(estimated, twin.runs, len(twin.blocks)), strict=True
        )
    ]
    reach = worst * max(np.float32(1), limits.heap_factor)
    for block, documents in enumerate(twin.blocks):
        better = sum(estimate > estimates[block] for estimate in estimates)
        for document in documents:
            score = naive.coarse_score(twin.documents[document], query)
            row = twin.rows[document]
            if row in found:
                assert found[row] == score
                assert score > 0
                assert estimates[block] > 0
                assert allowed[document]
            elif score > worst:
                low = estimates[block] < worst * limits.heap_factor or estimates[block] == 0
                late = better >= limits.max_blocks
                short = naive.score_head(twin.documents[document], query) * HEAD_REACH < reach
                assert low or late or short or not allowed[document]


@st.composite
def drawn_params(draw: st.DrawFn) -> SearchParams:
    return SearchParams(
        query_cut=draw(st.sampled_from([1, 2, 5, 100])),
        heap_factor=draw(st.sampled_from([0.0, 0.5, 0.8, 1.0, 1.5])),
        max_blocks=draw(st.sampled_from([1, 5, 1000, None])),
    )


@given(
    drawn=vectors_and_queries(min_rows=1),
    config=configs(),
    params=drawn_params(),
    heap_size=st.sampled_from([1, 3, 12, 400]),
    share=st.sampled_from([0.0, 0.2, 1.0, None]),
)
@settings(max_examples=60)
def test_search_of_blocks(
    drawn: Drawn, config: IndexConfig, params: SearchParams, heap_size: int, share: float | None
) -> None:
    index = build(unrounded(drawn[0]), config)
    mask = None if share is None else np.random.default_rng(1).random(len(index)) < share
    limits, twin = limits_for(index, params, mask=mask), NaiveIndex.read(index)
    for query in twin.prepare(whole_numbers(drawn[1])[:4]):
        check_search_of_blocks(index, twin, query, limits, heap_size)


@cache
def many_documents(name: str, layout: str) -> tuple[SeismicIndex, NaiveIndex, list[naive.Query]]:
    """Short ones, or fewer long ones, whose tails are read or not; and queries."""
    documents, queries = {
        "short": lambda: (made_vectors.short_documents(3000), made_vectors.short_queries(5)),
        "long": lambda: (made_vectors.long_documents(600), made_vectors.long_queries(5)),
        "real": lambda: (load_vectors("wiki-passages")[:600], load_vectors("wiki-queries")[:5]),
    }[name]()
    index = build(unrounded(documents), IndexConfig(layout=layout), rare=5)
    twin = NaiveIndex.read(index)
    return index, twin, twin.prepare(whole_numbers(queries))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["short", "long", pytest.param("real", marks=pytest.mark.data)])
@pytest.mark.parametrize(
    "params", [SearchParams(), SearchParams(2, 0.9), EVERYTHING, SearchParams(max_blocks=3)], ids=repr
)
@pytest.mark.parametrize("share", [0.1, None])
def test_search_of_blocks_of_many(name: str, params: SearchParams, layout: str, share: float | None) -> None:
    index, twin, queries = many_documents(name, layout)
    mask = None if share is None else np.random.default_rng(1).random(len(index)) < share
    for query in queries:
        check_search_of_blocks(index, twin, query, limits_for(index, params, mask=mask), 12)


@both_layouts
@given(drawn=vectors_and_queries(min_rows=1))
@settings(max_examples=30)
def test_a_heap_with_room_for_all_gets_them(drawn: Drawn, compact: bool) -> None:
    # Also tails are read as long as there is room.
    config = replace(layout(compact), summary_energy=1.0)
    index = build(unrounded(drawn[0]), config, rare=0)
    twin = NaiveIndex.read(index)
    for query in twin.prepare(drawn[1]):
        scratch = scratch_for(index, query, len(index) + 1)
        kernels.search_blocks(*arrays_of(query), limits_for(index), index.engine.forward, index.engine.blocks, scratch)
        scores = {
            row: naive.coarse_score(twin.documents[at], query) or naive.fine_score(twin.documents[at], query)
            for at, row in enumerate(twin.rows)
        }
        assert heap_of(scratch) == {row: score for row, score in scores.items() if score > 0}


@pytest.mark.parametrize("dim", DIMS[1:])
def test_searches_skip_and_stop_early(dim: int) -> None:
    # What the drawn cases rely on: that parameters make a difference.
    vectors, queries = unrounded(zipf_vectors(5, 6000, dim, 8, 1000)), whole_numbers(zipf_vectors(6, 30, dim, 5, 4))
    index = build(vectors, IndexConfig(summary_energy=0.4), rare=0)
    everything, one_term, all_terms, eager, few = (
        hits(index.search(queries, 3, params))
        for params in (
            EVERYTHING,
            SearchParams(1, 0),
            SearchParams(5, 1),
            SearchParams(5, 2),
            SearchParams(5, 0, max_blocks=1),
        )
    )
    assert all(each != everything for each in (one_term, eager, few))
    assert all_terms != eager


# Too few found


@given(
    query=st.lists(st.integers(0, 9), unique=True, max_size=6),
    n_found=st.integers(0, 5),
    k=st.integers(1, 8),
    query_cut=st.integers(1, 8),
    n_frequent=st.integers(0, 10),
    n_allowed=st.one_of(st.none(), st.integers(1, 6)),
)
def test_lacking(
    query: list[int], n_found: int, k: int, query_cut: int, n_frequent: int, n_allowed: int | None
) -> None:
    index = build(from_pairs([[(component, 1.0) for component in range(10)]] * 6, 10))
    blocks = index.engine.blocks._replace(n_frequent=n_frequent)
    mask = None if n_allowed is None else np.arange(6) < n_allowed
    limits = limits_for(index, k=k, mask=mask)._replace(query_cut=query_cut)
    scratch = scratch_for(index, {}, 7)
    scratch.heap_scores[7 - n_found :], scratch.heap_rows[7 - n_found :] = 1, np.arange(n_found)
    lacks = kernels.may_lack(np.array(query, np.uint32), limits, blocks, scratch)
    candidates = 6 if n_allowed is None else n_allowed
    assert lacks == naive.may_lack(dict.fromkeys(query, 1.0), n_found, k, candidates, query_cut, n_frequent)


# All documents


def check_scan(index: SeismicIndex, twin: NaiveIndex, query: naive.Query, k: int, allowed: list[int] | None) -> None:
    scratch = scratch_for(index, query, k)
    expected = naive.scan(query, twin.documents, twin.rows, allowed or range(len(index)))
    limits, mask = limits_for(index), np.zeros(len(index), np.uint8)
    mask[allowed or []] = 1
    listed = limits._replace(scanned=read_only(np.array(allowed or [], np.uint32)))
    for each in (listed, limits._replace(allowed=read_only(mask)) if allowed else limits):
        kernels.scan(each, arrays_of(query)[1], index.engine.forward, index.engine.blocks.rows, scratch)
        assert sorted(heap_of(scratch)) == sorted(expected[:k])
        kernels.start_heap(ALONE[0], 1.0, scratch)


@given(
    drawn=vectors_and_queries(min_rows=1),
    config=configs(),
    k=st.sampled_from([1, 3, 10, 500]),
    every=st.sampled_from([1, 3]),
)
@settings(max_examples=30)
def test_scan(drawn: Drawn, config: IndexConfig, k: int, every: int) -> None:
    index = build(unrounded(drawn[0]), config)
    twin = NaiveIndex.read(index)
    for query in twin.prepare(whole_numbers(drawn[1])):
        check_scan(index, twin, query, k, None if every == 1 else list(range(0, len(index), every)))


@both_layouts
def test_scan_of_real_vectors(passages: SparseVectors, passage_queries: SparseVectors, compact: bool) -> None:
    index = build(unrounded(passages[:500]), layout(compact))
    twin = NaiveIndex.read(index)
    for query in twin.prepare(whole_numbers(passage_queries[:20])):
        check_scan(index, twin, query, 10, None)


def test_scan_by_low_bytes() -> None:
    # High bytes alone cannot tell these documents apart: each is a little better than the one before.
    codes = [255.0, *(100 + np.arange(128) / 256).tolist()]
    index = build(from_pairs([[(0, code)] for code in codes], 1))
    assert index.engine.forward.scale.tolist() == [1]
    result = index.search(from_pairs([[(0, 1.0)]], 1), 10, SearchParams(exact=True))
    assert result.rows[0].tolist() == [0, *range(128, 119, -1)]


# Ranking


@both_layouts
@given(drawn=vectors_and_queries(max_rows=80, min_rows=1), k=st.integers(1, 100), data=st.data())
@settings(max_examples=50)
def test_rank(drawn: Drawn, k: int, data: st.DataObject, compact: bool) -> None:
    index = build(unrounded(drawn[0]), layout(compact))
    twin = NaiveIndex.read(index)
    assume(twin.external)  # or nothing can be found
    found = data.draw(st.lists(st.integers(0, len(index) - 1), unique=True, max_size=90))
    query = dict.fromkeys(range(len(twin.external)), 1.0)
    scratch = scratch_for(index, query, heap_size=90)
    scratch.heap_rows[data.draw(st.permutations(range(90)))[: len(found)]] = found
    scores, ranked = np.full(k, -np.inf, np.float32), np.full(k, -1, np.int64)
    kernels.rank(1.0, limits_for(index), index.engine.forward, index.engine.blocks.positions, scratch, scores, ranked)
    expected = naive.rank(found, query, twin.documents, twin.rows, k)
    assert hits(SearchResult(scores[None], ranked[None])) == [expected]


# Batches


def queries_of(prepared: Sequence[naive.Query]) -> Queries:
    pairs = [arrays_of(query) for query in prepared]
    components, weights = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
    return Queries(np.cumsum([0, *map(len, prepared)], dtype=np.int64), components, weights)


@given(drawn=vectors_and_queries(min_rows=1), config=configs(), params=drawn_params(), k=st.sampled_from([1, 10, 400]))
@settings(max_examples=30)
def test_batch(drawn: Drawn, config: IndexConfig, params: SearchParams, k: int) -> None:
    index = build(unrounded(drawn[0]), config)
    twin = NaiveIndex.read(index)
    prepared = twin.prepare(whole_numbers(drawn[1]))
    expected = twin.search_exactly(whole_numbers(drawn[1]), k)
    queries, heap_size = queries_of(prepared), min(k + 3, len(index))
    for each in (params, SearchParams(exact=True)):
        scratch = index.engine.scratch.new(heap_size, 20)
        scores, rows = np.full((12, k), -np.inf, np.float32), np.full((12, k), -1, np.int64)
        limits = limits_for(index, each, k)._replace(query_cut=min(each.query_cut, 20))
        arrays = index.engine.forward, index.engine.blocks, NO_GRAPH, scratch
        kernels.search_batch(queries, np.ones(12), 2, 10, limits, *arrays, np.empty((8, 0)), scores, rows)
        assert not scratch.table.any()
        outside = np.r_[:2, 10:12]
        assert np.isneginf(scores[outside]).all()
        assert (rows[outside] == -1).all()
        found = hits(SearchResult(scores[2:10], rows[2:10]))
        if each.exact:
            assert found == expected[2:10]
        for query, one in zip(prepared[2:10], found, strict=True):
            assert one == naive.rank([row for _, row in one], query, twin.documents, twin.rows, k)


# The whole index


@given(
    drawn=vectors_and_queries(min_rows=1),
    config=configs(),
    rare=st.sampled_from([0, 5, 128]),
    k=st.sampled_from([1, 10, 500]),
)
@settings(max_examples=40)
def test_index(drawn: Drawn, config: IndexConfig, rare: int, k: int) -> None:
    vectors, queries = unrounded(drawn[0]), whole_numbers(drawn[1])
    index = build(vectors, config, rare)
    twin = NaiveIndex.build(vectors, config, rare)
    assert twin == NaiveIndex.read(index)
    assert hits(index.search(queries, k, SearchParams(exact=True))) == twin.search_exactly(queries, k)
    allowed = list(range(0, len(vectors), 3))
    found = index.search(queries, k, SearchParams(exact=True), allowed=allowed)
    assert hits(found) == twin.search_exactly(queries, k, allowed)


@both_layouts
def test_index_of_real_vectors(packages: SparseVectors, compact: bool) -> None:
    vectors = packages[:600]
    index = build(vectors, layout(compact))
    assert NaiveIndex.build(vectors, layout(compact), 128) == NaiveIndex.read(index)


# Threads


def test_other_threads_go_on_during_a_search(packages_index: SeismicIndex, package_queries: SparseVectors) -> None:
    # One call of a kernel, watched from here: a middle state can be seen only if the call does not hold the GIL.
    index = packages_index
    engine = index.engine
    queries, factors, _ = engine.prepare(SparseVectors.concatenate([package_queries] * 5))
    n = len(queries.indptr) - 1
    limits = limits_for(index, SearchParams(exact=True), 10)
    for _ in range(10):
        scores, rows = np.full((n, 10), -np.inf, np.float32), np.full((n, 10), -1, np.int64)
        arguments: tuple[Any, ...] = (
            queries, factors, 0, n, limits, engine.forward, engine.blocks, engine.graph, engine.scratch.new(12, 1000),
            np.empty((n, 0)), scores, rows,
        )  # fmt: skip
        thread = Thread(target=kernels.search_batch, args=arguments)
        thread.start()
        seen_half_done = False
        while thread.is_alive():
            seen_half_done |= bool(rows[0, 0] != -1 and rows[-1, 0] == -1)
        thread.join()
        if seen_half_done:
            return
    pytest.fail("a search was never seen half done")
