"""Static pruning: which postings stay."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.config import IndexConfig
from lsr.index.forward import count_components
from lsr.index.prune import kth_largest, pruned_lists
from lsr.vectors import SparseVectors
from tests.index.samples import NARROW, configs, vectors_and_queries
from tests.naive import forward as naive_forward
from tests.naive import prune as naive
from tests.strategies import from_pairs, sparse_vectors


def prune(vectors: SparseVectors, config: IndexConfig, dim: int | None = None) -> list[list[int]]:
    components = count_components(vectors)
    internal = components.renumber(vectors.indices, np.dtype(NARROW))
    n_components = len(components.external)
    starts, documents = pruned_lists(vectors.indptr, internal, vectors.values, n_components, dim or vectors.dim, config)
    assert (starts.dtype, documents.dtype, len(starts)) == (np.int64, np.uint32, n_components + 1)
    assert (starts[0], starts[-1]) == (0, len(documents))
    return [documents[begin:end].tolist() for begin, end in pairwise(starts.tolist())]


def prune_naively(vectors: SparseVectors, config: IndexConfig, dim: int | None = None) -> list[list[int]]:
    external = naive_forward.count_components(vectors)
    rows = naive_forward.internal_rows(vectors, external)
    return naive.pruned_lists(rows, len(external), dim or vectors.dim, config)


@given(
    values=st.lists(st.floats(2.0**-149, float(np.finfo(np.float32).max), width=32), min_size=1, max_size=50),
    data=st.data(),
)
def test_kth_largest(values: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(values)))
    assert kth_largest(np.array(values, np.float32), k) == naive.kth_largest(values, k)


@given(values=st.lists(st.sampled_from([0.5, 1.0, 1.0000001, 2.0]), min_size=1))
def test_kth_largest_among_ties(values: list[float]) -> None:
    values = np.array(values, np.float32).tolist()
    assert [kth_largest(np.array(values, np.float32), k + 1) for k in range(len(values))] == sorted(values)[::-1]


@given(vectors=sparse_vectors(), config=configs(), share=st.integers(1, 5))
def test_drawn_vectors(vectors: SparseVectors, config: IndexConfig, share: int) -> None:
    # A small dim makes a budget that small collections exceed.
    assert prune(vectors, config, share) == prune_naively(vectors, config, share)


@given(drawn=vectors_and_queries(), config=configs())
@settings(max_examples=50)
def test_hundreds_of_rows(drawn: tuple[SparseVectors, SparseVectors], config: IndexConfig) -> None:
    vectors, _ = drawn
    lists = prune(vectors, config)
    assert lists == prune_naively(vectors, config)
    for each in lists:
        assert each == sorted(set(each))


@pytest.mark.parametrize(
    "config",
    [
        IndexConfig(n_postings=3, max_fraction=1e6),
        IndexConfig(n_postings=3, max_fraction=1.5),
        IndexConfig(pruning="fixed", n_postings=50),
    ],
    ids=["threshold", "threshold and cap", "fixed"],
)
def test_real_vectors(packages: SparseVectors, config: IndexConfig) -> None:
    vectors = packages[:4000]
    lists = prune(vectors, config)
    assert lists == prune_naively(vectors, config)
    kept = sum(map(len, lists))
    assert 0 < kept < vectors.nnz
    if config.max_fraction == 1e6:
        # The budget, and what ties with its last posting.
        threshold = np.sort(vectors.values)[-config.n_postings * vectors.dim]
        assert kept == (vectors.values >= threshold).sum()
    else:
        assert max(map(len, lists)) == (50 if config.pruning == "fixed" else 4)


def test_ties_keep_the_lower_rows() -> None:
    vectors = from_pairs([[(0, 1.0)], [(0, 2.0)], [(0, 1.0)], [(0, 1.0)], [(0, 2.0)]], 1)
    assert prune(vectors, IndexConfig(pruning="fixed", n_postings=3)) == [[0, 1, 4]]
    assert prune(vectors, IndexConfig(pruning="fixed", n_postings=4)) == [[0, 1, 2, 4]]


def test_ties_with_the_threshold_stay() -> None:
    vectors = from_pairs([[(0, 1.0)], [(0, 2.0)], [(0, 1.0)], [(0, 0.5)]], 1)
    assert prune(vectors, IndexConfig(n_postings=2, max_fraction=10.0)) == [[0, 1, 2]]


def test_a_list_may_end_up_empty() -> None:
    vectors = from_pairs([[(0, 1.0), (1, 9.0)], [(0, 1.0), (1, 8.0)]], 2)
    assert prune(vectors, IndexConfig(n_postings=1), 2) == [[], [0, 1]]
    assert prune(vectors, IndexConfig(n_postings=1, max_fraction=1.0), 2) == [[], [0]]


def test_a_cap_is_never_below_one() -> None:
    vectors = from_pairs([[(0, 1.0)], [(0, 2.0)]], 1)
    assert 49 * (1 / 49) < 1
    assert prune(vectors, IndexConfig(n_postings=49, max_fraction=1 / 49)) == [[1]]


def test_without_pruning_every_posting_stays(packages: SparseVectors) -> None:
    for config in (IndexConfig(pruning="fixed", n_postings=1 << 40), IndexConfig(n_postings=1 << 40)):
        assert sum(map(len, prune(packages, config))) == packages.nnz
