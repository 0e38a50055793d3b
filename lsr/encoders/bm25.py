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
_MOST = 1 << 62  # documents, and their tokens
_DAMAGE: tuple[type[Exception], ...] = (*DAMAGE, IndexFormatError)


class BM25Encoder(HasFacts):
    """BM25 with Lucene's definitions, as two kinds of vectors whose dot product is the score.

        score(q, d) = Σ_t  qtf(t) · idf(t)  ·  tf / (tf + k1 · (1 - b + b · dl / avgdl))
        idf(t)      = ln(1 + (N - df + 0.5) / (df + 0.5))

    The query has the first two factors, the document the last one. The factor k1 + 1 of the original formula is the
    same for all documents and left out, as Lucene does (Robertson and Zaragoza, 2009, equation 3.15; Kamphuis et al.,
    2020).

    Plain tokens are the runs of word characters, with the combining marks that belong to them (Yoruba and Hindi need
    them), of the text in Unicode form NFKC and lower case; some fifty English function words are dropped and nothing is
    stemmed. Scripts without spaces between words (Han, Kana, Hangul, Thai, Lao, Khmer, Myanmar) have no such runs: two
    neighboring characters are a token, as in Lucene's CJKAnalyzer. Documents have every single character, too, so that
    a query of one finds it. An encoder that an earlier version saved keeps its runs. dl counts the tokens of a
    document. A token that was in no fitted text has no component, unless `extended` gives it one.

    k1: how soon a repeated token stops counting, >= 0. b: how much a long text counts less, from 0 to 1.
    tokenizer: "plain"; a language of Snowball's stemmers ("english", "german"; "porter" is Lucene's for English), which
        cut the plain tokens to their stems, of which only English leaves out function words; or the tokenizer of a
        model, by its folder, Hugging Face id, or a name such as "tiny": its tokens but for special ones.
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
        self._fitted_dim = 0  # what `extended` has added comes behind

    def _facts(self) -> dict[str, object]:
        fitted = {"components": self.dim, "documents": self._documents} if self.fitted else {"not fitted": True}
        tokenizer = {"tokenizer": self._tokenizer.name} if self._tokenizer.name != PLAIN else {}
        return {"k1": self.k1, "b": self.b, **tokenizer, **fitted}

    @property
    def fitted(self) -> bool:
        return self._vocabulary is not None

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens of the fitted texts, sorted, then those of `extended`. Raises EncoderError before `fit`."""
        if self._vocabulary is None:
            raise EncoderError("bm25 is not fitted: it needs the collection's statistics; call fit(texts) first")
        return self._vocabulary

    @property
    def dim(self) -> int:
        return len(self.vocabulary)

    @property
    def idf(self) -> npt.NDArray[np.float32]:
        """float32 [dim]; do not write to it."""
        _ = self.vocabulary
        return self._idf

    @property
    def documents(self) -> int:
        """How many texts it was fitted on. Raises EncoderError before `fit`."""
        _ = self.vocabulary
        return self._documents

    @property
    def average_length(self) -> float:
        """avgdl, in tokens. Raises EncoderError before `fit`."""
        return self._tokens / self.documents

    @property
    def fitted_dim(self) -> int:
        """Number of components that the fitted texts had; those behind are of `extended`."""
        return self._fitted_dim

    def fit(self, texts: Iterable[str]) -> Self:
        """Take the statistics of a collection, in one pass, in place of earlier ones; returns itself.

        Memory grows with the number of different tokens, not with the texts. Raises EncoderError when there is no token
        in any text, and, naming the row, for what is not valid text.
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
        """One of the same settings, fitted on texts that have been counted before.

        frequency: token -> number of texts that have it, at least 1. documents, tokens: how many there are in all.
        Raises EncoderError when there is no token.
        """
        return copy(self)._take(frequency, documents, tokens)

    def _take(self, frequency: Mapping[str, int], documents: int, tokens: int) -> Self:
        if not tokens:
            raise EncoderError(f"bm25 cannot be fitted: there is no word in {documents} texts; give texts with words")
        names = sorted(frequency)
        self._vocabulary = Vocabulary(names)
        self._idf = idf_of(np.array([frequency[name] for name in names], np.float64), documents)
        self._documents, self._tokens = documents, tokens
        self._fitted_dim = len(names)
        return self

    def extended(self, texts: Iterable[str]) -> BM25Encoder:
        """One that knows the tokens of further texts, too; itself where they have no new ones.

        Components keep their numbers, and the statistics stay those of the fit: equal texts have equal weights before
        and after. New tokens come behind, in the order of the texts, and each has the IDF of a token that is in one
        fitted text: the largest there is, whichever texts come together. `lsr refit` counts them.

        Texts stream; memory grows with the number of new tokens. Raises EncoderError before `fit`, and, naming the row,
        for what is not valid text.
        """
        check_listable(texts, "texts", EncoderError)
        id_of = self.vocabulary.id_of
        new: dict[str, None] = {}
        for row, text in enumerate(texts):
            check_text(f"row {row}", text, EncoderError)
            new.update((word, None) for word in self._tokenizer.tokens(text) if id_of(word) is None)
        if not new:
            return self
        extended = copy(self)
        extended._vocabulary = self.vocabulary.extended(new)
        extended._idf = np.concatenate([self._idf, np.repeat(idf_of(np.ones(1), self._documents), len(new))])
        return extended

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        """Impacts, below 1. batch_size is for other encoders: nothing depends on it here."""
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
        """K = k1 · (1 - b + b · dl / avgdl), of which as many occurrences count half. length: dl, or an array of it."""
        return self.k1 * (1 - self.b + self.b * length / self.average_length)

    def relative_counts(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Of weights of documents, tf / K, where K is the same for all tokens of a document; 1 for each where k1 is 0.

        For tf / (tf + K) = v is tf / K = v / (1 - v): the shares that tokens have in a document follow from its vector.
        """
        if not self.k1:
            return np.ones_like(weights)
        return weights / np.maximum(1 - weights, np.finfo(np.float32).eps)

    def is_frequent(self, share: float) -> npt.NDArray[np.bool_]:
        """bool[dim]: whether more than this share of the fitted documents have a token. Raises EncoderError."""
        return self.idf < idf_of(np.array([share * self.documents]), self.documents)

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """Weights idf · qtf."""
        id_of, idf = self.vocabulary.id_of, self._idf
        components: list[int] = []
        times: list[int] = []
        ends = [0]
        for text in encodable(texts):
            # Few tokens need no NumPy.
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
        """The components of the text's tokens: all that its row has. Raises EncoderError before `fit`."""
        return set(self._counts(text, query)[0].tolist())

    def spans(self, text: str) -> TokenSpans:
        """The tokens of a document and their characters. Raises EncoderError before `fit`."""
        id_of = self.vocabulary.id_of
        tokens = ((id_of(word), begin, end) for word, begin, end in self._tokenizer.spans(text))
        return TokenSpans.of([(-1 if known is None else known, begin, end) for known, begin, end in tokens])

    def describe(self) -> dict[str, Any]:
        """JSON; documents and tokens are the statistics it was fitted on. Raises EncoderError before `fit`."""
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
        """Write encoder.json, vocabulary.json, idf.npy, and the tokenizer of a model, if it has one.

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
        """What `save` wrote; `description` is the content of encoder.json. Raises EncoderError."""
        try:
            encoder = cls(description["k1"], description["b"])
            encoder._tokenizer = stored_tokenizer(folder, description)
            encoder._documents, encoder._tokens = int(description["documents"]), int(description["tokens"])
            encoder._vocabulary = Vocabulary.read(folder / VOCABULARY_FILE)
            encoder._idf = np.array(load_array(folder, IDF_FILE.removesuffix(".npy")))
            encoder._fitted_dim = int(description.get("fitted_components", encoder.dim))
        except _DAMAGE as error:
            raise EncoderError(f"{folder}: a damaged bm25 encoder ({error}); fit and save it again") from error
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
        """Components of the known tokens, rising; how often each occurs; the number of all tokens."""
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
    """float32 [tokens]: the IDF of tokens that are in so many of the documents."""
    return np.log1p((documents - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
