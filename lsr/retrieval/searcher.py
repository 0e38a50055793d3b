"""Searcher: text in, ranked and explained documents out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsr.checks import check_kind, check_text, checked_texts, expanded
from lsr.display import HasFacts
from lsr.errors import EncoderError, IndexFormatError, ParameterError
from lsr.index.filters import Allowed
from lsr.index.index_folder import FromFolder, opened
from lsr.index.parameters import SearchParams
from lsr.retrieval.dense_side import DENSE_FOLDER, Dense
from lsr.retrieval.hits import Hits
from lsr.retrieval.request import Feedback, FeedbackMethod, Fusion, FusionMethod, Place, SearchRequest, SideName
from lsr.retrieval.snapshot import Snapshot, Texts
from lsr.storage.manifest import read_manifest
from lsr.storage.strings import StringColumn
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.encoders.base import Encoder
    from lsr.encoders.load import EncoderLike
    from lsr.index.sparse_index import SparseIndex
    from lsr.vectors.vocabulary import Vocabulary

TEXTS_NAME = "texts"


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
        self.snapshot = Snapshot(index, chosen, texts, dense)

    def _facts(self) -> dict[str, object]:
        return {
            "documents": len(self.index),
            "components": self.index.dim,
            "encoder": None if self.snapshot.query_encoder is None else self.encoder.name,
            "texts": self.texts is not None,
            "dense vectors": self.dense is not None,
            "index": type(self.index).__name__,
        }

    snapshot: Snapshot
    """What searches see now; one that takes several steps holds on to it."""

    @property
    def index(self) -> SparseIndex[Any]:
        return self.snapshot.index

    @property
    def encoder(self) -> Encoder:
        """What encodes queries. Raises EncoderError where there is none: queries must then be SparseVectors."""
        return self.snapshot.encoder

    @property
    def texts(self) -> Texts | None:
        """The documents' texts by row, if the index keeps them."""
        return self.snapshot.texts

    @property
    def dense(self) -> Dense | None:
        return self.snapshot.dense

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The tokens of the components, the encoder's or those that the index keeps; None where it keeps none."""
        return self.snapshot.vocabulary

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
        return self.snapshot.hits(queries, SearchRequest.of(k, params, allowed, side, feedback, interpolate, fusion))[0]

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
        return self.snapshot.hits(
            texts, SearchRequest.of(k, params, allowed, side, feedback, interpolate, fusion), threads
        )

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
        return self.snapshot.rankings(queries, request, threads, drop_same_id)

    def hits(
        self, queries: Sequence[str] | SparseVectors, request: SearchRequest, threads: int | None = 1
    ) -> list[Hits]:
        """The hits of each query, in their order, as `request` asks for them."""
        return self.snapshot.hits(queries, request, threads)

    def rankings(
        self,
        queries: Mapping[str, str] | SparseVectors,
        request: SearchRequest,
        threads: int | None = 1,
        drop_same_id: bool = False,
        progress: bool = False,
    ) -> dict[str, dict[str, float]]:
        """As `run`, as `request` asks for them. progress: on standard error."""
        return self.snapshot.rankings(queries, request, threads, drop_same_id, progress)


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
