"""Answers to searches and related requests, as JSON, made by the threads of a WorkQueue."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lsr.checks import shown
from lsr.deadline import seconds_left
from lsr.errors import DeadlineError, ParameterError
from lsr.index.parameters import SearchParams
from lsr.index.tools.why_told import as_record, reason
from lsr.retrieval.facet_counts import counted
from lsr.retrieval.hits import Hit, Hits, SearchedQuery, as_json
from lsr.retrieval.request import SPARSE, SearchRequest
from lsr.retrieval.snapshot import Snapshot
from lsr.serve.bodies import asked_of, request_of
from lsr.serve.expansion import expansion
from lsr.serve.problems import RequestError
from lsr.serve.serve_metrics import ServeMetrics
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import ServedIndex
from lsr.serve.served_shards import ServedShards
from lsr.serve.work_queue import Encoded, Work
from lsr.storage.arrays import Array

if TYPE_CHECKING:
    from lsr.index.seismic.seismic_index import SeismicIndex


def as_bytes(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def search_work(index: ServedIndex, body: Any, settings: ServeSettings, metrics: ServeMetrics) -> Work:
    """A search, with its hits. Raises ParameterError."""
    request = request_of(body, settings)
    size = settings.most_documents if body.size is None else body.size
    if size > settings.most_documents:
        raise ParameterError(f"size is {shown(size)}; an answer has at most {settings.most_documents} hits")
    snapshot = index.searcher.snapshot

    def do(encoded: Encoded) -> bytes:
        begun = monotonic()
        texts = None if body.query is None else [body.query]
        hits = snapshot.hits_of_encoded(encoded, texts, _in_time(request))[0]
        facets = {name: _counted(snapshot, name, hits, request.where) for name in dict.fromkeys(body.facets)}
        first = body.offset
        expansion_of = expansion(snapshot, body.query) if body.explain else lambda hit: {}
        shown = [
            {"rank": rank, **hit.as_dict(body.explain, body.snippet, body.text), **expansion_of(hit)}
            for rank, hit in enumerate(hits[first : first + size], start=first + 1)
        ]
        answer: dict[str, Any] = {
            "index": index.name,
            "generation": generation_of(snapshot),
            "complete": hits.complete,
            "found": len(hits),
            "hits": shown,
        }
        if not hits.complete:
            metrics.partial.inc()
            answer["estimated_recall"] = (
                math.floor(1000 * hits.estimated_recall) / 1000
            )  # 1 only if the search is complete
        if facets:
            answer["facets"] = facets
        return as_bytes({**answer, "seconds": round(monotonic() - begun, 6)})

    return Work(snapshot, do, _deadline(settings, body.deadline_ms), asked_of(body, snapshot), request.sides)


def _counted(snapshot: Snapshot, name: str, hits: Hits, where: str | None) -> list[dict[str, Any]] | None:
    """None where the deadline passes before: the hits are there all the same."""
    try:
        return counted(snapshot, name, hits, where)
    except DeadlineError:
        return None


def _in_time(request: SearchRequest) -> SearchRequest:
    """With the time that is left as the budget of its sparse search."""
    if SPARSE not in request.sides:
        return request
    microseconds = max(int(seconds_left() * 1e6), 1)
    own = request.params.budget_us
    budget = microseconds if own is None else min(own, microseconds)
    return replace(request, params=replace(request.params, budget_us=budget))


def _deadline(settings: ServeSettings, asked: int | None = None) -> float:
    """By `monotonic`. asked: milliseconds. Raises ParameterError for more than the server gives."""
    if asked is not None and asked > settings.deadline_ms:
        raise ParameterError(f"deadline_ms is {shown(asked)}; this server gives at most {settings.deadline_ms}")
    return monotonic() + (settings.deadline_ms if asked is None else asked) / 1000


def why_work(index: ServedIndex, body: Any, settings: ServeSettings) -> Work:
    """Why a search finds a document, or does not. Raises ParameterError."""
    request = _of_one_search(body, settings)
    snapshot = index.searcher.snapshot

    def do(encoded: Encoded) -> bytes:
        row = row_of(snapshot, body.id)
        explained = cast("SeismicIndex", snapshot.index).why(
            encoded[SPARSE], row, request.k, request.params, snapshot.allowed(request)
        )
        return as_bytes({"doc_id": body.id, "reason": reason(explained), **as_record(explained, snapshot.token)})

    return Work(snapshot, do, _deadline(settings), asked_of(body, snapshot), request.sides)


def explain_work(index: ServedIndex, body: Any, settings: ServeSettings) -> Work:
    """What the score of a document is made of, found or not. Raises ParameterError."""
    _of_one_search(body, settings)
    snapshot = index.searcher.snapshot

    def do(encoded: Encoded) -> bytes:
        row = row_of(snapshot, body.id)
        query = encoded[SPARSE]
        allowed = [row] if snapshot.index.ids is None else [body.id]
        found = snapshot.find(encoded, SearchRequest(1, SearchParams(exact=True), allowed)).lists
        score = 0.0
        if found.rows[0, 0] >= 0:  # with passages, the best one
            row, score = int(found.rows[0, 0]), float(found.scores[0, 0])
        hit = Hit(body.id, score, row, {SPARSE: score}, snapshot, SearchedQuery(body.query or "", None, query.row(0)))
        in_query, in_document = (_by_token(snapshot, *each) for each in (query.row(0), snapshot.index.vector(row)))
        contributions = hit.explain()
        expanded = expansion(snapshot, body.query)(hit).get("expanded", {})
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
        return as_bytes({"doc_id": body.id, "score": score, "terms": terms, "lacking": lacking})

    return Work(snapshot, do, _deadline(settings), asked_of(body, snapshot))


def _of_one_search(body: Any, settings: ServeSettings) -> SearchRequest:
    request = request_of(body, settings)
    if request.sides != (SPARSE,) or request.feedback is not None:
        raise ParameterError(
            "explain and why support only sparse searches without feedback; remove side, interpolate and feedback"
        )
    return request


def facets_work(index: ServedIndex, body: Any, settings: ServeSettings) -> Work:
    """How many documents have which values. Raises ParameterError."""
    snapshot = index.searcher.snapshot
    if body.k > settings.most_documents:
        raise ParameterError(
            f"k is {shown(body.k)}; an answer has at most {settings.most_documents} values of a column"
        )

    def do(encoded: Encoded) -> bytes:
        counts = {name: snapshot.facets(name, where=body.where, k=body.k) for name in dict.fromkeys(body.columns)}
        facets = {
            name: [{"value": as_json(value), "documents": count} for value, count in of_column.items()]
            for name, of_column in counts.items()
        }
        return as_bytes({"index": index.name, "generation": generation_of(snapshot), "facets": facets})

    return Work(snapshot, do, _deadline(settings))


def generation_of(snapshot: Snapshot | ServedShards) -> int | tuple[int, ...] | None:
    """Of shards, one each."""
    if isinstance(snapshot, ServedShards):
        return snapshot.generation
    return None if snapshot.generation is None else snapshot.generation.number


def document_work(index: ServedIndex, doc_id: str, settings: ServeSettings) -> Work:
    """The work of returning a stored document. Answers RequestError if it does not exist."""
    snapshot: Snapshot | ServedShards = index.searcher.snapshot

    def do(encoded: Encoded) -> bytes:
        if isinstance(snapshot, ServedShards):
            return as_bytes(_of_shard(snapshot, doc_id))
        row = row_of(snapshot, doc_id)
        shown: dict[str, Any] = {"id": doc_id}
        if snapshot.texts is not None:
            shown["text"] = snapshot.texts[row]
        if snapshot.metadata.stored:
            shown["metadata"] = as_json(snapshot.metadata.row(row))
        shown["vector"] = _by_token(snapshot, *snapshot.index.vector(row))
        return as_bytes(shown)

    return Work(index.searcher.snapshot, do, _deadline(settings))


def _of_shard(shards: ServedShards, doc_id: str) -> dict[str, Any]:
    stored = shards.document(doc_id)
    if stored is None:
        raise no_document(doc_id)
    shown = {"id": doc_id, "text": stored.text, "metadata": as_json(stored.metadata), "vector": stored.vector}
    return {name: value for name, value in shown.items() if value or name in ("id", "vector")}


def _by_token(snapshot: Snapshot, components: Array, weights: Array) -> dict[str, float]:
    """Token -> weight, the heaviest first."""
    order = np.argsort(-np.asarray(weights), kind="stable")
    return {snapshot.token(int(components[at])): float(weights[at]) for at in order.tolist()}


def row_of(snapshot: Snapshot, doc_id: str) -> int:
    """The row of a document. Raises RequestError for an unknown id."""
    row = int(snapshot.rows_of([doc_id])[0])
    if row < 0:
        raise no_document(doc_id)
    return row


def no_document(doc_id: str) -> RequestError:
    return RequestError(HTTPStatus.NOT_FOUND, f"there is no document {doc_id!r}; check the id")
