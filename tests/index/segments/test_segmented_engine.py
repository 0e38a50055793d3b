"""Searches of segments find what one of all live rows would."""

from __future__ import annotations

import pickle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.filters import Filter
from lsr.index.numbered_rows import NumberedRows
from lsr.index.parameters import SearchParams
from lsr.index.result import SearchResult
from lsr.index.seismic.engine import BlockEngine
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import EXACT, same, unrounded, vectors_and_queries, whole_numbers
from tests.index.segments.made_segments import Made, make, segmentations

KS = st.sampled_from([1, 3, 10, 400])


def found(made: Made, k: int, params: SearchParams, allowed: Filter | None = None, threads: int = 1) -> SearchResult:
    return SearchResult(*made.engine.search(made.queries, k, params, threads, allowed))


@st.composite
def unrounded_segmentations(draw: st.DrawFn) -> Made:
    """Weights that no segment rounds, so that scores do not depend on segments."""
    vectors, queries = draw(vectors_and_queries(max_rows=120))
    rounded = unrounded(vectors)
    # The largest weight of each component is 255 in each segment, so that scales are the same.
    whole = SparseVectors(rounded.indptr, rounded.indices, np.full(rounded.nnz, 255.0), rounded.dim)
    return draw(segmentations(draw(st.sampled_from([whole])), whole_numbers(queries)))


@given(made=unrounded_segmentations(), k=KS, share=st.sampled_from([None, 0.0, 0.3, 0.9]), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_exact_search_finds_what_brute_force_does(made: Made, k: int, share: float | None, seed: int) -> None:
    mask = None if share is None else np.random.default_rng(seed).random(len(made.live)) < share
    chosen = None if mask is None else Filter(mask)
    assert same(found(made, k, EXACT, chosen), made.expected(k, mask))


@given(made=unrounded_segmentations(), rows=st.lists(st.integers(0, 10**6)))
@settings(max_examples=30)
def test_rows_are_gathered_from_all_segments(made: Made, rows: list[int]) -> None:
    wanted = np.array(rows, np.int64) % max(1, len(made.live)) if len(made.live) else np.empty(0, np.int64)
    assert len(made.engine) == len(made.live)
    gathered = made.engine.gather(wanted).as_vectors(made.engine.dim)
    assert gathered.indptr.tolist() == made.live[wanted].indptr.tolist()
    assert gathered.indices.tolist() == made.live[wanted].indices.tolist()
    for row in wanted[:3].tolist():
        number, inside = made.engine.locate(row)
        vector = made.engine.segments[number].engine.gather(np.array([inside])).as_vectors(made.engine.dim)
        assert vector.indices.tolist() == made.live[row : row + 1].indices.tolist()


def test_a_small_segment_can_be_searched_as_a_whole(packages_index: SeismicIndex) -> None:
    engine, rows = packages_index.engine, NumberedRows(share=0.01)
    assert isinstance(engine, BlockEngine)
    asked = (1, 400, 10**6, 10**7, 1 << 40)
    most = [engine.limits(SearchParams(max_blocks=each), 10, None, rows).max_blocks for each in asked]
    assert most == [1, 10, 10_300, len(engine), len(engine)]


def test_a_pickle_finds_the_same(packages: SparseVectors, package_queries: SparseVectors) -> None:
    deleted = np.arange(3000) % 5 == 0
    made = make(packages[:3000], package_queries, [2000], [True], deleted)
    again = Made(pickle.loads(pickle.dumps(made.engine)), made.live, made.documents, made.queries)
    assert same(found(again, 10, SearchParams()), found(made, 10, SearchParams()))
