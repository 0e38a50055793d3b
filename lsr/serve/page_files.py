"""PageFiles: the search page, with headers that isolate it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

# Texts of documents come from anywhere. The page may load only files and answers of this server.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "connect", "img")),
        *(f"{kind} 'none'" for kind in ("base-uri", "form-action", "frame-ancestors")),
    ]
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # a newer lsr has a newer page
}


class PageFiles(StaticFiles):
    """The files of `page/`; "/" is its index.html."""

    def __init__(self) -> None:
        super().__init__(directory=str(files("lsr.serve") / "page"), html=True)

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(_HEADERS)
        return response
