"""ServedShards: a sharded index with the methods of a served index."""

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
    """The methods of a searcher and its snapshot for requests: only searches, documents and changes.

    Encoder, columns and vocabulary are those of the first shard at the start.
    """

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
    def generation(self) -> tuple[int, ...]:
        """That of each shard."""
        return self._searcher.generations

    @property
    def documents(self) -> int:
        return self._searcher.documents

    @property
    def is_behind(self) -> bool:
        return self._searcher.is_behind

    def encode(
        self, queries: Sequence[str] | SparseVectors, sides: Sequence[SideName] = (SPARSE,)
    ) -> Mapping[str, Any]:
        """See Snapshot.encode; empty if each shard encodes texts."""
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
        raise ParameterError("facets are not supported on sharded indexes; remove them, or serve a single index")

    def rows_of(self, doc_ids: Sequence[str]) -> NoReturn:
        """Raises ParameterError."""
        raise ParameterError(
            f"explain and why are not supported on sharded indexes; serve the shard of {doc_ids[0]!r} by itself"
        )

    @staticmethod
    def _refuse_vectors(ids: Sequence[str] | None) -> None:
        if ids is not None:
            raise ParameterError("sharded indexes do not accept vectors; send texts")
