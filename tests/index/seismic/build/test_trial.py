"""Collections of even weights get inverted lists, and only those."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lsr import ExactIndex, SeismicIndex, SparseVectors
from lsr.errors import IndexFormatError
from lsr.index.seismic.build import trial
from tests import made_vectors


@pytest.fixture(autouse=True)
def _blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial as it is, but for smaller collections."""
    monkeypatch.setattr(trial, "INVERTED_BELOW", 5000)


def even_vectors() -> SparseVectors:
    """Documents that have little in common, all of their weights about the same."""
    rng = np.random.default_rng(1)
    components = [rng.choice(3000, 40, replace=False) for _ in range(8000)]
    return SparseVectors(np.arange(8001) * 40, np.concatenate(components), 1 + rng.random(320_000) / 10, 3000)


def test_learned_weights_get_blocks_and_even_ones_do_not() -> None:
    learned, even = made_vectors.short_documents(8000), even_vectors()
    index = SeismicIndex.build(even)
    assert index.inverted
    assert set(index.nbytes) == {"inverted lists", "lists of rows"}
    queries = even[:100].top_k(10)
    expected = ExactIndex.build(even).search(queries, 20)
    found = index.search(queries, 20, threads=2)
    assert np.array_equal(found.rows, expected.rows)
    assert np.array_equal(found.scores, expected.scores)
    # A document has the weights that it is scored by, to the last bit.
    for row in (0, 77):
        assert [array.tolist() for array in index.vector(row)] == [array.tolist() for array in even.row(row)]
    with_blocks = SeismicIndex.build(learned)
    assert not with_blocks.inverted
    assert index.sample_recall is not None
    assert with_blocks.sample_recall is not None
    assert 0 < index.sample_recall < with_blocks.sample_recall <= 1


def test_few_documents_do_without_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = made_vectors.short_documents(1000)
    queries = made_vectors.short_queries(50)
    monkeypatch.setattr(trial, "INVERTED_BELOW", 1001)
    index = SeismicIndex.build(learned)
    assert index.inverted
    assert index.sample_recall is None  # nothing was tried
    expected = ExactIndex.build(learned).search(queries, 20)
    assert np.array_equal(index.search(queries, 20).rows, expected.rows)
    monkeypatch.setattr(trial, "INVERTED_BELOW", 1000)
    assert not SeismicIndex.build(learned).inverted


def test_queries_of_few_terms_get_inverted_lists_of_any_documents(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    learned = made_vectors.short_documents(6000)
    monkeypatch.setattr(trial, "sample_recall", None)  # nothing is tried
    index = SeismicIndex.build(learned, few_terms=True)
    learned.write(tmp_path / "vectors")
    by_disk = SeismicIndex.build_from(tmp_path / "vectors", tmp_path / "index", memory=1 << 28, few_terms=True)
    queries = made_vectors.short_queries(50)
    expected = ExactIndex.build(learned).search(queries, 20)
    for each in (index, by_disk):
        assert each.inverted
        assert each.sample_recall is None
        assert np.array_equal(each.search(queries, 20).scores, expected.scores)


@pytest.mark.parametrize(
    ("encoder", "few"),
    [
        (None, False),
        ({"kind": "bm25"}, False),
        ({"query": "mine"}, False),
        ({"query": {"head": "mlm"}}, False),
        ({"query": {"head": "lookup"}}, True),
    ],
)
def test_encoders_with_queries_of_few_terms(encoder: dict[str, object] | None, few: bool) -> None:
    assert trial.has_few_terms(encoder) == few


def test_saved_and_opened(tmp_path: Path) -> None:
    index, queries = SeismicIndex.build(even_vectors()), even_vectors()[:50].top_k(10)
    index.save(tmp_path / "index")
    opened = SeismicIndex.open(tmp_path / "index")
    assert opened.inverted
    assert opened.nbytes == index.nbytes
    assert opened.sample_recall == index.sample_recall
    assert np.array_equal(opened.search(queries).scores, index.search(queries).scores)
    starts = np.load(tmp_path / "index" / "starts.npy")
    np.save(tmp_path / "index" / "starts.npy", starts[::-1])
    with pytest.raises(IndexFormatError, match="posting lists do not match"):
        SeismicIndex.open(tmp_path / "index")
