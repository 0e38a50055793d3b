"""The kernels of search, one by one and all together, against their twins on dictionaries.

Weights are such that no sum is rounded (samples.unrounded): scores are then equal, not close, and so is whatever
depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from threading import Thread
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lsr.index.filters import Filter
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.result import SearchResult
from lsr.index.seismic import engine
from lsr.index.seismic.build.summarize import SUPER
from lsr.index.seismic.engine import NO_GRAPH
from lsr.index.seismic.exact_lists import make_lists
from lsr.index.seismic.forward import tail_of
from lsr.index.seismic.search import kernels
from lsr.index.seismic.search.estimates import floor_of, new_estimates
from lsr.index.seismic.search.kernels import BINS, HEAD_REACH, LARGEST, NOTHING, SMALLEST, Limits, Scratch
from lsr.index.seismic.search.lanes import LANES
from lsr.index.seismic.search.list_kernels import NO_LISTS
from lsr.index.seismic.search.queries import LARGEST_PRODUCT, SMALLEST_PRODUCT, Queries
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.storage.arrays import read_only
from lsr.vectors.sparse_vectors import SparseVectors
from tests import made_vectors
from tests.data import load_vectors
from tests.index.samples import (
    DIMS,
    EVERYTHING,
    EXACT,
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
from tests.strategies import from_pairs

Drawn = tuple[SparseVectors, SparseVectors]

both_layouts = pytest.mark.parametrize("compact", [False, True], ids=["fast", "compact"])
both_nodes = pytest.mark.parametrize("superblocks", [False, True], ids=["blocks", "superblocks"])
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


def scratch_for(index: SeismicIndex, query: naive.Query, heap_size: int = 5, limits: Limits | None = None) -> Scratch:
    """Fresh scratch memory, the query in its table, its heap empty."""
    scratch = index.engine.scratch.new(heap_size, limits_for(index) if limits is None else limits)
    for component, weight in query.items():
        scratch.table[component] = weight
    kernels.start_heap(np.empty(0), 1.0, scratch)
    return scratch


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
    ordered=st.lists(st.integers(0, 80), unique=True),
    heap_factor=st.sampled_from([0.0, 0.7, 1.0]),
    estimates=st.lists(st.sampled_from([0, 1000, 3000, 6000]), min_size=100, max_size=100),
)
def test_visits_of_blocks(ordered: list[int], heap_factor: float, estimates: list[float], compact: bool) -> None:
    # Some of them are beyond the last, as those of an incomplete superblock are.
    index, twin = long_documents(compact)
    assert twin.n_blocks == 75
    scratch, search = scratch_for(index, QUERY), naive.Search(QUERY, twin.documents, twin.rows, 5)
    n = len(ordered)
    scratch.ordered[:n], scratch.ordered_scores[:n] = ordered, estimates[:n]
    limits = limits_for(index, SearchParams(heap_factor=heap_factor))
    kernels.visit_blocks(n, False, limits, index.engine.forward, index.engine.blocks, scratch)
    pairs = list(zip(ordered, map(np.float32, estimates), strict=False))
    search.visit_blocks(pairs, index.engine.blocks.block_size, limits.heap_factor, once=False)
    assert heap_of(scratch) == search.heap.rows


@given(
    visited=st.lists(st.integers(0, 299), unique=True, max_size=30),
    heap_factor=st.sampled_from([0.0, 0.7, 1.0]),
    estimates=st.lists(st.sampled_from([1000.0, 3000.0, 6000.0, 20_000.0]), max_size=60),
)
def test_what_blocks_after_the_deadline_would_hold(
    visited: list[int], heap_factor: float, estimates: list[float]
) -> None:
    index, twin = long_documents(False)
    limits = limits_for(index, SearchParams(heap_factor=heap_factor))
    scratch, search = scratch_for(index, QUERY), naive.Search(QUERY, twin.documents, twin.rows, 5)
    visit_all(index, visited, limits, search, scratch)
    before, n = heap_of(scratch), len(estimates)
    scratch.ordered[:n], scratch.ordered_scores[:n] = range(n), estimates
    over = limits._replace(deadline=1)
    kernels.visit_blocks(n, False, over, index.engine.forward, index.engine.blocks, scratch)
    assert heap_of(scratch) == before
    wanted = naive.miss_blocks(map(np.float32, estimates), limits.heap_factor, scratch.heap_scores[0])
    assert scratch.missed[0] == pytest.approx(wanted if n else 0, rel=1e-5)


def test_scans_after_the_deadline_find_nothing() -> None:
    index, _ = long_documents(False)
    engine, limits = index.engine, limits_for(index, EXACT, k=5)._replace(deadline=1, share=0.25)
    components, weights = arrays_of(QUERY)
    for allowed in (limits, limits._replace(scanned=read_only(np.arange(7, dtype=np.uint32)))):
        scratch = scratch_for(index, QUERY)
        kernels.scan(allowed, weights, engine.forward, engine.blocks.rows, scratch)
        assert not heap_of(scratch)
        assert scratch.missed[0] == 5 * 0.25
    scratch = scratch_for(index, QUERY)
    lists = make_lists(engine.forward)
    kernels.scan_lists(components, weights, lists, limits, engine.forward, engine.blocks.rows, scratch)
    assert not heap_of(scratch)
    assert scratch.missed[0] == 5 * 0.25


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

QUERY_WEIGHTS = st.one_of(
    st.integers(1, 5).map(float),
    st.floats(SMALLEST_PRODUCT, LARGEST_PRODUCT, width=32),
    st.floats(0, 2.0**-126, width=32),
)


@given(drawn=vectors_and_queries(min_rows=1), config=configs(), masked=st.booleans(), data=st.data())
@settings(max_examples=40)
def test_opened_superblocks(drawn: Drawn, config: IndexConfig, masked: bool, data: st.DataObject) -> None:
    index = build(drawn[0], config, superblocks=True)
    twin, components = NaiveIndex.read(index), np.arange(len(index.engine.components.external), dtype=np.uint32)
    weights = data.draw(st.lists(QUERY_WEIGHTS, min_size=len(components), max_size=len(components)))
    chosen = data.draw(st.lists(st.sampled_from(range(len(components))), unique=True)) if len(components) else []
    nodes = data.draw(st.lists(st.integers(0, twin.n_nodes - 1), unique=True))
    opened = np.random.default_rng(1).integers(0, 16, twin.n_nodes if masked else 0).astype(np.uint8)
    scratch = scratch_for(index, {})
    scratch.nodes[: len(nodes)] = nodes
    kernels.open_superblocks(
        len(nodes),
        components,
        np.array(weights, np.float32),
        np.array(chosen, np.uint32),
        opened,
        index.engine.blocks.pages,
        scratch,
    )
    query = {term: weights[term] for term in chosen}
    for at, node in enumerate(nodes):
        is_open = [bool(opened[node] >> block & 1) for block in range(SUPER)] if masked else []
        queued = slice(SUPER * at, SUPER * (at + 1))
        assert scratch.queue[queued].tolist() == list(range(SUPER * node, SUPER * (node + 1)))
        assert scratch.queue_scores[queued].tolist() == naive.estimate_blocks(
            query, twin.pages[node], int(scratch.estimates[node]), is_open
        )


SCORES = st.one_of(
    st.integers(0, 3).map(float),
    st.floats(0, 1000, width=32),
    st.floats(0, float(LARGEST), width=32),
    st.floats(0, float(SMALLEST), width=32),
    st.just(float(SMALLEST)),
    st.just(np.inf),
)


@given(scores=st.lists(SCORES, max_size=200), wanted=st.integers(1, 220))
@settings(max_examples=200)
def test_ordered_blocks(scores: list[float], wanted: int) -> None:
    index, _ = long_documents(False)
    scratch = scratch_for(index, {})._replace(
        **{name: np.zeros(max(1, len(scores)), np.uint32) for name in ("queue", "ordered")},
        **{name: np.zeros(max(1, len(scores)), np.float32) for name in ("queue_scores", "ordered_scores")},
    )
    queue = np.random.default_rng(1).permutation(len(scores)).astype(np.uint32)
    scratch.queue[: len(scores)], scratch.queue_scores[: len(scores)] = queue, scores
    n, reach = kernels.order_blocks(len(scores), wanted, scratch)
    expected, expected_reach = naive.order_blocks([np.float32(score) for score in scores], wanted)
    assert scratch.ordered[:n].tolist() == queue[expected].tolist()
    found = scratch.ordered_scores[:n]
    assert found.tolist() == [np.float32(scores[at]) for at in expected]
    assert reach == np.float32(expected_reach)
    # So many at least, if so many score anything; what is left out is no better, and what is there reaches the floor.
    positive = [score for score in scores if score > 0]
    assert n >= min(wanted, len(positive))
    left_out = [score for at, score in enumerate(scores) if at not in expected]
    assert max(left_out, default=0) <= found.min(initial=np.inf)
    # In order but for the width of a bin.
    width = float(min(found.max(initial=0), LARGEST)) / (BINS - 1)
    assert all(b <= np.float64(min(a, LARGEST)) + 1.0001 * width for a, b in pairwise(np.minimum(found, LARGEST)))


# The search of blocks


def check_search_of_blocks(
    index: SeismicIndex, twin: NaiveIndex, query: naive.Query, limits: Limits, heap_size: int, room: int = 1 << 20
) -> None:
    """room: of lists of nodes, if less than there is."""
    scratch = scratch_for(index, query, heap_size, limits)
    scratch = scratch._replace(nodes=scratch.nodes[:room])
    unit = kernels.search_blocks(*arrays_of(query), limits, index.engine.forward, index.engine.blocks, scratch)
    found = heap_of(scratch)
    chosen = chosen_of(query, limits)
    some = twin.pages and limits.nodes < twin.n_nodes
    listing = dict([*chosen.items()][: (2 * len(chosen) + 2) // 3]) if some else chosen
    estimates, queued = estimated(twin, chosen, listing, limits)
    again = estimated(twin, chosen, chosen, limits)
    allowed = [True] * len(index) if not limits.allowed.size else limits.allowed.astype(bool).tolist()
    search = naive.Search(query, twin.documents, twin.rows, heap_size, allowed)
    search.search_blocks(
        estimates,
        lambda node: queued[node],
        lambda nodes, above, estimates: int(floor_of(nodes, above, in_lines(estimates))),
        limits.nodes,
        limits.max_blocks,
        len(scratch.nodes),
        twin.block_size,
        limits.heap_factor,
        (again[0], again[1].__getitem__) if twin.pages else None,
    )
    assert found == search.heap.rows
    last = again if scratch.estimates[: twin.n_nodes].tolist() == again[0] else (estimates, queued)
    assert scratch.estimates[: twin.n_nodes].tolist() == last[0]
    assert unit in [naive.whole_weights([*each.values()])[1] for each in (listing, chosen)]
    check_what_is_missing(twin, query, limits, found, scratch.heap_scores[0], *last, allowed)


def in_lines(estimates: Sequence[int]) -> npt.NDArray[np.uint16]:
    lines = new_estimates(len(estimates))
    lines[: len(estimates)] = estimates
    return lines


def chosen_of(query: naive.Query, limits: Limits) -> naive.Query:
    """The terms that estimate."""
    terms, weights = list(query), list(query.values())
    return {terms[at]: weights[at] for at in naive.choose_terms(weights, limits.query_cut)}


Queued = list[list[tuple[int, np.float32]]]


def estimated(twin: NaiveIndex, chosen: naive.Query, listing: naive.Query, limits: Limits) -> tuple[list[int], Queued]:
    """Estimates of nodes, by the terms that list them, and of the blocks of each, by all that are chosen."""
    whole, unit = naive.whole_weights([*listing.values()])
    is_open = limits.open.astype(bool).tolist()
    estimates = naive.estimate_nodes(dict(zip(listing, whole, strict=True)), twin.runs, twin.n_nodes, is_open)
    if not twin.pages:
        return estimates, [[(node, unit * np.float32(estimate))] for node, estimate in enumerate(estimates)]
    of_blocks = np.unpackbits(limits.open[:, None], axis=1, bitorder="little").astype(bool).tolist()
    scores = [
        naive.estimate_blocks(chosen, page, estimates[node], of_blocks[node] if of_blocks else ())
        for node, page in enumerate(twin.pages)
    ]
    return estimates, [[(SUPER * node + at, each) for at, each in enumerate(four)] for node, four in enumerate(scores)]


def check_what_is_missing(
    twin: NaiveIndex,
    query: naive.Query,
    limits: Limits,
    found: dict[int, np.float32],
    worst: np.float32,
    estimates: list[int],
    queued: Queued,
    allowed: list[bool],
) -> None:
    """What a search may leave out, in whatever order it visits."""
    of_block = {block: estimate for four in queued for block, estimate in four}
    of_nodes, of_blocks = np.array(estimates), np.array(list(of_block.values()))
    reach = worst * max(np.float32(1), limits.heap_factor)
    for at, document in enumerate(twin.documents):
        block, row = at // twin.block_size, twin.rows[at]
        node, score = block // (SUPER if twin.pages else 1), naive.coarse_score(document, query)
        if row in found:
            assert found[row] == score or score == 0
            assert found[row] > 0
            assert estimates[node] > 0
            assert of_block[block] > 0
            assert allowed[at]
        elif score > worst:
            low = of_block[block] < worst * limits.heap_factor or 0 in (of_block[block], estimates[node])
            late = (of_nodes > estimates[node]).sum() >= limits.nodes
            late |= (of_blocks > of_block[block]).sum() >= limits.max_blocks
            short = naive.score_head(document, query) * HEAD_REACH < reach
            assert low or late or short or not allowed[at]


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
    superblocks=st.booleans(),
    room=st.sampled_from([LANES, 40, 1000]),
)
@settings(max_examples=80)
def test_search_of_blocks(
    drawn: Drawn,
    config: IndexConfig,
    params: SearchParams,
    heap_size: int,
    share: float | None,
    superblocks: bool,
    room: int,
) -> None:
    index = build(unrounded(drawn[0]), config, superblocks=superblocks)
    mask = None if share is None else np.random.default_rng(1).random(len(index)) < share
    limits, twin = limits_for(index, params, mask=mask), NaiveIndex.read(index)
    for query in twin.prepare(whole_numbers(drawn[1])[:4]):
        check_search_of_blocks(index, twin, query, limits, heap_size, room)


@cache
def many_documents(name: str, layout: str, superblocks: bool) -> tuple[SeismicIndex, NaiveIndex, list[naive.Query]]:
    """Short ones, or fewer long ones, whose tails are read or not; and queries."""
    documents, queries = {
        "short": lambda: (made_vectors.short_documents(3000), made_vectors.short_queries(5)),
        "long": lambda: (made_vectors.long_documents(600), made_vectors.long_queries(5)),
        "real": lambda: (load_vectors("wiki-passages")[:600], load_vectors("wiki-queries")[:5]),
    }[name]()
    index = build(unrounded(documents), IndexConfig(layout=layout), rare=5, superblocks=superblocks)
    twin = NaiveIndex.read(index)
    return index, twin, twin.prepare(whole_numbers(queries))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["short", "long", pytest.param("real", marks=pytest.mark.data)])
@pytest.mark.parametrize(
    "params", [SearchParams(), SearchParams(2, 0.9), EVERYTHING, SearchParams(max_blocks=3)], ids=repr
)
@pytest.mark.parametrize("share", [0.1, None])
@both_nodes
def test_search_of_blocks_of_many(
    name: str, params: SearchParams, layout: str, share: float | None, superblocks: bool
) -> None:
    index, twin, queries = many_documents(name, layout, superblocks)
    mask = None if share is None else np.random.default_rng(1).random(len(index)) < share
    for query in queries:
        check_search_of_blocks(index, twin, query, limits_for(index, params, mask=mask), 12)


@both_layouts
@both_nodes
@given(drawn=vectors_and_queries(min_rows=1))
@settings(max_examples=20)
def test_a_heap_with_room_for_all_gets_them(drawn: Drawn, compact: bool, superblocks: bool) -> None:
    # Also tails are read as long as there is room.
    config = replace(layout(compact), summary_energy=1.0)
    index = build(unrounded(drawn[0]), config, rare=0, superblocks=superblocks)
    twin = NaiveIndex.read(index)
    for query in twin.prepare(drawn[1]):
        scratch = scratch_for(index, query, len(index) + 1)
        kernels.search_blocks(*arrays_of(query), limits_for(index), index.engine.forward, index.engine.blocks, scratch)
        scores = {
            row: naive.coarse_score(twin.documents[at], query) or naive.fine_score(twin.documents[at], query)
            for at, row in enumerate(twin.rows)
        }
        assert heap_of(scratch) == {row: score for row, score in scores.items() if score > 0}


@both_nodes
@pytest.mark.parametrize("dim", DIMS[1:])
def test_searches_skip_and_stop_early(dim: int, superblocks: bool) -> None:
    # What the drawn cases rely on: that parameters make a difference.
    vectors, queries = unrounded(zipf_vectors(5, 6000, dim, 8, 1000)), whole_numbers(zipf_vectors(6, 30, dim, 5, 4))
    index = build(vectors, IndexConfig(summary_energy=0.4), rare=0, superblocks=superblocks)
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


# What holds of searches, whichever nodes are estimated


def short_vectors(seed: int, rows: int) -> SparseVectors:
    """Of so few components that a head holds them, one of them in all: whole codes, which no layout rounds."""
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(np.arange(1, 60), rng.integers(1, 12), replace=False).tolist() for _ in range(rows)]
    pairs = [[(0, float(rng.integers(1, 4))), *((each, float(rng.integers(1, 256))) for each in row)] for row in chosen]
    return from_pairs([[(component, 255.0) for component in range(60)], *pairs], 60)


@cache
def short_documents(superblocks: bool) -> SeismicIndex:
    return build(short_vectors(1, 1500), IndexConfig(summary_energy=1.0), superblocks=superblocks)


@both_nodes
@pytest.mark.parametrize("k", [1, 10, 100])
def test_all_blocks_with_all_energy_find_the_best(k: int, superblocks: bool) -> None:
    queries = short_vectors(2, 60)
    index = short_documents(superblocks)
    expected = index.search(queries, k, EXACT)
    assert np.array_equal(index.search(queries, k, EVERYTHING).scores, expected.scores)
    allowed = list(range(0, 1500, 5))
    with patch.object(engine, "FEW_ALLOWED", 0):
        found = index.search(queries, k, EVERYTHING, allowed=allowed)
    assert np.array_equal(found.scores, index.search(queries, k, EXACT, allowed=allowed).scores)


@both_nodes
def test_more_blocks_find_no_less(superblocks: bool) -> None:
    queries = short_vectors(3, 60)
    index = short_documents(superblocks)
    found = [
        index.search(queries, 3, SearchParams(heap_factor=0, max_blocks=8 << doublings)).scores
        for doublings in range(7)
    ]
    for less, more in pairwise(found):
        # Of superblocks, those listed for more blocks may have better blocks than those listed before, but no worse
        # documents on the whole; of blocks, those visited before are visited again.
        assert more.mean() >= less.mean() if superblocks else (more >= less).all()
    assert found[0].mean() < found[-1].mean()
    assert np.array_equal(found[-1], index.search(queries, 3, EXACT).scores)


@both_nodes
def test_queries_of_rare_terms_miss_nothing(passages: SparseVectors, superblocks: bool) -> None:
    # Pages are full: of light components they say nothing.
    vectors = unrounded(passages[:800])
    index = build(vectors, rare=20, superblocks=superblocks)
    external = index.engine.components.external[index.engine.blocks.n_frequent :]
    chosen = np.sort(external[:: len(external) // 200])
    queries = SparseVectors(np.arange(len(chosen) + 1), chosen, np.ones(len(chosen)), vectors.dim)
    found = index.search(queries, 50)
    expected = index.search(queries, 50, EXACT)
    assert (expected.rows >= 0).any()
    assert (expected.rows[:, -1] == -1).all()
    assert np.array_equal(found.rows, expected.rows)
    assert np.array_equal(found.scores, expected.scores)


@both_nodes
@pytest.mark.parametrize("exponent", [-120, -61, -20, 20, 101])
def test_queries_of_all_sizes_find_the_same(exponent: int, superblocks: bool) -> None:
    # Estimates are of whole weights, and blocks are put in order by shares of the largest.
    queries = short_vectors(2, 60)
    scaled = SparseVectors(queries.indptr, queries.indices, np.ldexp(queries.values, exponent), queries.dim)
    params = SearchParams(query_cut=8, max_blocks=20)
    expected, found = (short_documents(superblocks).search(each, 10, params) for each in (queries, scaled))
    assert np.array_equal(found.rows, expected.rows)
    assert np.array_equal(found.scores, np.ldexp(expected.scores, exponent))


@both_nodes
@pytest.mark.parametrize(("light", "found"), [(2.0**-149, 1), (2.0**-60, 301), (1.0, 301)])
def test_light_terms_beside_a_heavy_one_are_estimated(light: float, found: int, superblocks: bool) -> None:
    # The heavy one is in one document, others have nothing but what is light, if it is not too light to be anything.
    rows = [[(0, 1.0)], *([[(1 + row % 7, 1.0)] for row in range(300)])]
    index = build(from_pairs(rows, 8), superblocks=superblocks)
    query = from_pairs([[(0, 2.0**90), *((component, light) for component in range(1, 8))]], 8)
    result = index.search(query, 301, EVERYTHING)
    assert result.rows[0, 0] == 0
    assert np.array_equal(result.scores, index.search(query, 301, EXACT).scores)
    assert (result.rows >= 0).sum() == found


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
        kernels.start_heap(np.empty(0), 1.0, scratch)


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


def test_scan_of_sums_that_lose_digits() -> None:
    # Every high byte is half a code too low, and the sums of so many terms are off by more than the scores differ.
    documents, terms = 60, 30_000
    codes = 200 * 256 + 127 + np.random.default_rng(0).integers(-6, 1, (documents, terms))
    codes[0] = 255 * 256
    indices = np.tile(np.arange(terms), documents)
    index = build(SparseVectors(np.arange(documents + 1) * terms, indices, codes.ravel() / 256, terms))
    query = SparseVectors([0, terms], np.arange(terms), np.full(terms, 1 / 3), terms)
    everything = index.search(query, documents, EXACT)
    for k in (1, 2, 3, 5, 10):
        assert index.search(query, k, EXACT).rows.tolist() == everything.rows[:, :k].tolist()


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
    kernels.rank(
        1.0, limits_for(index), index.engine.forward, index.engine.blocks.positions, False, scratch, scores, ranked
    )
    expected = naive.rank(found, query, twin.documents, twin.rows, k)
    assert hits(SearchResult(scores[None], ranked[None])) == [expected]


# Batches


def queries_of(prepared: Sequence[naive.Query]) -> Queries:
    pairs = [arrays_of(query) for query in prepared]
    components, weights = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
    return Queries(np.cumsum([0, *map(len, prepared)], dtype=np.int64), components, weights)


@given(
    drawn=vectors_and_queries(min_rows=1),
    config=configs(),
    params=drawn_params(),
    k=st.sampled_from([1, 10, 400]),
    superblocks=st.booleans(),
)
@settings(max_examples=30)
def test_batch(drawn: Drawn, config: IndexConfig, params: SearchParams, k: int, superblocks: bool) -> None:
    index = build(unrounded(drawn[0]), config, superblocks=superblocks)
    twin = NaiveIndex.read(index)
    prepared = twin.prepare(whole_numbers(drawn[1]))
    expected = twin.search_exactly(whole_numbers(drawn[1]), k)
    queries, heap_size = queries_of(prepared), min(k + 3, len(index))
    for each in (params, SearchParams(exact=True)):
        limits = limits_for(index, each, k)._replace(query_cut=min(each.query_cut, 20))
        scratch = index.engine.scratch.new(heap_size, limits)
        scores, rows = np.full((12, k), -np.inf, np.float32), np.full((12, k), -1, np.int64)
        arrays = index.engine.forward, index.engine.blocks, NO_GRAPH, NO_LISTS, scratch
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
    drawn=vectors_and_queries(),
    config=configs(),
    rare=st.sampled_from([0, 5, 128]),
    k=st.sampled_from([1, 10, 500]),
    superblocks=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_index(drawn: Drawn, config: IndexConfig, rare: int, k: int, superblocks: bool) -> None:
    vectors, queries = unrounded(drawn[0]), whole_numbers(drawn[1])
    index = build(vectors, config, rare, superblocks=superblocks)
    twin = NaiveIndex.build(vectors, config, rare, superblocks)
    assert twin == NaiveIndex.read(index)
    assert bool(len(index.engine.blocks.pages)) == (superblocks and len(vectors) > 0)
    assert hits(index.search(queries, k, SearchParams(exact=True))) == twin.search_exactly(queries, k)
    allowed = list(range(0, len(vectors), 3))
    found = index.search(queries, k, SearchParams(exact=True), allowed=allowed)
    assert hits(found) == twin.search_exactly(queries, k, allowed)


@both_layouts
@both_nodes
def test_index_of_real_vectors(packages: SparseVectors, compact: bool, superblocks: bool) -> None:
    # One cluster after another, each of which is in several windows of halves.
    vectors = packages[:1300]
    index = build(vectors, layout(compact), superblocks=superblocks)
    assert NaiveIndex.build(vectors, layout(compact), 128, superblocks) == NaiveIndex.read(index)


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
            queries, factors, 0, n, limits, engine.forward, engine.blocks, engine.graph, NO_LISTS,
            engine.scratch.new(12, limits), np.empty((n, 0)), scores, rows,
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
