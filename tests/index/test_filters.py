"""Filters: what may be given for one, and that a search finds as much and as well within it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.errors import ParameterError
from lsr.index.filters import Allowed, Filter
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.result import SearchResult
from lsr.index.seismic import engine as seismic
from lsr.index.seismic.build import trial
from lsr.index.seismic.build.in_memory import Parts
from lsr.index.seismic.build.summarize import Blocks
from lsr.index.seismic.engine import BlockEngine
from lsr.index.seismic.search.masked_blocks import FEW_CLOSED, mask_blocks
from lsr.index.seismic.seismic_files import State
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.storage.id_column import IdColumn
from lsr.storage.strings import StringColumn
from lsr.vectors.sparse_vectors import SparseVectors
from tests import made_vectors
from tests.index.samples import (
    EVERYTHING,
    EXACT,
    build,
    configs,
    recall,
    same,
    unrounded,
    vectors_and_queries,
    whole_numbers,
)
from tests.index.superblocks import always_superblocks
from tests.strategies import from_pairs

Index = ExactIndex | SeismicIndex
Drawn = tuple[SparseVectors, SparseVectors]
Mask = npt.NDArray[np.bool_]

IDS = IdColumn.of(["a", "b", "c", "d", "e"])
THREE = np.array([False, True, True, False, True])


# What may be given


@pytest.mark.parametrize(
    "allowed",
    [
        THREE,
        THREE.tolist(),
        Filter(THREE),
        [1, 2, 4],
        (4, 2, 1, 2),
        {1, 2, 4},
        {1: "one", 2: "two", 4: "four"},
        np.array([4, 1, 2]),
        np.array([4, 1, 2], np.uint8),
        np.array([4, 1, 2], object),
        ["b", "c", "e"],
        {"e", "c", "b"},
        {"b": 1, "c": 1, "e": 1}.keys(),
        np.array(["b", "c", "e"]),
        ["b", "b", "c", "e"],
    ],
)
def test_the_same_filter(allowed: Allowed) -> None:
    chosen = Filter.of(allowed, 5, IDS)
    assert chosen is not None
    assert chosen.mask.dtype == bool
    assert chosen.mask.tolist() == THREE.tolist()
    assert chosen.rows.tolist() == [1, 2, 4]
    assert chosen.factors.tolist() == [0, 1, 1, 0, 1]
    assert chosen.bits.tolist() == [0b10110]
    assert Filter.of(chosen, 5, None) is chosen


@pytest.mark.parametrize("allowed", [[], (), set(), np.array([], np.int64), np.array([], bool)[:0], range(0)])
def test_nothing_allowed(allowed: Allowed) -> None:
    for ids in (None, IDS):
        documents = 0 if isinstance(allowed, np.ndarray) and allowed.dtype == bool else 5
        chosen = Filter.of(allowed, documents, ids)
        assert chosen is not None
        assert chosen.mask.tolist() == [False] * documents


def test_no_filter() -> None:
    assert Filter.of(None, 5, IDS) is None


@pytest.mark.parametrize(
    ("allowed", "message"),
    [
        (THREE[:4], r"the mask has shape \(4,\); give one value for each of 5 documents"),
        (np.append(THREE, True), r"the mask has shape \(6,\)"),
        (THREE[:, None], r"the mask has shape \(5, 1\)"),
        (np.array(True), r"the mask has shape \(\)"),
        ([5], "allowed has rows 5 to 5, but the index has 5 documents"),
        ([-1, 3], "allowed has rows -1 to 3, but the index has 5 documents"),
        ([2**70], "the index has 5 documents"),
        ([2**63], "the index has 5 documents"),
        (np.array([2**63], np.uint64), "the index has 5 documents"),
        (["f"], "allowed has the id 'f', which is not in the index; check the ids"),
        (["a", "f", "b"], "allowed has the id 'f'"),
        ("abc", "allowed is a single string; give a list of ids, row numbers, or a mask"),
        (b"abc", "allowed is a single string; give a list of ids, row numbers, or a mask"),
        (torch.tensor([True]), r"the mask has shape \(1,\)"),
        (THREE.tolist()[:4], r"the mask has shape \(4,\)"),
        (Filter(THREE[:4]), r"the mask has shape \(4,\)"),
        ([1, True], "allowed has neither only texts"),
        ([1, "a"], "allowed has neither only texts"),
        ([1.0], "allowed has neither only texts"),
        ([None], "allowed has neither only texts"),
        (np.array([1.0]), "allowed has neither only texts"),
        (np.array([[1, 2]]), "allowed has neither only texts"),
        (3, "allowed is of type int; give a mask, ids or row numbers"),
        (iter([1]), "allowed is of type list_iterator; give a mask, ids or row numbers"),
        (np.array(3), "give a mask, ids or row numbers"),
    ],
)
def test_refused(allowed: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Filter.of(allowed, 5, IDS)


def test_ids_of_an_index_that_has_none() -> None:
    with pytest.raises(ParameterError, match="the index has no ids; allow documents by row number, or by a mask"):
        Filter.of(["a"], 5, None)


@given(st.lists(st.booleans(), max_size=60), st.randoms(), st.booleans())
def test_masked_documents(mask: list[bool], random: Any, paged: bool) -> None:
    rows = random.sample(range(len(mask)), len(mask))
    places, nothing = np.array(rows, np.uint32), np.empty(0, np.int64)
    pages = np.zeros(len(mask) if paged else 0, np.uint8)  # of which only the size is asked
    blocks = Blocks.of([places, places, nothing, nothing, nothing.astype(np.uint16), pages], 3, 0)
    masked = mask_blocks(np.array(mask, bool), blocks)
    assert (masked.documents.dtype, masked.open.dtype, masked.listed.dtype) == (np.uint8, np.uint8, np.uint32)
    is_open = [any(mask[row] for row in rows[at : at + 3]) for at in range(0, len(rows), 3)]
    of_node = 4 if paged else 1
    bits = [
        sum(1 << at for at, each in enumerate(is_open[first : first + of_node]) if each)
        for first in range(0, len(is_open), of_node)
    ]
    closed = sum(each != (1 << of_node) - 1 for each in bits)
    assert masked.open.tolist() == ([] if closed * FEW_CLOSED <= len(bits) else bits)
    assert masked.documents.tolist() == [int(mask[row]) for row in rows]
    assert masked.listed.tolist() == [document for document, row in enumerate(rows) if mask[row]]
    assert masked.count == sum(mask)


def test_a_filter_is_prepared_once_for_each_key() -> None:
    chosen, keys = Filter(THREE), (np.empty(1), np.empty(1))
    made = [chosen.prepared(key, object) for key in keys]
    assert made[0] is not made[1]
    assert [chosen.prepared(key, object) for key in keys] == made
    assert chosen.count == 3


# What every index makes of a filter


@pytest.fixture(params=["exact", "blocks", "superblocks", "inverted"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[SparseVectors], Index]]:
    if request.param == "exact":
        yield ExactIndex.build
    elif request.param == "superblocks":
        with always_superblocks():
            yield SeismicIndex.build
    else:
        below = 1 << 30 if request.param == "inverted" else 0
        with patch.object(trial, "INVERTED_BELOW", below):
            yield SeismicIndex.build


def documents_with_ids() -> SparseVectors:
    rows = [[(0, 1.0 + row)] if row != 2 else [(1, 1.0)] for row in range(5)]
    return from_pairs(rows, 3, IDS)


@pytest.mark.parametrize("params", [SearchParams(), EVERYTHING, EXACT], ids=["default", "everything", "exact"])
def test_only_allowed_documents_are_found(make: Callable[[SparseVectors], Index], params: SearchParams) -> None:
    index = make(documents_with_ids())
    queries = from_pairs([[(0, 1.0)], [(0, 1.0), (1, 9.0)], [(2, 1.0)], []], 3)
    for allowed in (THREE, [1, 2, 4], ["b", "c", "e"]):
        result = index.search(queries, 4, params, allowed=allowed)
        assert result.ids.tolist() == [["e", "b", None, None], ["c", "e", "b", None], [None] * 4, [None] * 4]
        assert result.rows[1].tolist() == [2, 4, 1, -1]
        assert np.isneginf(result.scores[result.rows < 0]).all()
    assert index.search(queries, 2, params, allowed=[0]).rows[:2].tolist() == [[0, -1], [0, -1]]
    for nothing in ([], np.zeros(5, bool)):
        assert index.search(queries, 2, params, allowed=nothing).rows.tolist() == [[-1, -1]] * 4


@pytest.mark.parametrize("allowed", ["abc", ["f"], [5], THREE[:3], 7, [0.5]])
def test_refused_by_a_search(make: Callable[[SparseVectors], Index], allowed: Any) -> None:
    index = make(documents_with_ids())
    with pytest.raises(ParameterError):
        index.search(from_pairs([[(0, 1.0)]], 3), allowed=allowed)


def test_a_filter_is_left_as_it_was(make: Callable[[SparseVectors], Index]) -> None:
    mask = THREE.copy()
    mask.flags.writeable = False
    index = make(documents_with_ids())
    result = index.search(from_pairs([[(0, 1.0)]], 3), allowed=mask)
    assert mask.tolist() == THREE.tolist()
    assert same(index.search(from_pairs([[(0, 1.0)]], 3), allowed=np.repeat(THREE, 2)[::2]), result)


def test_all_allowed_is_as_if_there_were_no_filter(
    make: Callable[[SparseVectors], Index], packages: SparseVectors, package_queries: SparseVectors
) -> None:
    index = make(packages[:4000])
    mask = np.ones(4000, bool)
    assert same(index.search(package_queries, 10, allowed=mask), index.search(package_queries, 10))


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_infinite_scores_that_are_not_allowed() -> None:
    index = ExactIndex.build(from_pairs([[(0, 1e38)], [(0, 1.0)], [(0, 1e38)], [(0, 1e-10)]], 1))
    query = from_pairs([[(0, 1e5)]], 1)
    assert index.search(query, 3, allowed=[1, 2]).rows.tolist() == [[2, 1, -1]]
    assert index.search(query, 3, allowed=[1]).rows.tolist() == [[1, -1, -1]]


# Against a search of the allowed documents alone


def alone(vectors: SparseVectors, mask: Mask, queries: SparseVectors, k: int) -> SearchResult:
    """What brute force finds in an index of nothing but the allowed documents, by their rows among all."""
    rows = np.flatnonzero(mask)
    found = ExactIndex.build(vectors[rows]).search(queries, k)
    return SearchResult(found.scores, np.where(found.rows >= 0, np.append(rows, 0)[found.rows], -1))


@st.composite
def masks(draw: st.DrawFn, documents: int) -> Mask:
    share = draw(st.sampled_from([0.02, 0.3, 0.9]))
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(documents) < share


@given(drawn=vectors_and_queries(), k=st.sampled_from([1, 10, 400]), data=st.data())
@settings(max_examples=50)
def test_exact_index_finds_what_the_allowed_alone_would(drawn: Drawn, k: int, data: st.DataObject) -> None:
    vectors, queries = drawn
    mask = data.draw(masks(len(vectors)))
    assert same(ExactIndex.build(vectors).search(queries, k, allowed=mask), alone(vectors, mask, queries, k))


@given(drawn=vectors_and_queries(), config=configs(), k=st.sampled_from([1, 10, 400]), data=st.data())
@settings(max_examples=50)
def test_exact_search_finds_what_the_allowed_alone_would(
    drawn: Drawn, config: IndexConfig, k: int, data: st.DataObject
) -> None:
    vectors, queries = unrounded(drawn[0]), whole_numbers(drawn[1])
    mask = data.draw(masks(len(vectors)))
    config = IndexConfig(config.block_size, seed=config.seed)
    result = build(vectors, config).search(queries, k, EXACT, allowed=mask)
    assert same(result, alone(vectors, mask, queries, k))


@given(
    drawn=vectors_and_queries(),
    config=configs(),
    rare=st.sampled_from([0, 5, 128]),
    k=st.sampled_from([1, 10, 400]),
    query_cut=st.integers(1, 6),
    heap_factor=st.floats(0, 2),
    max_blocks=st.sampled_from([1, 5, None]),
    data=st.data(),
)
@settings(max_examples=100)
def test_as_many_are_found_as_match(
    drawn: Drawn,
    config: IndexConfig,
    rare: int,
    k: int,
    query_cut: int,
    heap_factor: float,
    max_blocks: int | None,
    data: st.DataObject,
) -> None:
    # Weights of one byte or more: of lighter ones an approximate search knows nothing.
    vectors, queries = unrounded(drawn[0]), whole_numbers(drawn[1])
    vectors = SparseVectors(vectors.indptr, vectors.indices, np.ceil(vectors.values), vectors.dim)
    mask = data.draw(masks(len(vectors)))
    with always_superblocks() if data.draw(st.booleans()) else nullcontext():
        index = build(vectors, config, rare)
    params = SearchParams(query_cut, heap_factor, max_blocks)
    with patch.object(seismic, "FEW_ALLOWED", 0):
        result = index.search(queries, k, params, allowed=mask)
    found = result.rows >= 0
    assert mask[result.rows[found]].all()
    expected = alone(vectors, mask, queries, k)
    assert found.sum(axis=1).tolist() == (expected.rows >= 0).sum(axis=1).tolist()
    assert np.all(result.scores[found] <= expected.scores[found])


def test_few_allowed_are_all_scored(packages_index: SeismicIndex, package_queries: SparseVectors) -> None:
    mask = np.random.default_rng(1).random(len(packages_index)) < 0.1
    assert 1000 < mask.sum() < seismic.FEW_ALLOWED
    result = packages_index.search(package_queries, 10, SearchParams(1, 5.0), allowed=mask)
    assert same(result, packages_index.search(package_queries, 10, EXACT, allowed=mask))


def test_filters_do_not_depend_on_threads_or_the_batch(
    packages_index: SeismicIndex, package_queries: SparseVectors
) -> None:
    mask = np.random.default_rng(1).random(len(packages_index)) < 0.5
    whole = packages_index.search(package_queries, 10, allowed=mask)
    assert same(packages_index.search(package_queries, 10, threads=2, allowed=mask), whole)
    order = np.random.default_rng(2).permutation(len(package_queries))
    shuffled = packages_index.search(package_queries[order], 10, allowed=mask)
    assert np.array_equal(shuffled.rows, whole.rows[order])
    # Nothing of a filter is left for who searches next.
    assert same(packages_index.search(package_queries), _fresh(packages_index).search(package_queries))


def _fresh(index: SeismicIndex) -> SeismicIndex:
    engine = index.engine
    parts = Parts(engine.components, engine.forward, engine.blocks)
    return SeismicIndex(State(BlockEngine(parts, engine.dim, engine.postings), index.config, None, {}), None)


# Recall within a filter


@dataclass
class Many:
    """An index of many documents, queries, and the recall without a filter."""

    index: SeismicIndex
    queries: SparseVectors

    @cached_property
    def unfiltered(self) -> float:
        return self.recall_within(None)

    def recall_within(self, mask: Mask | None) -> float:
        found = self.index.search(self.queries, threads=2, allowed=mask)
        return recall(found, self.index.search(self.queries, 10, EXACT, threads=2, allowed=mask))


@pytest.fixture(scope="module", params=["blocks", "superblocks"])
def many(request: pytest.FixtureRequest) -> Many:
    """So many documents that also one in thirty are more than are scored one by one."""
    with always_superblocks() if request.param == "superblocks" else nullcontext():
        index = SeismicIndex.build(made_vectors.short_documents(100_000))
    return Many(index, made_vectors.short_queries(500))


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1, 0.5])
def test_recall_within_a_filter(many: Many, share: float) -> None:
    mask = np.random.default_rng(1).random(len(many.index)) < share
    assert many.recall_within(mask) > many.unfiltered - 0.01


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_recall_within_a_topic(many: Many, share: float) -> None:
    # Documents that are alike, as filters often leave them: those that lie side by side.
    n = len(many.index)
    mask = np.zeros(n, bool)
    mask[many.index.engine.blocks.rows[30_000 : 30_000 + int(share * n)]] = True
    assert many.recall_within(mask) > many.unfiltered - 0.02


def test_a_few_ids_are_found_without_reading_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = 20_000
    ids = [f"d{row}" for row in range(rows)]
    SeismicIndex.build(SparseVectors(np.arange(rows + 1), np.zeros(rows, int), np.ones(rows), 1, ids)).save(tmp_path)
    index = SeismicIndex.open(tmp_path)
    read: list[int] = []
    decode = StringColumn._bytes

    def counting(column: StringColumn, row: int) -> bytes:
        read.append(row)
        return decode(column, row)

    monkeypatch.setattr(StringColumn, "_bytes", counting)
    query = SparseVectors([0, 1], [0], [1.0], 1)
    found = index.search(query, 10, allowed=["d7", "d19999"])
    assert sorted(found.rows[0, :3].tolist()) == [-1, 7, 19999]
    assert set(read) <= {7, 19999}
