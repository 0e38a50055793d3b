"""Connection: an HTTP/1.1 connection with limits on time and memory while the head of a request is incomplete."""

from __future__ import annotations

import asyncio
import resource

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 16 << 10  # limit of a request's first line and headers; the last received chunk may exceed it
HEAD_SECONDS = 10
MOST_CONNECTIONS = 4096


def most_connections() -> int:
    """The maximum number of open connections: half of this process's limit of open files.

    Raises that limit first, as far as the system allows and MOST_CONNECTIONS needs.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST_CONNECTIONS if hard == resource.RLIM_INFINITY else min(2 * MOST_CONNECTIONS, hard)
    if 0 <= soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return MOST_CONNECTIONS if soft < 0 else min(MOST_CONNECTIONS, soft // 2)


class Connection(HttpToolsProtocol):
    """A connection of uvicorn. It is closed if the head of a request is too large or late, or if too many are open.

    A closed connection costs the server less time than an answer with status 429.
    """

    most = MOST_CONNECTIONS
    _head: asyncio.TimerHandle | None = None  # while the head of a request is awaited
    _bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        super().data_received(data)
        if self._head is not None and self._bytes > HEAD_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head is None:  # after another request
            self._await_head()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._bytes = 0
        self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _end_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None
