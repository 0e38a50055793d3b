"""The process that serves: uvicorn around the application, until it is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Mapping

import uvicorn

from lsr.serve.app import create_app
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import ServedIndex

GRACE = 30  # seconds that running requests have when the process is told to stop


def serve(indexes: Mapping[str, ServedIndex], settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests that run. Raises ParameterError."""
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
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # uvicorn raises it again when all is done
    uvicorn.Server(config).run()
