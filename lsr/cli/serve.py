"""lsr serve"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import remark, while_loading


def serve(
    indexes: Annotated[list[Path], typer.Argument(metavar="INDEX...", help="Folders that `lsr index` wrote.")],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 8080,
    device: options.Device = None,
) -> None:
    """Answer searches and changes over HTTP, until SIGTERM or Ctrl-C; running requests are finished first."""
    from lsr.extras import need

    need("serving", "fastapi", "uvicorn", "prometheus_client")
    from lsr.serve.serve_settings import ServeSettings
    from lsr.serve.served_index import open_served
    from lsr.serve.server import serve as run

    settings = ServeSettings(host, port)
    with while_loading(", ".join(map(str, indexes))):
        served = open_served(indexes, device)
    remark(f"http://{host}:{port}/ answers for {', '.join(served)}")
    run(served, settings)
