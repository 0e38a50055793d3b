"""An MCP server over one index, with the official SDK. Assistants search the index, read documents, and ask why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, cast

from lsr.extras import need

need("an MCP server", "mcp")
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from lsr.errors import LsrError, ParameterError
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.hits import as_json
from lsr.retrieval.request import SPARSE, SearchRequest
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
            return _documents(searcher, ids)

    def why(query: str, document: str, k: int = 10, where: str | None = None) -> dict[str, Any]:
        with _told():
            return _why(searcher, query, document, SearchRequest(k, where=where))

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


def _documents(searcher: Searcher, ids: list[str]) -> list[dict[str, Any]]:
    snapshot = searcher.snapshot
    found = []
    for doc_id, row in zip(ids, snapshot.rows_of(ids).tolist(), strict=True):
        if row < 0:
            raise ParameterError(f"the index has no document with the id {doc_id!r}; check the id")
        text = None if snapshot.texts is None else snapshot.texts[row]
        found.append({"doc_id": doc_id, "text": text, "metadata": as_json(snapshot.metadata.row(row))})
    return found


def _why(searcher: Searcher, query: str, document: str, request: SearchRequest) -> dict[str, Any]:
    snapshot = searcher.snapshot
    row = int(snapshot.rows_of([document])[0])
    if row < 0:
        raise ParameterError(f"the index has no document with the id {document!r}; check the id")
    index = cast("SeismicIndex", snapshot.index)
    vector = snapshot.encode([query])[SPARSE]
    explained = asdict(index.why(vector, row, request.k, request.params, snapshot.allowed(request)))
    for term in explained["terms"]:
        term["token"] = snapshot.token(term["component"])
    return cast("dict[str, Any]", as_json(explained))
