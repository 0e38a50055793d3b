"""Which terms of a hit are expansion: of its text, of the query, or of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lsr.retrieval.hits import Hit
from lsr.retrieval.snapshot import Snapshot


def expansion(snapshot: Snapshot, query: str | None) -> Callable[[Hit], dict[str, Any]]:
    """What tells of a hit: "expanded", token -> those of "query" and "document" whose text lacks it.

    Terms that are in both texts are left out, and all of a hit that has no others. So is a side whose tokens are not
    known: a query that is a vector, an index without texts, an encoder of one's own.
    """
    encoder = snapshot.query_encoder
    in_query = set() if query is None or encoder is None else _tokens(snapshot, encoder.literal(query, query=True))

    def of(hit: Hit) -> dict[str, Any]:
        text = hit.text
        if encoder is None or text is None:
            return {}
        begin, end = hit.passage or (0, len(text))
        sides = {"query": in_query, "document": _tokens(snapshot, encoder.literal(text[begin:end]))}
        known = {side: tokens for side, tokens in sides.items() if tokens}
        lacking = {term: [side for side, tokens in known.items() if term not in tokens] for term in hit.explain()}
        expanded = {term: named for term, named in lacking.items() if named}
        return {"expanded": expanded} if expanded else {}

    return of


def _tokens(snapshot: Snapshot, components: set[int]) -> set[str]:
    return {snapshot.token(component) for component in components}
