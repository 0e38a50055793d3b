"""Search of embeddings of sentence-transformers, with the signature of its own search functions."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from lsr.errors import ParameterError
from lsr.vectors.sparse_vectors import SparseVectors, VectorsLike
from lsr.vectors.vocabulary import Vocabulary

if TYPE_CHECKING:
    from lsr.index.sparse_index import SparseIndex

Found = list[list[dict[str, int | float]]]


def semantic_search_lsr(
    query_embeddings: VectorsLike,
    corpus_embeddings: VectorsLike | None = None,
    corpus_index: SparseIndex[Any] | None = None,
    top_k: int = 10,
    output_index: bool = False,
    index_kwargs: Mapping[str, Any] | None = None,
    search_kwargs: Mapping[str, Any] | None = None,
) -> tuple[Found, float] | tuple[Found, float, SparseIndex[Any]]:
    """Search embeddings like semantic_search_seismic and semantic_search_qdrant of sentence-transformers.

    query_embeddings: the result of SparseEncoder.encode_query, sparse or dense, or the result of its `decode` (a list
        of (token, weight) per query), or anything else that SparseVectors.of takes.
    corpus_embeddings: embeddings of the documents, in the same forms. They are indexed unless corpus_index is given.
    corpus_index: a SeismicIndex or an ExactIndex, for example from an earlier call. Decoded queries need an index with
        a vocabulary; tokens that it lacks are dropped.
    top_k: the maximum number of documents per query.
    output_index: also return the index.
    index_kwargs: arguments of SeismicIndex.build. They are not changed.
    search_kwargs: arguments of SeismicIndex.search. They are not changed.

    Returns a tuple: for each query, a list of at most top_k dicts {"corpus_id": row, "score": inner product}, best
    first; the duration of the search in seconds; and, if output_index is set, the index.

    Raises ParameterError without documents and index, and VectorsError for vectors that do not match.
    """
    if corpus_index is None:
        from lsr.index.seismic.seismic_index import SeismicIndex

        if corpus_embeddings is None:
            raise ParameterError("nothing to search; give corpus_embeddings, or a corpus_index")
        settings, corpus = dict(index_kwargs or {}), corpus_embeddings
        if (dicts := _as_dicts(corpus)) is not None:
            tokens = settings.setdefault("vocabulary", sorted({token for row in dicts for token in row}))
            corpus = SparseVectors.from_dicts(dicts, Vocabulary.of(tokens))
        corpus_index = SeismicIndex.build(corpus, **settings)
    queries = _as_dicts(query_embeddings)
    begun = perf_counter()
    result = corpus_index.search(query_embeddings if queries is None else queries, top_k, **(search_kwargs or {}))
    found: Found = [
        [{"corpus_id": int(row), "score": float(score)} for row, score in zip(rows, scores, strict=True) if row >= 0]
        for rows, scores in zip(result.rows, result.scores, strict=True)
    ]
    seconds = perf_counter() - begun
    return (found, seconds, corpus_index) if output_index else (found, seconds)


def _as_dicts(given: Any) -> list[dict[str, float]] | None:
    """Lists of (token, weight), as SparseEncoder.decode returns them, as dicts; None for anything else."""
    if not isinstance(given, list) or not all(isinstance(row, list) for row in given):
        return None
    first = next((row[0] for row in given if row), ("", 0))
    return [dict(row) for row in given] if isinstance(first, tuple) and isinstance(first[0], str) else None
