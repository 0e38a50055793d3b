"""Gate: admits requests with a key, if keys are required, up to a maximum number at once."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

from starlette.types import ASGIApp, Receive, Scope, Send

from lsr.serve.keys import Keys
from lsr.serve.problems import RequestError, answer_of
from lsr.serve.serve_settings import ServeSettings

PREFIX = "/v1"  # requests below this prefix count towards most_requests
METRICS = "/metrics"
READING = {"search", "why", "explain", "facets"}  # last parts of addresses; every other POST changes documents
LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}

Kind = Literal["searches", "changes"]


def kind_of(method: str, path: str) -> Kind:
    """The kind of a request below PREFIX. An unknown address counts as a change, because changes need more rights."""
    reads = method in ("GET", "HEAD", "OPTIONS") or (method == "POST" and path.rpartition("/")[2] in READING)
    return "searches" if reads else "changes"


class Gate:
    """Middleware that checks keys and numbers of requests before anything else is done for them.

    An overloaded server refuses most requests, so a refusal must take little time.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._app, self._settings = app, settings
        self._read, self._write = Keys(settings.read_keys), Keys(settings.write_keys)
        self._places: dict[Kind, int] = {"searches": 0, "changes": 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        kind = kind_of(scope["method"], path) if path.startswith(PREFIX + "/") else None
        if kind is None and path != METRICS:
            await self._app(scope, receive, send)
            return
        try:
            self._check_writing(scope) if kind == "changes" else self._check_reading(scope)
            if kind is not None:
                self._take(kind)
        except RequestError as error:
            await answer_of(error)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if kind is not None:
                self._places[kind] -= 1

    def _take(self, kind: Kind) -> None:
        if self._places[kind] >= self._settings.most_requests:
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"the server is busy with {self._settings.most_requests} {kind}; try again later",
                1,
            )
        self._places[kind] += 1

    def _check_reading(self, scope: Scope) -> None:
        if not self._read:
            self._check_host(scope, self._settings.allow_anonymous)
            return
        given = _given(scope)
        if not (self._read.has(given) | self._write.has(given)):
            raise _unknown(given, "for reading")

    def _check_writing(self, scope: Scope) -> None:
        if self._write:
            given = _given(scope)
            if self._read.has(given):
                raise RequestError(HTTPStatus.FORBIDDEN, "this key allows only reading; changes need a key for writing")
            if not self._write.has(given):
                raise _unknown(given, "for writing")
        elif self._read or not self._settings.is_loopback:
            raise RequestError(HTTPStatus.FORBIDDEN, "this server does not accept changes; start it with --write-keys")
        else:
            self._check_host(scope)

    def _check_host(self, scope: Scope, allow_anonymous: bool = False) -> None:
        """Refuse other hosts, as a web page could let its own name resolve to this machine, and send requests."""
        if allow_anonymous or not self._settings.is_loopback:
            return
        host = _header(scope, b"host").decode("latin-1")
        name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
        if name.lower() not in LOCAL_NAMES | {self._settings.host}:
            raise RequestError(
                HTTPStatus.MISDIRECTED_REQUEST,
                "requests without a key are accepted only from localhost; start the server with --read-keys",
            )


def _header(scope: Scope, name: bytes) -> bytes:
    value: bytes = next((value for each, value in scope["headers"] if each == name), b"")
    return value


def _given(scope: Scope) -> bytes:
    scheme, _, key = _header(scope, b"authorization").partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""


def _unknown(given: bytes, what: str) -> RequestError:
    said = "the key is unknown" if given else "there is no key"
    return RequestError(HTTPStatus.UNAUTHORIZED, f"{said}; send one {what}, as Authorization: Bearer KEY")
