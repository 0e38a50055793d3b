"""The server process: uvicorn around the application, until it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Mapping

import uvicorn

from lsr.serve.app import create_app
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import ServedIndex

GRACE = 30  # seconds for running requests after a signal to stop


def serve(indexes: Mapping[str, ServedIndex], settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish running requests. Raises ParameterError."""
    config = uvicorn.Config(
        create_app(indexes, settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
    )
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # uvicorn raises it again at the end
    uvicorn.Server(config).run()
