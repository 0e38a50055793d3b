"""Connections that cannot keep a server waiting, or fill its memory, with half a request."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from lsr.serve import connection
from lsr.serve.connection import Connection

REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.4)
    server = uvicorn.Server(
        uvicorn.Config(_echo, port=0, http=Connection, ws="none", lifespan="off", log_level="warning")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def _answer(client: socket.socket) -> bytes:
    """All that comes before the server closes the connection, or one answer with its body of four bytes."""
    received = b""
    client.settimeout(20)
    try:
        while not received.partition(b"\r\n\r\n")[2][3:]:
            some = client.recv(1 << 16)
            if not some:
                return received
            received += some
    except ConnectionResetError:
        return received
    return received


def test_connections_with_an_incomplete_head_time_out(port: int) -> None:
    for sent in (b"", REQUEST[:20]):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(sent)
            begun = time.monotonic()
            assert _answer(client) == b"" and time.monotonic() - begun < 10
    with socket.create_connection(("127.0.0.1", port)) as client:  # one byte at a time does not help
        with pytest.raises(OSError):
            for byte in REQUEST * 5:
                client.sendall(bytes([byte]))
                time.sleep(0.02)
        assert _answer(client) == b""


def test_a_body_may_take_longer_and_further_requests_may_come(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(REQUEST)
        time.sleep(0.8)
        client.sendall(b"body")
        assert _answer(client).endswith(b"body")
        time.sleep(0.8)
        client.sendall(REQUEST + b"more")
        assert _answer(client).endswith(b"more")
        client.sendall(REQUEST[:20])
        assert _answer(client) == b""


@pytest.mark.parametrize("endless", [b"X-Header: " + b"x" * 100 + b"\r\n", b"x" * 112])
def test_a_head_without_end_is_not_stored(port: int, endless: bytes) -> None:
    sent = 0
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(REQUEST[:-2] + b"X-First: ")
        with pytest.raises(OSError):
            while sent < 1 << 26:
                client.sendall(endless)
                sent += len(endless)
    assert connection.HEAD_BYTES / 2 < sent < 1 << 26


def test_connections_above_the_limit_are_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "most", 3)
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    with socket.create_connection(("127.0.0.1", port)) as refused:
        assert _answer(refused) == b""
    for client in clients[:2]:
        client.sendall(REQUEST + b"body")
        assert _answer(client).endswith(b"body")
    for client in clients:
        client.close()
    time.sleep(0.1)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(REQUEST + b"body")
        assert _answer(client).endswith(b"body")
