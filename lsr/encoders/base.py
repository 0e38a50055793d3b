"""The interface of all encoders, and common checks of texts and options."""

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
TEXTS_AT_ONCE = 8192  # texts that are tokenized together, to bound the memory
ENCODER_FOLDER = "encoder"  # subfolder of an index or of stored vectors


Dtype = Literal["float32", "bfloat16"]  # the floating-point type of networks
LongDocuments = Literal["first", "max"]


class TokenSpans(NamedTuple):
    """The tokens of a text without special tokens: int64[tokens] each.

    components: the component of each token; -1 for unknown tokens, and for tokens without a component.
    begins, ends: the place of each token, in characters of the text.
    """

    components: npt.NDArray[np.int64]
    begins: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, spans: Sequence[tuple[int, int, int]]) -> Self:
        """The spans of (component, begin, end) per token."""
        return cls(*np.array(spans, np.int64).reshape(-1, 3).T)


class Encoder(Protocol):
    """Encodes texts as sparse vectors. The score of a document for a query is their inner product."""

    @property
    def name(self) -> str:
        """The name given to load_encoder."""

    @property
    def dim(self) -> int:
        """Number of components, len(vocabulary)."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens of the components."""

    @property
    def fitted(self) -> bool:
        """Whether it can encode: False for BM25 before `fit`, True for encoders with stored weights."""

    def fit(self, texts: Iterable[str]) -> Self:
        """Compute the statistics of a collection, in one pass; returns the encoder itself.

        An encoder with stored weights does nothing and does not read the texts.
        """

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        """SparseVectors float32 [texts, dim], in the order of the texts. An empty text can have an empty row.

        batch_size: number of texts encoded together. None lets the encoder choose.
        progress: show a bar on standard error.

        Raises EncoderError, which names the row, for a value that is not valid text; ParameterError for batch_size < 1.
        """

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """Like encode_documents, for queries."""

    def literal(self, text: str, query: bool = False) -> set[int]:
        """The components of the tokens in the text. All other components of the text's vector are expansion.

        query: whether the text is a query.
        """

    def spans(self, text: str) -> TokenSpans | None:
        """All tokens of a document and their places; None if they are unknown."""

    def describe(self) -> dict[str, Any]:
        """A description as JSON: "kind", "name", and every setting that changes a vector."""

    def check_saveable(self) -> None:
        """Raises EncoderError if `save` would raise it. Call it before long work."""

    def save(self, folder: str | Path) -> None:
        """Write the encoder, so that load_encoder(folder) returns it. Raises StorageError, EncoderError."""


class PretrainedEncoder(HasFacts):
    """The common parts of encoders with stored weights."""

    fitted = True
    name: str

    def _facts(self) -> dict[str, object]:
        return {"name": self.name, "components": getattr(self, "dim", None)}

    def fit(self, texts: Iterable[str]) -> Self:
        """The encoder itself. The texts are not read."""
        return self


def encodable(texts: Iterable[str]) -> list[str]:
    """`texts` as a list. Raises EncoderError, which names the row, unless all can be written as UTF-8."""
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
    """Raises ParameterError for a type in which networks do not compute."""
    check_choice("dtype", dtype, get_args(Dtype))


def first_line(error: Exception) -> str:
    """The message of another library's error, in one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
