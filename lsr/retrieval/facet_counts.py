"""The most frequent values of a metadata column, counted in hits and in documents."""

from __future__ import annotations

from typing import Any

from lsr.retrieval.hits import Hits, as_json
from lsr.retrieval.snapshot import Snapshot

VALUES_SHOWN = 10


def counted(snapshot: Snapshot, name: str, hits: Hits, where: str | None) -> list[dict[str, Any]]:
    """The most frequent values of a column: the number of hits and the number of matching documents of each.

    Raises ParameterError like Searcher.facets.
    """
    in_hits = snapshot.facets(name, hits, k=None)
    in_all = snapshot.facets(name, where=where, k=None)
    most = sorted(in_all, key=lambda value: (-in_hits.get(value, 0), -in_all[value], str(value)))[:VALUES_SHOWN]
    return [{"value": as_json(each), "hits": in_hits.get(each, 0), "documents": in_all[each]} for each in most]
