"""An MCP server over one index, with the official SDK. Assistants search the index, read documents, and ask why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lsr.extras import need

need("an MCP server", "mcp")
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from lsr.errors import LsrError, ParameterError
from lsr.retrieval.hits import as_json
from lsr.retrieval.one_document import existing
from lsr.retrieval.searcher import Searcher
from lsr.version import __version__

MOST = 100  # documents per search: as many as an assistant can read
SNIPPET = 300  # characters


def mcp_server(searcher: Searcher, name: str) -> Any:
    """An MCPServer with the tools search, get and why. `run()` serves it on standard input and output."""
    server = MCPServer(
        name,
        version=__version__,
        instructions=f"Search {searcher.documents:,} documents of {name}; read the relevant ones with get.",
    )
    columns = ", ".join(searcher.snapshot.metadata.schema.names)
    where_help = f"where: an SQL expression over the columns {columns}." if columns else ""

    def search(query: str, k: int = 10, where: str | None = None) -> list[dict[str, Any]]:
        with _told():
            if k > MOST:
                raise ParameterError(f"k is {k}; it must be at most {MOST}")
            hits = searcher.search(query, k, where=where)
            return [hit.as_dict(snippet=SNIPPET, text=False) for hit in hits]

    def get(ids: list[str]) -> list[dict[str, Any]]:
        with _told():
            return [_document(searcher, each) for each in ids]

    def why(query: str, document: str, k: int = 10, where: str | None = None) -> dict[str, Any]:
        with _told():
            told: dict[str, Any] = as_json(searcher.why(query, document, k, where=where).as_dict())
            return told

    server.tool(description=f"The k best documents for a query, best first, with a snippet of each. {where_help}")(
        search
    )
    server.tool(description="The full texts and the metadata of documents, by id.")(get)
    server.tool(description="Why a search returns a document, or why not: verdict, scores, and terms.")(why)
    return server


@contextmanager
def _told() -> Iterator[None]:
    """Turn errors of lsr into errors whose message the assistant sees."""
    try:
        yield
    except LsrError as error:
        raise ToolError(str(error)) from error


def _document(searcher: Searcher, doc_id: str) -> dict[str, Any]:
    found = existing(searcher.document(doc_id), doc_id)
    return {"doc_id": doc_id, "text": found.text, "metadata": as_json(found.metadata)}
