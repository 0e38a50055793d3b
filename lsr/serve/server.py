"""The server process: uvicorn around the application, until it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Mapping

import uvicorn

from lsr.serve.app import create_app
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import ServedIndex

GRACE = 30  # seconds that running requests have when the process is told to stop
CONNECTIONS = 8  # for each request that is answered at once; more are answered 503
HEADER_BYTES = 16 << 10
IDLE = 5  # seconds that a connection stays open after an answer


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
        timeout_keep_alive=IDLE,
        limit_concurrency=CONNECTIONS * settings.most_requests,
        http="h11",  # whose headers can be limited
        h11_max_incomplete_event_size=HEADER_BYTES,
        ws="none",
    )
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # uvicorn raises it again at the end
    uvicorn.Server(config).run()
