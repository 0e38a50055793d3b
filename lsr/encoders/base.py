"""What every encoder offers, and the checks that all of them make of their texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Self, get_args

import numpy as np
import numpy.typing as npt

from lsr.checks import check_choice, check_whole, checked_texts, shown
from lsr.display import HasFacts
from lsr.errors import EncoderError, ParameterError
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

ENCODER_FILE = "encoder.json"
TEXTS_AT_ONCE = 8192  # tokenized together; bounds the memory that tokens need
ENCODER_FOLDER = "encoder"  # of an index, or of stored vectors


Dtype = Literal["float32", "bfloat16"]  # what networks compute with
LongDocuments = Literal["first", "max"]


class TokenSpans(NamedTuple):
    """The tokens of a text, special tokens left out: int64[tokens] each.

    components: of the tokens; -1 for a token that has none, or shares it with all unknown ones. begins, ends: their
    characters in the text.
    """

    components: npt.NDArray[np.int64]
    begins: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, spans: Sequence[tuple[int, int, int]]) -> Self:
        """Of (component, begin, end) of each token."""
        return cls(*np.array(spans, np.int64).reshape(-1, 3).T)


class Encoder(Protocol):
    """Turns texts into sparse vectors such that the dot product of a query and a document is its score.

    name: what load_encoder was given.
    dim: number of components, len(vocabulary).
    fitted: whether it can encode: False for a BM25 before `fit`, True for every encoder that comes with its weights.
    """

    @property
    def name(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def vocabulary(self) -> Vocabulary: ...
    @property
    def fitted(self) -> bool: ...

    def fit(self, texts: Iterable[str]) -> Self:
        """Take the statistics of a collection, in one pass over it; returns the encoder itself.

        An encoder that comes with its weights has nothing to learn here: it does not read the texts.
        """

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        """One row for each text, in the order of the texts; an empty text may give an empty row.

        batch_size: texts worked on at once; None lets the encoder choose.
        Raises EncoderError, which names the row, for what is not valid text; ParameterError for batch_size < 1.
        """

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """As encode_documents, for queries."""

    def literal(self, text: str, query: bool = False) -> set[int]:
        """The components that are tokens of the document, or query, itself: all others of its row are expansion."""

    def spans(self, text: str) -> TokenSpans | None:
        """The tokens of a document, all of it, and where they are; None where that is not known."""

    def describe(self) -> dict[str, Any]:
        """JSON: "kind", "name", and every setting that changes a vector."""

    def check_saveable(self) -> None:
        """Raises EncoderError where `save` would, to know it before long work."""

    def save(self, folder: str | Path) -> None:
        """Write what load_encoder(folder) needs to give this encoder back. Raises StorageError, EncoderError."""


class PretrainedEncoder(HasFacts):
    """What encoders have in common that come with their weights."""

    fitted = True
    name: str

    def _facts(self) -> dict[str, object]:
        return {"name": self.name, "components": getattr(self, "dim", None)}

    def fit(self, texts: Iterable[str]) -> Self:
        """Returns the encoder itself; the texts are not read."""
        return self


def encodable(texts: Iterable[str]) -> list[str]:
    """`texts` as a list. Raises EncoderError, which names the row, unless all are text that UTF-8 can hold."""
    return checked_texts(texts, error=EncoderError)


def check_max_length(max_length: Any, name: str = "max_length") -> None:
    """Raises ParameterError unless it is None or a whole number of at least 1."""
    if max_length is not None and (type(max_length) is not int or max_length < 1):
        raise ParameterError(f"{name} is {shown(max_length)}; it must be a whole number of at least 1")


def check_batch_size(batch_size: int | None) -> None:
    """Raises ParameterError unless it is None or at least 1."""
    if batch_size is not None:
        check_whole("batch_size", batch_size)


def check_dtype(dtype: str) -> None:
    """Raises ParameterError for a precision that networks are not computed in."""
    check_choice("dtype", dtype, get_args(Dtype))


def first_line(error: Exception) -> str:
    """What another library says of an error, in a line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
