"""A user's own encoder, a function or a few methods, as everything here takes encoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from lsr.checks import expanded
from lsr.encoders.base import Encoder, PretrainedEncoder, TokenSpans, check_batch_size, encodable
from lsr.encoders.folders.saved import OWN, write_saved
from lsr.errors import EncoderError, LsrError
from lsr.progress import progress_bar
from lsr.vectors.normalize import check_dim
from lsr.vectors.sparse_vectors import SparseVectors, VectorsLike
from lsr.vectors.vocabulary import Vocabulary, VocabularyLike

OWN_TEXTS_AT_ONCE = 1024
LARGEST_NUMBERED = 1 << 24  # components that are named by their numbers

Encode = Callable[[list[str]], VectorsLike]
METHODS = ("fit", "encode_documents", "encode_queries", "literal", "describe", "check_saveable", "save")


class EncodesTexts(Protocol):
    """The least that a class needs to be an encoder; what it returns is anything that SparseVectors.of takes."""

    def encode_documents(self, texts: list[str], /) -> Any: ...
    def encode_queries(self, texts: list[str], /) -> Any: ...


class OwnEncoder(PretrainedEncoder):
    """What `encoder_from` makes of functions and small classes.

    It is code, and not stored in an index unless `given` has a method save(folder) which writes what load_encoder
    reads: Searcher.open(index, encoder=...) takes it again.
    """

    def __init__(
        self,
        given: object,
        documents: Encode,
        queries: Encode,
        name: str,
        dim: int | None,
        vocabulary: Vocabulary | None,
    ) -> None:
        self.name = name
        self._given, self._documents, self._queries = given, documents, queries
        self._dim, self._vocabulary = dim, vocabulary

    def _facts(self) -> dict[str, object]:
        return {"name": self.name, "components": self._dim}

    @property
    def dim(self) -> int:
        """As stated, or that of the first rows; where there are none yet, the user's code is given the text "text"."""
        if self._dim is None:
            try:
                return self._encode(self._documents, ["text"]).dim
            except LsrError:
                raise
            except Exception as error:
                raise EncoderError(
                    f"encoder {self.name!r} was given the text 'text', to see how many components it has, and failed "
                    f"({error!r}); give its dim: encoder_from(..., dim=...)"
                ) from error
        return self._dim

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """As stated, or the numbers of the components as text."""
        if self._vocabulary is not None:
            return self._vocabulary
        if self.dim > LARGEST_NUMBERED:
            raise EncoderError(f"encoder {self.name!r} has {self.dim} components without a name; give its vocabulary")
        return Vocabulary(map(str, range(self.dim)))

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        """What the user's code makes of the texts, batch_size of them (1024) at a time. Raises EncoderError."""
        check_batch_size(batch_size)
        checked, size, parts = encodable(texts), batch_size or OWN_TEXTS_AT_ONCE, []
        with progress_bar("encoding", len(checked), "documents", progress) as advance:
            for start in range(0, len(checked), size):
                parts.append(self._encode(self._documents, checked[start : start + size]))
                advance(len(parts[-1]))
        return SparseVectors.concatenate(parts) if parts else SparseVectors.empty(self.dim)

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """What the user's code makes of the texts, but for tokens that the vocabulary lacks. Raises EncoderError."""
        checked = encodable(texts)
        return self._encode(self._queries, checked, drop_unknown=True) if checked else SparseVectors.empty(self.dim)

    def literal(self, text: str, query: bool = False) -> set[int]:
        """Empty: nothing is known of the tokens of a text."""
        return set()

    def spans(self, text: str) -> TokenSpans | None:
        """None: nothing is known of the tokens of a text."""
        return None

    def describe(self) -> dict[str, Any]:
        """What the user's class says, or its name and its components."""
        if hasattr(self._given, "describe"):
            described: dict[str, Any] = self._given.describe()
            return described
        return {"kind": OWN, "name": self.name, "dim": self.dim, "vocabulary_hash": self.vocabulary.hash}

    def check_saveable(self) -> None:
        """Raises nothing: what cannot be stored is given to Searcher.open again."""

    def save(self, folder: str | Path) -> None:
        """What the user's class saves, or the name alone. Raises StorageError."""
        folder = expanded(folder)
        if hasattr(self._given, "save"):
            self._given.save(str(folder))
        if not folder.is_dir() or not any(folder.iterdir()):
            write_saved(folder, {"kind": OWN, "name": self.name, "dim": self.dim})

    def _encode(self, encode: Encode, texts: list[str], drop_unknown: bool = False) -> SparseVectors:
        given = encode(texts)
        if self._dim is None and isinstance(given, list | tuple) and any(isinstance(row, Mapping) for row in given[:1]):
            raise EncoderError(
                f"encoder {self.name!r} gives dicts, which do not say how many components there are; give its "
                "vocabulary or dim: encoder_from(..., vocabulary=tokens)"
            )
        rows = SparseVectors.of(
            given,
            dim=self._dim,
            vocabulary=self._vocabulary,
            drop_unknown=drop_unknown,
            what=f"the rows of encoder {self.name!r}",
        )
        dim = rows.dim if self._dim is None else self._dim
        if len(rows) != len(texts) or rows.dim != dim:
            raise EncoderError(
                f"encoder {self.name!r} gives {len(rows)} rows of {rows.dim} components for {len(texts)} texts; "
                f"it must give one row of {dim} components for each"
            )
        self._dim = dim
        return rows


