"""One document of a snapshot: what is stored, the parts of its score, and why a search returned it or did not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from lsr.index.parameters import SearchParams
from lsr.retrieval.expansion import expansion
from lsr.retrieval.hits import Hit, SearchedQuery
from lsr.retrieval.request import SPARSE, SearchRequest
from lsr.storage.arrays import Array

if TYPE_CHECKING:
    from lsr.index.seismic.seismic_index import SeismicIndex
    from lsr.index.tools.why import Why
    from lsr.retrieval.snapshot import Snapshot


class StoredDocument(NamedTuple):
    """A stored document. vector: token -> weight, the heaviest first."""

    text: str | None
    metadata: dict[str, Any]
    vector: dict[str, float]


class ToldWhy(NamedTuple):
    """The result of SeismicIndex.why. tokens: component -> token, for the components of the query."""

    why: Why
    tokens: dict[int, str]


def stored_document(snapshot: Snapshot, doc_id: str) -> StoredDocument | None:
    """A document by id; None if it does not exist."""
    row = int(snapshot.rows_of([doc_id])[0])
    if row < 0:
        return None
    text = None if snapshot.texts is None else snapshot.texts[row]
    return StoredDocument(text, snapshot.metadata.row(row), _by_token(snapshot, *snapshot.index.vector(row)))


def explained_score(
    snapshot: Snapshot, encoded: Mapping[str, Any], text: str | None, doc_id: str
) -> dict[str, Any] | None:
    """`score`, its `terms`, and `lacking`, the query terms that the document lacks. None if it does not exist.

    encoded: one query, from Snapshot.encode. text: the text of the query; None if it was a vector.
    """
    row = int(snapshot.rows_of([doc_id])[0])
    if row < 0:
        return None
    query = encoded[SPARSE].row(0)
    allowed = [row] if snapshot.index.ids is None else [doc_id]
    found = snapshot.find(encoded, SearchRequest(1, SearchParams(exact=True), allowed)).lists
    score = 0.0
    if found.rows[0, 0] >= 0:  # of passages, the one that scores best
        row, score = int(found.rows[0, 0]), float(found.scores[0, 0])
    hit = Hit(doc_id, score, row, {SPARSE: score}, snapshot, SearchedQuery(text or "", None, query))
    in_query, in_document = (_by_token(snapshot, *each) for each in (query, snapshot.index.vector(row)))
    contributions = hit.explain()
    expanded = expansion(snapshot, text)(hit).get("expanded", {})
    terms = [
        {
            "term": term,
            "query": in_query[term],
            "document": in_document[term],
            "contribution": contribution,
            **({"expanded": expanded[term]} if term in expanded else {}),
        }
        for term, contribution in contributions.items()
    ]
    lacking = {term: weight for term, weight in in_query.items() if term not in contributions}
    return {"score": score, "terms": terms, "lacking": lacking}


def told_why(snapshot: Snapshot, encoded: Mapping[str, Any], doc_id: str, request: SearchRequest) -> ToldWhy | None:
    """See SeismicIndex.why. encoded: one query, from Snapshot.encode. None if the document does not exist."""
    row = int(snapshot.rows_of([doc_id])[0])
    if row < 0:
        return None
    index = cast("SeismicIndex", snapshot.index)
    why = index.why(encoded[SPARSE], row, request.k, request.params, snapshot.allowed(request))
    return ToldWhy(why, {term.component: snapshot.token(term.component) for term in why.terms})


def _by_token(snapshot: Snapshot, components: Array, weights: Array) -> dict[str, float]:
    """Token -> weight, the heaviest first."""
    order = np.argsort(-np.asarray(weights), kind="stable")
    return {snapshot.token(int(components[at])): float(weights[at]) for at in order.tolist()}
