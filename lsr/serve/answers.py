"""Answers of a search and of what belongs to it, as JSON, made by the threads of a WorkQueue."""

from __future__ import annotations

import json
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from lsr.errors import ParameterError
from lsr.index.tools.why_told import as_record, reason
from lsr.retrieval.facet_counts import counted
from lsr.retrieval.hits import as_json
from lsr.retrieval.request import SPARSE
from lsr.retrieval.snapshot import Snapshot
from lsr.serve.bodies import asked_of, request_of
from lsr.serve.expansion import expansion
from lsr.serve.problems import RequestError
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.served_index import ServedIndex
from lsr.serve.work_queue import Encoded, Work

if TYPE_CHECKING:
    from lsr.index.seismic.seismic_index import SeismicIndex


def as_bytes(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


def search_work(index: ServedIndex, body: Any, settings: ServeSettings) -> Work:
    """A search, with its hits. Raises ParameterError, RequestError."""
    request = request_of(body, settings)
    size = settings.most_documents if body.size is None else body.size
    if size > settings.most_documents:
        raise RequestError(
            HTTPStatus.BAD_REQUEST, f"size is {size}; an answer has at most {settings.most_documents} hits"
        )
    snapshot = index.searcher.snapshot

    def do(encoded: Encoded) -> bytes:
        begun = monotonic()
        texts = None if body.query is None else [body.query]
        hits = snapshot.hits_of_encoded(encoded, texts, request)[0]
        facets = {name: counted(snapshot, name, hits, request.where) for name in body.facets}
        first = body.offset
        expansion_of = expansion(snapshot, body.query) if body.explain else lambda hit: {}
        shown = [
            {"rank": rank, **hit.as_dict(body.explain, body.snippet, body.text), **expansion_of(hit)}
            for rank, hit in enumerate(hits[first : first + size], start=first + 1)
        ]
        answer: dict[str, Any] = {
            "index": index.name,
            "generation": generation_of(snapshot),
            "found": len(hits),
            "hits": shown,
        }
        if facets:
            answer["facets"] = facets
        return as_bytes({**answer, "seconds": round(monotonic() - begun, 6)})

    return Work(snapshot, do, asked_of(body, snapshot), request.sides)


def why_work(index: ServedIndex, body: Any, settings: ServeSettings) -> Work:
    """Why a search finds a document, or does not. Raises ParameterError, RequestError."""
    request = request_of(body, settings)
    if request.sides != (SPARSE,) or request.feedback is not None:
        raise ParameterError(
            "why is told of sparse searches without feedback; leave out side, interpolate and feedback"
        )
    snapshot = index.searcher.snapshot

    def do(encoded: Encoded) -> bytes:
        row = row_of(snapshot, body.id)
        explained = cast("SeismicIndex", snapshot.index).why(
            encoded[SPARSE], row, request.k, request.params, snapshot.allowed(request)
        )
        return as_bytes({"doc_id": body.id, "reason": reason(explained), **as_record(explained, snapshot.token)})

    return Work(snapshot, do, asked_of(body, snapshot))


def generation_of(snapshot: Snapshot) -> int | None:
    return None if snapshot.generation is None else snapshot.generation.number


def document_work(index: ServedIndex, doc_id: str) -> Work:
    """One document, as the index keeps it. Answers RequestError where there is none."""
    snapshot = index.searcher.snapshot

    def do(encoded: Encoded) -> bytes:
        row = row_of(snapshot, doc_id)
        shown: dict[str, Any] = {"id": doc_id}
        if snapshot.texts is not None:
            shown["text"] = snapshot.texts[row]
        if snapshot.metadata.stored:
            shown["metadata"] = as_json(snapshot.metadata.row(row))
        components, weights = snapshot.index.vector(row)
        pairs = sorted(zip(components.tolist(), weights.tolist(), strict=True), key=lambda pair: -pair[1])
        shown["vector"] = {snapshot.token(component): weight for component, weight in pairs}
        return as_bytes(shown)

    return Work(snapshot, do)


def row_of(snapshot: Snapshot, doc_id: str) -> int:
    """Raises RequestError for an id that no document has."""
    row = int(snapshot.rows_of([doc_id])[0])
    if row < 0:
        raise RequestError(HTTPStatus.NOT_FOUND, f"there is no document {doc_id!r}; check its id")
    return row
