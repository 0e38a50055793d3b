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
    read_keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keys for searching, one a line; or LSR_READ_KEYS has them.")
    ] = None,
    write_keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keys for changes and searching; or LSR_WRITE_KEYS has them.")
    ] = None,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Let others search on this address without a key.")
    ] = False,
    cors: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="A web page that may call this server, as https://a.org.")
    ] = None,
    deadline_ms: Annotated[int, typer.Option(help="Milliseconds that a search has at most.")] = 10_000,
    most_requests: Annotated[
        int, typer.Option(help="Searches at once, and changes; further ones are told to come again.")
    ] = 64,
    most_bytes: Annotated[int, typer.Option(help="Of a request.")] = 8 << 20,
    most_k: Annotated[int, typer.Option(help="Documents that a search ranks.")] = 1000,
    most_characters: Annotated[int, typer.Option(help="Of a query.")] = 4000,
    most_documents: Annotated[int, typer.Option(help="Documents or hits of one request or answer.")] = 1000,
    device: options.Device = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Let Ray's actors search sharded indexes: auto, local, or its address."),
    ] = None,
    replicas: Annotated[int, typer.Option(help="Of each shard, with --cluster.")] = 1,
) -> None:
    """Answer searches and changes over HTTP, until SIGTERM or Ctrl-C; running requests are finished first."""
    from lsr.extras import need

    need("serving", "fastapi", "uvicorn", "prometheus_client")
    from lsr.serve.keys import keys_for
    from lsr.serve.serve_settings import ServeSettings
    from lsr.serve.served_index import open_served
    from lsr.serve.server import serve as run

    settings = ServeSettings(
        host,
        port,
        keys_for("read", read_keys),
        keys_for("write", write_keys),
        allow_anonymous,
        tuple(cors or ()),
        most_requests,
        deadline_ms,
        most_bytes,
        most_k,
        most_characters,
        most_documents,
    )
    with while_loading(", ".join(map(str, indexes))):
        served = open_served(indexes, device, cluster, replicas)
    remark(f"http://{host}:{port}/ answers for {', '.join(served)}")
    run(served, settings)
