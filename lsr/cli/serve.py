"""lsr serve"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsr.cli import options
from lsr.cli.output import remark, while_loading


def serve(
    indexes: Annotated[list[Path], typer.Argument(metavar="INDEX...", help="Folders of indexes.")],
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free port.")] = 8080,
    read_keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File of API keys for searching, one per line. Or set LSR_READ_KEYS."),
    ] = None,
    write_keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File of API keys for changes and searching. Or set LSR_WRITE_KEYS."),
    ] = None,
    allow_anonymous: Annotated[
        bool,
        typer.Option(
            "--allow-anonymous", help="Allow searches without a key, although other machines can reach the address."
        ),
    ] = False,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Origin whose web pages can call this server, such as https://example.org. Can be repeated.",
        ),
    ] = None,
    deadline_ms: Annotated[int, typer.Option(help="Deadline of a search, in milliseconds.")] = 10_000,
    most_requests: Annotated[
        int,
        typer.Option(
            help="Maximum number of searches at once, and of changes at once. Further requests are answered with "
            "status 429."
        ),
    ] = 64,
    most_bytes: Annotated[int, typer.Option(help="Maximum size of a request body, in bytes.")] = 8 << 20,
    most_k: Annotated[int, typer.Option(help="Maximum k of a search.")] = 1000,
    most_characters: Annotated[int, typer.Option(help="Maximum number of characters of a query.")] = 4000,
    most_documents: Annotated[
        int, typer.Option(help="Maximum number of documents per request, and of hits per answer.")
    ] = 1000,
    device: options.Device = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Search sharded indexes with actors on a Ray cluster: auto, local, or the address of a cluster.",
        ),
    ] = None,
    replicas: Annotated[int, typer.Option(help="Number of replicas per shard, with --cluster.")] = 1,
) -> None:
    """Answer searches and changes over HTTP. After SIGTERM or Ctrl-C, the server finishes running requests first."""
    from lsr.extras import need

    need("serving", "fastapi", "uvicorn", "httptools", "prometheus_client")
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
    remark(f"serving {', '.join(served)} at http://{host}:{port}/")
    run(served, settings)
