"""The changes of an index that requests ask for, as work for a WriteQueue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lsr.checks import shown
from lsr.collections.sources import Document
from lsr.distributed.sharded_searcher import ShardedSearcher
from lsr.errors import CollectionError, ParameterError
from lsr.retrieval.searcher import Searcher
from lsr.serve.bodies import rows_of_weights
from lsr.serve.serve_settings import ServeSettings
from lsr.serve.write_queue import Answer, Write

Documents = Sequence[Mapping[str, Any]]


def adding(documents: Documents, settings: ServeSettings) -> Write:
    """Add documents, whose ids must be new. Raises ParameterError, CollectionError."""
    _check(documents, settings)

    def change(searcher: Searcher | ShardedSearcher) -> Answer:
        return {"added": searcher.add(*_given(documents, searcher))}

    return Write(change)


def updating(documents: Documents, settings: ServeSettings) -> Write:
    """Add documents, which replace documents with the same ids."""
    _check(documents, settings)

    def change(searcher: Searcher | ShardedSearcher) -> Answer:
        report = searcher.update(*_given(documents, searcher))
        return {"added": report.added, "changed": report.changed, "unchanged": report.unchanged}

    return Write(change)


def deleting(ids: Sequence[str], settings: ServeSettings) -> Write:
    _check_count(len(ids), settings)
    return Write(lambda searcher: {"deleted": searcher.delete(ids)})


def _given(documents: Documents, searcher: Searcher | ShardedSearcher) -> tuple[Any, ...]:
    """The arguments for Searcher.add: documents; or vectors and their ids."""
    if not any("vector" in each for each in documents):
        return ([_document(place, each) for place, each in enumerate(documents)],)
    for place, each in enumerate(documents):
        if each.keys() != {"id", "vector"} or not isinstance(each["vector"], dict):
            raise CollectionError(
                f"documents[{place}] does not have exactly the keys `id` and `vector` (an object), as documents with "
                "vectors must; give all documents these keys, or, for an index of texts, remove `vector` from all"
            )
    if isinstance(searcher, ShardedSearcher):
        raise ParameterError("sharded indexes do not accept vectors; send texts")
    ids = [str(each["id"]) for each in documents]
    return rows_of_weights([each["vector"] for each in documents], searcher.snapshot, drop_unknown=False), ids


def _document(place: int, given: Mapping[str, Any]) -> Any:
    """A document. Answers of the server have metadata in the object `metadata`; other objects are returned as given."""
    if "metadata" not in given:
        return given
    text: Any = given.get("text")  # checked later, with the texts of all documents
    columns, others = given["metadata"], given.keys() - {"id", "title", "text", "metadata"}
    if not isinstance(columns, dict):
        raise CollectionError(f"documents[{place}]: metadata is {shown(columns)}; give an object of column -> value")
    if others or "id" not in given:
        raise CollectionError(
            f"documents[{place}] has `metadata` and {', '.join(sorted(others))}; beside `metadata`, give only `id`, "
            "`title` and `text`, or give all columns beside `text`"
        )
    return Document(given["id"], given.get("title", ""), text, columns)


def _check(documents: Documents, settings: ServeSettings) -> None:
    _check_count(len(documents), settings)
    for place, each in enumerate(documents):
        if not isinstance(each.get("id", each.get("_id")), str):
            raise ParameterError(f"documents[{place}] has no id; give each document an id, as text")


def _check_count(count: int, settings: ServeSettings) -> None:
    if count > settings.most_documents:
        raise ParameterError(f"the request has {count} documents; send at most {settings.most_documents} per request")
