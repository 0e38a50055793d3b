"""ShardsAsIndex: all shards as one index, for tuning and for feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lsr.distributed.ranking_merge import merge_rankings
from lsr.distributed.shard import ShardFound, ShardQueries
from lsr.index.index_checks import empty_result
from lsr.index.parameters import SearchParams
from lsr.index.result import SearchResult
from lsr.index.rows import GatheredRows
from lsr.retrieval.request import SPARSE, SearchRequest
from lsr.storage.arrays import Array
from lsr.vectors.normalize import indptr_of
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.distributed.sharded_snapshot import ShardedSnapshot

_ROW_BITS = 40  # the lowest bits of a number are the row in the shard, the others the shard


class ShardsAsIndex:
    """The shards as one index. Rows are numbered by shard, then row. Components are those of all shards together.

    request: the request of all searches, without feedback. `search` replaces its k and params.
    dropped, named: see ShardedSnapshot.find. Without `named`, methods raise ShardError if a shard does not answer.
    found: shard -> the result of the last search. lost: the shards that did not answer a call.
    """

    def __init__(
        self,
        snapshot: ShardedSnapshot,
        request: SearchRequest,
        dropped: Sequence[str] | None = None,
        named: bool = False,
    ) -> None:
        self._snapshot, self._request, self._dropped, self._named = snapshot, request, dropped, named
        self.found: Mapping[int, ShardFound] = {}
        self.lost: dict[int, str] = {}

    @property
    def dim(self) -> int:
        """The number of components of one shard, which come first among those of all shards."""
        return self._snapshot.index.dim

    def __len__(self) -> int:
        return self._snapshot.documents

    def encoded(self, queries: SparseVectors) -> Mapping[str, Any]:
        """Queries over the components, as shards take them."""
        bm25 = self._snapshot.bm25
        return {SPARSE: queries} if bm25 is None else self._snapshot.named(queries, bm25.vocabulary.token)

    def search(
        self,
        queries: SparseVectors,
        k: int = 10,
        params: SearchParams | None = None,
        threads: int | None = 1,
        allowed: object = None,
    ) -> SearchResult:
        """The k best documents of each query. allowed: ignored; the request has the allowed ids."""
        request = replace(self._request, k=k, params=params or SearchParams())
        asked = ShardQueries(None, self.encoded(queries))
        _, self.found, lost = self._snapshot.find(asked, request, threads, self._dropped, self._named)
        self.lost |= lost
        scores, rows = empty_result(len(queries), k)
        for query, ranking in enumerate(merge_rankings(self.found, len(queries), k)):
            for place, each in enumerate(ranking):
                scores[query, place], rows[query, place] = each.score, (each.shard << _ROW_BITS) + each.row
        recalls = [each.recall for each in self.found.values() if each.recall is not None]
        return SearchResult(scores, rows, None, np.minimum.reduce(recalls) if recalls else None)

    def gather(self, rows: Array) -> GatheredRows:
        """The vectors of documents from the last search. A document of a lost shard has an empty vector."""
        bm25 = self._snapshot.bm25
        shards, inside = rows >> _ROW_BITS, rows & ((1 << _ROW_BITS) - 1)
        places = {shard: np.flatnonzero(shards == shard) for shard in np.unique(shards).tolist()}
        asked = {
            shard: (self.found[shard].generation, inside[some], bm25 is not None) for shard, some in places.items()
        }
        answers = self._snapshot.shards.ask("vectors", asked)
        self.lost |= self._snapshot.lost(answers, self._named)
        lengths = np.zeros(len(rows), np.int64)
        for shard, (part, _) in answers.given.items():
            lengths[places[shard]] = np.diff(part.indptr)
        indptr = indptr_of(lengths)
        gathered = GatheredRows(indptr, np.empty(indptr[-1], np.uint32), np.empty(indptr[-1], np.float32))
        for shard, (part, tokens) in answers.given.items():
            some = places[shard]
            to = np.repeat(indptr[some] - part.indptr[:-1], lengths[some]) + np.arange(part.indptr[-1])
            components = part.indices
            if bm25 is not None:
                components = np.array([bm25.vocabulary.id_of(token) for token in tokens], np.uint32)[part.indices]
            gathered.indices[to], gathered.values[to] = components, part.values
        return gathered
