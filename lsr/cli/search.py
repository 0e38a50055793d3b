"""lsr search"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_json
from lsr.index.config import SearchParams

if TYPE_CHECKING:
    from lsr.retrieval.searcher import Hit

_SNIPPET = 300
_TERMS_SHOWN = 12


def search(
    index: options.IndexFolder,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The query's text, in quotes.")],
    k: options.Depth = 10,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each term contributes to the score.")] = False,
    query_cut: options.QueryCut = options.DEFAULT_QUERY_CUT,
    heap_factor: options.HeapFactor = options.DEFAULT_HEAP_FACTOR,
    exact: options.Exact = False,
    device: options.Device = None,
    json: options.Json = False,
) -> None:
    """Print the best documents for one query."""
    params = SearchParams(query_cut=query_cut, heap_factor=heap_factor, exact=exact)

    from lsr.retrieval.searcher import Searcher

    hits = Searcher.open(index, device=device).search(query, k, params)
    if json:
        print_json({"query": query, "hits": [_as_json(rank, hit, explain) for rank, hit in enumerate(hits, start=1)]})
        return
    if not hits:
        print("no document shares a term with the query")
    for rank, hit in enumerate(hits, start=1):
        print(f"{rank:>3}  {hit.score:.4f}  {hit.doc_id}")
        if hit.text:
            print(f"     {textwrap.shorten(hit.text, _SNIPPET, placeholder=' ...')}")
        if explain:
            terms = list(hit.explain().items())
            shown = "  ".join(f"{term} {value:.3f}" for term, value in terms[:_TERMS_SHOWN])
            more = f"  and {len(terms) - _TERMS_SHOWN} more" if len(terms) > _TERMS_SHOWN else ""
            print(f"     {shown}{more}")


def _as_json(rank: int, hit: Hit, explain: bool) -> dict[str, object]:
    record: dict[str, object] = {"rank": rank, "doc_id": hit.doc_id, "score": hit.score, "text": hit.text}
    return {**record, "terms": hit.explain()} if explain else record
