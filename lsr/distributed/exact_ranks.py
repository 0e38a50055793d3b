"""Exact ranks across shards: how many documents of a shard rank before a given document, of the same shard or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lsr.deadline import check_deadline
from lsr.index.tools.tuning import EXACT
from lsr.index.tools.why import DEEPER
from lsr.retrieval.pipeline import Lists
from lsr.retrieval.request import SearchRequest
from lsr.retrieval.snapshot import Snapshot


def exact_place(
    snapshot: Snapshot, encoded: Mapping[str, Any], doc_id: str, request: SearchRequest
) -> tuple[int, float] | None:
    """The number of documents of this shard that rank before the document, and the score of the document.

    None if the document has no term of the query. encoded: see Snapshot.encode. Raises DeadlineError.
    """
    for rows, scores in _deeper(snapshot, encoded, request):
        for place, row in enumerate(rows[0].tolist()):
            if row >= 0 and snapshot.doc_id(row) == doc_id:
                return place, float(scores[0, place])
    return None


def count_better(
    snapshot: Snapshot, encoded: Mapping[str, Any], score: float, equal: bool, request: SearchRequest
) -> int:
    """The number of documents with a higher score. equal: also count documents with the same score.

    Raises DeadlineError.
    """
    before = 0
    for _, scores in _deeper(snapshot, encoded, request):
        before = int(np.count_nonzero(scores[0] >= score if equal else scores[0] > score))
        if before < scores.shape[1]:
            break
    return before


def _deeper(snapshot: Snapshot, encoded: Mapping[str, Any], request: SearchRequest) -> Iterator[Lists]:
    """Results of exact searches with growing depth, up to all documents. Raises DeadlineError."""
    depth, most = min(request.k, len(snapshot.index)), len(snapshot.index)
    while True:
        check_deadline()
        yield snapshot.find(encoded, replace(request, k=max(depth, 1), params=EXACT)).lists
        if depth >= most:
            return
        depth = min(DEEPER * depth, most)
