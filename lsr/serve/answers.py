"""Answers to searches and related requests, as JSON, made by the threads of a WorkQueue."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from http import HTTPStatus
from time import monotonic
from typing import Any

from lsr.checks import shown
from lsr.deadline import seconds_left
from lsr.errors import DeadlineError, ParameterError
from lsr.retrieval.facet_counts import Faceted, counted
from lsr.retrieval.hits import Hits, as_json
from lsr.retrieval.request import SPARSE, SearchRequest
from lsr.serve.bodies import asked_of, request_of
from lsr.serve.problems import RequestError
from lsr.serve.serve_metrics import ServeMetrics
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import ServedIndex
from lsr.serve.work_queue import Encoded, Work


def as_bytes(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def search_work(index: ServedIndex, body: Any, settings: ServeSettings, metrics: ServeMetrics) -> Work:
    """The work for a search; answers its hits. Raises ParameterError."""
    request = request_of(body, settings)
    size = settings.most_documents if body.size is None else body.size
    if size > settings.most_documents:
        raise ParameterError(f"size is {shown(size)}; give at most {settings.most_documents}")
    snapshot = index.searcher.snapshot

    def do(encoded: Encoded) -> bytes:
        begun = monotonic()
        texts = None if body.query is None else [body.query]
        hits = snapshot.hits_of_encoded(encoded, texts, _in_time(snapshot.prepared(request)))[0]
        facets = {name: _counted(snapshot, name, hits, request.where) for name in dict.fromkeys(body.facets)}
        first = body.offset
        expansion_of = snapshot.expansion(body.query) if body.explain else lambda hit: {}
        listed = [
            {"rank": rank, **hit.as_dict(body.explain, body.snippet, body.text), **expansion_of(hit)}
            for rank, hit in enumerate(hits[first : first + size], start=first + 1)
        ]
        answer: dict[str, Any] = {
            "index": index.name,
            "generation": snapshot.number,
            "complete": hits.complete,
            "found": len(hits),
            "hits": listed,
        }
        if not hits.complete:
            metrics.partial.inc()
            # Rounded down, because 1 must mean a complete search.
            answer["estimated_recall"] = math.floor(1000 * hits.estimated_recall) / 1000
        if facets:
            answer["facets"] = facets
        return as_bytes({**answer, "seconds": round(monotonic() - begun, 6)})

    return Work(snapshot, do, _deadline(settings, body.deadline_ms), asked_of(body, snapshot), request.sides)


def _counted(snapshot: Faceted, name: str, hits: Hits, where: str | None) -> list[dict[str, Any]] | None:
    """The counts of a column. None after the deadline, so that the request still answers the hits."""
    try:
        return counted(snapshot, name, hits, where)
    except DeadlineError:
        return None


def _in_time(request: SearchRequest) -> SearchRequest:
    """The request, whose sparse search has the time up to the deadline as budget."""
    if SPARSE not in request.sides:
        return request
    microseconds = max(int(seconds_left() * 1e6), 1)
    own = request.params.budget_us
    budget = microseconds if own is None else min(own, microseconds)
    return replace(request, params=replace(request.params, budget_us=budget))


def _deadline(settings: ServeSettings, asked: int | None = None) -> float:
    """The deadline of a request, in seconds of `monotonic`. asked: the request's time limit in milliseconds.

    Raises ParameterError for a time limit above that of the server.
    """
    if asked is not None and asked > settings.deadline_ms:
        raise ParameterError(f"deadline_ms is {shown(asked)}; give at most {settings.deadline_ms} milliseconds")
    return monotonic() + (settings.deadline_ms if asked is None else asked) / 1000


def why_work(index: ServedIndex, body: Any, settings: ServeSettings) -> Work:
    """The work that explains why a search returns a document, or does not. Raises ParameterError."""
    request = _plain_sparse_request(body, settings)
    snapshot = index.searcher.snapshot

    def do(encoded: Encoded) -> bytes:
        told = snapshot.why(encoded, body.query, body.id, request)
        if told is None:
            raise no_document(body.id)
        return as_bytes({"doc_id": body.id, **told.as_dict()})

    return Work(snapshot, do, _deadline(settings), asked_of(body, snapshot), request.sides)


def explain_work(index: ServedIndex, body: Any, settings: ServeSettings) -> Work:
    """The work that splits the score of a document into its terms. Raises ParameterError."""
    _plain_sparse_request(body, settings)
    snapshot = index.searcher.snapshot

    def do(encoded: Encoded) -> bytes:
        explained = snapshot.explained(encoded, body.query, body.id)
        if explained is None:
            raise no_document(body.id)
        return as_bytes({"doc_id": body.id, **explained._asdict()})

    return Work(snapshot, do, _deadline(settings), asked_of(body, snapshot))


def _plain_sparse_request(body: Any, settings: ServeSettings) -> SearchRequest:
    request = request_of(body, settings)
    if request.sides != (SPARSE,) or request.feedback is not None:
        raise ParameterError(
            "explain and why support only sparse searches without feedback; remove side, interpolate and feedback"
        )
    return request


def facets_work(index: ServedIndex, body: Any, settings: ServeSettings) -> Work:
    """The work that counts documents by the values of columns. Raises ParameterError."""
    snapshot = index.searcher.snapshot
    if body.k > settings.most_documents:
        raise ParameterError(f"k is {shown(body.k)}; give at most {settings.most_documents}")

    def do(encoded: Encoded) -> bytes:
        counts = {name: snapshot.facets(name, where=body.where, k=body.k) for name in dict.fromkeys(body.columns)}
        facets = {
            name: [{"value": as_json(value), "documents": count} for value, count in of_column.items()]
            for name, of_column in counts.items()
        }
        return as_bytes({"index": index.name, "generation": snapshot.number, "facets": facets})

    return Work(snapshot, do, _deadline(settings))


def document_work(index: ServedIndex, doc_id: str, with_vector: bool, settings: ServeSettings) -> Work:
    """The work that answers a stored document, in the form in which a client sends documents.

    with_vector: also answer the vector if the document has a text. Clients cannot send a text with a vector.
    The work raises RequestError if the document does not exist.
    """
    snapshot = index.searcher.snapshot

    def do(encoded: Encoded) -> bytes:
        stored = snapshot.document(doc_id)
        if stored is None:
            raise no_document(doc_id)
        text = {} if stored.text is None else {"text": stored.text}
        metadata = {"metadata": as_json(stored.metadata)} if stored.metadata else {}
        vector = {"vector": stored.vector} if with_vector or stored.text is None else {}
        return as_bytes({"id": doc_id, **text, **metadata, **vector})

    return Work(snapshot, do, _deadline(settings))


def no_document(doc_id: str) -> RequestError:
    return RequestError(HTTPStatus.NOT_FOUND, f"there is no document {doc_id!r}; check the id")
