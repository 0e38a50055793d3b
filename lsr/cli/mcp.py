"""lsr mcp"""

from __future__ import annotations

from lsr.cli import options


def mcp(index: options.IndexFolder, device: options.Device = None) -> None:
    """Run an MCP (Model Context Protocol) server on stdin and stdout, so that AI assistants can search an index."""
    from lsr.extras import need

    need("an MCP server", "mcp")
    from lsr.bridges.mcp_server import mcp_server
    from lsr.retrieval.searcher import Searcher

    mcp_server(Searcher.open(index, device, follow=True), index.resolve().name).run()
