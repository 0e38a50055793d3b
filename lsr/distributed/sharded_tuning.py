"""Tuning for a recall of all shards together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lsr.distributed.ranking_merge import merge_rankings
from lsr.distributed.shard import ShardQueries
from lsr.index.index_checks import empty_result
from lsr.index.parameters import SearchParams
from lsr.index.result import SearchResult
from lsr.retrieval.request import SearchRequest
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.distributed.sharded_snapshot import ShardedSnapshot


class ShardsAsIndex:
    """The shards as an index for lsr.index.tools.tuning.tune. Rows are numbered by shard, then row."""

    def __init__(self, snapshot: ShardedSnapshot) -> None:
        self._snapshot = snapshot
        self.dim = snapshot.index.dim

    def __len__(self) -> int:
        return self._snapshot.documents

    def search(
        self, queries: SparseVectors, k: int = 10, params: SearchParams | None = None, threads: int | None = 1
    ) -> SearchResult:
        """The k best documents of each query. Raises ShardError if a shard does not answer."""
        request = SearchRequest(k, params or SearchParams())
        asked = ShardQueries(None, self._snapshot.encode(queries))
        found = self._snapshot.find(asked, request, threads, named=False)[0]
        scores, rows = empty_result(len(queries), k)
        for query, ranking in enumerate(merge_rankings(found, len(queries), k)):
            for place, each in enumerate(ranking):
                scores[query, place], rows[query, place] = each.score, (np.int64(each.shard) << 40) + each.row
        return SearchResult(scores, rows)
