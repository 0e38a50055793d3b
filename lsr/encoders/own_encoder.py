"""encoder_from: encoders made of a user's function or object."""

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
LARGEST_NUMBERED = 1 << 24  # most components that are named by their numbers

Encode = Callable[[list[str]], VectorsLike]
METHODS = ("fit", "encode_documents", "encode_queries", "literal", "describe", "check_saveable", "save")


class EncodesTexts(Protocol):
    """The methods that a class needs to be an encoder. They return anything that SparseVectors.of takes."""

    def encode_documents(self, texts: list[str], /) -> Any: ...
    def encode_queries(self, texts: list[str], /) -> Any: ...


class OwnEncoder(PretrainedEncoder):
    """The encoder that `encoder_from` makes of functions and objects.

    Its code is not stored in an index, unless `given` has a method save(folder) that writes a folder for load_encoder.
    Give it again: Searcher.open(index, encoder=...).
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
        """The stated number of components, or that of the first rows. Before any rows, the text "text" is encoded."""
        if self._dim is None:
            try:
                return self._encode(self._documents, ["text"]).dim
            except LsrError:
                raise
            except Exception as error:
                raise EncoderError(
                    f"encoder {self.name!r} failed to encode the text 'text', from which the number of components is "
                    f"found ({error!r}); give it: encoder_from(..., dim=...)"
                ) from error
        return self._dim

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The stated vocabulary, or the component numbers as text."""
        if self._vocabulary is not None:
            return self._vocabulary
        if self.dim > LARGEST_NUMBERED:
            raise EncoderError(
                f"encoder {self.name!r} has {self.dim} components without tokens; give the vocabulary: "
                "encoder_from(..., vocabulary=tokens)"
            )
        return Vocabulary(map(str, range(self.dim)))

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        """The rows of the user's code, for batch_size texts (default 1024) per call. Raises EncoderError."""
        check_batch_size(batch_size)
        checked, size, parts = encodable(texts), batch_size or OWN_TEXTS_AT_ONCE, []
        with progress_bar("encoding", len(checked), "documents", progress) as advance:
            for start in range(0, len(checked), size):
                parts.append(self._encode(self._documents, checked[start : start + size]))
                advance(len(parts[-1]))
        return SparseVectors.concatenate(parts) if parts else SparseVectors.empty(self.dim)

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """The rows of the user's code, without tokens that are not in the vocabulary. Raises EncoderError."""
        checked = encodable(texts)
        return self._encode(self._queries, checked, drop_unknown=True) if checked else SparseVectors.empty(self.dim)

    def literal(self, text: str, query: bool = False) -> set[int]:
        """Empty, because the tokens of a text are unknown."""
        return set()

    def spans(self, text: str) -> TokenSpans | None:
        """None, because the tokens of a text are unknown."""
        return None

    def describe(self) -> dict[str, Any]:
        """The description of the user's class, or its name and its components."""
        if hasattr(self._given, "describe"):
            described: dict[str, Any] = self._given.describe()
            return described
        return {"kind": OWN, "name": self.name, "dim": self.dim, "vocabulary_hash": self.vocabulary.hash}

    def check_saveable(self) -> None:
        """Raises nothing: code that cannot be stored is given to Searcher.open again."""

    def save(self, folder: str | Path) -> None:
        """Save with the user's class, or store only the name. Raises StorageError."""
        folder = expanded(folder)
        if hasattr(self._given, "save"):
            self._given.save(str(folder))
        if not folder.is_dir() or not any(folder.iterdir()):
            write_saved(folder, {"kind": OWN, "name": self.name, "dim": self.dim})

    def _encode(self, encode: Encode, texts: list[str], drop_unknown: bool = False) -> SparseVectors:
        given = encode(texts)
        if self._dim is None and isinstance(given, list | tuple) and any(isinstance(row, Mapping) for row in given[:1]):
            raise EncoderError(
                f"encoder {self.name!r} returns dicts, so the number of components is unknown; give vocabulary or dim: "
                "encoder_from(..., vocabulary=tokens)"
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
                f"encoder {self.name!r} returns {len(rows)} rows of {rows.dim} components for {len(texts)} texts; it "
                f"must return one row of {dim} components per text"
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
    """Make an encoder of a function, or of an object with methods, such as a SparseEncoder of sentence-transformers.

        encoder = encoder_from(lambda texts: [dict.fromkeys(text.split(), 1.0) for text in texts], vocabulary=words)

    documents: a function from list[str] to one row per text: SparseVectors, a scipy matrix, a torch tensor, or dicts of
        {token: weight} or {component: weight}. Or an object with encode_documents and encode_queries, or
        encode_document and encode_query, with the same arguments and results.
    queries: the function for queries. Default: that of the object, or `documents`.
    dim: number of components, if neither vocabulary nor rows state it. If it is missing and needed before anything was
        encoded, `documents` is called with ["text"].
    vocabulary: the tokens of the components, in their order or as {token: component}; required for dicts of tokens, and
        for explanations in words. Unknown tokens of queries are dropped.
    name: the name in messages. Default: that of the function or class.

    Raises EncoderError for any other argument, VectorsError for an invalid vocabulary.
    """
    given: Any = documents
    encode = next(
        (getattr(given, each) for each in ("encode_documents", "encode_document") if hasattr(given, each)), given
    )
    if isinstance(given, type):
        raise EncoderError(f"the encoder is the class {given.__qualname__}; give an instance: {given.__qualname__}()")
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
        raise EncoderError(f"dim is {dim}, but the vocabulary has {len(known)} tokens; the numbers must be equal")
    named = name or getattr(given, "name", None) or getattr(given, "__qualname__", type(given).__qualname__)
    if queries is not None and not callable(queries):
        raise EncoderError(f"queries is of type {type(queries).__name__}; give a function from texts to rows")
    return OwnEncoder(given, encode, encode_queries if queries is None else queries, str(named), dim, known)
