"""Indexes as anybody builds them: so many documents that what is tried decides how they are stored. No patches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from lsr import ExactIndex, SearchParams, SearchResult, SeismicIndex, SparseVectors, store_presets
from tests import made_vectors
from tests.data import load_vectors
from tests.index.samples import EXACT, recall, same

# Fewer than 65,536 would be searched exactly whatever they are.
DOCUMENTS = 70_000
HASTY = SearchParams(query_cut=1, heap_factor=2.0)


@pytest.fixture(scope="module", autouse=True)
def _blocks() -> None:
    """Nothing is patched here."""


@dataclass
class Built:
    """Documents, an index of them, queries, and what an exact search finds."""

    documents: SparseVectors
    queries: SparseVectors

    @cached_property
    def index(self) -> SeismicIndex:
        return SeismicIndex.build(self.documents, ids=[f"d{row}" for row in range(DOCUMENTS)])

    @cached_property
    def expected(self) -> SearchResult:
        return ExactIndex.build(self.documents).search(self.queries, threads=2)


@pytest.fixture(scope="module", params=["made", pytest.param("real", marks=pytest.mark.data)])
def learned(request: pytest.FixtureRequest) -> Built:
    if request.param == "real":
        return Built(load_vectors("packages-500k")[:DOCUMENTS], load_vectors("packages-queries")[:300])
    return Built(made_vectors.short_documents(DOCUMENTS), made_vectors.short_queries(300))


@pytest.fixture(scope="module")
def even() -> Built:
    documents = made_vectors.even_documents(DOCUMENTS)
    return Built(documents, documents[:200].top_k(10))


def test_learned_weights_are_searched_by_blocks(learned: Built, tmp_path: Path) -> None:
    index, queries = learned.index, learned.queries
    assert index.sample_recall is not None and index.sample_recall > 0.95
    found = index.search(queries, threads=2)
    assert recall(found, learned.expected) > 0.975
    assert recall(index.search(queries, 10, EXACT), learned.expected) > 0.999
    assert recall(index.search(queries, 10, HASTY), learned.expected) < 0.7  # or these were no blocks
    index.save(tmp_path / "index")
    opened = SeismicIndex.open(tmp_path / "index")
    assert same(opened.search(queries), found)
    assert opened.search(queries).ids.tolist() == [[f"d{row}" for row in rows] for rows in found.rows]
    assert (len(opened), opened.sample_recall) == (DOCUMENTS, index.sample_recall)
    kept = {name: size for name, size in index.nbytes.items() if name != "lists of exact searches"}
    assert opened.nbytes == kept


def test_through_the_disk_as_in_memory(learned: Built, tmp_path: Path) -> None:
    learned.documents.write(tmp_path / "vectors")
    # 44 MB are the least that this takes; the postings have to wait on the disk.
    built = SeismicIndex.build_from(tmp_path / "vectors", tmp_path / "index", memory=50_000_000, threads=2)
    assert built.sample_recall == learned.index.sample_recall
    for params in (SearchParams(), HASTY, EXACT):
        assert same(built.search(learned.queries, 10, params), learned.index.search(learned.queries, 10, params))


def test_tuned(learned: Built, tmp_path: Path) -> None:
    learned.index.save(tmp_path / "index")
    opened = SeismicIndex.open(tmp_path / "index")
    tuning = opened.tune(learned.queries[:200], [0.9, 0.97])
    store_presets(tmp_path / "index", tuning)
    again = SeismicIndex.open(tmp_path / "index")
    assert list(again.presets) == [0.9, 0.97]
    unseen, expected = learned.queries[200:], learned.index.search(learned.queries[200:], 10, EXACT)
    for asked in (0.9, 0.97):
        assert recall(again.search(unseen, 10, SearchParams.at_recall(asked)), expected) > asked - 0.04


def test_explained(learned: Built) -> None:
    index, queries = learned.index, learned.queries
    exact, found = index.search(queries, 10, EXACT), index.search(queries, 10, HASTY)
    verdicts = set()
    for at in range(0, 60, 3):
        query, best = queries[at], exact.rows[at].tolist()
        for row in best:
            why = index.why(query, row, 10, HASTY)
            verdicts.add(why.verdict)
            assert (why.verdict == "returned") == (row in found.rows[at])
            assert why.score == pytest.approx(exact.scores[at, best.index(row)], rel=1e-5)
            if why.remedy:
                saved = index.search(query, why.remedy.k, why.remedy.params)
                assert saved.rows[0, why.remedy.rank - 1] == row
    assert "returned" in verdicts and len(verdicts) > 1


def test_even_weights_are_searched_exactly(even: Built, tmp_path: Path) -> None:
    index = even.index
    assert index.sample_recall is not None and 0 < index.sample_recall < 0.95
    index.save(tmp_path / "index")
    opened = SeismicIndex.open(tmp_path / "index")
    assert opened.sample_recall == index.sample_recall
    for each in (index, opened):
        for params in (SearchParams(), HASTY, EXACT):
            assert same(each.search(even.queries, 10, params), even.expected)
    why = opened.why(even.queries[0], int(even.expected.rows[0, 3]))
    assert (why.verdict, why.rank) == ("returned", 4)
    assert np.isclose(why.score, even.expected.scores[0, 3])
