"""A sharded index against one index of the same documents, in one process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lsr
from lsr.distributed import shard_processes
from lsr.distributed.sharded_building import build_sharded_index
from lsr.distributed.sharded_folder import ShardedFolder, shard_of
from lsr.distributed.sharded_searcher import ShardedSearcher
from lsr.errors import CollectionError, IndexFormatError, ParameterError, ShardError, StorageError
from lsr.index.parameters import SearchParams
from lsr.index.seismic.build import trial
from lsr.vectors.sparse_vectors import SparseVectors
from tests.made_vectors import short_documents, short_queries

SHARDS = 3
QUERIES = ["w1 w4", "w0 w2 w6 w10", "new3", "w5 new7 w5", "nothing"]


def made_documents(first: int = 0, last: int = 60) -> list[dict[str, Any]]:
    rng = np.random.default_rng(first)
    return [
        {
            "id": f"d{number}",
            "title": f"w{number % 5}",
            "text": " ".join(f"w{each}" for each in rng.integers(0, 12, 3 + number % 9)) + f" new{number}",
            "year": 2000 + number % 7,
            "mixed": number if number % 2 else "text",
        }
        for number in range(first, last)
    ]


def same_rankings(ours: dict[str, dict[str, float]], theirs: dict[str, dict[str, float]], depth: int) -> None:
    """Equal scores, and equal documents but for those that score as the last one does."""
    assert ours.keys() == theirs.keys()
    for query, ranking in theirs.items():
        assert list(ours[query].values()) == list(ranking.values())
        last = min(ranking.values(), default=0) if len(ranking) == depth else 0
        assert {each: s for each, s in ours[query].items() if s > last} == {
            each: s for each, s in ranking.items() if s > last
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded") / "index"
    assert build_sharded_index(made_documents(), folder, "bm25", SHARDS).documents == 60
    assert not folder.with_name("index.building").exists()
    return folder


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> lsr.Searcher:
    return lsr.build_index(made_documents(), tmp_path_factory.mktemp("single") / "index", "bm25")


def test_documents_go_where_the_hash_of_their_ids_says() -> None:
    # b2sum -l 64 gives e4a6a0577479b2b4 for the empty text. Indexes on disk rely on these numbers.
    assert shard_of("", 1000) == 0xB4B2797457A0A6E4 % 1000
    assert [shard_of(each, 1000) for each in ("d0", "d1", "ü")] == [818, 164, 525]
    counts = np.bincount([shard_of(f"d{number}", 8) for number in range(8000)])
    assert counts.min() > 900 and counts.max() < 1100


@pytest.mark.parametrize(
    "asked",
    [{}, {"where": "year > 2003 and mixed = 'text'"}, {"allowed": [f"d{each}" for each in range(0, 60, 4)]}],
    ids=["all", "where", "allowed"],
)
def test_results_are_those_of_one_index(folder: Path, single: lsr.Searcher, asked: dict[str, Any]) -> None:
    queries = {str(at): query for at, query in enumerate(QUERIES)}
    with ShardedSearcher.open(folder) as sharded:
        for k in (1, 5, 100):
            same_rankings(sharded.run(queries, k, **asked), single.run(queries, k, **asked), k)
        hits = sharded.search_batch(QUERIES, 5, **asked)
        for query, ours in zip(QUERIES, hits, strict=True):
            of_one = {hit.doc_id: hit for hit in single.search(query, 60, **asked)}
            for hit in ours:
                other = of_one[hit.doc_id]
                assert (hit.text, dict(hit.metadata), hit.scores) == (other.text, dict(other.metadata), other.scores)
                assert hit.explain() == other.explain() and hit.snippet() == other.snippet()
        hit, stored = single.search("new7")[0], sharded.document("d7")
        assert stored is not None and stored[:2] == (hit.text, dict(hit.metadata))
        components, weights = single.index.vector(hit.row)
        assert stored.vector == {single.snapshot.token(int(c)): w for c, w in zip(components, weights, strict=True)}
        assert sharded.document("nothing") is None


def test_a_document_of_the_id_of_the_query_is_dropped(folder: Path, single: lsr.Searcher) -> None:
    queries = {"d7": "new7 w1", "d8": "w1 w2"}
    with ShardedSearcher.open(folder) as sharded:
        ours = sharded.run(queries, 60, drop_same_id=True)
        assert "d7" not in ours["d7"]
        same_rankings(ours, single.run(queries, 60, drop_same_id=True), 60)


def test_blocks_of_shards_score_as_those_of_one_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "INVERTED_BELOW", 1)
    monkeypatch.setattr(trial, "LEAST_RECALL", 0.0)
    rows, queries = short_documents(3000), short_queries(40)

    def encode(texts: list[str]) -> SparseVectors:
        return rows[[int(text) for text in texts]]

    encoder = lsr.encoder_from(encode, queries=encode, dim=rows.dim)
    documents = [{"id": f"d{number}", "text": str(number)} for number in range(len(rows))]
    single = lsr.build_index(documents, tmp_path / "single", encoder)
    build_sharded_index(documents, tmp_path / "sharded", encoder, SHARDS)
    with ShardedSearcher.open(tmp_path / "sharded", encoder=encoder) as sharded:
        assert not sharded.snapshot.index.inverted  # type: ignore[attr-defined]
        exact = single.run(queries, 10, SearchParams(exact=True))
        same_rankings(sharded.run(queries, 10, SearchParams(exact=True)), exact, 10)
        params = SearchParams(max_blocks=20)

        def recall(run: dict[str, dict[str, float]]) -> float:
            return float(np.mean([len(run[query].keys() & exact[query].keys()) / 10 for query in exact]))

        assert recall(single.run(queries, 10, params)) <= recall(sharded.run(queries, 10, params))
        with pytest.raises(ParameterError, match="the index is not tuned"):
            sharded.run(queries, 10, SearchParams.at_recall(0.9))
        tuned = sharded.tune(queries, [0.9]).chosen[0.9]
    with ShardedSearcher.open(tmp_path / "sharded", encoder=encoder) as sharded:
        kept = sharded.run(queries, 10, SearchParams.at_recall(0.9))
        assert kept == sharded.run(queries, 10, tuned.params) and recall(kept) >= 0.85


def test_passages_are_found_as_in_one_index(tmp_path: Path) -> None:
    documents = [{"id": each["id"], "text": each["text"] * 3} for each in made_documents(0, 20)]
    single = lsr.build_index(documents, tmp_path / "single", "bm25", passages=8)
    build_sharded_index(documents, tmp_path / "sharded", "bm25", SHARDS, passages=8)
    with ShardedSearcher.open(tmp_path / "sharded") as sharded:
        queries = {"a": "w1 w4", "b": "new3 w7"}
        same_rankings(sharded.run(queries, 20), single.run(queries, 20), 20)
        assert sharded.search("new3")[0].passage == single.search("new3")[0].passage


def test_changes_are_those_of_one_index(tmp_path: Path, folder: Path) -> None:
    shutil.copytree(folder, tmp_path / "sharded")
    single = lsr.build_index(made_documents(), tmp_path / "single", "bm25")
    reader = ShardedSearcher.open(tmp_path / "sharded")
    queries = {str(at): query for at, query in enumerate([*QUERIES, "new61 w3"])}
    before = reader.run(queries)
    with ShardedSearcher.open(tmp_path / "sharded") as sharded:
        for each in (single, sharded):
            assert each.add(made_documents(60, 64)) == 4
            assert each.delete(["d1", "d2", "nothing"]) == 2
            report = each.update([{"id": "d3", "text": "w1 w4"}, {"id": "d70", "text": "w6 new70"}])
            assert report[:3] == (1, 1, 0)
            each.commit()
        assert sharded.documents == single.documents == 63
        same_rankings(sharded.run(queries), single.run(queries), 1000)
        assert reader.run(queries) == before and reader.is_behind and reader.refresh() and not reader.is_behind
        same_rankings(reader.run(queries), single.run(queries), 1000)
        sharded.delete("d3")
        with pytest.raises(StorageError, match="another writer has the lock"):
            reader.delete("d4")
        with pytest.raises(CollectionError, match="'d4' is already the id of a document in the index"):
            sharded.add([{"id": f"d{each}", "text": "w1"} for each in (80, 4, 81)])
        assert sharded.commit() == reader.generations
        assert reader.delete("d4") == 1
        reader.rollback()
        same_rankings(sharded.run(queries), single.run(queries), 1000)
    reader.close()


def test_a_killed_build_keeps_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "index"
    encoded, built = [], []
    encode, build = shard_processes.encode_part, shard_processes.build_shard
    room = {"encode": 1, "build": 0}

    def encode_one(plan: Any, encoder: Any, shard: int, part: int) -> int:
        if len(encoded) == room["encode"]:
            raise KeyboardInterrupt
        encoded.append(shard)
        return encode(plan, encoder, shard, part)

    def build_one(plan: Any, encoder: Any, shard: int, whole: Any) -> Any:
        if len(built) == room["build"]:
            raise KeyboardInterrupt
        built.append((plan.shard(shard) / "manifest.json").exists())
        return build(plan, encoder, shard, whole)

    monkeypatch.setattr(shard_processes, "encode_part", encode_one)
    monkeypatch.setattr(shard_processes, "build_shard", build_one)
    for encodes, builds, encoded_by_then, built_by_then in (
        (1, 0, [0], []),
        (3, 2, [0, 1, 2], [False, False]),
    ):
        room.update(encode=encodes, build=builds)
        with pytest.raises(KeyboardInterrupt):
            build_sharded_index(made_documents(), folder, "bm25", SHARDS)
        assert (encoded, built) == (encoded_by_then, built_by_then) and not folder.exists()
    for settings, error, said in (
        ({"shards": SHARDS + 1}, StorageError, "has an unfinished build with other settings"),
        ({"documents": made_documents(1)}, CollectionError, "has an unfinished build of other documents"),
    ):
        given: dict[str, Any] = {"documents": made_documents(), "shards": SHARDS, **settings}
        with pytest.raises(error, match=said):
            build_sharded_index(given["documents"], folder, "bm25", given["shards"])
    room["build"] = 99
    assert build_sharded_index(made_documents(), folder, "bm25", SHARDS).documents == 60
    assert encoded == [0, 1, 2] and built == [False, False, True, True, False]
    assert not folder.with_name("index.building").exists()


def test_a_lost_shard_is_an_error_or_is_named(folder: Path, tmp_path: Path, single: lsr.Searcher) -> None:
    shutil.copytree(folder, tmp_path / "index")
    shutil.rmtree(tmp_path / "index" / "shard-00000")
    with ShardedSearcher.open(tmp_path / "index") as strict:
        with pytest.raises(ShardError, match="no answer from shard-00000"):
            strict.search("w1")
    with ShardedSearcher.open(tmp_path / "index", missing="name") as sharded:
        hits = sharded.search("w1 w4", 60)
        assert hits.missing_shards == ("shard-00000",)
        left = [hit for hit in single.search("w1 w4", 60) if shard_of(hit.doc_id, SHARDS) != 0]
        assert {hit.doc_id: hit.score for hit in hits} == {hit.doc_id: hit.score for hit in left}
        lost = next(each["id"] for each in made_documents() if shard_of(each["id"], SHARDS) == 0)
        with pytest.raises(ShardError, match="no answer from shard-00000"):
            sharded.document(lost)
        with pytest.warns(lsr.LsrWarning, match="they lack the documents of shard-00000"):
            sharded.run({"a": "w1"})


def test_shards_without_documents_are_searched(tmp_path: Path) -> None:
    build_sharded_index(["red wine"], tmp_path / "index", "bm25", 4)
    with ShardedSearcher.open(tmp_path / "index") as sharded:
        assert sharded.search("wine").ids == ["0"]
        assert sharded.add([{"id": "a", "text": "white wine"}]) == 1
        sharded.commit()
        assert sorted(sharded.search("wine").ids) == ["0", "a"]


@pytest.mark.parametrize(
    "change",
    [
        {"shards": [{"name": "../other", "generation": 1, "documents": 60}]},
        {"shards": []},
        {"shards": None},
        {"documents": 61},
        {"folders": [1]},
        {"routing": "other"},
        {"format_version": 2},
        {"kind": "seismic"},
    ],
    ids=lambda change: str(change)[:30],
)
def test_a_damaged_manifest_is_refused(folder: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(IndexFormatError):
        ShardedFolder.read(tmp_path)


def test_unsupported_arguments_are_refused(folder: Path) -> None:
    with ShardedSearcher.open(folder) as sharded:
        for request in (lsr.SearchRequest(side="dense"), lsr.SearchRequest(interpolate="after")):
            with pytest.raises(ParameterError, match="sharded indexes have no dense vectors"):
                sharded.hits(["w1"], request)
        for allowed in ([3, 4], np.ones(60, bool)):
            with pytest.raises(ParameterError, match="allowed must be ids"):
                sharded.search("w1", allowed=allowed)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="without a cluster each shard has one"):
        ShardedSearcher.open(folder, replicas=2)
    with pytest.raises(IndexFormatError, match="shards"):
        lsr.Searcher.open(folder)
