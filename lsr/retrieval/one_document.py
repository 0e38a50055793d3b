"""One document of a snapshot: what is stored, the parts of its score, and why a search returned it or did not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np

from lsr.checks import check_text
from lsr.errors import ParameterError
from lsr.index.parameters import SearchParams
from lsr.retrieval.expansion import expansion
from lsr.retrieval.hits import Hit, SearchedQuery
from lsr.retrieval.query_vectors import one_query
from lsr.retrieval.request import SPARSE, SearchRequest
from lsr.storage.arrays import Array

if TYPE_CHECKING:
    from lsr.index.tools.why import Why
    from lsr.retrieval.snapshot import Snapshot

T = TypeVar("T")


class StoredDocument(NamedTuple):
    """A stored document. vector: token -> weight, the heaviest first."""

    text: str | None
    metadata: dict[str, Any]
    vector: dict[str, float]


class Explained(NamedTuple):
    """The parts of a score.

    score: the inner product of query and document.
    terms: a dict for each term that query and document share, the largest contribution first. Keys: "term"; "query" and
        "document", the two weights; "contribution", their product; and for an expansion term "expanded", the texts that
        lack the term.
    lacking: query term -> weight, for the query terms that the document does not have.
    """

    score: float
    terms: list[dict[str, Any]]
    lacking: dict[str, float]


class ToldWhy(NamedTuple):
    """The result of SeismicIndex.why. tokens: component -> token, for the components of the query."""

    why: Why
    tokens: dict[int, str]

    @property
    def reason(self) -> str:
        """Why the search returned the document, or did not, as a clause: "its score is too low"."""
        from lsr.index.tools.why_told import reason

        return reason(self.why)

    def as_dict(self) -> dict[str, Any]:
        """The explanation as a dict for JSON, with the token of each term."""
        from lsr.index.tools.why_told import as_record

        return {"reason": self.reason, **as_record(self.why, self.tokens.__getitem__)}


class Explaining(Protocol):
    """The part of a Snapshot, or of a ShardedSnapshot, that explains one document."""

    def encode(self, queries: Any) -> Mapping[str, Any]: ...
    def explained(self, encoded: Mapping[str, Any], text: str | None, doc_id: str) -> Explained | None: ...
    def why(
        self, encoded: Mapping[str, Any], text: str | None, doc_id: str, request: SearchRequest
    ) -> ToldWhy | None: ...


def explain(snapshot: Explaining, query: Any, doc_id: str) -> Explained:
    """See Searcher.explain."""
    return existing(snapshot.explained(*_encoded(snapshot, query), doc_id), doc_id)


def why(snapshot: Explaining, query: Any, doc_id: str, request: SearchRequest) -> ToldWhy:
    """See Searcher.why."""
    return existing(snapshot.why(*_encoded(snapshot, query), doc_id, request), doc_id)


def _encoded(snapshot: Explaining, query: Any) -> tuple[Mapping[str, Any], str | None]:
    """An encoded query, and its text; None if it is a vector."""
    queries = one_query(query)
    return snapshot.encode(queries), queries[0] if isinstance(queries, list) else None


def existing(found: T | None, doc_id: str) -> T:
    """`found`, which concerns a document. Raises ParameterError for None: there is no such document."""
    if found is None:
        raise ParameterError(f"there is no document {doc_id!r}; check the id")
    return found


def stored_document(snapshot: Snapshot, doc_id: str) -> StoredDocument | None:
    """A document by id; None if it does not exist."""
    row = _row(snapshot, doc_id)
    if row < 0:
        return None
    text = None if snapshot.texts is None else snapshot.texts[row]
    return StoredDocument(text, snapshot.metadata.row(row), _by_token(snapshot, *snapshot.index.vector(row)))


def explained_score(snapshot: Snapshot, encoded: Mapping[str, Any], text: str | None, doc_id: str) -> Explained | None:
    """The parts of the score of a document; None if it does not exist.

    encoded: one query, from Snapshot.encode. text: the text of the query; None if it was a vector.
    """
    row = _row(snapshot, doc_id)
    if row < 0:
        return None
    allowed = [row] if snapshot.index.ids is None else [doc_id]
    found = snapshot.find(encoded, SearchRequest(1, SearchParams(exact=True), allowed)).lists
    score = 0.0
    if found.rows[0, 0] >= 0:  # the best passage, if documents are split
        row, score = int(found.rows[0, 0]), float(found.scores[0, 0])
    query = SearchedQuery(text or "", None, encoded[SPARSE])
    hit = Hit(score, row, {SPARSE: score}, snapshot, query)
    in_query, in_document = (_by_token(snapshot, *each) for each in (query.sparse, snapshot.index.vector(row)))
    contributions = hit.explain()
    expanded = expansion(snapshot.query_encoder, text)(hit).get("expanded", {})
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
    return Explained(score, terms, lacking)


def told_why(snapshot: Snapshot, encoded: Mapping[str, Any], doc_id: str, request: SearchRequest) -> ToldWhy | None:
    """See SeismicIndex.why. encoded: one query, from Snapshot.encode. None if the document does not exist."""
    row = _row(snapshot, doc_id)
    if row < 0:
        return None
    tell = getattr(snapshot.index, "why", None)
    if tell is None:
        raise ParameterError(
            f"{type(snapshot.index).__name__} has no stages, and every search of it is exact; use explain, or a "
            "SeismicIndex"
        )
    why = tell(encoded[SPARSE], row, request.k, request.params, snapshot.allowed(request))
    return ToldWhy(why, {term.component: snapshot.token(term.component) for term in why.terms})


def _row(snapshot: Snapshot, doc_id: str) -> int:
    """The row of a document; -1 if it does not exist."""
    check_text("the id", doc_id)
    return int(snapshot.rows_of([doc_id])[0])


def _by_token(snapshot: Snapshot, components: Array, weights: Array) -> dict[str, float]:
    """Token -> weight, the heaviest first."""
    order = np.argsort(-np.asarray(weights), kind="stable")
    return {snapshot.token(int(components[at])): float(weights[at]) for at in order.tolist()}
