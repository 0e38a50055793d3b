"""Connection: an HTTP/1.1 connection that cannot keep the server waiting, or fill its memory, with half a request."""

from __future__ import annotations

import asyncio
import resource

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 16 << 10  # of the first line and the headers of a request, besides what arrives with their end
HEAD_SECONDS = 10
MOST_CONNECTIONS = 4096


def most_connections() -> int:
    """The maximum number of open connections: half of the open files that this process may have, after raising it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST_CONNECTIONS if hard == resource.RLIM_INFINITY else min(2 * MOST_CONNECTIONS, hard)
    if 0 <= soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return MOST_CONNECTIONS if soft < 0 else min(MOST_CONNECTIONS, soft // 2)


class Connection(HttpToolsProtocol):
    """uvicorn's connection, closed if the head of a request takes too many bytes or too long, or if there are too many.

    A client that reads 429 comes again later. One whose connection is closed was refused before it took any time.
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
