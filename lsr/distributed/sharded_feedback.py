"""Pseudo-relevance feedback over shards: the steps of one index, with documents from all shards.

The first search ranks the documents of all shards. The vectors of the best documents change the query. The second
search, with the changed query, ranks the documents of all shards again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from lsr.distributed.shard import NAMED, ShardFound, ShardQueries
from lsr.distributed.shards_as_index import ShardsAsIndex
from lsr.retrieval.feedback_warning import warn_of_loss
from lsr.retrieval.pipeline import Sides, search_pipeline
from lsr.retrieval.request import SPARSE, SearchRequest
from lsr.threads import checked_threads
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.distributed.sharded_snapshot import ShardedSnapshot


class FoundInShards(NamedTuple):
    """The result of a search of shards.

    asked: the queries of the last search. After feedback, these are the changed queries.
    found: shard -> its documents. lost: shard -> why it did not answer.
    """

    asked: ShardQueries
    found: Mapping[int, ShardFound]
    lost: Mapping[int, str]


def fed_back(
    shards: ShardedSnapshot,
    asked: ShardQueries,
    request: SearchRequest,
    threads: int | None,
    dropped: Sequence[str] | None,
    named: bool,
) -> FoundInShards:
    """A search with feedback.

    request: the result of ShardedSnapshot.prepared. The other arguments are those of ShardedSnapshot.find.
    """
    assert request.feedback is not None
    warn_of_loss(request.feedback, shards.bm25 is not None)
    index = ShardsAsIndex(shards, replace(request, feedback=None), dropped, named)
    sides: Any = Sides(index, None, request, checked_threads(threads), bm25=shards.bm25)  # type: ignore[arg-type]
    result = search_pipeline(sides, {SPARSE: _vectors(shards, asked)})
    found = {shard: each._replace(recall=result.recall) for shard, each in index.found.items()}
    return FoundInShards(ShardQueries(asked.texts, index.encoded(result.queries[SPARSE])), found, index.lost)


def _vectors(shards: ShardedSnapshot, asked: ShardQueries) -> SparseVectors:
    """The queries as vectors over the components of all shards."""
    if shards.bm25 is None:
        queries: SparseVectors = asked.encoded[SPARSE]
        return queries
    if NAMED in asked.encoded:
        vocabulary = shards.bm25.vocabulary
        return SparseVectors.of(asked.encoded[NAMED], dim=len(vocabulary), vocabulary=vocabulary, drop_unknown=True)
    return shards.bm25.encode_queries(list(asked.texts or ()))
