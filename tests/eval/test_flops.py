"""The FLOPS of a ranking: products that a query and a document have in common, on the average."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr import ExactIndex, SeismicIndex, SparseVectors, build_index
from lsr.cli.asked import Asked
from lsr.errors import VectorsError
from lsr.eval import expected_flops, flops


def vectors(seed: int, rows: int, dim: int = 9, share: float = 0.4) -> SparseVectors:
    random = np.random.default_rng(seed)
    dense = random.random((rows, dim)) * (random.random((rows, dim)) < share)
    return SparseVectors.of(dense.astype(np.float32), dim=dim)


def test_by_hand() -> None:
    queries = SparseVectors.of([{0: 1.0}, {0: 2.0, 1: 0.5}], dim=3)  # p: 1, 1/2, 0
    documents = SparseVectors.of([{0: 1.0, 2: 9.0}, {1: 3.0}, {0: 0.1, 1: 7.0}, {}], dim=3)  # p: 1/2, 1/2, 1/4
    assert expected_flops(queries, documents) == pytest.approx(1 * 0.5 + 0.5 * 0.5)
    assert expected_flops(queries, SparseVectors.empty(3)) == expected_flops(SparseVectors.empty(3), documents) == 0


@given(st.integers(0, 1 << 30), st.integers(1, 6), st.integers(1, 12))
def test_flops_are_the_mean_number_of_common_components_over_all_pairs(seed: int, queries: int, documents: int) -> None:
    asked, found = vectors(seed, queries), vectors(seed + 1, documents)
    common = (asked.to_dense() > 0).astype(int) @ (found.to_dense() > 0).astype(int).T
    assert expected_flops(asked, found) == pytest.approx(common.mean())


def test_an_index_tells_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, documents = vectors(1, 5), vectors(2, 300)
    exact = expected_flops(queries, documents)
    for index in (SeismicIndex.build(documents), ExactIndex.build(documents)):
        monkeypatch.setattr(flops, "ROWS_AT_ONCE", 7)
        assert expected_flops(queries, index) == pytest.approx(exact)
    monkeypatch.setattr(flops, "SAMPLED", 150)
    assert expected_flops(queries, index) == pytest.approx(exact, rel=0.2)
    assert expected_flops(queries, index) != exact


def test_deleted_documents_do_not_count(tmp_path: Path) -> None:
    texts = ["salt and blood", "the sea", "blood is red", "wine"]
    with build_index(texts, tmp_path / "index", "bm25") as searcher:
        asked = Asked(searcher, {"a": "red blood", "b": "deep sea"}).encoded()
        assert asked.ids == ["a", "b"]
        assert Asked(searcher, asked).encoded() is asked
        before = expected_flops(asked, searcher.index)
        assert before == pytest.approx((1 + 1 + 2) / (2 * 4))  # blood twice, red once; sea once
        searcher.delete(["0"])
        searcher.commit()
        assert expected_flops(asked, searcher.index) == pytest.approx((2 + 1) / (2 * 3))


def test_vectors_of_two_encoders_are_refused() -> None:
    with pytest.raises(VectorsError, match="queries have 9 components, but documents have 4"):
        expected_flops(vectors(1, 2), vectors(2, 2, 4))
