"""Collections of flat weights are searched exhaustively, and only those."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr import ExactIndex, IndexConfig, SeismicIndex, SparseVectors
from lsr.errors import IndexFormatError
from lsr.index import flat
from tests.data import load_vectors

SPREAD = flat.LARGEST_SPREAD  # before the other tests of indexes do without it


@pytest.fixture(autouse=True)
def _as_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "LARGEST_SPREAD", SPREAD)


def bm25_like(vectors: SparseVectors) -> SparseVectors:
    """The same components, each weight squeezed to where BM25's saturation leaves it."""
    counts = np.ceil(vectors.values)
    return SparseVectors(vectors.indptr, vectors.indices, counts / (counts + 0.9), vectors.dim, vectors.ids)


@given(seed=st.integers(0, 2**32 - 1), sizes=st.lists(st.sampled_from([1, 128, 129, 300]), max_size=4))
def test_spread(seed: int, sizes: list[int]) -> None:
    sizes = [*sizes, 200]
    rng = np.random.default_rng(seed)
    internal = rng.permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.uint16)
    values = rng.exponential(size=len(internal)).astype(np.float32) + np.float32(rng.random())
    spreads, counted = [], []
    for component in range(len(sizes)):
        weights = values[internal == component].astype(float)
        if len(weights) > flat.SHORTEST_LIST:
            spreads.append(weights.std() / weights.mean())
            counted.append(len(weights))
    expected = np.average(spreads, weights=counted)
    assert flat.spread(internal, values, len(sizes)) == pytest.approx(expected, rel=1e-6)


def test_short_lists_say_nothing() -> None:
    assert flat.spread(np.zeros(128, np.uint16), np.ones(128, np.float32), 1) == np.inf


def test_learned_weights_get_blocks_and_flat_ones_do_not() -> None:
    learned = load_vectors("packages-500k")[:20_000]
    queries = load_vectors("packages-queries")[:100]
    even = bm25_like(learned)
    index = SeismicIndex.build(even)
    assert index.flat
    assert "whole lists" in index.nbytes
    expected = ExactIndex.build(even).search(queries, 20)
    found = index.search(queries, 20, threads=2)
    assert np.array_equal(found.rows, expected.rows)
    assert np.array_equal(found.scores, expected.scores)
    assert not SeismicIndex.build(learned, IndexConfig(n_postings=50)).flat


def test_few_documents_do_without_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = load_vectors("packages-500k")[:1000]
    queries = load_vectors("packages-queries")[:50]
    monkeypatch.setattr(flat, "EXHAUSTIVE_BELOW", 1001)
    index = SeismicIndex.build(learned)
    assert index.flat
    expected = ExactIndex.build(learned).search(queries, 20)
    assert np.array_equal(index.search(queries, 20).rows, expected.rows)
    monkeypatch.setattr(flat, "EXHAUSTIVE_BELOW", 1000)
    assert not SeismicIndex.build(learned).flat


def test_saved_and_opened(tmp_path: Path) -> None:
    even = bm25_like(load_vectors("packages-500k")[:20_000])
    queries = load_vectors("packages-queries")[:50]
    index = SeismicIndex.build(even)
    index.save(tmp_path / "index")
    opened = SeismicIndex.open(tmp_path / "index")
    assert opened.flat
    assert opened.nbytes == index.nbytes
    assert np.array_equal(opened.search(queries).scores, index.search(queries).scores)
    starts = np.load(tmp_path / "index" / "whole_starts.npy")
    np.save(tmp_path / "index" / "whole_starts.npy", starts[::-1])
    with pytest.raises(IndexFormatError, match="fit together"):
        SeismicIndex.open(tmp_path / "index")
