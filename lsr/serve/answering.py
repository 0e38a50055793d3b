"""Answering: middleware around every request, which measures its duration and adds headers to its answer."""

from __future__ import annotations

from http import HTTPStatus
from time import monotonic
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lsr.serve.serve_metrics import ServeMetrics

# Answers are data: browsers must not guess another type, run, frame or store them.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}


class Answering:
    """Middleware in ASGI. The files of the page have their own headers."""

    def __init__(self, app: ASGIApp, metrics: ServeMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, answered = monotonic(), False

        async def sending(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                self._metrics.answered(*_told(scope), message["status"], monotonic() - begun)
                answered = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:  # a defect, which another layer answers
            if not answered:
                self._metrics.answered(*_told(scope), HTTPStatus.INTERNAL_SERVER_ERROR, monotonic() - begun)
            raise


def _told(scope: Scope) -> tuple[str, str]:
    """Method and route: a small number of values, for any requests."""
    route: Any = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None) or "other"
    return (scope["method"] if scope["method"] in METHODS else "other"), path
