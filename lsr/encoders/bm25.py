"""BM25 as sparse vectors: the lexical baseline, and the only encoder that is fitted on its collection."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lsr.checks import check_listable, check_number, check_text, expanded
from lsr.display import HasFacts
from lsr.encoders.base import ENCODER_FILE, TokenSpans, check_batch_size, encodable
from lsr.encoders.bm25_tokenizers import PLAIN, find_tokenizer, stored_tokenizer
from lsr.errors import EncoderError, IndexFormatError
from lsr.progress import progress_bar
from lsr.storage.arrays import load_array, write_array
from lsr.storage.files import DAMAGE, replacing_file, storage_errors
from lsr.vectors.normalize import component_dtype
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

FORMAT_VERSION = 1
LARGEST_K1 = 1e6
VOCABULARY_FILE = "vocabulary.json"
IDF_FILE = "idf.npy"
_MOST = 1 << 62  # limit of documents, and of tokens
_DAMAGE: tuple[type[Exception], ...] = (*DAMAGE, IndexFormatError)


class BM25Encoder(HasFacts):
    """BM25 with Lucene's definitions. The score is the inner product of a query vector and a document vector.

        score(q, d) = Σ_t  qtf(t) · idf(t)  ·  tf / (tf + k1 · (1 - b + b · dl / avgdl))
        idf(t)      = ln(1 + (N - df + 0.5) / (df + 0.5))

    The query has the first two factors, the document has the last one. The factor k1 + 1 of the original formula is
    equal for all documents and omitted, as in Lucene (Robertson and Zaragoza, 2009, equation 3.15; Kamphuis et al.,
    2020).

    k1: saturation of term frequencies, >= 0.
    b: length normalization, from 0 to 1.
    tokenizer: "plain"; a language of Snowball's stemmers ("english", "german"; "porter" is Lucene's English stemmer),
        which stems the plain tokens (only "english" and "porter" drop function words); or a model's tokenizer, by its
        folder, Hugging Face id, or a name such as "tiny", without special tokens.

    Plain tokens are the runs of word characters with their combining marks (which Yoruba and Hindi need), after Unicode
    normalization NFKC and lower-casing. Some fifty English function words are dropped; there is no stemming. Scripts
    without spaces between words (Han, Kana, Hangul, Thai, Lao, Khmer, Myanmar) are split into pairs of neighboring
    characters, as in Lucene's CJKAnalyzer. Documents also have every single character, so that a query of one character
    finds them. An encoder saved by an earlier version keeps its tokens. dl counts the tokens of a document. A token
    that is in no fitted text has no component, unless `extended` adds it.

    Raises ParameterError for other values, EncoderError for a tokenizer that cannot be read, MissingExtraError.
    """

    name = "bm25"

    def __init__(self, k1: float = 0.9, b: float = 0.4, tokenizer: str | os.PathLike[str] = PLAIN) -> None:
        check_number("k1", k1, 0, LARGEST_K1)
        check_number("b", b, 0, 1)
        self.k1 = float(k1)
        self.b = float(b)
        self._tokenizer = find_tokenizer(tokenizer)
        self._vocabulary: Vocabulary | None = None
        self._idf: npt.NDArray[np.float32] = np.zeros(0, np.float32)
        self._documents = 0
        self._tokens = 0
        self._fitted_dim = 0  # tokens added by `extended` follow

    def _facts(self) -> dict[str, object]:
        fitted = {"components": self.dim, "documents": self._documents} if self.fitted else {"not fitted": True}
        tokenizer = {"tokenizer": self._tokenizer.name} if self._tokenizer.name != PLAIN else {}
        return {"k1": self.k1, "b": self.b, **tokenizer, **fitted}

    @property
    def fitted(self) -> bool:
        """Whether it can encode: True after `fit`."""
        return self._vocabulary is not None

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens of the fitted texts, sorted, then those added by `extended`. Raises EncoderError before `fit`."""
        if self._vocabulary is None:
            raise EncoderError("bm25 is not fitted: it needs the statistics of the collection; call fit(texts) first")
        return self._vocabulary

    @property
    def dim(self) -> int:
        """Number of components, len(vocabulary)."""
        return len(self.vocabulary)

    @property
    def idf(self) -> npt.NDArray[np.float32]:
        """The IDF of each component, float32 [dim]. Do not change this array."""
        _ = self.vocabulary
        return self._idf

    @property
    def documents(self) -> int:
        """The number of fitted texts. Raises EncoderError before `fit`."""
        _ = self.vocabulary
        return self._documents

    @property
    def average_length(self) -> float:
        """avgdl, in tokens. Raises EncoderError before `fit`."""
        return self._tokens / self.documents

    @property
    def fitted_dim(self) -> int:
        """The number of components of the fitted texts; further ones were added by `extended`."""
        return self._fitted_dim

    def fit(self, texts: Iterable[str]) -> Self:
        """Compute the statistics of a collection, in one pass; returns itself. Replaces earlier statistics.

        Memory grows with the number of different tokens, not of texts. Raises EncoderError if no text has a token, and,
        with the row, for a value that is not valid text.
        """
        check_listable(texts, "texts", EncoderError)
        document_frequency: Counter[str] = Counter()
        documents = tokens = 0
        for row, text in enumerate(texts):
            check_text(f"row {row}", text, EncoderError)
            words = self._tokenizer.tokens(text)
            document_frequency.update(set(words))
            documents += 1
            tokens += len(words)
        return self._take(document_frequency, documents, tokens)

    def refitted(self, frequency: Mapping[str, int], documents: int, tokens: int) -> BM25Encoder:
        """An encoder with the same settings, fitted from counts.

        frequency: token -> number of texts with it, at least 1. documents, tokens: total numbers.
        Raises EncoderError if there is no token.
        """
        return copy(self)._take(frequency, documents, tokens)

    def _take(self, frequency: Mapping[str, int], documents: int, tokens: int) -> Self:
        if not tokens:
            raise EncoderError(
                f"bm25 cannot be fitted: none of the {documents} texts has a word; give texts with words"
            )
        names = sorted(frequency)
        self._vocabulary = Vocabulary(names)
        self._idf = idf_of(np.array([frequency[name] for name in names], np.float64), documents)
        self._documents, self._tokens = documents, tokens
        self._fitted_dim = len(names)
        return self

    def extended(self, texts: Iterable[str]) -> BM25Encoder:
        """An encoder that also has the tokens of further texts. Returns itself if there are no new ones.

        Components keep their numbers, and the statistics do not change: equal texts have equal weights before and
        after. New tokens are appended in the order of the texts. Their IDF is that of a token in one fitted text, the
        largest IDF, independent of the batches of texts. `lsr refit` counts them.

        Texts are streamed; memory grows with the number of new tokens. Raises EncoderError before `fit`, and, with the
        row, for a value that is not valid text.
        """
        check_listable(texts, "texts", EncoderError)
        id_of = self.vocabulary.id_of
        new: dict[str, None] = {}
        for row, text in enumerate(texts):
            check_text(f"row {row}", text, EncoderError)
            new.update((word, None) for word in self._tokenizer.tokens(text) if id_of(word) is None)
        return self.with_tokens(new)

    def with_tokens(self, tokens: Iterable[str]) -> BM25Encoder:
        """Like `extended`, for tokens in place of texts."""
        vocabulary = self.vocabulary.extended(tokens)
        if vocabulary is self.vocabulary:
            return self
        extended = copy(self)
        extended._vocabulary = vocabulary
        new = np.repeat(idf_of(np.ones(1), self._documents), len(vocabulary) - self.dim)
        extended._idf = np.concatenate([self._idf, new])
        return extended

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        """Document weights tf / (tf + K), below 1: SparseVectors float32 [texts, dim]. batch_size has no effect."""
        check_batch_size(batch_size)
        _ = self.vocabulary
        checked = encodable(texts)

        def rows() -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
            with progress_bar("encoding", len(checked), "documents", progress) as advance:
                for text in checked:
                    components, counts, length = self._counts(text)
                    yield components, counts / (counts + self.saturation(length))
                    advance(1)

        return self._vectors(rows())

    def saturation(self, length: Any) -> Any:
        """K = k1 · (1 - b + b · dl / avgdl). A token with tf = K has weight 1/2. length: dl, or an array of dl."""
        return self.k1 * (1 - self.b + self.b * length / self.average_length)

    def relative_counts(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The ratios tf / K of document weights, with one K for all tokens of a document; 1 for each weight if k1 is 0.

        From tf / (tf + K) = v follows tf / K = v / (1 - v), so the shares of tokens in a document follow from its
        vector.
        """
        if not self.k1:
            return np.ones_like(weights)
        return weights / np.maximum(1 - weights, np.finfo(np.float32).eps)

    def is_frequent(self, share: float) -> npt.NDArray[np.bool_]:
        """bool[dim]: whether more than this share of the fitted documents has the token. Raises EncoderError."""
        return self.idf < idf_of(np.array([share * self.documents]), self.documents)

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """Query weights idf · qtf: SparseVectors float32 [texts, dim]. Unknown tokens have none."""
        id_of, idf = self.vocabulary.id_of, self._idf
        components: list[int] = []
        times: list[int] = []
        ends = [0]
        for text in encodable(texts):
            # For few tokens, Python is faster than NumPy.
            words = self._tokenizer.tokens(text, query=True)
            known = Counter(component for word in words if (component := id_of(word)) is not None)
            mine = sorted(known)
            components += mine
            times += [known[component] for component in mine]
            ends.append(len(components))
        indices = np.array(components, component_dtype(self.dim))
        weights = (np.array(times, np.float64) * idf[indices]).astype(np.float32)
        return SparseVectors.from_normalized(np.array(ends), indices, weights, self.dim)

    def literal(self, text: str, query: bool = False) -> set[int]:
        """The components of the text's tokens: its row has no others. Raises EncoderError before `fit`."""
        return set(self._counts(text, query)[0].tolist())

    def spans(self, text: str) -> TokenSpans:
        """The tokens of a document and their characters. Raises EncoderError before `fit`."""
        id_of = self.vocabulary.id_of
        tokens = ((id_of(word), begin, end) for word, begin, end in self._tokenizer.spans(text))
        return TokenSpans.of([(-1 if known is None else known, begin, end) for known, begin, end in tokens])

    def describe(self) -> dict[str, Any]:
        """A description as JSON, with the statistics of the fit. Raises EncoderError before `fit`."""
        return {
            "kind": self.name,
            "name": self.name,
            "k1": self.k1,
            "b": self.b,
            "documents": self._documents,
            "tokens": self._tokens,
            "vocabulary_hash": self.vocabulary.hash,
            **self._tokenizer.describe(),
            **({"fitted_components": self._fitted_dim} if self._fitted_dim < self.dim else {}),
        }

    def check_saveable(self) -> None:
        """Raises EncoderError before `fit`."""
        _ = self.vocabulary

    def save(self, folder: str | Path) -> None:
        """Write encoder.json, vocabulary.json, idf.npy, and the tokenizer of a model, if it uses one.

        Raises StorageError, and EncoderError before `fit`.
        """
        description = {"format_version": FORMAT_VERSION, **self.describe()}
        folder = expanded(folder)
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._tokenizer.save(folder)
        self.vocabulary.write(folder / VOCABULARY_FILE)
        with replacing_file(folder / IDF_FILE) as file:
            write_array(file, self._idf)
        with replacing_file(folder / ENCODER_FILE) as file:
            file.write(json.dumps(description, indent=1).encode())

    @classmethod
    def open(cls, folder: Path, description: dict[str, Any]) -> BM25Encoder:
        """Open an encoder written by `save`. description: the content of encoder.json. Raises EncoderError."""
        try:
            encoder = cls(description["k1"], description["b"])
            encoder._tokenizer = stored_tokenizer(folder, description)
            encoder._documents, encoder._tokens = int(description["documents"]), int(description["tokens"])
            encoder._vocabulary = Vocabulary.read(folder / VOCABULARY_FILE)
            encoder._idf = np.array(load_array(folder, IDF_FILE.removesuffix(".npy")))
            encoder._fitted_dim = int(description.get("fitted_components", encoder.dim))
        except _DAMAGE as error:
            raise EncoderError(f"{folder}: the bm25 encoder is damaged ({error}); fit and save it again") from error
        fitting = (
            encoder._idf.dtype == np.float32
            and encoder._idf.shape == (encoder.dim,)
            and bool((np.isfinite(encoder._idf) & (encoder._idf > 0)).all())
        )
        if (
            not fitting
            or encoder.vocabulary.hash != description.get("vocabulary_hash")
            or min(encoder._documents, encoder._tokens) < 1
            or max(encoder._documents, encoder._tokens) > _MOST
            or not 0 < encoder._fitted_dim <= encoder.dim
        ):
            raise EncoderError(f"{folder}: the files of this bm25 encoder do not fit together; fit and save it again")
        return encoder

    def _counts(self, text: str, query: bool = False) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], int]:
        """Components of the known tokens, ascending; their counts; and the number of all tokens."""
        words = self._tokenizer.tokens(text, query)
        id_of = self.vocabulary.id_of
        known = [component for word in words if (component := id_of(word)) is not None]
        components, counts = np.unique(np.array(known, np.int64), return_counts=True)
        return components, counts.astype(np.float64), len(words)

    def _vectors(self, rows: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]) -> SparseVectors:
        dtype = component_dtype(self.dim)
        indices, values, ends = [np.zeros(0, dtype)], [np.zeros(0, np.float32)], [0]
        for components, weights in rows:
            indices.append(components.astype(dtype))
            values.append(weights.astype(np.float32))
            ends.append(ends[-1] + len(components))
        return SparseVectors(np.array(ends), np.concatenate(indices), np.concatenate(values), self.dim)


def idf_of(frequency: npt.NDArray[Any], documents: int) -> npt.NDArray[np.float32]:
    """float32 [tokens]: the IDF of tokens, from their document frequencies and the number of documents."""
    return np.log1p((documents - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
