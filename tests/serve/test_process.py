"""The server as a process: how it ends, and that kills lose nothing."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsr import Searcher, build_index
from tests.data import REPOSITORY
from tests.processes import free_port, wait_for_server

KEY = "a key of the environment"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    folder = tmp_path / "notes.index"
    build_index([{"id": "a", "text": "bone density"}], folder, encoder="bm25")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "lsr", "serve", str(folder), "--port", str(port)],
        env={**os.environ, "LSR_WRITE_KEYS": KEY.replace(" ", "-")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for_server(process, port)
    yield process, port, folder
    process.kill()
    process.wait()


def test_a_request_that_runs_is_answered_after_sigterm(server: tuple[subprocess.Popen[str], int, Path]) -> None:
    process, port, folder = server
    body = json.dumps({"documents": [{"id": "late", "text": "marrow"}]}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("PUT", "/v1/indexes/notes/documents")
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    for name, value in {**headers, "Authorization": f"Bearer {KEY.replace(' ', '-')}"}.items():
        connection.putheader(name, value)
    connection.endheaders(body[:20])
    time.sleep(0.3)  # it has arrived
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    connection.send(body[20:])
    answered = connection.getresponse()
    assert answered.status == 200 and json.loads(answered.read())["added"] == 1
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert KEY.replace(" ", "-") not in output and "Traceback" not in output
    assert [hit.doc_id for hit in Searcher.open(folder).search("marrow")] == ["late"]


@pytest.mark.long
def test_kills_lose_no_acknowledged_change() -> None:
    command = [sys.executable, "benchmarks/serve.py", "kill", "--minutes", "0.15", "--every", "2", "--documents", "50"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["wrong"] == [], told
    assert told["kills"] and told["changes acknowledged"] > 20 and told["searches answered"] > 20
