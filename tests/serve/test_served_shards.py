"""A sharded index that is served, beside one index of the same documents."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

import lsr
from lsr.errors import CollectionError
from lsr.serve.app import create_app
from lsr.serve.changes_asked import adding
from lsr.serve.serve_metrics import ServeMetrics
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import open_served
from lsr.serve.write_queue import WriteQueue

DOCUMENTS = [  # of different lengths, or scores would be equal, and equal ones are ordered by shard
    {"id": f"d{n}", "text": f"w{n % 3} w{n % 5} new{n}{' long' * n}", "year": 2000 + n} for n in range(12)
]


def test_a_sharded_index_is_served_as_one(tmp_path: Path) -> None:
    lsr.build_sharded_index(DOCUMENTS, tmp_path / "shards.index", "bm25", 2)
    lsr.build_index(DOCUMENTS, tmp_path / "one.index", "bm25")
    served = open_served([tmp_path / "shards.index", tmp_path / "one.index"])
    with TestClient(create_app(served, ServeSettings()), "http://localhost") as client:

        def asked(path: str, name: str, method: str = "post", **body: Any) -> Any:
            answered = client.request(method, f"/v1/indexes/{name}/{path}", json=body or None)
            assert answered.status_code == 200, answered.text
            return answered.json()

        def same(path: str, method: str = "post", **body: Any) -> None:
            ours, theirs = (asked(path, name, method, **body) for name in ("shards", "one"))
            for each in (ours, theirs):
                for name in ("index", "generation", "seconds", "row"):
                    each.pop(name, None)
                for hit in each.get("hits", []):
                    hit.pop("row")
            assert ours == theirs

        search = {"query": "w1 new7 new2", "k": 2, "explain": True, "snippet": 40, "where": "year > 2001"}
        same("search", **search)
        same("search", **search, feedback="rm3", alpha=0.7, feedback_depth=3)
        same("search", vector={"new7": 1.0, "unknown": 2.0}, facets=["year"])
        same("facets", columns=["year"], where="year > 2004", k=3)
        for number in range(12):
            same("why", query="w1 new7", id=f"d{number}", k=3)
            same("explain", query="w1 new7", id=f"d{number}")
        same("explain", vector={"w1": 2.0}, id="d1")
        same("documents/d7", "get")
        same("documents", documents=[{"id": "e1", "text": "new99 w1", "year": 1}])
        same("documents", "put", documents=[{"id": "d7", "text": "w1 w1"}])
        same("documents/d3", "delete")
        same("search", **search)
        assert client.get("/v1/indexes/shards/documents/d3").status_code == 404
        for path in ("why", "explain"):
            assert client.post(f"/v1/indexes/shards/{path}", json={"query": "w1", "id": "d3"}).status_code == 404
        for path, body, said in (
            ("facets", {"columns": ["none"]}, "there is no column 'none'"),
            ("search", {"query": "w1", "interpolate": "after"}, "sharded indexes have no dense vectors"),
            ("documents", {"documents": [{"id": "v", "vector": {"w1": 1.0}}]}, "do not accept vectors"),
        ):
            refused = client.post(f"/v1/indexes/shards/{path}", json=body)
            assert refused.status_code == 422 and said in refused.json()["detail"], refused.text
        facts = client.get("/v1/indexes/shards").json()
        assert facts["documents"] == client.get("/v1/indexes/one").json()["documents"] == 12


def test_a_change_that_is_refused_takes_no_other_with_it(tmp_path: Path) -> None:
    """Shards take back all that is not committed where one refuses a change."""
    lsr.build_sharded_index(DOCUMENTS, tmp_path / "shards.index", "bm25", 2)
    [served] = open_served([tmp_path / "shards.index"]).values()
    queue = WriteQueue(served, ServeMetrics())

    async def ask() -> Any:
        changes = [adding([{"id": each, "text": "late"}], ServeSettings()) for each in ("e1", "d1", "e2")]
        waiting = [asyncio.ensure_future(queue.answer(change)) for change in changes]
        await asyncio.sleep(0)
        queue.start()
        return await asyncio.gather(*waiting, return_exceptions=True)

    first, refused, last = asyncio.run(ask())
    assert first["added"] == last["added"] == 1 and isinstance(refused, CollectionError)
    assert sorted(served.searcher.search("late").ids) == ["e1", "e2"]
    queue.close()
