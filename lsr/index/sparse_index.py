"""SparseIndex: the common base of SeismicIndex and ExactIndex."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from lsr.display import HasFacts, size_of
from lsr.index.filters import Allowed, Filter
from lsr.index.index_checks import checked_queries, checked_vocabulary, settings_of
from lsr.index.index_folder import FromFolder, StoredVocabulary
from lsr.index.parameters import SearchParams
from lsr.index.protocol import Engine
from lsr.index.result import SearchResult
from lsr.index.rows import GatheredRows, checked_row, checked_rows
from lsr.storage.arrays import Array
from lsr.storage.id_column import Ids
from lsr.threads import checked_threads
from lsr.vectors.sparse_vectors import SparseVectors, VectorsLike
from lsr.vectors.vocabulary import Vocabulary, VocabularyLike

ROWS_AT_ONCE = 4096
DEFAULTS = SearchParams()  # created once, because its checks take 6 µs

E = TypeVar("E", bound=Engine)


class SparseIndex(HasFacts, FromFolder, Generic[E]):
    """An index of sparse vectors: an engine that stores and searches them, and the ids of documents by row, if any.

    vocabulary: the tokens of the components, or their file. Raises ParameterError for another number of tokens,
        VectorsError for an invalid vocabulary.
    """

    def __init__(
        self, engine: E, ids: Ids | None = None, vocabulary: VocabularyLike | StoredVocabulary | None = None
    ) -> None:
        self.engine = engine
        self.ids = ids
        self._vocabulary = (
            vocabulary if isinstance(vocabulary, StoredVocabulary) else checked_vocabulary(vocabulary, engine.dim)
        )

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary, read on first use; None if it is unknown.

        Raises StorageError if another index replaced this one before.
        """
        stored = self._vocabulary
        return stored.read() if isinstance(stored, StoredVocabulary) else stored

    @property
    def dim(self) -> int:
        """Number of components of documents and queries."""
        return self.engine.dim

    @property
    def postings(self) -> int:
        """The number of non-zeros of all documents."""
        return self.engine.postings

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes in memory (or memory-mapped) of each part."""
        return self.engine.nbytes

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.engine)

    def _facts(self) -> dict[str, object]:
        return {
            "documents": len(self),
            "components": self.dim,
            "non-zeros": self.postings,
            "size": size_of(self.nbytes),
            "ids": self.ids is not None,
        }

    def vector(self, row: int) -> tuple[Array, Array]:
        """(components uint32[m], ascending, weights float32[m]) of one document, as the index scores it.

        Raises ParameterError if there is no such row.
        """
        gathered = self.engine.gather(np.array([checked_row(row, len(self))], np.int64))
        order = np.argsort(gathered.indices)
        return gathered.indices[order], gathered.values[order]

    def gather(self, rows: Array) -> GatheredRows:
        """The vectors of documents, int64[n], like `vector` but unsorted within a row.

        Raises ParameterError for a row that does not exist.
        """
        return self.engine.gather(checked_rows(rows, len(self)))

    def iter_vectors(self) -> Iterator[SparseVectors]:
        """All documents in the order of their rows, in batches of a few thousand, with their ids."""
        for begin in range(0, len(self), ROWS_AT_ONCE):
            rows = range(begin, min(begin + ROWS_AT_ONCE, len(self)))
            vectors = self.engine.gather(np.array(rows, np.int64)).as_vectors(self.dim)
            yield vectors if self.ids is None else vectors.with_ids([self.ids[row] for row in rows])

    def search(
        self,
        queries: VectorsLike,
        k: int = 10,
        params: SearchParams | None = None,
        threads: int | None = 1,
        allowed: Allowed | None = None,
    ) -> SearchResult:
        """The k documents with the largest inner product for each query, best first, equal scores by row.

        queries: SparseVectors, or what SparseVectors.of takes: a scipy matrix, a tensor, dicts, an array. Dicts can
            have tokens if the index has a vocabulary; tokens that it lacks are dropped, because no document has them.
        k: the maximum number of documents per query.
        params: parameters of the search. Default: SearchParams(). If documents are stored as posting lists, every
            search is exact, and only budget_us has an effect.
        threads: the number of queries that are searched at once. None for all processors. Results do not depend on it.
        allowed: the documents that can be returned: a mask of bools, ids, row numbers, or a Filter of these, which is
            prepared once. k of them are returned, like without a filter.

        Only documents with a positive score are hits. Scores float32[queries, k] and rows int64[queries, k] are padded
        with -inf and -1. If more documents have the last score than there is room for, an exact search returns the
        lower rows, and an approximate search those that it scored first. Releases the GIL. Raises ParameterError for k
        < 1, threads < 1, queries of another dimension, or an invalid `allowed`.
        """
        vectors = self._checked(queries, k)
        resolved = self.resolved(params)
        chosen = Filter.of(allowed, len(self), self.ids)
        recall = None if resolved.budget_us is None else np.ones(len(vectors), np.float32)
        scores, rows = self.engine.search(vectors, int(k), resolved, checked_threads(threads), chosen, recall)
        return SearchResult(scores, rows, self.ids, recall)

    def _checked(self, queries: VectorsLike, k: int) -> SparseVectors:
        return checked_queries(queries, self.dim, k, lambda: self.vocabulary)

    def resolved(self, params: SearchParams | None) -> SearchParams:
        """The effective parameters: the defaults for None. Raises ParameterError."""
        return DEFAULTS if params is None else settings_of(SearchParams, params)
