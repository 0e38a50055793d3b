"""The expansion terms of a hit: terms whose tokens are missing in the query, in the document, or in both."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lsr.retrieval.hits import Hit

if TYPE_CHECKING:
    from lsr.encoders.base import Encoder


def expansion(encoder: Encoder | None, query: str | None) -> Callable[[Hit], dict[str, Any]]:
    """A function that returns the expansion terms of a hit: {"expanded": {token: ["query", "document"]}}.

    The list of a token names the texts that lack it. The dict is empty without expansion terms. A text whose tokens
    are not known is never named: that of a query vector or of an encoder made of your own code. Without the text of the
    document, the dict is empty.
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