def encoder_from(
    documents: Encode | EncodesTexts,
    *,
    queries: Encode | None = None,
    dim: int | None = None,
    vocabulary: VocabularyLike | None = None,
    name: str | None = None,
) -> Encoder:
    """An encoder made of a function, or of an object with methods, such as a SparseEncoder of sentence-transformers.

    documents: from list[str] to one row for each text: SparseVectors, a scipy matrix, a torch tensor, or dicts of token
        or component -> weight. Or an object with encode_documents and encode_queries, or encode_document and
        encode_query, which take and return the same.
    queries: the function for queries; by default that of the object, or `documents`.
    dim: number of components, where neither vocabulary nor rows tell. Where it is not given, and asked for before
        anything was encoded, `documents` is called with ["text"].
    vocabulary: the tokens of the components, in their order or as token -> component; needed for dicts of tokens, and
        for explanations in words. Of queries, tokens that it lacks are left out.
    name: for messages; by default that of the function or class.

    Raises EncoderError for what is none of these, VectorsError for a vocabulary that cannot be one.
    """
    given: Any = documents
    encode = next(
        (getattr(given, each) for each in ("encode_documents", "encode_document") if hasattr(given, each)), given
    )
    if isinstance(given, type):
        raise EncoderError(
            f"the encoder is the class {given.__qualname__}; give an object of it: {given.__qualname__}()"
        )
    if not callable(encode):
        raise EncoderError(
            f"the encoder is of type {type(given).__name__}; give its name, a function from texts to rows, or "
            "an object with encode_documents and encode_queries"
        )
    encode_queries = next(
        (getattr(given, each) for each in ("encode_queries", "encode_query") if hasattr(given, each)), encode
    )
    tokens = getattr(given, "vocabulary", None) if vocabulary is None else vocabulary
    known = None if tokens is None else Vocabulary.of(tokens)
    if dim is None:
        dim = getattr(given, "dim", None if known is None else len(known))
    if dim is not None:
        dim = check_dim(dim)
    if known is not None and dim != len(known):
        raise EncoderError(f"dim is {dim}, and the vocabulary has {len(known)} tokens; they must agree")
    named = name or getattr(given, "name", None) or getattr(given, "__qualname__", type(given).__qualname__)
    if queries is not None and not callable(queries):
        raise EncoderError(f"queries is of type {type(queries).__name__}; give a function from texts to rows")
    return OwnEncoder(given, encode, encode_queries if queries is None else queries, str(named), dim, known)
