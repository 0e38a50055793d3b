"""What SeismicIndex and ExactIndex share."""

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
DEFAULTS = SearchParams()  # made once: it checks itself, which takes 6 us

E = TypeVar("E", bound=Engine)


class SparseIndex(HasFacts, FromFolder, Generic[E]):
    """Documents as sparse vectors: an engine that stores and searches them, and their ids by row, if they have any.

    vocabulary: the tokens of the components, or the file in which they are. Raises ParameterError for another number
    of tokens, VectorsError for what cannot be a vocabulary.
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
        """The tokens of the components; None where they are not known. Read from the index when first asked for.

        Raises StorageError if another index has taken the place of this one before that.
        """
        stored = self._vocabulary
        return stored.read() if isinstance(stored, StoredVocabulary) else stored

    @property
    def dim(self) -> int:
        """Number of components that documents and queries have."""
        return self.engine.dim

    @property
    def postings(self) -> int:
        """Non-zeros of all documents."""
        return self.engine.postings

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes in memory (or mapped into it) of each part."""
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

        Raises ParameterError when there is no such row.
        """
        gathered = self.engine.gather(np.array([checked_row(row, len(self))], np.int64))
        order = np.argsort(gathered.indices)
        return gathered.indices[order], gathered.values[order]

    def gather(self, rows: Array) -> GatheredRows:
        """The vectors of many documents (int64[n]), as `vector` gives them but unsorted: what feedback reads.

        Raises ParameterError for a row that does not exist.
        """
        return self.engine.gather(checked_rows(rows, len(self)))

    def iter_vectors(self) -> Iterator[SparseVectors]:
        """All documents in the order of their rows, a few thousand at a time, with their ids."""
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
        """The k documents of largest inner product with each query, best first, equal scores by row.

        Where more documents tie for the last places than there is room for, an exact search takes the lower rows, an
        approximate one those that it met first.
        Only documents with a positive score are hits; scores float32[queries, k] and rows int64[queries, k] are padded
        with -inf and -1. Releases the GIL.
        queries: SparseVectors, or what SparseVectors.of takes: a scipy matrix, a tensor, dicts, an array. Dicts may be
        of tokens where the index has a vocabulary; tokens that it lacks are left out, as no document has them.
        params: where documents are stored as inverted lists every search is exact, and only budget_us has an effect.
        threads: queries searched at once, None for all processors; the result does not depend on it.
        allowed: the documents that may be found: a mask of bools, or ids, or row numbers, or a Filter of these, which
        is prepared once. As many of them are returned as would be without a filter.
        Raises ParameterError for k < 1, threads < 1, queries of another dimension, or an `allowed` that does not fit.
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
        """The parameters that hold: the defaults for None. Raises ParameterError."""
        return DEFAULTS if params is None else settings_of(SearchParams, params)
