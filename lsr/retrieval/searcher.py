"""Searcher: text in, ranked and explained documents out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from lsr.checks import check_flag, check_kind, check_text, checked_texts, expanded, named_texts
from lsr.display import HasFacts
from lsr.errors import EncoderError, IndexFormatError, ParameterError
from lsr.index.filters import Allowed, Filter
from lsr.index.index_folder import FromFolder, check_not_replaced, opened
from lsr.index.parameters import SearchParams
from lsr.progress import progress_bar
from lsr.retrieval.hits import Hit, Hits, SearchedQuery
from lsr.retrieval.pipeline import Found, Sides, search_pipeline
from lsr.retrieval.request import (
    DENSE,
    SPARSE,
    Feedback,
    FeedbackMethod,
    Fusion,
    FusionMethod,
    Place,
    SearchRequest,
    SideName,
)
from lsr.storage.manifest import read_manifest
from lsr.storage.strings import StringColumn
from lsr.threads import checked_threads
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.encoders.base import Encoder
    from lsr.encoders.dense.dense_encoder import DenseEncoder
    from lsr.encoders.load import EncoderLike
    from lsr.index.dense.dense_index import DenseIndex
    from lsr.index.sparse_index import SparseIndex
    from lsr.vectors.vocabulary import Vocabulary

TEXTS_NAME = "texts"
DENSE_FOLDER = "dense"
_QUERIES_AT_ONCE = 256


class Texts(Protocol):
    """Texts by row: a list, or a StringColumn that decodes one at a time."""

    def __getitem__(self, row: int, /) -> str: ...


class Dense:
    """The dense vectors of the documents, and their encoder: what is in a folder is opened by the first query for it.

    index: a dense index, or its folder. encoder: a dense encoder, or what load_dense_encoder takes. Raises then, not
    when made, IndexFormatError for a damaged index, and EncoderError if the encoder cannot be loaded or its vectors
    have another number of components than the index.
    beside: the identity of the sparse index around it; StorageError if another one is there when the dense index is
    opened.
    """

    def __init__(
        self,
        index: DenseIndex | Path,
        encoder: DenseEncoder | str | Path,
        device: str | None = None,
        beside: str | None = None,
    ) -> None:
        self._index = index
        self._encoder = encoder
        self._device = device
        self._beside = beside

    @cached_property
    def index(self) -> DenseIndex:
        from lsr.index.dense.dense_index import DenseIndex

        if not isinstance(self._index, Path):
            return self._index
        index = DenseIndex.open(self._index)
        if self._beside is not None:
            check_not_replaced(self._index.parent, self._beside)
        return index

    @cached_property
    def encoder(self) -> DenseEncoder:
        from lsr.encoders.dense.dense_encoder import load_dense_encoder

        given = self._encoder
        if isinstance(given, Path) and isinstance(self._index, Path) and not given.is_dir():
            raise EncoderError(f"{self._index}: was built from vectors and has no encoder; build it with build_dense")
        loaded = load_dense_encoder(given, device=self._device) if isinstance(given, str | Path) else given
        if loaded.dim != self.index.dim:
            raise EncoderError(
                f"dense encoder {loaded.name!r} makes vectors of {loaded.dim} components, the index holds "
                f"{self.index.dim}; search with the encoder that the index was built with"
            )
        return loaded

    @classmethod
    def open(cls, folder: str | Path, device: str | None = None, beside: str | None = None) -> Dense:
        """What build_dense wrote. Raises nothing yet."""
        from lsr.encoders.base import ENCODER_FOLDER

        folder = expanded(folder).absolute()  # it is opened later, perhaps from another working directory
        return cls(folder, folder / ENCODER_FOLDER, device, beside)


class Searcher(HasFacts, FromFolder):
    """An index, the encoder whose vectors it holds, the texts it was built from, and dense vectors, if there are any.

    encoder: an encoder, what load_encoder takes by name, or what encoder_from takes: a function, or an object with
        encode_documents and encode_queries.
    dense: of the same documents in the same order; the first dense search raises ParameterError if they are not.
    A pickle of one that was opened names its folder, and is refused with StorageError where another index is there by
    then; another pickle holds all parts. Copies, deep ones too, share all parts.
    Raises EncoderError if the encoder's vectors have another number of components than the index.
    """

    def __init__(
        self,
        index: SparseIndex[Any],
        encoder: EncoderLike | None,
        texts: Texts | None = None,
        dense: Dense | None = None,
    ) -> None:
        from lsr.encoders.load import as_encoder
        from lsr.index.sparse_index import SparseIndex

        check_kind("the index", index, SparseIndex, ", such as a SeismicIndex or an ExactIndex")
        chosen = None if encoder is None else as_encoder(encoder, dim=index.dim, vocabulary=lambda: index.vocabulary)
        if chosen is not None and chosen.dim != index.dim:
            raise EncoderError(
                f"encoder {chosen.name!r} makes vectors of {chosen.dim} components, the index holds {index.dim}; "
                f"search with the encoder that the index was built with"
            )
        if isinstance(texts, Iterable) and not isinstance(texts, StringColumn):
            texts = checked_texts(texts, "text")
            if len(texts) != len(index):
                raise ParameterError(f"there are {len(texts)} texts for {len(index)} documents; give one for each")
        if dense is not None:
            check_kind("the dense vectors", dense, Dense, ", which Searcher.open finds where build_dense has put it")
        self.index = index
        self._encoder = chosen
        self.texts = texts
        self.dense = dense

    def _facts(self) -> dict[str, object]:
        return {
            "documents": len(self.index),
            "components": self.index.dim,
            "encoder": None if self._encoder is None else self._encoder.name,
            "texts": self.texts is not None,
            "dense vectors": self.dense is not None,
            "index": type(self.index).__name__,
        }

    @property
    def encoder(self) -> Encoder:
        """What encodes queries. Raises EncoderError where there is none: queries must then be SparseVectors."""
        if self._encoder is None:
            raise EncoderError(
                "the index was opened without its encoder, so it takes vectors; open it with Searcher.open"
            )
        return self._encoder

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """The tokens of the components, the encoder's or those that the index keeps; None where it keeps none."""
        return self.index.vocabulary if self._encoder is None else self._encoder.vocabulary

    def token(self, component: int) -> str:
        """What names a component: its token, or its number where the index keeps no vocabulary."""
        return str(component) if self.vocabulary is None else self.vocabulary.token(component)

    @classmethod
    def open(cls, folder: str | Path, device: str | None = None, *, encoder: EncoderLike | None = None) -> Searcher:
        """Open what `lsr index` or `build_searchable` wrote. Arrays and texts are memory-mapped.

        Dense vectors beside the index are opened by the first search of them.

        device: where queries are encoded, such as "cpu" or "cuda"; None lets the encoder choose.
        encoder: in place of the one that the index was built with; needed where that was code of one's own, and where
            the index was built from vectors. As the constructor takes it.

        Raises IndexFormatError if the folder is not an index or is damaged, EncoderError if the index has no encoder
        and none is given, or if the vocabulary of the one given is not the index's. Where the index holds vectors of
        another origin, that vocabulary may be a part of the encoder's: queries are then matched to it by token.
        """
        from lsr.encoders.load import as_encoder, load_encoder

        folder = expanded(folder)

        def choose(index: SparseIndex[Any], kept: Path | None) -> Encoder:
            if encoder is not None:
                chosen = as_encoder(encoder, device=device, dim=index.dim, vocabulary=lambda: index.vocabulary)
                return _matched(folder, index, chosen)
            if kept is None:
                raise EncoderError(
                    f"{folder}: was built from vectors and has no encoder, so it cannot be searched with text; give "
                    f"the one that made them (--encoder, Searcher.open(folder, encoder=...)), or search with vectors"
                )
            return load_encoder(kept, device=device)

        return cls._open(folder, choose, device, encoder)

    @classmethod
    def open_for_vectors(cls, folder: str | Path) -> Searcher:
        """As `open`, but for its encoder: for queries that are SparseVectors, over the index's vocabulary.

        Raises IndexFormatError.
        """
        from lsr.encoders.load import load_encoder

        def choose(index: SparseIndex[Any], kept: Path | None) -> Encoder | None:
            # Indexes of earlier versions have their tokens from the encoder.
            return load_encoder(kept) if kept is not None and index.vocabulary is None else None

        searcher = cls._open(expanded(folder), choose)
        searcher.opened_with = None  # a pickle of it would be opened by `open`
        return searcher

    @classmethod
    def _open(
        cls,
        folder: Path,
        choose: Callable[[SparseIndex[Any], Path | None], Encoder | None],
        device: str | None = None,
        encoder: EncoderLike | None = None,
    ) -> Searcher:
        """choose: the encoder, of the index and the folder of the encoder kept with it."""
        from lsr.encoders.base import ENCODER_FOLDER
        from lsr.index.open_index import open_index
        from lsr.index.sparse_index import SparseIndex

        def read() -> Searcher:
            index = open_index(folder)
            if not isinstance(index, SparseIndex):
                raise IndexFormatError(f"{folder}: an index of dense vectors alone; open the sparse one beside it")
            manifest = read_manifest(folder)
            kept = folder / ENCODER_FOLDER
            chosen = choose(index, kept if kept.is_dir() else None)
            texts = StringColumn.open(folder, TEXTS_NAME) if manifest.get("has_texts") else None
            if texts is not None and len(texts) != len(index):
                raise IndexFormatError(
                    f"{folder}: {len(texts)} texts for {len(index)} documents; build the index again"
                )
            beside = folder / DENSE_FOLDER
            dense = Dense.open(beside, device, index.identity) if beside.is_dir() else None
            return cls(index, chosen, texts, dense)

        return opened(folder, read, device=device, encoder=encoder)

    def search(
        self,
        text: str | SparseVectors,
        k: int = 10,
        params: SearchParams | None = None,
        *,
        allowed: Allowed | None = None,
        side: SideName | None = None,
        feedback: Feedback | FeedbackMethod | None = None,
        interpolate: Place = "none",
        fusion: Fusion | FusionMethod = Fusion(),  # noqa: B008 (frozen)
    ) -> Hits:
        """At most k hits for one query, best first; a sparse search finds none for a query without any known token.

        text: of the query; or its vector, SparseVectors of one row, over the index's vocabulary, as here and in the
            methods below.
        params: how far the indexes are searched.
        allowed: the documents that may be found, a mask, ids or rows; feedback learns from no others.
        side: "sparse" or "dense", where the search and its feedback take place; by default "dense" where anything is
            interpolated, else "sparse".
        feedback: "rocchio", "average" (dense only), or a Feedback with values of one's own.
        interpolate: "before", "after" or "both" (before and after the feedback); without feedback "after" is all.
        fusion: "rrf" for reciprocal ranks, or a Fusion: weight, normalization, documents missing from a list, depth.

        Raises ParameterError for k < 1 and values that do not go together or need dense vectors that are not there.
        """
        queries = text if isinstance(text, SparseVectors) else [text]
        if len(queries) != 1:
            raise ParameterError(f"there are {len(queries)} queries; give one, or many to search_batch")
        if queries is not text:
            check_text("the query", text, many="search_batch")
        return self.hits(queries, SearchRequest.of(k, params, allowed, side, feedback, interpolate, fusion))[0]

    def search_batch(
        self,
        texts: Sequence[str] | SparseVectors,
        k: int = 10,
        params: SearchParams | None = None,
        *,
        threads: int | None = 1,
        allowed: Allowed | None = None,
        side: SideName | None = None,
        feedback: Feedback | FeedbackMethod | None = None,
        interpolate: Place = "none",
        fusion: Fusion | FusionMethod = Fusion(),  # noqa: B008 (frozen)
    ) -> list[Hits]:
        """The hits of each text, in the order of the texts. threads: None for all processors. See `search`."""
        return self.hits(texts, SearchRequest.of(k, params, allowed, side, feedback, interpolate, fusion), threads)

    def run(
        self,
        queries: Mapping[str, str] | SparseVectors,
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
    ) -> dict[str, dict[str, float]]:
        """Query id -> document id -> score, best first, for queries given as id -> text, or as SparseVectors with
        ids: what lsr.eval measures.

        drop_same_id: a document whose id is the query's is never found: k others are returned, and it is not fed back.
        threads: None for all processors. See `search`.
        """
        request = SearchRequest.of(k, params, allowed, side, feedback, interpolate, fusion)
        return self.rankings(queries, request, threads, drop_same_id)

    def hits(
        self, queries: Sequence[str] | SparseVectors, request: SearchRequest, threads: int | None = 1
    ) -> list[Hits]:
        """The hits of each query, in their order, as `request` asks for them."""
        check_kind("the request", request, SearchRequest)
        texts = None if isinstance(queries, SparseVectors) else checked_texts(queries, "query")
        found = self.find(self.encode(queries if texts is None else texts, request.sides), request, threads)
        sparse = found.queries.get(SPARSE)
        parts = {side: scores.tolist() for side, scores in found.parts.items()}
        hits = []
        for query, (rows, scores) in enumerate(zip(*(array.tolist() for array in found.lists), strict=True)):
            row = None if sparse is None else sparse.row(query)
            vector = SearchedQuery("" if texts is None else texts[query], self._encoder, row)
            hits.append(
                Hits(
                    Hit(self.doc_id(row), scores[place], row, _scores(parts, query, place), self, vector)
                    for place, row in enumerate(rows)
                    if row >= 0
                )
            )
        return hits

    def rankings(
        self,
        queries: Mapping[str, str] | SparseVectors,
        request: SearchRequest,
        threads: int | None = 1,
        drop_same_id: bool = False,
        progress: bool = False,
    ) -> dict[str, dict[str, float]]:
        """As `run`, as `request` asks for them. progress: on standard error."""
        check_kind("the request", request, SearchRequest)
        check_flag("drop_same_id", drop_same_id)
        asked: list[str] | SparseVectors
        if isinstance(queries, SparseVectors):
            names, asked = queries.ids or [str(row) for row in range(len(queries))], queries
        else:
            texts = named_texts(queries)
            names, asked = list(texts), list(texts.values())
        request = self._prepared(request)  # once, not for each batch
        run: dict[str, dict[str, float]] = {}
        with progress_bar("searching", len(names), "queries", progress) as advance:
            for first in range(0, len(names), _QUERIES_AT_ONCE):
                some = slice(first, first + _QUERIES_AT_ONCE)
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
        """As `rankings`, for queries that `encode` has encoded."""
        dropped = self.rows_of(query_ids) if drop_same_id else None
        found = self.find(encoded, request, threads, dropped)
        columns = zip(query_ids, *(array.tolist() for array in found.lists), strict=True)
        return {
            query_id: {self.doc_id(row): score for row, score in zip(rows, scores, strict=True) if row >= 0}
            for query_id, rows, scores in columns
        }

    def encode(self, queries: Sequence[str] | SparseVectors, sides: Sequence[SideName] = (SPARSE,)) -> dict[str, Any]:
        """Side -> the queries' vectors; SparseVectors are those of the sparse side. Raises ParameterError."""
        if isinstance(queries, SparseVectors):
            if DENSE in sides:
                raise ParameterError(
                    "the queries are sparse vectors, and a dense search needs their texts; give texts, or leave out "
                    "side 'dense' and interpolation"
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
        """What `encode` made, searched for. dropped: int64[queries], a row for each query not to be found, or -1."""
        dense = self._checked_dense.index if DENSE in request.sides else None
        sides = Sides(self.index, dense, self._prepared(request), checked_threads(threads), dropped)
        return search_pipeline(sides, encoded)

    def _prepared(self, request: SearchRequest) -> SearchRequest:
        """With a filter made once, not for each side and each search of a pipeline."""
        if request.allowed is None:
            return request
        return replace(request, allowed=Filter.of(request.allowed, len(self.index), self.index.ids))

    def rows_of(self, doc_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """int64[ids]: the rows of documents, -1 for ids that no document has."""
        ids = self.index.ids
        if ids is not None:
            return ids.rows(doc_ids)
        of_text = {str(row): row for row in range(len(self.index))}
        return np.array([of_text.get(doc_id, -1) for doc_id in doc_ids], np.int64)

    def doc_id(self, row: int) -> str:
        """The id of a document, its row as text if the index has none."""
        ids = self.index.ids
        return str(row) if ids is None else ids[row]

    @cached_property
    def _checked_dense(self) -> Dense:
        if self.dense is None:
            raise ParameterError(
                "there are no dense vectors beside this index; build it with them (lsr index --dense minilm), "
                "or leave out side 'dense' and interpolation"
            )
        _check_same_documents(self.index, self.dense.index)
        return self.dense


def _matched(folder: Path, index: SparseIndex[Any], encoder: Encoder) -> Encoder:
    """The encoder over the vocabulary of the index. Raises EncoderError where the two do not belong together."""
    described = read_manifest(folder).get("encoder") or {}
    tokens = index.vocabulary
    if "vocabulary_hash" not in described and tokens is not None and tokens.named and encoder.vocabulary.named:
        if tokens == encoder.vocabulary:
            return encoder
        if all(encoder.vocabulary.id_of(token) is not None for token in tokens.tokens):
            from lsr.encoders.own_encoder import encoder_from
            from lsr.vectors.io import match_tokens  # imports pyarrow

            def over_tokens(encode: Callable[[list[str]], SparseVectors]) -> Callable[[list[str]], SparseVectors]:
                return lambda texts: match_tokens(encode(texts), encoder.vocabulary, tokens)[0]

            documents, queries = over_tokens(encoder.encode_documents), over_tokens(encoder.encode_queries)
            return encoder_from(documents, queries=queries, vocabulary=tokens, name=encoder.name)
        stored: str | None = tokens.hash
    else:
        stored = described.get("vocabulary_hash")
    if encoder.dim == index.dim and stored not in (None, encoder.vocabulary.hash):  # or else the dim is told
        raise EncoderError(
            f"{folder}: was built with another vocabulary than that of {encoder.name!r}; give an encoder with the "
            f"vocabulary of {described.get('name', 'the vectors that it was built from')!r}"
        )
    return encoder


def _scores(parts: Mapping[SideName, list[list[float]]], query: int, place: int) -> dict[str, float]:
    return {side: scores[query][place] for side, scores in parts.items() if not np.isnan(scores[query][place])}


def _check_same_documents(sparse: SparseIndex[Any], dense: DenseIndex) -> None:
    if len(sparse) != len(dense):
        raise ParameterError(
            f"the sparse index has {len(sparse)} documents, the dense one {len(dense)}; build both from one collection"
        )
    if sparse.ids is None or dense.ids is None or sparse.ids.equals(dense.ids):
        return
    pairs = enumerate(zip(sparse.ids, dense.ids, strict=True), start=1)
    number, (ours, theirs) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
    raise ParameterError(
        f"document {number} is {ours!r} in the sparse index and {theirs!r} in the dense one; "
        f"build both from one collection"
    )
