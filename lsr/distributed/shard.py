"""Shard: a shard of an index, opened by folder and generation, and searched and changed in any process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.distributed.exact_ranks import count_better, exact_place
from lsr.encoders.bm25 import BM25Encoder
from lsr.encoders.load import load_encoder
from lsr.errors import StorageError
from lsr.index.parameters import SearchParams
from lsr.index.segments.commit import read_commit
from lsr.retrieval.hits import Hit, SearchedQuery
from lsr.retrieval.one_document import Explained, StoredDocument, ToldWhy
from lsr.retrieval.request import SPARSE, SearchRequest, SideName
from lsr.retrieval.searcher import Searcher
from lsr.retrieval.snapshot import Snapshot
from lsr.retrieval.snapshot_reader import SnapshotReader
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.distributed.routed_documents import ShardDocuments
    from lsr.encoders.base import Encoder
    from lsr.index.rows import GatheredRows
    from lsr.index.sparse_index import SparseIndex
    from lsr.retrieval.changes import UpdateReport

NAMED = "named"  # key of queries with tokens in place of numbers of components
KEPT = 2  # open generations: the searched one, and the one before, which searches may still use


@dataclass(frozen=True)
class ShardQueries:
    """Queries for shards.

    texts: if each shard encodes, because vocabularies of BM25 grow separately. Otherwise None.
    encoded: side -> vectors, from Snapshot.encode; or NAMED -> for each query, a dict of token -> weight.
    """

    texts: Sequence[str] | None
    encoded: Mapping[str, Any]

    def __len__(self) -> int:
        """Number of queries."""
        return len(next(iter(self.encoded.values())) if self.texts is None else self.texts)

    def chosen(self, places: Sequence[int]) -> ShardQueries:
        """The queries at these places, in this order."""
        texts = None if self.texts is None else [self.texts[place] for place in places]
        return ShardQueries(texts, {side: _chosen(each, places) for side, each in self.encoded.items()})

    @property
    def text(self) -> str | None:
        """The text of a single query."""
        return None if self.texts is None else self.texts[0]


class ShardFound(NamedTuple):
    """The documents that a shard found.

    generation: the searched generation.
    rows: int64[queries, k], -1 where a query has fewer than k documents. scores: float[queries, k].
    ids: for each query, the ids of its documents, without the places of -1.
    recall: see Found.
    """

    generation: int
    rows: npt.NDArray[np.int64]
    scores: npt.NDArray[np.floating]
    ids: list[list[str]]
    recall: npt.NDArray[np.float32] | None


class Wanted(NamedTuple):
    """A requested hit: the place of the query, the row of the document, and its score."""

    place: int
    row: int
    score: float


class Shard:
    """A shard.

    folder: the folder of the shard. device: the device of the encoder.
    encoder: encodes queries; None if queries arrive as vectors, or the encoder is BM25.
    """

    def __init__(self, folder: Path, device: str | None = None, encoder: Encoder | None = None) -> None:
        self.folder = folder
        self._device, self._encoder = device, encoder
        self._reader = SnapshotReader(folder, self._choose)
        self._opening = Lock()
        self._opened: dict[int, Snapshot] = {}
        self._writer: Searcher | None = None

    def warm(self, generation: int) -> None:
        """Open a generation and search it, so that kernels are loaded, or compiled, before the first query."""
        index = self.at(generation).index
        if index.dim:
            query = SparseVectors.from_normalized(
                np.array([0, 1], np.int64), np.zeros(1, np.uint32), np.ones(1, np.float32), index.dim
            )
            for params in (SearchParams(), SearchParams(exact=True)):
                index.search(query, 1, params)

    def at(self, generation: int) -> Snapshot:
        """The snapshot of a generation; that of the newest generation if a merge has removed the requested one.

        Raises the errors of Searcher.open.
        """
        with self._opening:
            snapshot = self._opened.pop(generation, None)
            if snapshot is None:
                previous = next(reversed(self._opened.values()), None)
                try:
                    snapshot = self._reader.read(generation, previous)
                except StorageError:
                    snapshot = self._reader.read(None, previous)
            number = snapshot.number or 0
            self._opened.pop(number, None)
            self._opened[number] = snapshot  # put it last
            while len(self._opened) > KEPT:
                del self._opened[next(iter(self._opened))]
            return snapshot

    def find(
        self,
        generation: int,
        queries: ShardQueries,
        request: SearchRequest,
        threads: int | None,
        dropped: Sequence[str] | None = None,
    ) -> ShardFound:
        """The k best documents of this shard. dropped: for each query the id of a document that is not returned."""
        snapshot = self.at(generation)
        encoded = self._encoded(snapshot, queries, request.sides)
        found = snapshot.find(encoded, request, threads, None if dropped is None else snapshot.rows_of(dropped))
        rows, scores = found.lists
        ids = [[snapshot.doc_id(row) for row in each if row >= 0] for each in rows.tolist()]
        return ShardFound(snapshot.number or 0, rows, scores, ids, found.recall)

    def hits(self, generation: int, queries: ShardQueries, side: SideName, wanted: Sequence[Wanted]) -> list[Hit]:
        """The complete hits for rows from `find`."""
        snapshot = self.at(generation)
        sparse = self._encoded(snapshot, queries).get(SPARSE) if side == SPARSE else None
        texts = queries.texts
        return [
            Hit(
                score,
                row,
                {side: score},
                snapshot,
                SearchedQuery("" if texts is None else texts[place], snapshot.query_encoder, sparse, place),
            )
            for place, row, score in wanted
        ]

    def vectors(self, generation: int, rows: npt.NDArray[np.int64], named: bool) -> tuple[GatheredRows, list[str]]:
        """The vectors of documents, and a list of tokens. rows: int64[documents].

        named: number components by the places of their tokens in this list. Otherwise, the list is empty.
        """
        snapshot = self.at(generation)
        gathered = snapshot.index.gather(rows)
        if not named:
            return gathered, []
        components, places = np.unique(gathered.indices, return_inverse=True)
        tokens = [snapshot.token(component) for component in components.tolist()]
        return gathered._replace(indices=places.astype(np.uint32)), tokens

    def added_tokens(self, generation: int) -> list[str]:
        """The tokens of BM25 that additions of documents brought."""
        encoder = self.at(generation).query_encoder
        return list(encoder.vocabulary.tokens[encoder.fitted_dim :]) if isinstance(encoder, BM25Encoder) else []

    def document(self, generation: int, doc_id: str) -> StoredDocument | None:
        """A document; None if it does not exist."""
        return self.at(generation).document(doc_id)

    def explained(self, generation: int, query: ShardQueries, doc_id: str) -> Explained | None:
        """See Snapshot.explained."""
        snapshot = self.at(generation)
        return snapshot.explained(self._encoded(snapshot, query), query.text, doc_id)

    def why(self, generation: int, query: ShardQueries, doc_id: str, request: SearchRequest) -> ToldWhy | None:
        """See Snapshot.why."""
        snapshot = self.at(generation)
        return snapshot.why(self._encoded(snapshot, query), query.text, doc_id, request)

    def exact_place(
        self, generation: int, query: ShardQueries, doc_id: str, request: SearchRequest
    ) -> tuple[int, float] | None:
        """See lsr.distributed.exact_ranks."""
        snapshot = self.at(generation)
        return exact_place(snapshot, self._encoded(snapshot, query), doc_id, request)

    def count_better(
        self, generation: int, query: ShardQueries, score: float, equal: bool, request: SearchRequest
    ) -> int:
        """See lsr.distributed.exact_ranks."""
        snapshot = self.at(generation)
        return count_better(snapshot, self._encoded(snapshot, query), score, equal, request)

    def counts(self, generation: int, column: str, where: str | None) -> Counter[Any] | None:
        """See IndexMetadata.counts. None if this shard has no such column."""
        metadata = self.at(generation).metadata
        return metadata.counts(column, where) if column in metadata.schema.names else None

    def add(self, documents: ShardDocuments, batch_size: int | None) -> int:
        """See Searcher.add."""
        return self._writing.add(documents, batch_size=batch_size)

    def update(self, documents: ShardDocuments, batch_size: int | None) -> UpdateReport:
        """See Searcher.update."""
        return self._writing.update(documents, batch_size=batch_size)

    def delete(self, ids: Sequence[str]) -> int:
        """See Searcher.delete."""
        return self._writing.delete(ids)

    def commit(self) -> tuple[int, int]:
        """Commit the changes; returns the new generation and its number of documents."""
        number = self._writing.commit()
        return number, read_commit(self.folder, number).documents

    def rollback(self) -> None:
        """Drop uncommitted changes."""
        if self._writer is not None:
            self._writer.rollback()

    def close(self) -> None:
        """Wait for merges, and drop uncommitted changes."""
        if self._writer is not None:
            self._writer.close()

    @property
    def _writing(self) -> Searcher:
        """The writing searcher, at the newest generation."""
        if self._writer is None:
            self._writer = Searcher.open(self.folder, self._device, encoder=self._encoder)
        elif self._writer.is_behind:
            self._writer.refresh()
        return self._writer

    def _choose(self, index: SparseIndex[Any], described: Mapping[str, Any], kept: Path | None) -> Encoder | None:
        if kept is not None and is_bm25(described):
            return load_encoder(kept)
        return self._encoder

    def _encoded(
        self, snapshot: Snapshot, queries: ShardQueries, sides: Sequence[SideName] = (SPARSE,)
    ) -> Mapping[str, Any]:
        if NAMED in queries.encoded:
            rows, dim = queries.encoded[NAMED], snapshot.index.dim
            return {SPARSE: SparseVectors.of(rows, dim=dim, vocabulary=snapshot.vocabulary, drop_unknown=True)}
        if queries.encoded or queries.texts is None:
            return queries.encoded
        return snapshot.encode(queries.texts, sides)


def _chosen(rows: Any, places: Sequence[int]) -> Any:
    """Some rows of vectors, or of a list."""
    return [rows[place] for place in places] if isinstance(rows, list) else rows[np.asarray(places, np.int64)]


def each_encodes(front: Snapshot) -> bool:
    """Whether each shard encodes texts itself, because the encoder is BM25. front: the snapshot of any shard."""
    return front.generation is not None and is_bm25(front.generation.commit.encoder)


def is_bm25(described: Mapping[str, Any] | None) -> bool:
    """Whether an encoder, by its description, is BM25, whose vocabulary grows separately in each shard."""
    return described is not None and described.get("kind") == BM25Encoder.name
