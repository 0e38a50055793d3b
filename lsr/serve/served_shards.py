"""ServedShards: a sharded index, as requests ask an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from lsr.distributed.sharded_searcher import ShardedSearcher
from lsr.errors import ParameterError
from lsr.retrieval.hits import Hits
from lsr.retrieval.request import SPARSE, SearchRequest, SideName
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.retrieval.changes import UpdateReport


class ServedShards:
    """What answers ask of a searcher and its snapshot: searches, documents and changes; nothing else.

    The encoder, the columns and the vocabulary are those of the first shard, as the shards began.
    """

    generation = None  # each shard has its own
    dense = None

    def __init__(self, searcher: ShardedSearcher) -> None:
        self._searcher, front = searcher, searcher.front
        self.index, self.query_encoder, self.vocabulary = front.index, front.query_encoder, front.vocabulary
        self.token, self.texts, self.passages, self.metadata = front.token, front.texts, front.passages, front.metadata
        self.refresh, self.rollback = searcher.refresh, searcher.rollback
        self.close, self.commit, self.delete = searcher.close, searcher.commit, searcher.delete
        self.document = searcher.document

    @property
    def snapshot(self) -> ServedShards:
        return self

    @property
    def documents(self) -> int:
        return self._searcher.documents

    @property
    def is_behind(self) -> bool:
        return self._searcher.is_behind

    def encode(
        self, queries: Sequence[str] | SparseVectors, sides: Sequence[SideName] = (SPARSE,)
    ) -> Mapping[str, Any]:
        """See Snapshot.encode; nothing where each shard encodes texts by itself."""
        return self._searcher.encode(queries, sides)

    def hits_of_encoded(
        self, encoded: Mapping[str, Any], texts: Sequence[str] | None, request: SearchRequest, threads: int | None = 1
    ) -> list[Hits]:
        """See Snapshot.hits_of_encoded."""
        return self._searcher.hits_of_encoded(encoded, texts, request, threads)

    def add(self, documents: Any, ids: Sequence[str] | None = None) -> int:
        """See Searcher.add."""
        self._refuse_vectors(ids)
        return self._searcher.add(documents)

    def update(self, documents: Any, ids: Sequence[str] | None = None) -> UpdateReport:
        """See Searcher.update."""
        self._refuse_vectors(ids)
        return self._searcher.update(documents)

    def facets(self, *_: object, **__: object) -> NoReturn:
        """Raises ParameterError."""
        raise ParameterError("facets are not counted over shards; leave them out, or serve one index")

    def rows_of(self, doc_ids: Sequence[str]) -> NoReturn:
        """Raises ParameterError."""
        raise ParameterError(f"a sharded index does not tell this of {doc_ids[0]!r}; serve the shard by itself")

    @staticmethod
    def _refuse_vectors(ids: Sequence[str] | None) -> None:
        if ids is not None:
            raise ParameterError("shards take documents, which they encode, and no vectors; give texts")
