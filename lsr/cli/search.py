"""lsr search"""

from __future__ import annotations

import re
from collections.abc import Mapping
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lsr.cli import options
from lsr.cli.output import JOINERS, bold, print_columns, print_json, printable, remark, while_loading
from lsr.cli.search_options import takes_request
from lsr.retrieval.request import SearchRequest

if TYPE_CHECKING:
    from lsr.retrieval.hits import Hit

_SNIPPET = 300
_TERMS_SHOWN = 12
_METADATA = 200  # characters


@takes_request(k=10)
def search(
    index: options.IndexFolder,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="Text of the query, in quotes. With --queries, the id of a query.")
    ],
    request: SearchRequest,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the contribution of each term to the score.")
    ] = False,
    queries: options.Queries = None,
    dense: options.DenseOfQueries = None,
    encoder: options.OfQueries = None,
    device: options.Device = None,
    facet: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Count the values of a metadata column. Can be repeated."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Print the best documents for one query."""
    from lsr.cli.asked import open_with_query
    from lsr.retrieval.facet_counts import counted

    with while_loading(index):
        asked = open_with_query(index, query, queries, encoder, device, dense)
        snapshot = asked.searcher.snapshot
        hits = snapshot.hits(asked.rows, request)[0]
        facets = {name: counted(snapshot, name, hits, request.where) for name in facet or ()}
    if not hits.complete:
        remark(
            f"the search reached --budget-us at an estimated recall of {hits.estimated_recall:.2f}; raise --budget-us "
            "for complete results"
        )
    if json:
        shown_hits = [{"rank": rank, **hit.as_dict(explain, _SNIPPET)} for rank, hit in enumerate(hits, start=1)]
        stopped = {} if hits.complete else {"estimated_recall": hits.estimated_recall}
        counts = {"facets": facets} if facets else {}
        print_json({"query": query, "complete": hits.complete, **stopped, "hits": shown_hits, **counts})
        return
    if not hits and hits.complete:
        narrowed = request.allowed is not None or request.where is not None
        print(f"no document {'that matches the filter ' if narrowed else ''}shares a term with the query")
    for rank, hit in enumerate(hits, start=1):
        print(f"{rank:>3}  {hit.score:.4f}  {printable(hit.doc_id)}{_parts(hit)}")
        if hit.metadata:
            print(f"     {printable(_columns(hit.as_dict()['metadata']))}")
        if hit.text:
            print(f"     {_snippet(hit, hit.text)}")
        if explain:
            terms = list(hit.explain().items())
            shown = "  ".join(f"{printable(term)} {value:.3f}" for term, value in terms[:_TERMS_SHOWN])
            more = f"  and {len(terms) - _TERMS_SHOWN} more" if len(terms) > _TERMS_SHOWN else ""
            print(f"     {shown}{more}")
    for name, values in facets.items():
        print()
        lines = [[str(each["value"]), f"{each['hits']:,}", f"{each['documents']:,}"] for each in values]
        print_columns([[name, "hits", "documents" if request.where is None else "matching"], *lines])


def _columns(metadata: Mapping[str, Any]) -> str:
    shown = (f"{name} {value}" for name, value in metadata.items() if value is not None)
    return shorten(", ".join(shown), _METADATA, placeholder=" ...")


def _snippet(hit: Hit, text: str) -> str:
    """The snippet on one line. On a terminal, the terms of the query are bold."""
    snippet = hit.snippet(_SNIPPET)
    marked = snippet.marked(*bold(), lambda piece: printable(re.sub(r"\s+", " ", piece), JOINERS))
    before = "... " if text[: snippet.begin].strip() else ""
    return f"{before}{marked}{' ...' if text[snippet.end :].strip() else ''}"


def _parts(hit: Hit) -> str:
    """The sparse and the dense score from which the score was interpolated."""
    if list(hit.scores.values()) == [hit.score]:
        return ""
    return "  (" + ", ".join(f"{side} {score:.4f}" for side, score in hit.scores.items()) + ")"
