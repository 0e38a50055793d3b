"""Exact searches by posting lists find what a scan of all documents does, to the last bit; and when there are lists."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.errors import IndexFormatError
from lsr.index.filters import Filter
from lsr.index.parameters import IndexConfig
from lsr.index.result import SearchResult
from lsr.index.segments.segmented_engine import SegmentedEngine
from lsr.index.seismic import exact_lists
from lsr.index.seismic.build.in_memory import Parts
from lsr.index.seismic.build.trial import SAMPLE, sample_recall  # the function itself, which tests of blocks replace
from lsr.index.seismic.engine import EXACT_LISTS, BlockEngine
from lsr.index.seismic.exact_lists import ENOUGH, lists_bytes, make_lists
from lsr.index.seismic.forward import Forward
from lsr.index.seismic.search.list_kernels import LIST_WINDOW, PostingLists
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.storage.arrays import read_only
from lsr.vectors.sparse_vectors import SparseVectors
from tests import made_vectors
from tests.data import load_vectors
from tests.index.samples import EXACT, LAYOUTS, build, make_forward, same, vectors_and_queries
from tests.index.segments.made_segments import Made, drawn_segmentations
from tests.naive.forward import read_documents
from tests.strategies import from_pairs

KS = st.sampled_from([1, 3, 10, 400])
SHARES = st.sampled_from([None, 0.0, 0.3, 0.9])


def blocks_of(engine: BlockEngine | SegmentedEngine) -> list[BlockEngine]:
    parts = [engine] if isinstance(engine, BlockEngine) else [each.engine for each in engine.segments]
    return [each for each in parts if isinstance(each, BlockEngine)]


@contextmanager
def scanning(engine: BlockEngine | SegmentedEngine) -> Iterator[None]:
    """Without lists, those that are there set aside."""
    with ExitStack() as stack:
        for each in blocks_of(engine):
            stack.enter_context(each.exact_lists.held_back())
            stack.enter_context(patch.object(each.exact_lists, "lists", exact_lists.NO_LISTS))
        yield


def check_same(
    engine: BlockEngine | SegmentedEngine, queries: SparseVectors, k: int, allowed: Filter | None = None
) -> None:
    """A search by lists is the same as a scan. Filters of few documents, which are scanned, are so in neither."""
    for each in blocks_of(engine):
        each.exact_lists.after(ENOUGH)
        assert each.exact_lists.nbytes
    with patch("lsr.index.seismic.engine.FEW_ALLOWED", -1):
        found = SearchResult(*engine.search(queries, k, EXACT, 1, allowed))
        with scanning(engine):
            expected = SearchResult(*engine.search(queries, k, EXACT, 1, allowed))
    assert same(found, expected)


def filter_of(share: float | None, rows: int) -> Filter | None:
    return None if share is None else Filter(np.random.default_rng(rows).random(rows) < share)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(drawn=vectors_and_queries(min_rows=1), k=KS, share=SHARES)
@settings(max_examples=60)
def test_lists_find_what_a_scan_does(
    drawn: tuple[SparseVectors, SparseVectors], k: int, share: float | None, layout: str
) -> None:
    vectors, queries = drawn
    engine = build(vectors, IndexConfig(layout=layout)).engine
    check_same(engine, queries, k, filter_of(share, len(vectors)))


@given(made=drawn_segmentations(), k=KS, share=SHARES)
@settings(max_examples=100)
def test_lists_of_segments(made: Made, k: int, share: float | None) -> None:
    # Deleted rows, passages, and segments that are inverted are among them.
    check_same(made.engine, made.queries, k, filter_of(share, len(made.engine)))


@given(
    seed=st.integers(0, 2**32 - 1),
    weights=st.integers(1, 12),
    copies=st.sampled_from([1, 40]),
    k=st.sampled_from([1, 5, 50]),
    layout=st.sampled_from(LAYOUTS),
)
@settings(max_examples=100)
def test_scores_that_differ_by_rounding_alone(seed: int, weights: int, copies: int, k: int, layout: str) -> None:
    # Each document has the same few weights, dealt out to other components, of which a query's all have one weight:
    # scores are equal but for the order in which they are added up, which is not that of posting lists.
    rng = np.random.default_rng(seed)
    some = np.append(rng.random(weights), 1.0)
    components = np.argsort(rng.random((150, 20)), axis=1)[:, : len(some)]
    rows = [list(zip(row, some.tolist(), strict=True)) for row in components.tolist()] * copies
    full = [[(component, 1.0) for component in range(20)]]  # whose weights make all scales the same
    vectors = from_pairs([*full, *rows], 20)
    queries = from_pairs(
        [[(component, 1 / 3) for component in range(20)], [(component, 0.1) for component in range(9)]], 20
    )
    check_same(build(vectors, IndexConfig(layout=layout)).engine, queries, k)


@given(
    exponents=st.lists(st.integers(-149, 126), min_size=4, max_size=4),
    of_query=st.lists(st.integers(-149, 126), min_size=4, max_size=4),
    seed=st.integers(0, 99),
    k=st.sampled_from([1, 10, 100]),
)
@settings(max_examples=100)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_weights_of_all_sizes(exponents: list[int], of_query: list[int], seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        [(int(each), float(np.float32(2.0 ** exponents[each] * (1 + rng.random())))) for each in np.unique(some)]
        for some in rng.integers(0, 4, (200, 3))
    ]
    queries = [[(each, 2.0 ** of_query[each]) for each in range(4)], [(0, 2.0 ** of_query[0])], [(3, 1.5)]]
    check_same(build(from_pairs(rows, 4)).engine, from_pairs(queries, 4), k)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_components_of_32_bits(packages: SparseVectors, package_queries: SparseVectors, layout: str) -> None:
    vectors = packages[:1000]
    dim = vectors.dim + 66_000
    more = SparseVectors([0, 66_000], np.arange(vectors.dim, dim), np.ones(66_000), dim)
    widened = SparseVectors(vectors.indptr, vectors.indices, vectors.values, dim)
    engine = build(SparseVectors.concatenate([widened, more]), IndexConfig(layout=layout)).engine
    assert isinstance(engine, BlockEngine) and engine.forward.heads.itemsize == 4
    queries = package_queries[:50]
    check_same(engine, SparseVectors(queries.indptr, queries.indices, queries.values, dim), 10)


@pytest.mark.parametrize("k", [10, 100, 1000])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_documents(
    packages_index: SeismicIndex, compact_index: SeismicIndex, package_queries: SparseVectors, k: int, layout: str
) -> None:
    index = packages_index if layout == "fast" else compact_index
    for share in (None, 0.5):
        check_same(index.engine, package_queries[:100], k, filter_of(share, len(index)))


@pytest.mark.data
@pytest.mark.parametrize("k", [10, 300])
def test_real_passages(k: int) -> None:
    check_same(build(load_vectors("wiki-passages")[:3000]).engine, load_vectors("wiki-queries")[:100], k)


@given(drawn=vectors_and_queries(min_rows=1), k=KS, window=st.sampled_from([1, 7, 64]), share=SHARES)
@settings(max_examples=50)
def test_several_windows(drawn: tuple[SparseVectors, SparseVectors], k: int, window: int, share: float | None) -> None:
    engine = build(drawn[0]).engine
    assert isinstance(engine, BlockEngine)
    engine.exact_lists.lists = make_lists(engine.forward, window)
    check_same(engine, drawn[1], k, filter_of(share, len(engine)))


@pytest.mark.parametrize("documents", [LIST_WINDOW, LIST_WINDOW + 1, 2 * LIST_WINDOW + 77])
def test_whole_windows(documents: int) -> None:
    # Blocks of fewer documents: exact searches ask for rows and positions alone.
    rng = np.random.default_rng(documents)
    vectors = made_vectors.short_documents(3000).top_k(4)[rng.integers(0, 3000, documents)]
    rows = rng.permutation(documents).astype(np.uint32)
    forward, components = make_forward(vectors, rows=rows)
    few = build(vectors[:10]).engine
    assert isinstance(few, BlockEngine)
    positions = np.argsort(rows).astype(np.uint32)
    blocks = few.blocks._replace(rows=read_only(rows), positions=read_only(positions))
    engine = BlockEngine(Parts(components, forward, blocks), vectors.dim, vectors.nnz)
    check_same(engine, made_vectors.short_queries(30), 10)
    assert len(engine.exact_lists.lists.starts) == 1 + len(components.external) * -(-documents // LIST_WINDOW)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(drawn=vectors_and_queries(max_rows=60, min_rows=1))
@settings(max_examples=30)
def test_lists_have_all_postings(drawn: tuple[SparseVectors, SparseVectors], layout: str) -> None:
    forward, components = make_forward(drawn[0], compact=layout == "compact")
    lists = make_lists(forward, 25)
    expected = sorted(
        (component, document, code16)
        for document, entries in enumerate(read_documents(forward))
        for component, code16 in entries
    )
    found = [
        (
            number % len(components.external),
            25 * (number // len(components.external)) + (posting & 0xFFFF),
            posting >> 16,
        )
        for number, (begin, end) in enumerate(pairwise(lists.starts.tolist()))
        for posting in lists.postings[begin:end].tolist()
    ]
    assert sorted(found) == expected
    assert all(
        (np.diff(lists.postings[begin:end] & 0xFFFF) > 0).all() for begin, end in pairwise(lists.starts.tolist())
    )


# When there are lists


@pytest.fixture
def index() -> SeismicIndex:
    return build(made_vectors.short_documents(500))


QUERIES = made_vectors.short_queries(ENOUGH + 1)


def has_lists(index: SeismicIndex) -> bool:
    return EXACT_LISTS in index.nbytes


def test_many_queries_in_one_call(index: SeismicIndex) -> None:
    before = sum(index.nbytes.values())
    index.search(QUERIES[: ENOUGH - 1], 10, EXACT)
    assert not has_lists(index)
    index.search(QUERIES[:1], 10, EXACT)
    lists = index.engine.exact_lists.lists
    assert has_lists(index) and sum(index.nbytes.values()) == before + lists.starts.nbytes + lists.postings.nbytes
    engine = index.engine
    assert index.nbytes[EXACT_LISTS] == lists_bytes(len(index), len(engine.components.external), len(lists.postings))


def test_many_calls_of_one_query(index: SeismicIndex) -> None:
    for _ in range(ENOUGH - 1):
        index.search(QUERIES[:1], 10, EXACT)
        index.search(QUERIES, 10)
        index.search(QUERIES, 10, EXACT, allowed=[1, 2, 3])  # which are scanned
    assert not has_lists(index)
    index.search(QUERIES[:1], 10, EXACT)
    assert has_lists(index)


def test_copies_have_none(index: SeismicIndex, tmp_path: Path) -> None:
    index.search(QUERIES, 10, EXACT)
    index.save(tmp_path / "index")
    for copy in (pickle.loads(pickle.dumps(index)), SeismicIndex.open(tmp_path / "index")):
        assert has_lists(index) and not has_lists(copy)


def test_the_trial_of_a_build_makes_none(index: SeismicIndex) -> None:
    assert isinstance(index.engine, BlockEngine)
    assert SAMPLE >= ENOUGH
    assert sample_recall(index.engine, 0, 2) > 0.9
    index.search(QUERIES[: ENOUGH - 1], 10, EXACT)
    assert not has_lists(index)


def test_lists_take_a_share_of_the_memory() -> None:
    first, second = build(made_vectors.short_documents(500)), build(made_vectors.short_documents(400))
    sizes = [each.engine.exact_lists._most_bytes for each in (first, second)]
    expected = [each.search(QUERIES[:5], 10, EXACT) for each in (first, second)]
    others = sum(each.nbytes for each in exact_lists._MADE)
    enough = int((others + sizes[0] + sizes[1] - 1) / exact_lists.SHARE_OF_MEMORY)
    with patch.object(exact_lists, "machine_memory", lambda: enough):
        first.search(QUERIES, 10, EXACT)
        second.search(QUERIES, 10, EXACT)
        assert has_lists(first) and not has_lists(second)
        assert same(second.search(QUERIES[:5], 10, EXACT), expected[1])
        del first
        second.search(QUERIES, 10, EXACT)
        assert has_lists(second)
    assert same(second.search(QUERIES[:5], 10, EXACT), expected[1])


def test_threads_make_them_once(index: SeismicIndex) -> None:
    expected = index.search(QUERIES[:1], 10, EXACT)
    made = []

    def make(forward: Forward) -> PostingLists:
        time.sleep(0.1)  # for the others to come
        made.append(1)
        return make_lists(forward)

    with patch.object(exact_lists, "make_lists", make), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: index.search(QUERIES, 10, EXACT), range(32)))
    assert len(made) == 1 and has_lists(index)
    assert all(same(SearchResult(each.scores[:1], each.rows[:1]), expected) for each in found)


def test_a_document_of_an_unknown_component(index: SeismicIndex) -> None:
    engine = index.engine
    assert isinstance(engine, BlockEngine)
    heads = engine.forward.heads.copy()
    heads[17, 0] = 0xFFFF
    forward = Forward.of(heads, engine.forward.tails, engine.forward.scale, engine.forward.head_size)
    damaged = BlockEngine(Parts(engine.components, forward, engine.blocks), engine.dim, engine.postings)
    with pytest.raises(IndexFormatError, match="lsr check INDEX"):
        damaged.search(QUERIES, 10, EXACT, 1, None)
    assert not damaged.exact_lists.nbytes
