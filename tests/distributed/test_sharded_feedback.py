"""Feedback over shards against feedback in one index of the same documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import lsr
from lsr import Feedback, ParameterError, SearchParams, ShardedSearcher, SparseVectors
from lsr.index.seismic.build import trial
from tests.made_vectors import short_documents, short_queries

Both = tuple[ShardedSearcher, lsr.Searcher]
FEEDBACKS = [
    Feedback("rocchio", alpha=1.0, beta=0.7),
    Feedback("rocchio", depth=3, alpha=1.0, beta=0.7, gamma=0.2, negatives=4, terms=5),
    Feedback("rm3", depth=5, alpha=0.6, terms=7),
]


def documents(first: int, last: int) -> list[dict[str, Any]]:
    """Of different lengths, or terms and documents would have equal weights, whose order is that of the shards."""
    rng = np.random.default_rng(first)
    return [
        {
            "id": f"d{n}",
            "text": " ".join(f"w{each}" for each in rng.zipf(1.4, 9 + n) % 300) + f" new{n}",
            "year": 2000 + n % 9,
        }
        for n in range(first, last)
    ]


@pytest.fixture(scope="module")
def bm25(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Both with documents that were added, whose new words have other numbers in each shard."""
    folder = tmp_path_factory.mktemp("feedback")
    single = lsr.build_index(documents(0, 150), folder / "single", "bm25")
    lsr.build_sharded_index(documents(0, 150), folder / "sharded", "bm25", 3)
    with ShardedSearcher.open(folder / "sharded") as sharded:
        for each in (sharded, single):
            each.add(documents(150, 190))
            each.delete([f"d{n}" for n in range(0, 150, 7)])
            each.commit()
        yield sharded, single


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    rows = short_documents(3000)

    def encode(texts: list[str]) -> SparseVectors:
        return rows[[int(text) for text in texts]]

    folder = tmp_path_factory.mktemp("blocks")
    encoder = lsr.encoder_from(encode, queries=encode, dim=rows.dim)
    given = [{"id": f"d{n}", "text": str(n)} for n in range(len(rows))]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trial, "INVERTED_BELOW", 1)
        patched.setattr(trial, "LEAST_RECALL", 0.0)
        single = lsr.build_index(given, folder / "single", encoder)
        lsr.build_sharded_index(given, folder / "sharded", encoder, 3)
    with ShardedSearcher.open(folder / "sharded", encoder=encoder) as sharded:
        assert not sharded.snapshot.index.inverted  # type: ignore[attr-defined]
        yield sharded, single


def same(ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]]) -> None:
    assert ours.keys() == theirs.keys()
    for query, ranking in theirs.items():
        assert ours[query].keys() == ranking.keys() and len(ranking) > 3
        assert list(ours[query].values()) == list(ranking.values())


def without_ties(single: lsr.Searcher, queries: Any, depth: int) -> list[str]:
    """The ids of queries whose first documents have different scores: equal ones are in the order of shards."""
    run = single.run(queries, depth, SearchParams(exact=True))
    return [query for query, ranking in run.items() if len(set(ranking.values())) == len(ranking) > 10]


@pytest.mark.parametrize("feedback", FEEDBACKS, ids=str)
def test_rankings_are_those_of_one_index(bm25: Both, feedback: Feedback) -> None:
    sharded, single = bm25
    queries = {f"d{n}": f"w{n % 40} new{n} w3 nothing" for n in range(100, 190, 4)}
    queries = {name: queries[name] for name in without_ties(single, queries, 1000)}
    assert len(queries) > 10
    for asked in (
        {},
        {"where": "year > 2003"},
        {"drop_same_id": True},
        {"allowed": [f"d{n}" for n in range(61, 190) if n > 150 or n % 7]},
    ):
        runs = [each.run(queries, 1000, feedback=feedback, **asked) for each in (sharded, single)]  # type: ignore[attr-defined]
        same(*runs)
    vectors = single.snapshot.encode(list(queries.values()))["sparse"].with_ids(list(queries))
    in_shards = sharded.snapshot.vocabulary
    assert in_shards is not None and single.vocabulary is not None and in_shards != single.vocabulary
    by_token = [
        {single.vocabulary.token(int(c)): w for c, w in zip(*vectors.row(row), strict=True)}
        for row in range(len(vectors))
    ]
    moved = SparseVectors.of(by_token, dim=len(in_shards), vocabulary=in_shards, drop_unknown=True)
    known = SparseVectors.of(by_token, dim=single.index.dim, vocabulary=single.vocabulary, drop_unknown=True)
    keep = [row for row in range(len(moved)) if len(moved.row(row)[0]) == len(known.row(row)[0])]
    assert len(keep) > 10
    same(sharded.run(moved[keep], 1000, feedback=feedback), single.run(known[keep], 1000, feedback=feedback))


@pytest.mark.parametrize("feedback", [FEEDBACKS[0], FEEDBACKS[2]], ids=str)
def test_blocks_feed_back_as_in_one_index(blocks: Both, feedback: Feedback) -> None:
    sharded, single = blocks
    names = without_ties(single, short_queries(60), 12)
    queries = short_queries(60)[[int(name) for name in names]]
    runs = [each.run(queries, 50, SearchParams(exact=True), feedback=feedback) for each in blocks]
    same(*runs)
    assert sharded.run(short_queries(3), 5, feedback=feedback).keys() == single.run(short_queries(3), 5).keys()


def test_hits_explain_the_second_query(bm25: Both) -> None:
    sharded, single = bm25
    for feedback in FEEDBACKS:
        ours, theirs = (each.search("w5 new155", 10, feedback=feedback) for each in bm25)
        assert ours.ids == theirs.ids and ours.scores == theirs.scores
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.explain() == pytest.approx(other.explain(), rel=1e-6)
            expansions = (each.snapshot.expansion("w5 new155")(hit) for each, hit in ((sharded, mine), (single, other)))
            first, second = expansions
            assert first == second and first["expanded"]


def test_a_budget_is_halved_and_the_dense_side_is_refused(bm25: Both) -> None:
    sharded, _ = bm25
    hits = sharded.search("w5 w3", feedback="rm3", params=SearchParams(budget_us=10**7))
    assert hits.complete
    for asked in ({"side": "dense"}, {"feedback": "average"}):
        with pytest.raises(ParameterError, match="dense"):
            sharded.search("w5", **asked)  # type: ignore[arg-type]
