"""Snapshot: an index with its encoder, texts and dense vectors at one moment, and searches of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from lsr.checks import check_flag, check_kind, check_whole, checked_texts, listed
from lsr.errors import EncoderError, LsrWarning, ParameterError
from lsr.index.filters import Filter
from lsr.progress import progress_bar
from lsr.retrieval.dense_side import Dense
from lsr.retrieval.expansion import expansion
from lsr.retrieval.facet_counts import in_hits, most_frequent
from lsr.retrieval.hits import Hit, Hits, SearchedQuery
from lsr.retrieval.one_document import Explained, StoredDocument, ToldWhy, explained_score, stored_document, told_why
from lsr.retrieval.pipeline import Found, Sides, search_pipeline
from lsr.retrieval.query_vectors import QueryVectors, named_queries
from lsr.retrieval.request import DENSE, SPARSE, SearchRequest, SideName
from lsr.threads import checked_threads
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.encoders.base import Encoder
    from lsr.encoders.bm25 import BM25Encoder
    from lsr.index.dense.dense_index import DenseIndex
    from lsr.index.metadata.index_metadata import IndexMetadata
    from lsr.index.segments.generation import Generation
    from lsr.index.segments.generation_passages import GenerationPassages
    from lsr.index.segments.segmented_dense import SegmentedDense
    from lsr.index.sparse_index import SparseIndex
    from lsr.index.tools.tuning import TunedPreset
    from lsr.vectors.vocabulary import Vocabulary

QUERIES_AT_ONCE = 256


class Texts(Protocol):
    """Texts by row: a list, or a StringColumn, which decodes one text at a time."""

    def __getitem__(self, row: int, /) -> str: ...


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of an index that searches see. It never changes, so many threads can search it.

    query_encoder: the encoder of queries; None if queries must be SparseVectors.
    texts: the text of each row; None if the index stores no texts. dense: None without dense vectors.

    Raises EncoderError if the encoder has another dimension than the index.
    """

    index: SparseIndex[Any]
    query_encoder: Encoder | None
    texts: Texts | None = None
    dense: Dense | None = None

    def __post_init__(self) -> None:
        encoder = self.query_encoder
        if encoder is not None and encoder.dim != self.index.dim:
            raise EncoderError(
                f"encoder {encoder.name!r} makes vectors of {encoder.dim} components, but those of the index have "
                f"{self.index.dim}; search with the encoder with which the index was built"
            )

    @cached_property
    def passages(self) -> GenerationPassages | None:
        """The mapping of passages to documents; None if documents are not split."""
        return None if self.generation is None else self.generation.passages

    @cached_property
    def metadata(self) -> IndexMetadata:
        """The metadata of the documents."""
        from lsr.index.metadata.index_metadata import IndexMetadata

        return IndexMetadata.without_columns(self.index) if self.generation is None else self.generation.metadata

    def filter(self, where: str) -> Filter:
        """A filter of the documents for which a condition is true. Cached. Raises ParameterError."""
        return self.metadata.filter(where)

    def facets(
        self, column: str, hits: Iterable[Hit] | None = None, where: str | None = None, k: int | None = 10
    ) -> dict[Any, int]:
        """See Searcher.facets."""
        if k is not None:
            check_whole("k", k)
        if hits is None:
            counts = self.metadata.counts(column, where)
        else:
            self.metadata.check_countable(column)
            counts = in_hits(column, hits)
        return most_frequent(counts, k)

    @property
    def generation(self) -> Generation | None:
        """The generation on disk; None for an index in memory or of a former format."""
        return getattr(self.index, "generation", None)

    @property
    def number(self) -> int | None:
        """The number of the generation."""
        return None if self.generation is None else self.generation.number

    @property
    def presets(self) -> Mapping[float, TunedPreset]:
        """Recall -> the parameters tuned for it; empty without tuning."""
        return getattr(self.index, "presets", {})

    @property
    def encoder(self) -> Encoder:
        """The encoder of queries. Raises EncoderError if there is none; queries must then be SparseVectors."""
        if self.query_encoder is None:
            raise EncoderError(
                "the index is open without an encoder, so queries must be vectors; attach the encoder of its vectors "
                "(lsr attach INDEX --encoder NAME), or in Python open the index with Searcher.open(INDEX, encoder=NAME)"
            )
        return self.query_encoder

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary of the encoder or of the index; None if there is none."""
        return self.index.vocabulary if self.query_encoder is None else self.query_encoder.vocabulary

    def token(self, component: int) -> str:
        """The token of a component, or its number if there is no vocabulary."""
        return str(component) if self.vocabulary is None else self.vocabulary.token(component)

    def hits(
        self, queries: Sequence[str] | SparseVectors | QueryVectors, request: SearchRequest, threads: int | None = 1
    ) -> list[Hits]:
        """The hits of each query, in the order of the queries."""
        check_kind("the request", request, SearchRequest)
        texts: Sequence[str] | None
        if isinstance(queries, SparseVectors | QueryVectors):
            texts = queries.texts if isinstance(queries, QueryVectors) else None
        else:
            queries = texts = listed(queries, "texts")  # `encode` checks them
        encoded = self.encode(queries, request.sides)
        return self.hits_of_encoded(encoded, texts, request, threads)

    def hits_of_encoded(
        self, encoded: Mapping[str, Any], texts: Sequence[str] | None, request: SearchRequest, threads: int | None = 1
    ) -> list[Hits]:
        """Like `hits`, for queries encoded by `encode`. texts: the texts of the queries; None for query vectors."""
        found = self.find(encoded, request, threads)
        sparse = found.queries.get(SPARSE)
        lists = [(side, scores.tolist()) for side, scores in found.parts.items()]
        hits = []
        for query, (rows, scores) in enumerate(zip(*(array.tolist() for array in found.lists), strict=True)):
            searched = SearchedQuery("" if texts is None else texts[query], self.query_encoder, sparse, query)
            parts = [(side, of_side[query]) for side, of_side in lists]
            of_query = [
                # A side that did not find the document has NaN, which is the only value that is not equal to itself.
                Hit(score, row, {side: each[at] for side, each in parts if each[at] == each[at]}, self, searched)
                for at, (row, score) in enumerate(zip(rows, scores, strict=True))
                if row >= 0
            ]
            hits.append(Hits(of_query))
            if found.recall is not None:
                hits[-1].estimated_recall = float(found.recall[query])
        return hits

    def rankings(
        self,
        queries: Mapping[str, str] | SparseVectors | QueryVectors,
        request: SearchRequest,
        threads: int | None = 1,
        drop_same_id: bool = False,
        progress: bool = False,
    ) -> dict[str, dict[str, float]]:
        """A run: query id -> document id -> score. progress: show a bar on standard error."""
        check_kind("the request", request, SearchRequest)
        check_flag("drop_same_id", drop_same_id)
        names, asked = named_queries(queries)
        request = self.prepared(request)  # once, not for each batch
        run: dict[str, dict[str, float]] = {}
        with progress_bar("searching", len(names), "queries", progress) as advance:
            for first in range(0, len(names), QUERIES_AT_ONCE):
                some = slice(first, first + QUERIES_AT_ONCE)
                encoded = self.encode(asked[some], request.sides)
                run |= self.rank_encoded(names[some], encoded, request, threads, drop_same_id)
                advance(len(names[some]))
        return run

    def rank_encoded(
        self,
        query_ids: Sequence[str],
        encoded: Mapping[str, Any],
        request: SearchRequest,
        threads: int | None = 1,
        drop_same_id: bool = False,
    ) -> dict[str, dict[str, float]]:
        """Like `rankings`, for queries encoded by `encode`. Warns if searches reached their budget."""
        dropped = self.rows_of(query_ids) if drop_same_id else None
        found = self.find(encoded, request, threads, dropped)
        stopped = 0 if found.recall is None else int((found.recall < 1).sum())
        if stopped:
            warnings.warn(
                f"{stopped} of {len(query_ids)} searches reached budget_us, and may lack documents; raise budget_us",
                LsrWarning,
                stacklevel=2,
            )
        columns = zip(query_ids, *(array.tolist() for array in found.lists), strict=True)
        return {
            query_id: {self.doc_id(row): score for row, score in zip(rows, scores, strict=True) if row >= 0}
            for query_id, rows, scores in columns
        }

    def encode(
        self, queries: Sequence[str] | SparseVectors | QueryVectors, sides: Sequence[SideName] = (SPARSE,)
    ) -> dict[str, Any]:
        """Side -> the vectors of the queries. SparseVectors are for the sparse side. Raises ParameterError."""
        if isinstance(queries, QueryVectors):
            if DENSE not in sides:
                raise ParameterError(
                    "the queries have dense vectors, but only the sparse side is searched; give side 'dense', or "
                    "interpolate"
                )
            if SPARSE not in sides:
                return {DENSE: queries.dense}
            if queries.sparse is None:
                raise ParameterError(
                    "the sparse side is searched, but the queries have neither texts nor sparse vectors; give them, or "
                    "side 'dense'"
                )
            return {**self.encode(queries.sparse), DENSE: queries.dense}
        if isinstance(queries, SparseVectors):
            if DENSE in sides:
                raise ParameterError(
                    "a dense search needs texts or dense vectors of the queries, which are sparse vectors; give these "
                    "(--dense, QueryVectors), or remove side 'dense' and interpolate"
                )
            return {SPARSE: queries}
        checked = checked_texts(queries, "query")
        encoded: dict[str, Any] = {}
        if SPARSE in sides:
            encoded[SPARSE] = self.encoder.encode_queries(checked)
        if DENSE in sides:
            encoded[DENSE] = self._checked_dense.encoder.encode_queries(checked)
        return encoded

    def find(
        self,
        encoded: Mapping[str, Any],
        request: SearchRequest,
        threads: int | None = 1,
        dropped: npt.NDArray[np.int64] | None = None,
    ) -> Found:
        """Search for queries encoded by `encode`. dropped: int64[queries], a row per query to leave out, or -1."""
        dense = self._checked_dense.index if DENSE in request.sides else None
        firsts = None if self.passages is None else self.passages.firsts
        bm25 = None
        if request.feedback is not None and request.main == SPARSE:
            from lsr.retrieval.feedback_warning import warn_of_loss

            bm25 = self._bm25
            if bm25 is not None or self.query_encoder is not None:  # the encoder of the vectors is known
                warn_of_loss(request.feedback, bm25 is not None)
        sides = Sides(self.index, dense, self.prepared(request), checked_threads(threads), dropped, firsts, bm25)
        return search_pipeline(sides, encoded)

    def prepared(self, request: SearchRequest) -> SearchRequest:
        """The request with a filter in place of `allowed` and `where`, so that the filter is made only once."""
        allowed = self.allowed(request)
        return request if allowed is None else replace(request, allowed=allowed, where=None)

    def allowed(self, request: SearchRequest) -> Filter | None:
        """The filter of a request; None for all documents. Raises ParameterError."""
        allowed = Filter.of(request.allowed, len(self.index), self.index.ids)
        if request.where is None:
            return allowed
        matching = self.filter(request.where)
        return matching if allowed is None else Filter(allowed.mask & matching.mask)

    def expansion(self, query: str | None) -> Callable[[Hit], dict[str, Any]]:
        """See lsr.retrieval.expansion."""
        return expansion(self.query_encoder, query)

    def document(self, doc_id: str) -> StoredDocument | None:
        """See stored_document."""
        return stored_document(self, doc_id)

    def explained(self, encoded: Mapping[str, Any], text: str | None, doc_id: str) -> Explained | None:
        """See explained_score."""
        return explained_score(self, encoded, text, doc_id)

    def why(self, encoded: Mapping[str, Any], text: str | None, doc_id: str, request: SearchRequest) -> ToldWhy | None:
        """See told_why. text: the text of the query, as in `explained`; it is not needed here."""
        return told_why(self, encoded, doc_id, request)

    def rows_of(self, doc_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """int64[ids]: the rows of documents; -1 for unknown ids."""
        ids = self.index.ids
        if ids is not None:
            return ids.rows(doc_ids)
        of_text = {str(row): row for row in range(len(self.index))}
        return np.array([of_text.get(doc_id, -1) for doc_id in doc_ids], np.int64)

    def doc_id(self, row: int) -> str:
        """The id of a document; its row as text if the index has no ids."""
        ids = self.index.ids
        return str(row) if ids is None else ids[row]

    @cached_property
    def _bm25(self) -> BM25Encoder | None:
        """The encoder of the documents if it is BM25, else None. Also if queries are vectors."""
        from lsr.encoders.bm25 import BM25Encoder
        from lsr.retrieval.refit import bm25_of

        if self.query_encoder is None and self.generation is not None:
            return bm25_of(self.generation)
        return self.query_encoder if isinstance(self.query_encoder, BM25Encoder) else None

    @cached_property
    def _checked_dense(self) -> Dense:
        if self.dense is None:
            raise ParameterError(
                "the index has no dense vectors; add them (lsr index DOCUMENTS INDEX --dense minilm), or remove side "
                "'dense' and interpolate"
            )
        _check_same_documents(self.index, self.dense.index)
        return self.dense


def _check_same_documents(sparse: SparseIndex[Any], dense: DenseIndex | SegmentedDense) -> None:
    if len(sparse) != len(dense):
        raise ParameterError(
            f"the sparse index has {len(sparse)} documents, but the dense index has {len(dense)}; build both from one "
            "collection"
        )
    if sparse.ids is None or dense.ids is None or sparse.ids is dense.ids or sparse.ids.equals(dense.ids):
        return
    pairs = enumerate(zip(sparse.ids, dense.ids, strict=True), start=1)
    number, (ours, theirs) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
    raise ParameterError(
        f"document {number} is {ours!r} in the sparse index and {theirs!r} in the dense one; "
        f"build both from one collection"
    )
