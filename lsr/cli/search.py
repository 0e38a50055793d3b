"""lsr search"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from lsr.cli import options
from lsr.cli.output import print_json
from lsr.index.parameters import SearchParams
from lsr.retrieval.plan import describe_search

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
    max_blocks: options.MaxBlocks = None,
    knn: options.Knn = 0,
    exact: options.Exact = False,
    recall: options.Recall = None,
    only: options.Only = None,
    feedback: options.Feedback = None,
    feedback_depth: options.FeedbackDepth = None,
    feedback_terms: options.FeedbackTerms = None,
    alpha: options.Alpha = None,
    beta: options.Beta = None,
    gamma: options.Gamma = 0.0,
    negatives: options.Negatives = 0,
    interpolate: options.Interpolate = None,
    weight: options.Weight = None,
    side: options.Side = None,
    fusion: options.FusionMethod = None,
    normalize: options.Normalize = None,
    missing: options.Missing = None,
    fusion_depth: options.FusionDepth = None,
    device: options.Device = None,
    json: options.Json = False,
) -> None:
    """Print the best documents for one query."""
    params = SearchParams(query_cut, heap_factor, max_blocks, knn, exact, recall)
    how = describe_search(
        feedback=feedback,
        feedback_depth=feedback_depth,
        feedback_terms=feedback_terms,
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        negatives=negatives,
        interpolate=interpolate,
        weight=weight,
        side=side,
        fusion=fusion,
        normalize=normalize,
        missing=missing,
        fusion_depth=fusion_depth,
    )

    from lsr.retrieval.searcher import Searcher

    allowed = options.read_ids(only)
    hits = Searcher.open(index, device=device).search(query, k, params, allowed, **how)
    if json:
        print_json({"query": query, "hits": [_as_json(rank, hit, explain) for rank, hit in enumerate(hits, start=1)]})
        return
    if not hits:
        print(
            "no document shares a term with the query"
            if allowed is None
            else "none of these shares a term with the query"
        )
    for rank, hit in enumerate(hits, start=1):
        print(f"{rank:>3}  {hit.score:.4f}  {hit.doc_id}{_parts(hit)}")
        if hit.text:
            print(f"     {textwrap.shorten(hit.text, _SNIPPET, placeholder=' ...')}")
        if explain:
            terms = list(hit.explain().items())
            shown = "  ".join(f"{term} {value:.3f}" for term, value in terms[:_TERMS_SHOWN])
            more = f"  and {len(terms) - _TERMS_SHOWN} more" if len(terms) > _TERMS_SHOWN else ""
            print(f"     {shown}{more}")


def _parts(hit: Hit) -> str:
    """What the score was interpolated from."""
    if list(hit.scores.values()) == [hit.score]:
        return ""
    return "  (" + ", ".join(f"{side} {score:.4f}" for side, score in hit.scores.items()) + ")"


def _as_json(rank: int, hit: Hit, explain: bool) -> dict[str, object]:
    record: dict[str, object] = {
        "rank": rank, "doc_id": hit.doc_id, "score": hit.score, "scores": dict(hit.scores), "text": hit.text
    }  # fmt: skip
    return {**record, "terms": hit.explain()} if explain else record
