"""lsr search"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from lsr.cli import options
from lsr.cli.output import JOINERS, bold, print_json, printable, while_loading
from lsr.cli.search_options import takes_request
from lsr.retrieval.request import SearchRequest

if TYPE_CHECKING:
    from lsr.retrieval.hits import Hit

_SNIPPET = 300
_TERMS_SHOWN = 12


@takes_request(k=10)
def search(
    index: options.IndexFolder,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The query's text, in quotes; or its id.")],
    request: SearchRequest,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each term contributes to the score.")] = False,
    queries: options.Queries = None,
    encoder: options.OfQueries = None,
    device: options.Device = None,
    json: options.Json = False,
) -> None:
    """Print the best documents for one query."""
    from lsr.retrieval.asked import open_with_query

    with while_loading(index):
        asked = open_with_query(index, query, queries, encoder, device)
        hits = asked.searcher.hits(asked.rows, request)[0]
    if json:
        shown_hits = [{"rank": rank, **hit.as_dict(explain, _SNIPPET)} for rank, hit in enumerate(hits, start=1)]
        print_json({"query": query, "hits": shown_hits})
        return
    if not hits:
        print(
            "no document shares a term with the query"
            if request.allowed is None
            else "none of these shares a term with the query"
        )
    for rank, hit in enumerate(hits, start=1):
        print(f"{rank:>3}  {hit.score:.4f}  {printable(hit.doc_id)}{_parts(hit)}")
        if hit.text:
            print(f"     {_snippet(hit, hit.text)}")
        if explain:
            terms = list(hit.explain().items())
            shown = "  ".join(f"{printable(term)} {value:.3f}" for term, value in terms[:_TERMS_SHOWN])
            more = f"  and {len(terms) - _TERMS_SHOWN} more" if len(terms) > _TERMS_SHOWN else ""
            print(f"     {shown}{more}")


def _snippet(hit: Hit, text: str) -> str:
    """On one line, with what counts in bold where that can be seen."""
    snippet = hit.snippet(_SNIPPET)
    marked = snippet.marked(*bold(), lambda piece: printable(re.sub(r"\s+", " ", piece), JOINERS))
    before = "... " if text[: snippet.begin].strip() else ""
    return f"{before}{marked}{' ...' if text[snippet.end :].strip() else ''}"


def _parts(hit: Hit) -> str:
    """What the score was interpolated from."""
    if list(hit.scores.values()) == [hit.score]:
        return ""
    return "  (" + ", ".join(f"{side} {score:.4f}" for side, score in hit.scores.items()) + ")"
