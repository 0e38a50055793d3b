"""Gate: admits requests with a key, if keys are required, up to a maximum number at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus

from fastapi import Request

from lsr.serve.keys import Keys
from lsr.serve.problems import RequestError
from lsr.serve.serve_settings import ServeSettings

LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}


class Gate:
    """Checks keys and numbers of requests before any body is read.

    `reading`, `writing`, `looking`: dependencies of routes.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._read, self._write = Keys(settings.read_keys), Keys(settings.write_keys)
        self._places = {"searches": 0, "changes": 0}

    async def reading(self, request: Request) -> AsyncIterator[None]:
        """Admit a search, which takes one of the places until its answer. Raises RequestError."""
        await self.looking(request)
        self._take("searches")
        try:
            yield
        finally:
            self._places["searches"] -= 1

    async def writing(self, request: Request) -> AsyncIterator[None]:
        """Admit a change, which takes one of the places until its answer. Raises RequestError."""
        self._check_writing(request)
        self._take("changes")
        try:
            yield
        finally:
            self._places["changes"] -= 1

    async def looking(self, request: Request) -> None:
        """Admit a request with the key for reading, which takes no place. Raises RequestError."""
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
                raise RequestError(HTTPStatus.FORBIDDEN, "this key allows only reading; changes need a key for writing")
            if not self._write.has(given):
                raise _unknown(given, "for writing")
        elif self._read or not self._settings.is_loopback:
            raise RequestError(HTTPStatus.FORBIDDEN, "this server does not accept changes; start it with --write-keys")
        else:
            self._check_host(request)

    def _check_host(self, request: Request, allow_anonymous: bool = False) -> None:
        """Refuse requests without a key that a web page of another name, resolving to this machine, can send."""
        if allow_anonymous or not self._settings.is_loopback:
            return
        host = request.headers.get("host", "")
        name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
        if name.lower() not in LOCAL_NAMES | {self._settings.host}:
            raise RequestError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "requests without a key are accepted only from localhost; start the server with --read-keys",
            )

    def _take(self, kind: str) -> None:
        if self._places[kind] >= self._settings.most_requests:
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._settings.most_requests} {kind} wait or are answered now; try again later",
                1,
            )
        self._places[kind] += 1


def _given(request: Request) -> bytes:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip().encode("latin-1") if scheme.lower() == "bearer" else b""  # the bytes of the request


def _unknown(given: bytes, what: str) -> RequestError:
    said = "the key is unknown" if given else "there is no key"
    return RequestError(HTTPStatus.UNAUTHORIZED, f"{said}; send one {what}, as Authorization: Bearer KEY")
