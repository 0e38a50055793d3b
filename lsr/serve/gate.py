"""Gate: which requests are let in: those with a key, where one is needed, and not too many at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus

from fastapi import Request

from lsr.serve.keys import Keys
from lsr.serve.problems import RequestError
from lsr.serve.serve_settings import ServeSettings

LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}


class Gate:
    """Both are asked before anything of a body is read. `reading`, `writing`, `looking`: dependencies of routes."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._read, self._write = Keys(settings.read_keys), Keys(settings.write_keys)
        self._places = {"searches": 0, "changes": 0}

    async def reading(self, request: Request) -> AsyncIterator[None]:
        """A search: its place is free again when it is answered. Raises RequestError."""
        await self.looking(request)
        self._take("searches")
        try:
            yield
        finally:
            self._places["searches"] -= 1

    async def writing(self, request: Request) -> AsyncIterator[None]:
        """A change, likewise."""
        self._check_writing(request)
        self._take("changes")
        try:
            yield
        finally:
            self._places["changes"] -= 1

    async def looking(self, request: Request) -> None:
        """What needs the key for reading, and takes no place. Raises RequestError."""
        if not self._read:
            self._check_host(request, self._settings.allow_anonymous)
            return
        given = _given(request)
        if not (self._read.has(given) | self._write.has(given)):
            raise _unknown(given, "for reading")

    def _check_writing(self, request: Request) -> None:
        if self._write:
            given = _given(request)
            if self._read.has(given):
                raise RequestError(HTTPStatus.FORBIDDEN, "this key is for reading; changes need one for writing")
            if not self._write.has(given):
                raise _unknown(given, "for writing")
        elif self._read or not self._settings.is_loopback:
            raise RequestError(
                HTTPStatus.FORBIDDEN, "this server takes no changes; start it with a key for writing (--write-keys)"
            )
        else:
            self._check_host(request)

    def _check_host(self, request: Request, allow_anonymous: bool = False) -> None:
        """What needs no key: a web page of another name that resolves to this machine must not ask for it in a
        visitor's browser.
        """
        if allow_anonymous or not self._settings.is_loopback:
            return
        host = request.headers.get("host", "")
        name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
        if name.lower() not in LOCAL_NAMES | {self._settings.host}:
            raise RequestError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "without keys for reading this server answers to localhost alone; give it keys",
            )

    def _take(self, kind: str) -> None:
        if self._places[kind] >= self._settings.most_requests:
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._settings.most_requests} {kind} wait or are answered now; ask again a little later",
                1,
            )
        self._places[kind] += 1


def _given(request: Request) -> bytes:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip().encode("latin-1") if scheme.lower() == "bearer" else b""  # bytes as they were sent


def _unknown(given: bytes, what: str) -> RequestError:
    said = "the key is not known" if given else "there is no key"
    return RequestError(HTTPStatus.UNAUTHORIZED, f"{said}; send one {what}, as Authorization: Bearer KEY")
