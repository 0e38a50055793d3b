"""What a sharded index tells of one document, beside what its searches return."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

import lsr
from lsr.deadline import until
from lsr.distributed.sharded_building import build_sharded_index
from lsr.distributed.sharded_searcher import ShardedSearcher
from lsr.errors import DeadlineError, ParameterError
from lsr.index.parameters import SearchParams
from lsr.index.seismic.build import trial
from lsr.retrieval.request import SearchRequest
from lsr.vectors.sparse_vectors import SparseVectors
from tests.made_vectors import short_documents, short_queries

ROWS = 1500
EXACT = SearchParams(exact=True)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShardedSearcher]:
    rows = short_documents(ROWS)

    def encode(texts: list[str]) -> SparseVectors:
        return rows[[int(text) for text in texts]]

    encoder = lsr.encoder_from(encode, queries=encode, dim=rows.dim)
    folder = tmp_path_factory.mktemp("why") / "index"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trial, "INVERTED_BELOW", 1)
        patched.setattr(trial, "LEAST_RECALL", 0.0)
        build_sharded_index([{"id": f"d{n}", "text": str(n)} for n in range(ROWS)], folder, encoder, 3)
    with ShardedSearcher.open(folder, encoder=encoder) as searcher:
        yield searcher


def test_ranks_and_remedies_are_those_of_searches(blocks: ShardedSearcher) -> None:
    queries, snapshot = short_queries(6), blocks.snapshot
    verdicts = set()
    for at in range(len(queries)):
        query = queries[[at]]
        exact = [*blocks.run(query, ROWS, EXACT)["0"].items()]
        ranks = {doc_id: rank for rank, (doc_id, _) in enumerate(exact, start=1)}
        for k, params in ((5, SearchParams(max_blocks=2, query_cut=2)), (3, SearchParams())):
            found = blocks.hits(query, SearchRequest(k, params))[0]
            for doc_id, score in [*exact[:6], exact[-1]]:
                told = snapshot.why({"sparse": query}, None, doc_id, SearchRequest(k, params))
                assert told is not None
                why = told.why
                verdicts.add(why.verdict)
                assert why.rank == (found.ids.index(doc_id) + 1 if doc_id in found.ids else None)
                assert why.threshold == (found[k - 1].score if len(found) == k else None)
                assert why.score == pytest.approx(score)
                if why.rank is not None:
                    assert why.verdict == "returned" and why.exact_rank is None and why.remedy is None
                    continue
                assert why.exact_rank == ranks[doc_id] and why.remedy is not None
                assert (why.verdict in ("score too low", "tied")) == (
                    why.threshold is not None and score <= why.threshold
                )
                again = blocks.hits(query, SearchRequest(why.remedy.k, why.remedy.params))[0]
                assert again.ids[why.remedy.rank - 1] == doc_id
    assert {"returned", "score too low"} < verdicts  # and at least one stage


def test_filtered_and_unknown_documents(blocks: ShardedSearcher) -> None:
    query, snapshot = {"sparse": short_queries(1)}, blocks.snapshot
    told = snapshot.why(query, None, "d1", SearchRequest(2, allowed=["d2", "d3"]))
    assert told is not None and told.why.verdict == "filtered out" and told.why.remedy is None
    assert snapshot.why(query, None, "none", SearchRequest()) is None
    assert snapshot.explained(query, None, "none") is None
    with until(monotonic() - 1), pytest.raises(DeadlineError):
        snapshot.why(query, None, "d1", SearchRequest())


def test_a_vector_means_the_same_tokens_in_each_shard(tmp_path: Path) -> None:
    """BM25's vocabularies grow apart."""
    documents = [{"id": f"d{n}", "text": f"salt w{n}"} for n in range(8)]
    build_sharded_index(documents, tmp_path / "index", "bm25", 2)
    with ShardedSearcher.open(tmp_path / "index") as searcher:
        searcher.add([{"id": f"e{n}", "text": f"salt new{n}"} for n in range(8)])
        searcher.commit()
    with ShardedSearcher.open(tmp_path / "index") as searcher:
        vocabulary = searcher.snapshot.vocabulary
        assert vocabulary is not None
        known = [n for n in range(8) if vocabulary.id_of(f"new{n}") is not None]
        assert 0 < len(known) < 8
        for n in known:
            query = SparseVectors.of([{f"new{n}": 1.0}], dim=len(vocabulary), vocabulary=vocabulary)
            assert searcher.search(query).ids == [f"e{n}"]
            told = searcher.snapshot.why(searcher.snapshot.encode(query), None, f"e{n}", SearchRequest())
            assert told is not None and told.why.rank == 1 and [*told.tokens.values()] == [f"new{n}"]


def test_facets_are_those_of_one_index(tmp_path: Path) -> None:
    documents = [
        {"id": f"d{n}", "text": f"salt w{n % 3}", "year": 2000 + n % 4, "tags": ["a", f"t{n % 3}"][: n % 3]}
        for n in range(20)
    ]
    single = lsr.build_index(documents, tmp_path / "single", "bm25")
    build_sharded_index(documents, tmp_path / "sharded", "bm25", 3)
    with ShardedSearcher.open(tmp_path / "sharded") as sharded:
        sharded.add([{"id": "new", "text": "salt", "color": "red"}])
        single.add([{"id": "new", "text": "salt", "color": "red"}])
        for each in (sharded, single):
            each.commit()
        for column in ("year", "tags", "color"):
            for asked in ({}, {"k": 2}, {"k": None}, {"where": "year > 2001"} if column != "color" else {}):
                assert sharded.facets(column, **asked) == single.facets(column, **asked)  # type: ignore[arg-type]
            hits = sharded.search("w1 salt", 100, where="year > 2000")
            assert sharded.facets(column, hits) == single.facets(column, hits)
        with pytest.raises(ParameterError, match="there is no column 'none'"):
            sharded.facets("none")
        with pytest.raises(ParameterError, match="there is no column 'none'"):
            sharded.facets("none", hits)
