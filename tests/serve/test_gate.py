"""Who is let in: keys, places, limits, and what attackers send."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from lsr import SeismicIndex, SparseVectors, build_index
from lsr.errors import LsrWarning, ParameterError, StorageError
from lsr.index.budget import INCOMPLETE, Budget
from lsr.retrieval.searcher import Searcher
from lsr.retrieval.snapshot import Snapshot
from lsr.retrieval.snapshot_reader import SnapshotReader
from lsr.serve.app import create_app
from lsr.serve.gate import PREFIX, kind_of
from lsr.serve.keys import Keys, keys_for
from lsr.serve.problems import PROBLEM
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import open_served

READ, WRITE = "a key for reading", "ein Schlüssel zum Schreiben"
SEARCH, DOCUMENTS = "/v1/indexes/notes/search", "/v1/indexes/notes/documents"
SAME = {"documents": [{"id": "d0", "text": "bone density 0", "year": 2000}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate") / "notes.index"
    build_index(
        [{"id": f"d{n}", "text": f"bone density {n}", "year": 2000 + n} for n in range(30)], folder, encoder="bm25"
    )
    return folder


@contextmanager
def serving(folder: Path, host: str = "http://localhost", **settings: Any) -> Iterator[TestClient]:
    with TestClient(create_app(open_served([folder]), ServeSettings(**settings)), host) as client:
        yield client


def bearer(key: str) -> dict[str, bytes]:
    return {"Authorization": b"Bearer " + key.encode()}


def status_of(client: TestClient, method: str, path: str, key: str | None = None, **given: Any) -> int:
    answered = client.request(method, path, headers={} if key is None else bearer(key), **given)
    if answered.status_code >= 400:
        assert answered.headers["content-type"] == PROBLEM and answered.json()["status"] == answered.status_code
        assert READ not in answered.text and WRITE not in answered.text
    return answered.status_code


def test_keys_open_what_they_are_for(folder: Path) -> None:
    search, add = {"json": {"query": "bone"}}, {"json": SAME}
    with serving(folder, read_keys=(READ,), write_keys=(WRITE,)) as client:
        for key, reads, writes in (
            (None, 401, 401),
            ("no such key at all", 401, 401),
            (READ, 200, 403),
            (WRITE, 200, 200),
        ):
            assert status_of(client, "POST", SEARCH, key, **search) == reads
            assert status_of(client, "GET", "/v1/indexes", key) == reads
            assert status_of(client, "GET", "/metrics", key) == reads
            assert status_of(client, "PUT", DOCUMENTS, key, **add) == writes
            assert status_of(client, "DELETE", f"{DOCUMENTS}/none", key) == writes
        assert status_of(client, "GET", "/health") == 200
        assert client.post(SEARCH, **search).headers["WWW-Authenticate"] == "Bearer"
        assert client.get("/").status_code == 200
        for strange in (b"Bearer", b"Basic " + READ.encode(), b"Bearer \xff\xfe\xfd", b"bearer  " + READ.encode()):
            answered = client.post(SEARCH, headers={"Authorization": strange}, **search)
            assert answered.status_code == (200 if strange.startswith(b"bearer") else 401)


def test_with_a_key_for_reading_alone_nothing_is_changed(folder: Path) -> None:
    with serving(folder, read_keys=(READ,)) as client:
        assert status_of(client, "PUT", DOCUMENTS, READ, json=SAME) == 403


def test_public_addresses_need_read_keys_or_allow_anonymous() -> None:
    with pytest.raises(ParameterError, match="0.0.0.0 can be reached from other machines"):
        ServeSettings("0.0.0.0")
    assert ServeSettings("0.0.0.0", read_keys=(READ,)) and ServeSettings("::1") and ServeSettings("localhost")
    assert READ not in repr(ServeSettings(read_keys=(READ,)))


def test_anonymous_clients_cannot_change_documents(folder: Path) -> None:
    settings = ServeSettings("0.0.0.0", allow_anonymous=True)
    with TestClient(create_app(open_served([folder]), settings), "http://search.example") as client:
        assert status_of(client, "POST", SEARCH, json={"query": "bone"}) == 200
        assert status_of(client, "PUT", DOCUMENTS, json=SAME) == 403


def test_requests_with_another_host_are_refused(folder: Path) -> None:
    with serving(folder, host="http://rebound.example") as client:
        assert status_of(client, "POST", SEARCH, json={"query": "bone"}) == 421
        for host in ("127.0.0.1:8080", "LOCALHOST", "[::1]:80"):
            assert client.post(SEARCH, json={"query": "bone"}, headers={"Host": host}).status_code == 200


def test_without_keys_only_local_hosts_are_accepted(folder: Path) -> None:
    search, change = {"json": {"query": "bone"}}, {"json": SAME}
    for settings, reads, writes in (
        ({"write_keys": (WRITE,)}, 421, 200),
        ({"write_keys": (WRITE,), "allow_anonymous": True}, 200, 200),  # behind a proxy, say
        ({"allow_anonymous": True}, 200, 421),
        ({"read_keys": (READ,)}, 401, 403),
    ):
        with serving(folder, host="http://rebound.example", **settings) as client:
            assert status_of(client, "POST", SEARCH, **search) == reads
            assert status_of(client, "PUT", DOCUMENTS, WRITE, **change) == writes


def test_only_pages_that_are_named_may_call(folder: Path) -> None:
    origin = {"Origin": "https://a.example"}
    with serving(folder) as client:
        assert "access-control-allow-origin" not in client.get("/health", headers=origin).headers
    with serving(folder, cors=("https://a.example",)) as client:
        assert client.get("/health", headers=origin).headers["access-control-allow-origin"] == origin["Origin"]
        other = client.get("/health", headers={"Origin": "https://b.example"})
        assert "access-control-allow-origin" not in other.headers


def test_answers_have_headers_for_browsers(folder: Path) -> None:
    with serving(folder) as client:
        for answered in (client.get("/health"), client.post(SEARCH, json={"query": "bone"}), client.get("/v1/none")):
            assert answered.headers["X-Content-Type-Options"] == "nosniff"
            assert answered.headers["Cache-Control"] == "no-store"
            assert "default-src 'none'" in answered.headers["Content-Security-Policy"]


BAD_BODIES = {
    "no JSON": b"{",
    "no object": b"[]",
    "not UTF-8": b'{"query": "\xff\xfe"}',
    "half of a pair": b'{"query": "\\ud800"}',
    "deep": b'{"documents":' * 5000,
    "deeper": b'{"query": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "NaN": b'{"vector": {"bone": NaN}}',
    "infinite": b'{"vector": {"bone": 1e999}}',
    "negative": b'{"vector": {"bone": -1}}',
    "no number": b'{"query": "bone", "k": "ten"}',
    "huge number": b'{"query": "bone", "k": 1' + b"0" * 5000 + b"}",
    "unknown word": b'{"query": "bone", "__class__": 1}',
    "k": b'{"query": "bone", "k": 1001}',
    "size": b'{"query": "bone", "size": 1001}',
    "length": b'{"query": "' + b"bone " * 1000 + b'"}',
    "depth": b'{"query": "bone", "feedback": "rocchio", "feedback_depth": 1000000}',
    "deadline": b'{"query": "bone", "deadline_ms": 10001}',
    "condition": b'{"query": "bone", "where": "year = (select 1)"}',
    "files": b'{"query": "bone", "where": "id = read_text(\'/etc/passwd\')"}',
    "facet": b'{"query": "bone", "facets": ["none"]}',
}


NO_JSON = {"no JSON", "not UTF-8", "half of a pair", "deep", "deeper"}


def test_bad_bodies_are_refused_in_a_line(folder: Path) -> None:
    with serving(folder) as client:
        for name, body in BAD_BODIES.items():
            answered = client.post(SEARCH, content=body, headers={"Content-Type": "application/json"})
            assert answered.status_code == (400 if name in NO_JSON else 422), (name, answered.text[:300])
            assert answered.headers["content-type"] == PROBLEM and len(answered.text) < 2000, name
        assert client.post(SEARCH, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
        assert client.get(f"{DOCUMENTS}/%ff%00").status_code == 404
        assert client.request("BREW", SEARCH).status_code == 405
        assert b'method="other"' in client.get("/metrics").content  # not as many labels as anybody likes


def test_a_body_that_is_too_large_is_not_read(folder: Path) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    with serving(folder, most_bytes=5000) as client:
        json_type = {"Content-Type": "application/json"}
        assert client.post(SEARCH, content=b" " * 6000, headers=json_type).status_code == 413
        answered = client.post(SEARCH, content=endless(), headers=json_type)
        assert answered.status_code == 413 and answered.headers["content-type"] == PROBLEM
        assert status_of(client, "POST", SEARCH, json={"query": "bone"}) == 200


def test_the_gate_knows_what_each_address_does(folder: Path) -> None:
    with serving(folder) as client:
        described = client.get("/openapi.json").json()["paths"]
    known = {
        (method.upper(), path): tag
        for path, methods in described.items()
        for method, route in methods.items()
        for tag in route["tags"]
    }
    assert set(known.values()) == {"reading", "writing", "operating"}
    for (method, path), tag in known.items():
        if tag != "operating":
            assert kind_of(method, path) == {"reading": "searches", "writing": "changes"}[tag], path
        assert path.startswith(PREFIX + "/") == (tag != "operating")


def test_a_full_server_answers_429_with_retry_after(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    going = threading.Event()
    held = Snapshot.hits_of_encoded

    def hits(*arguments: Any) -> Any:
        going.wait(30)
        return held(*arguments)

    monkeypatch.setattr(Snapshot, "hits_of_encoded", hits)
    statuses: list[int] = []
    with serving(folder, most_requests=3, deadline_ms=600_000) as client:

        def ask() -> None:
            while (status := status_of(client, "POST", SEARCH, json={"query": "bone"})) == 429:
                pass  # the look below had the last place
            statuses.append(status)

        asks = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asks:
            thread.start()
        deadline = time.monotonic() + 60
        while (answered := client.get("/v1/indexes")).status_code != 429:
            assert time.monotonic() < deadline
        assert answered.headers["Retry-After"] == "1" and "3 searches" in answered.json()["detail"]
        assert status_of(client, "PUT", DOCUMENTS, json=SAME) == 200  # changes have places of their own
        going.set()
        for thread in asks:
            thread.join()
        assert status_of(client, "POST", SEARCH, json={"query": "bone"}) == 200
    assert statuses == [200] * 3


def test_a_deadline_counts_from_the_arrival(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budgets: list[int] = []
    hits, encode = Snapshot.hits_of_encoded, Snapshot.encode

    def kept(self: Any, encoded: Any, texts: Any, request: Any) -> Any:
        budgets.append(request.params.budget_us)
        return hits(self, encoded, texts, request)

    def slow(*arguments: Any) -> Any:
        time.sleep(0.05)
        return encode(*arguments)

    monkeypatch.setattr(Snapshot, "hits_of_encoded", kept)
    monkeypatch.setattr(Snapshot, "encode", slow)
    with serving(folder, deadline_ms=60_000) as client:
        assert client.post(SEARCH, json={"query": "bone", "deadline_ms": 20_000}).json()["complete"] is True
        assert 0 < budgets[0] <= 19_950_000
        client.post(SEARCH, json={"query": "bone", "deadline_ms": 20_000, "budget_us": 7000})
        assert budgets[1] == 7000
        late = client.post(SEARCH, json={"query": "bone", "deadline_ms": 10})
        assert late.status_code == 504 and late.headers["Retry-After"] == "1" and len(budgets) == 2


def test_an_incomplete_answer_never_claims_everything(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "recall", INCOMPLETE)
    with serving(folder) as client:
        answer = client.post(SEARCH, json={"query": "bone"}).json()
        assert answer["complete"] is False and answer["estimated_recall"] == 0.999


def test_an_answer_says_that_it_is_incomplete(folder: Path) -> None:
    with serving(folder) as client:
        answer = client.post(SEARCH, json={"query": "bone density", "budget_us": 1}).json()
        assert answer["complete"] is False and 0 <= answer["estimated_recall"] < 1
        assert b"lsr_partial_searches_total 1.0" in client.get("/metrics").content


def test_explained_contributions_are_those_of_a_hit(folder: Path) -> None:
    with serving(folder) as client:
        hit = client.post(SEARCH, json={"query": "bone 7", "explain": True, "where": "id = 'd7'"}).json()["hits"][0]
        answer = client.post("/v1/indexes/notes/explain", json={"query": "bone 7 marrow", "id": "d7"}).json()
        assert answer["score"] == pytest.approx(hit["score"])
        assert {each["term"]: each["contribution"] for each in answer["terms"]} == pytest.approx(hit["terms"])
        for each in answer["terms"]:
            assert each["contribution"] == pytest.approx(each["query"] * each["document"])
        nothing = client.post("/v1/indexes/notes/explain", json={"query": "bone 7", "id": "none"})
        assert nothing.status_code == 404


def test_facets_are_those_of_the_searcher(folder: Path) -> None:
    with serving(folder) as client:
        asked = {"columns": ["year", "year"], "where": "year < 2003", "k": 2}
        answer = client.post("/v1/indexes/notes/facets", json=asked).json()
        expected = Searcher.open(folder).facets("year", where="year < 2003", k=2)
        assert answer["facets"] == {"year": [{"value": each, "documents": n} for each, n in expected.items()]}


def test_concurrent_writes_of_one_document_leave_one(folder: Path) -> None:
    with serving(folder) as client:
        answers: list[int] = []

        def write(number: int) -> None:
            body = {"documents": [{"id": "shared", "text": f"shared {number}"}]}
            answers.append(client.put(DOCUMENTS, json=body).status_code)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 12
        hits = client.post(SEARCH, json={"query": "shared bone", "where": "id = 'shared'"}).json()["hits"]
        assert [hit["doc_id"] for hit in hits] == ["shared"]
        assert client.get(f"{DOCUMENTS}/shared").json()["text"].startswith("shared ")
        assert client.delete(f"{DOCUMENTS}/shared").json()["deleted"] == 1


def test_a_full_disk_refuses_changes_and_answers_searches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> Any:
        raise StorageError("notes.index: cannot be written: No space left on device; free some")

    new = {"documents": [{"id": "new", "text": "bone"}]}
    with serving(folder) as client:
        with monkeypatch.context() as patched:
            patched.setattr(Searcher, "commit", full)
            answered = client.put(DOCUMENTS, json=new)
            assert answered.status_code == 503 and answered.headers["Retry-After"] == "1"
            patched.setattr(Searcher, "rollback", full)
            assert status_of(client, "PUT", DOCUMENTS, json=new) == 503
            assert status_of(client, "PUT", DOCUMENTS, json=new) == 503  # by the same thread
        assert status_of(client, "GET", f"{DOCUMENTS}/new") == 404
        assert status_of(client, "POST", SEARCH, json={"query": "bone"}) == 200
        assert status_of(client, "PUT", DOCUMENTS, json=new) == 200
        assert status_of(client, "DELETE", f"{DOCUMENTS}/new") == 200


def test_a_commit_that_cannot_be_opened_is_reported_as_not_visible(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*arguments: Any, **others: Any) -> Any:
        raise ZeroDivisionError

    def wait_for(status: str) -> None:
        deadline = time.monotonic() + 60
        while client.get("/health").json() != {"status": status}:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    with serving(folder) as client:
        with monkeypatch.context() as patched, pytest.warns(LsrWarning, match="is on disk, and cannot be searched yet"):
            patched.setattr(SnapshotReader, "read", defect)
            answer = client.put(DOCUMENTS, json={"documents": [{"id": "unseen", "text": "marrow"}]}).json()
            assert answer["added"] == 1 and answer["visible"] is False
            wait_for("behind")
        wait_for("ok")
        found = client.post(SEARCH, json={"query": "marrow"}).json()
        assert [hit["doc_id"] for hit in found["hits"]] == ["unseen"] and found["generation"] == answer["generation"]
        assert client.delete(f"{DOCUMENTS}/unseen").json()["visible"] is True


def test_internal_errors_are_counted_and_answered_without_details(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*arguments: Any) -> Any:
        raise ZeroDivisionError("a secret of the server")

    with TestClient(
        create_app(open_served([folder]), ServeSettings()), "http://localhost", raise_server_exceptions=False
    ) as client:
        monkeypatch.setattr(Snapshot, "hits_of_encoded", defect)
        answered = client.post(SEARCH, json={"query": "bone"})
        assert answered.status_code == 500 and "secret" not in answered.text
        assert answered.headers["X-Content-Type-Options"] == "nosniff" and answered.headers["content-type"] == PROBLEM
        route = 'method="POST",route="/indexes/{index}/search",status="500"'
        assert f"lsr_requests_total{{{route}}} 1.0" in client.get("/metrics").text


def test_an_index_without_components_is_served(tmp_path: Path) -> None:
    SeismicIndex.build(SparseVectors.empty(0)).save(tmp_path / "notes.index")
    with serving(tmp_path / "notes.index") as client:
        assert client.post(SEARCH, json={"vector": {}}).json()["hits"] == []


def test_a_deadline_is_no_longer_than_a_day() -> None:
    with pytest.raises(ParameterError, match="deadline_ms is 86400001"):
        ServeSettings(deadline_ms=86_400_001)


def test_keys_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{'k' * 16}\n{'ü' * 16}\n")
    file.chmod(0o600)
    assert keys_for("read", file) == ("k" * 16, "ü" * 16)
    file.chmod(0o644)
    with pytest.warns(LsrWarning, match="other users can read the keys"):
        keys_for("read", file)
    monkeypatch.setenv("LSR_WRITE_KEYS", f"{'a' * 16} {'b' * 20}")
    assert keys_for("write", None) == ("a" * 16, "b" * 20) and keys_for("read", None) == ()
    monkeypatch.setenv("LSR_WRITE_KEYS", "short")
    with pytest.raises(ParameterError, match="fewer than 16") as raised:
        keys_for("write", None)
    assert "short" not in str(raised.value)
    file.write_bytes(b"\xff\xfe")
    file.chmod(0o600)
    for bad in (file, tmp_path, tmp_path / "none"):
        with pytest.raises(ParameterError):
            keys_for("read", bad)
    keys = Keys(["k" * 16])
    assert keys.has(b"k" * 16) and not keys.has(b"k" * 15) and not keys.has(b"") and not Keys([])
