"""The terms of a hit that are expansion: of its text, of the query, or of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lsr.retrieval.hits import Hit

if TYPE_CHECKING:
    from lsr.encoders.base import Encoder


def expansion(encoder: Encoder | None, query: str | None) -> Callable[[Hit], dict[str, Any]]:
    """A function for hits: {"expanded": {token: the texts that lack it, of "query" and "document"}}.

    Terms in both texts are omitted, and so is "expanded" without other terms. A side with unknown tokens is omitted,
    too: a query vector, an index without texts, an encoder made of your own code.
    """
    in_query = set() if query is None or encoder is None else _tokens(encoder, encoder.literal(query, query=True))

    def of(hit: Hit) -> dict[str, Any]:
        text = hit.text
        if encoder is None or text is None:
            return {}
        begin, end = hit.passage or (0, len(text))
        sides = {"query": in_query, "document": _tokens(encoder, encoder.literal(text[begin:end]))}
        known = {side: tokens for side, tokens in sides.items() if tokens}
        lacking = {term: [side for side, tokens in known.items() if term not in tokens] for term in hit.explain()}
        expanded = {term: named for term, named in lacking.items() if named}
        return {"expanded": expanded} if expanded else {}

    return of


def _tokens(encoder: Encoder, components: set[int]) -> set[str]:
    return {encoder.vocabulary.token(component) for component in components}
