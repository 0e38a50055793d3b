"""Why a search of all shards returned a document, or did not.

The stages are those of the search in the document's shard. Ranks and the threshold are those of all shards, and the
remedy is a search of all shards that returned the document.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from lsr.deadline import check_deadline
from lsr.distributed.ranking_merge import Ranked, merge_rankings
from lsr.index.parameters import SearchParams
from lsr.index.tools.tuning import EXACT
from lsr.index.tools.why import Remedy, Verdict, Why
from lsr.retrieval.one_document import ToldWhy
from lsr.retrieval.request import SearchRequest

if TYPE_CHECKING:
    from lsr.distributed.shard import ShardQueries
    from lsr.distributed.sharded_snapshot import ShardedSnapshot


def told_why(shards: ShardedSnapshot, asked: ShardQueries, doc_id: str, request: SearchRequest) -> ToldWhy | None:
    """See Snapshot.why. request: the result of ShardedSnapshot.prepared. Returns None if the document does not exist.

    Raises ShardError, DeadlineError.
    """
    shard = shards.shard_of(doc_id)
    requests = shards.requests(request)
    own = requests.get(shard, replace(request, allowed=()))
    told: ToldWhy | None = shards.ask_one(shard, "why", asked, doc_id, own)
    if told is None:
        return None
    ranking = _ranking(shards, asked, request)
    threshold = ranking[request.k - 1].score if len(ranking) == request.k else None
    rank = _rank_in(ranking, doc_id)
    verdict = _verdict(told.why, rank, threshold)
    exact_rank, remedy = None, None
    if verdict not in ("returned", "filtered out", "no shared term"):
        exact_rank = _exact_rank(shards, asked, shard, doc_id, requests)
    if exact_rank is not None:
        remedy = _remedy(shards, asked, doc_id, request, exact_rank, told.why.remedy)
    why = replace(told.why, verdict=verdict, rank=rank, threshold=threshold, exact_rank=exact_rank, remedy=remedy)
    return told._replace(why=why)


def _ranking(shards: ShardedSnapshot, asked: ShardQueries, request: SearchRequest) -> list[Ranked]:
    check_deadline()
    found = shards.find(asked, request, named=False).found
    return merge_rankings(found, 1, request.k)[0]


def _rank_in(ranking: list[Ranked], doc_id: str) -> int | None:
    return next((rank for rank, each in enumerate(ranking, start=1) if each.doc_id == doc_id), None)


def _verdict(own: Why, rank: int | None, threshold: float | None) -> Verdict:
    """The verdict on a search of all shards.

    If the score is above the threshold of all shards, the document was lost in a stage of its own shard.
    """
    if rank is not None:
        return "returned"
    if own.verdict not in ("filtered out", "no shared term") and threshold is not None and own.score <= threshold:
        return "score too low" if own.score < threshold else "tied"
    return own.verdict


def _exact_rank(
    shards: ShardedSnapshot, asked: ShardQueries, shard: int, doc_id: str, requests: dict[int, SearchRequest]
) -> int | None:
    """The rank in an exact search of all shards. Equal scores are in the order of shards."""
    place = shards.ask_one(shard, "exact_place", asked, doc_id, requests[shard])
    if place is None:
        return None
    before, score = place
    for other, request in requests.items():
        if other != shard:
            before += shards.ask_one(other, "count_better", asked, score, other < shard, request)
    return int(before) + 1


def _remedy(
    shards: ShardedSnapshot,
    asked: ShardQueries,
    doc_id: str,
    request: SearchRequest,
    exact_rank: int,
    own: Remedy | None,
) -> Remedy | None:
    """The first search that returns the document. Searches with small changes are tried first."""
    for k, params in _changes(request, max(request.k, exact_rank), own):
        rank = _rank_in(_ranking(shards, asked, replace(request, k=k, params=params)), doc_id)
        if rank is not None:
            return Remedy(k, params, rank)
    return None


def _changes(request: SearchRequest, depth: int, own: Remedy | None) -> Iterator[tuple[int, SearchParams]]:
    """(k, parameters) to try: the remedy of the shard, and a k as large as the exact rank."""
    if own is not None and own.k == request.k:
        yield own.k, own.params
    yield depth, request.params
    if own is not None:
        yield depth, own.params
    yield depth, EXACT
