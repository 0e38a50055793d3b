"""The server process: uvicorn around the application, until it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Mapping

import uvicorn

from lsr.serve.app import create_app
from lsr.serve.connection import Connection, most_connections
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import ServedIndex

GRACE = 30  # seconds for running requests to finish after SIGTERM or SIGINT
IDLE = 5  # seconds that a connection stays open after an answer


def serve(indexes: Mapping[str, ServedIndex], settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish running requests. Raises ParameterError."""
    Connection.most = most_connections()
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
        http=Connection,
        ws="none",
    )
    # After its shutdown, uvicorn raises SIGTERM again, which would kill this process before its cleanup.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    uvicorn.Server(config).run()
