"""Answering: middleware around every request, which measures its duration and adds headers to its answer."""

from __future__ import annotations

from time import monotonic
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lsr.serve.serve_metrics import ServeMetrics

# Answers are data. A browser must not run them, show them in a frame, store them, or take them for another type.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}


class Answering:
    """Wraps an ASGI application. Also sees the answers to internal errors.

    Headers that an answer already has are kept, such as those of PageFiles.
    """

    def __init__(self, app: ASGIApp, metrics: ServeMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = monotonic()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                self._metrics.answered(*_told(scope), message["status"], monotonic() - begun)
            await send(message)

        await self._app(scope, receive, sending)


def _told(scope: Scope) -> tuple[str, str]:
    """Method and route as labels of metrics. Unknown ones are "other", so that clients cannot make new labels."""
    route: Any = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None) or "other"
    return (scope["method"] if scope["method"] in METHODS else "other"), path
