"""What figures on grown rows rest on: how these are made, and the truth that recall is measured by."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.index.inverted.exact_index import ExactIndex
from lsr.vectors.sparse_vectors import SparseVectors
from tests import made_vectors
from tests.data import REPOSITORY

REAL = 3_000


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    before = set(sys.modules)
    import grown

    yield grown
    for name in set(sys.modules) - before:  # modules of benchmarks/ stay out of other tests
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(REPOSITORY / "benchmarks")):
            del sys.modules[name]


def mixtures(grown: Any, rows: int) -> SparseVectors:
    real = made_vectors.short_documents(REAL)
    order = np.random.default_rng(5).permutation(REAL)
    return SparseVectors.concatenate(grown.mixtures(real, order, rows))


def test_mixtures_are_of_two_rows(grown: Any) -> None:
    real, made = made_vectors.short_documents(REAL), mixtures(grown, 500)
    order = np.random.default_rng(5).permutation(REAL)
    places = np.argsort(order)
    for row in range(len(made)):
        beside = order[max(0, places[row] - grown.REACH) : places[row] + grown.REACH + 1]
        components, _ = made.row(row)
        assert (np.diff(components.astype(int)) > 0).all()
        others = [set(real.row(int(other))[0].tolist()) for other in beside if other != row]
        rest = set(components.tolist()) - set(real.row(row)[0].tolist())
        assert any(rest <= other for other in others)  # of one neighbor
    assert 0.8 < made.nnz / len(made) / (real.nnz / len(real)) < 1.2


def test_a_larger_collection_begins_with_the_smaller(grown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grown, "CHUNK", 700)
    larger = mixtures(grown, 5_000)
    smaller = mixtures(grown, 2_100)
    assert larger[:2_100] == smaller
    assert larger[REAL : REAL + 100] != larger[:100]  # the second mixture of a row is another one


def test_truth_in_slices_is_that_of_exact_search(grown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import truth

    monkeypatch.setattr(truth, "SLICE", 800)
    documents, queries = made_vectors.short_documents(REAL), made_vectors.short_queries(40)
    documents.write(tmp_path / "documents.csr")
    for rows in (2_000, REAL):
        found = truth.Truth("made", tmp_path / "documents.csr", rows, queries, tmp_path / "kept")
        exact = ExactIndex.build(documents[:rows]).search(queries, truth.K)
        np.testing.assert_array_equal(found.top, exact.rows)
        assert found.recall(exact.rows) == 1.0
        worse = exact.rows.copy()
        worse[:, 5:] = -1
        assert found.recall(worse) == pytest.approx((exact.rows[:, :5] >= 0).sum() / (exact.rows >= 0).sum())
    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert len(kept) == 5  # the slices that both collections have are searched once


def test_an_equal_document_counts(grown: Any, tmp_path: Path) -> None:
    import truth

    documents = SparseVectors.from_dicts([{0: 1.0}] * 30, dim=3)
    documents.write(tmp_path / "documents.csr")
    queries = SparseVectors.from_dicts([{0: 2.0}], dim=3)
    found = truth.Truth("made", tmp_path / "documents.csr", 30, queries, tmp_path / "kept")
    assert found.top.tolist() == [list(range(10))]
    assert found.recall(np.arange(20, 30)[None]) == 1.0
