"""A sharded index on a real cluster of Ray, of several nodes on this machine, some of which are killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import lsr
from lsr.distributed.sharded_building import build_sharded_index
from lsr.distributed.sharded_searcher import ShardedSearcher
from lsr.errors import CollectionError, ParameterError, ShardError

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.long
SHARDS = 2
QUERIES = {"a": "w1 w4", "b": "w0 w2 w6 w10", "c": "new3", "d": "nothing"}
DOCUMENTS = [{"id": f"d{n}", "text": f"w{n % 5} w{n % 7} w{n % 12} new{n}", "year": 2000 + n % 3} for n in range(60)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head, which does no work, and two nodes of two processors each."""
    from ray.cluster_utils import Cluster

    settings = {"object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **settings})
    cluster.nodes_of_work = [cluster.add_node(num_cpus=2, **settings) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> lsr.Searcher:
    return lsr.build_index(DOCUMENTS, tmp_path_factory.mktemp("single") / "index", "bm25")


@pytest.fixture(scope="module")
def folder(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded") / "index"
    build_sharded_index(DOCUMENTS, folder, "bm25", SHARDS, cluster="auto")
    return folder


def scores(run: dict[str, dict[str, float]]) -> dict[str, list[float]]:
    return {query: list(ranking.values()) for query, ranking in run.items()}


def test_a_cluster_finds_what_one_index_finds_changes_it_and_survives_a_node(
    cluster: Any, folder: Path, single: lsr.Searcher
) -> None:
    with ShardedSearcher.open(folder, cluster="auto", replicas=2, cpus=0.5, timeout_s=20) as searcher:
        assert scores(searcher.run(QUERIES)) == scores(single.run(QUERIES))
        with ShardedSearcher.open(folder) as here:
            assert searcher.run(QUERIES, feedback="rm3") == here.run(QUERIES, feedback="rm3")
        hit = searcher.search("new3", where="year = 2000")[0]
        other = single.search("new3", where="year = 2000")[0]
        assert (hit.doc_id, hit.score, hit.text, hit.explain()) == ("d3", other.score, other.text, other.explain())
        for each in (searcher, single):
            assert each.add([{"id": "e1", "text": "w1 w4 new99", "year": 1999}]) == 1
            assert each.delete(["d4", "d5"]) == 2
            each.commit()
        with pytest.raises(CollectionError, match="'e1' is already the id of a document"):
            searcher.add([{"id": "e1", "text": "w1"}])
        with pytest.raises(ParameterError, match="where"):
            searcher.search("w1", where="no_such_column = 1")
        assert scores(searcher.run(QUERIES)) == scores(single.run(QUERIES))
        cluster.remove_node(cluster.nodes_of_work.pop(), allow_graceful=False)
        for _ in range(3):
            assert scores(searcher.run(QUERIES)) == scores(single.run(QUERIES))
        assert searcher.search("new3").missing_shards == ()
    cluster.nodes_of_work.append(cluster.add_node(num_cpus=2, object_store_memory=80 << 20))


def test_without_replicas_a_lost_actor_is_an_error_or_is_named(cluster: Any, folder: Path) -> None:
    for missing in ("error", "name"):
        with ShardedSearcher.open(folder, cluster="auto", cpus=0.5, missing=missing) as searcher:  # type: ignore[arg-type]
            shards: Any = searcher._shards
            ray.kill(shards._replicas[1][0], no_restart=True)
            if missing == "error":
                with pytest.raises(ShardError, match="no answer from shard-00001"):
                    searcher.search("w1")
            else:
                hits = searcher.search("w1", 60)
                assert hits.missing_shards == ("shard-00001",) and hits
    with pytest.raises(ParameterError, match="2 shards x 9 replicas x 1 processors are more than"):
        ShardedSearcher.open(folder, cluster="auto", replicas=9)


def test_a_node_that_is_killed_during_a_build_costs_time_alone(
    cluster: Any, tmp_path: Path, single: lsr.Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lsr.distributed.routed_documents.ROWS_PER_PART", 5)
    documents = DOCUMENTS * 1
    building = tmp_path / "index.building"

    def kill() -> None:
        while not list(building.glob("*.encoding/part-*")):
            time.sleep(0.01)
        cluster.remove_node(cluster.nodes_of_work.pop(), allow_graceful=False)

    killing = Thread(target=kill)
    killing.start()
    build_sharded_index(documents, tmp_path / "index", "bm25", SHARDS, cluster="auto")
    killing.join()
    fresh = lsr.build_index(documents, tmp_path / "single", "bm25")
    with ShardedSearcher.open(tmp_path / "index") as searcher:
        assert scores(searcher.run(QUERIES)) == scores(fresh.run(QUERIES))
    cluster.nodes_of_work.append(cluster.add_node(num_cpus=2, object_store_memory=80 << 20))
