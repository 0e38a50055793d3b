"""Flat collections: recognised, and searched exhaustively."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings

from lsr.index import seismic
from lsr.index.config import SearchParams
from lsr.index.exact import ExactIndex
from lsr.index.flat import is_flat, spread
from lsr.index.forward import count_components
from lsr.index.seismic import SeismicIndex
from lsr.vectors import SparseVectors
from tests.index.samples import NARROW, WIDE, vectors_and_queries, zipf_vectors
from tests.naive import flat as naive

DIM = 1 << 20


def measure(vectors: SparseVectors, dtype: type) -> float:
    components = count_components(vectors)
    return spread(components.renumber(vectors.indices, np.dtype(dtype)), vectors.values, len(components.external))


def build_flat(vectors: SparseVectors) -> SeismicIndex:
    with patch.object(seismic, "is_flat", lambda *_: True):
        return SeismicIndex.build(vectors)


@pytest.mark.parametrize("dtype", [NARROW, WIDE])
@given(drawn=vectors_and_queries())
@settings(max_examples=30)
def test_spread(drawn: tuple[SparseVectors, SparseVectors], dtype: type) -> None:
    assert measure(drawn[0], dtype) == pytest.approx(naive.spread(drawn[0]), rel=1e-6, abs=1e-7)


def test_learned_weights_are_not_flat(packages: SparseVectors, packages_index: SeismicIndex) -> None:
    assert measure(packages, NARROW) == pytest.approx(naive.spread(packages))
    assert measure(packages, NARROW) > 0.6
    assert not packages_index.flat


def test_what_is_flat() -> None:
    internal, even = np.zeros(20_000, NARROW), np.tile(np.float32([0.8, 1.0, 1.2]), 6667)[:20_000]
    assert is_flat(20_000, internal, even, 1)
    assert not is_flat(19_999, internal, even, 1)
    uneven = np.tile(np.float32([0.1, 1.0, 3.0]), 6667)[:20_000]
    assert not is_flat(20_000, internal, uneven, 1)
    short_lists = np.arange(20_000).astype(NARROW)
    assert not is_flat(20_000, short_lists, even, 20_000)
    assert not is_flat(20_000, internal[:0], even[:0], 0)


def test_twenty_thousand_even_documents() -> None:
    rng = np.random.default_rng(2)
    weights = rng.uniform(0.9, 1.1, 60_000)
    vectors = SparseVectors(np.arange(0, 60_001, 3), rng.integers(0, 50, 60_000), weights, 50)
    index = SeismicIndex.build(vectors)
    assert index.flat
    queries = zipf_vectors(3, 50, 50, 5, 4)
    result, expected = index.search(queries, 100), ExactIndex.build(vectors).search(queries, 100)
    assert np.array_equal(result.rows, expected.rows)
    assert np.array_equal(result.scores, expected.scores)


@given(drawn=vectors_and_queries())
@settings(max_examples=30)
def test_flat_searches_are_exact(drawn: tuple[SparseVectors, SparseVectors]) -> None:
    vectors, queries = drawn
    index = build_flat(vectors)
    assert index.flat
    expected = ExactIndex.build(vectors).search(queries, 7)
    for params in (SearchParams(), SearchParams(1, 5.0), SearchParams(exact=True)):
        for threads in (1, 3):
            result = index.search(queries, 7, params, threads)
            assert np.array_equal(result.rows, expected.rows)
            assert np.array_equal(result.scores, expected.scores)


def test_flat_index_saved_and_opened(tmp_path: Path) -> None:
    vectors, queries = zipf_vectors(1, 300, DIM, 8, 1000), zipf_vectors(9, 40, DIM, 5, 4)
    index = build_flat(vectors)
    index.save(tmp_path / "index")
    opened = SeismicIndex.open(tmp_path / "index")
    assert opened.flat
    assert opened.nbytes == index.nbytes
    assert np.array_equal(opened.search(queries).rows, index.search(queries).rows)
    assert np.array_equal(opened.search(queries).scores, index.search(queries).scores)
    for found, wanted in zip(opened.vector(5), index.vector(5), strict=True):
        assert np.array_equal(found, wanted)
