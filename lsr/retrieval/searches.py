"""Searches: the methods of a searcher that search its snapshot."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lsr.index.filters import Allowed
from lsr.index.parameters import SearchParams
from lsr.retrieval.hits import Hit, Hits
from lsr.retrieval.one_document import Explained, Explaining, StoredDocument, ToldWhy, explain, why
from lsr.retrieval.query_vectors import QueryVectors, many_queries, one_query
from lsr.retrieval.request import Feedback, FeedbackMethod, Fusion, FusionMethod, Place, SearchRequest, SideName
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.vectors.sparse_vectors import Matrix


class Searchable(Explaining, Protocol):
    """The part of a Snapshot, or of a ShardedSnapshot, that searches."""

    def hits(
        self, queries: Sequence[str] | SparseVectors | QueryVectors, request: SearchRequest, threads: int | None = 1
    ) -> list[Hits]: ...
    def rankings(
        self,
        queries: Mapping[str, str] | SparseVectors | QueryVectors,
        request: SearchRequest,
        threads: int | None = 1,
        drop_same_id: bool = False,
        progress: bool = False,
    ) -> dict[str, dict[str, float]]: ...
    def facets(
        self, column: str, hits: Iterable[Hit] | None = None, where: str | None = None, k: int | None = 10
    ) -> dict[Any, int]: ...
    def document(self, doc_id: str) -> StoredDocument | None: ...


class Searches:
    """Searches of one index, or of all shards of an index."""

    @property
    @abstractmethod
    def snapshot(self) -> Searchable:
        """The snapshot that searches see now. Hold it for a search of several steps."""

    def search(
        self,
        text: str | SparseVectors | QueryVectors | Matrix,
        k: int = 10,
        params: SearchParams | None = None,
        *,
        allowed: Allowed | None = None,
        side: SideName | None = None,
        feedback: Feedback | FeedbackMethod | None = None,
        interpolate: Place = "none",
        fusion: Fusion | FusionMethod = Fusion(),  # noqa: B008 (frozen)
        where: str | None = None,
    ) -> Hits:
        """Search for one query; returns at most k hits, best first.

            hits = searcher.search("vitamin D", k=5, where="year >= 2020")

        text: the text of the query; or its vector over the index's vocabulary: SparseVectors, or a SciPy, torch or
            NumPy matrix with one row; or QueryVectors, with precomputed dense vectors.
        k: the maximum number of hits.
        params: parameters of the searches in the indexes. Default: SearchParams().
        allowed: the documents that can be returned: a mask, ids or rows. Feedback uses only these, too. None for all.
        side: "sparse" or "dense": the side that is searched and on which feedback works. Default: "dense" with
            `interpolate`, else "sparse".
        feedback: pseudo-relevance feedback: "rocchio", "average" (dense only), "rm3" (sparse only), or a Feedback.
        interpolate: hybrid search: fuse the sparse and the dense list "before" the feedback, "after" it, or "both"
            times. Without feedback, only "after" is possible.
        fusion: how the two lists are fused: "rrf" for reciprocal ranks, or a Fusion.
        where: an SQL expression over the documents' metadata, such as "year >= 2020 and category in ('cs', 'math')". It
            must be true for a returned document: neither false nor null. `id` is the id of a document. With `allowed`,
            both must hold. DuckDB evaluates the expression once, and the result is cached; times are in UTC.

        A sparse search returns only documents that share a term with the query, so it can return fewer than k. Raises
        ParameterError for k < 1, for values that cannot be combined, and for dense searches without dense vectors.
        """
        request = SearchRequest.of(k, params, allowed, side, feedback, interpolate, fusion, where)
        return self.snapshot.hits(one_query(text), request)[0]

    def search_batch(
        self,
        texts: Sequence[str] | SparseVectors | QueryVectors | Matrix,
        k: int = 10,
        params: SearchParams | None = None,
        *,
        threads: int | None = 1,
        allowed: Allowed | None = None,
        side: SideName | None = None,
        feedback: Feedback | FeedbackMethod | None = None,
        interpolate: Place = "none",
        fusion: Fusion | FusionMethod = Fusion(),  # noqa: B008 (frozen)
        where: str | None = None,
    ) -> list[Hits]:
        """Search for several queries; returns the hits of each query, in the order of the queries.

        texts: texts, SparseVectors, a matrix with a row per query, or QueryVectors.
        threads: the number of queries that are searched at once. None for all processors.

        The other arguments are those of `search`.
        """
        request = SearchRequest.of(k, params, allowed, side, feedback, interpolate, fusion, where)
        return self.snapshot.hits(many_queries(texts), request, threads)

    def run(
        self,
        queries: Mapping[str, str] | SparseVectors | QueryVectors,
        k: int = 1000,
        params: SearchParams | None = None,
        *,
        threads: int | None = 1,
        drop_same_id: bool = False,
        allowed: Allowed | None = None,
        side: SideName | None = None,
        feedback: Feedback | FeedbackMethod | None = None,
        interpolate: Place = "none",
        fusion: Fusion | FusionMethod = Fusion(),  # noqa: B008 (frozen)
        where: str | None = None,
    ) -> dict[str, dict[str, float]]:
        """Search for queries with ids; returns a run, {query id: {document id: score}}, best first, for lsr.eval.

        queries: {query id: text}, or SparseVectors or QueryVectors with ids.
        threads: the number of queries that are searched at once. None for all processors.
        drop_same_id: never return a document with the id of the query. k other documents are returned, and feedback
            does not use that document.

        The other arguments are those of `search`.
        """
        request = SearchRequest.of(k, params, allowed, side, feedback, interpolate, fusion, where)
        return self.snapshot.rankings(queries, request, threads, drop_same_id)

    def facets(
        self, column: str, hits: Iterable[Hit] | None = None, *, where: str | None = None, k: int | None = 10
    ) -> dict[Any, int]:
        """Count the values of a metadata column; returns {value: number of documents}, most frequent first.

        column: the name of the column. In a column of lists, each value of a list counts once per document.
        hits: count in these hits. None counts in all documents for which `where` is true, or in the whole index.
        where: see `search`.
        k: the maximum number of values. None for all.

        Missing values do not count. Raises ParameterError for an unknown column, or for values that are not texts,
        numbers, dates or lists of these.
        """
        return self.snapshot.facets(column, hits, where, k)

    def document(self, doc_id: str) -> StoredDocument | None:
        """A document by id, with its text, metadata and vector; None if it does not exist.

        searcher.document("d1").metadata["year"]
        """
        return self.snapshot.document(doc_id)

    def explain(self, query: str | SparseVectors | Matrix, doc_id: str) -> Explained:
        """The parts of the sparse score of a document, whether or not a search returns it.

            searcher.explain("vitamin D", "d1").terms

        query: the text of the query, or its sparse vector, as `search` takes them.
        doc_id: the id of the document. If documents are split, the best passage is explained.

        Raises ParameterError if there is no such document.
        """
        return explain(self.snapshot, query, doc_id)

    def why(
        self,
        query: str | SparseVectors | Matrix,
        doc_id: str,
        k: int = 10,
        params: SearchParams | None = None,
        *,
        allowed: Allowed | None = None,
        where: str | None = None,
    ) -> ToldWhy:
        """Why a sparse search returns a document, or at which stage it loses the document; see SeismicIndex.why.

            told = searcher.why("vitamin D", "d1", k=5)
            told.reason, told.why.remedy

        query: the text of the query, or its sparse vector, as `search` takes them.
        doc_id: the id of the document.
        k, params, allowed, where: those of the search; see `search`.

        Raises ParameterError if there is no such document, and for an index without stages, such as an ExactIndex.
        """
        return why(self.snapshot, query, doc_id, SearchRequest.of(k, params, allowed, where=where))

    def hits(
        self, queries: Sequence[str] | SparseVectors, request: SearchRequest, threads: int | None = 1
    ) -> list[Hits]:
        """Like `search_batch`, with the parameters in a SearchRequest."""
        return self.snapshot.hits(queries, request, threads)

    def rankings(
        self,
        queries: Mapping[str, str] | SparseVectors | QueryVectors,
        request: SearchRequest,
        threads: int | None = 1,
        drop_same_id: bool = False,
        progress: bool = False,
    ) -> dict[str, dict[str, float]]:
        """Like `run`, with the parameters in a SearchRequest. progress: show a bar on standard error."""
        return self.snapshot.rankings(queries, request, threads, drop_same_id, progress)
