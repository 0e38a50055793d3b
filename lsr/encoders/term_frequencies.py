"""DeepCT as published: document weights of a network are term frequencies of BM25."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from lsr.batched import batched
from lsr.checks import check_kind, check_number, expanded
from lsr.display import HasFacts
from lsr.encoders.base import ENCODER_FILE, Encoder, TokenSpans, encodable
from lsr.encoders.bm25 import BM25Encoder, idf_of
from lsr.encoders.folders.saved import QUERY_FOLDER, damaged_encoder, lookup_from_json, lookup_to_json, write_saved
from lsr.encoders.sparse.lookup import LookupSide
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.encoders.spec import LookupSpec
from lsr.errors import EncoderError, LsrError
from lsr.storage.files import DAMAGE, storage_errors
from lsr.vectors.normalize import indptr_of, rows_of
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

TERM_FREQUENCIES = "term-frequencies"
NETWORK_FOLDER = "network"
SCALES = 1e-3, 1e6
TEXTS_AT_ONCE = 1024


class TermFrequencyEncoder(HasFacts):
    """BM25 with tf(t, d) = round(scale · w(t, d)), where w is the network's document weight; queries are plain tokens.

        score(q, d) = Σ_t qtf(t) · idf(t) · tf / (tf + k1 · (1 - b + b · dl / avgdl)),  dl = Σ_t tf(t, d)

    This is the search of DeepCT (Dai and Callan 2019, Context-Aware Sentence/Passage Term Importance Estimation for
    First Stage Retrieval, eq. 4), with scale 100; for MS MARCO, its authors recommend k1 = 10 and b = .9. idf and the
    form of BM25 are those of BM25Encoder. N, document frequencies and avgdl are computed from the frequencies above
    zero. Terms that the fitted documents lack have the IDF of a term in a single document.

    network: the encoder of documents; its query side is not used.
    scale: the factor of the network's weights before rounding. A larger scale has the effect of a smaller k1, except
        for rounding.
    k1: saturation of term frequencies, >= 0.
    b: length normalization, from 0 to 1.

    Raises ParameterError for other values.
    """

    name: str
    _network: Encoder | None
    _network_says: dict[str, Any]

    def __init__(self, network: SparseEncoder, scale: float = 100.0, k1: float = 10.0, b: float = 0.9) -> None:
        check_kind("the network", network, SparseEncoder, ": load_encoder(name)")
        spec = network.spec.document
        query = LookupSpec(
            tokenizer=spec.tokenizer if isinstance(spec, LookupSpec) else spec.backbone.tokenizer,
            counts=True,
            components=network.dim,
            max_length=spec.max_length,
            lower_case=spec.lower_case,
        )
        self._begin(network.name, scale, k1, b, LookupSide(query))
        self._network = network
        self._network_says = network.describe()

    def _begin(self, name: str, scale: float, k1: float, b: float, query: LookupSide) -> None:
        check_frequency_scale(scale)
        lexical = BM25Encoder(k1, b)
        self.name, self.scale, self.k1, self.b = name, float(scale), lexical.k1, lexical.b
        self._query = query  # without IDF before `fit`
        self._documents, self._average_length = 0, 0.0
        self._network, self._network_says = None, {}
        self._folder: Path | None = None
        self._open_network: Callable[[], Encoder] | None = None

    def _facts(self) -> dict[str, object]:
        fitted = {"documents": self._documents} if self.fitted else {"not fitted": True}
        return {"name": self.name, "scale": self.scale, "k1": self.k1, "b": self.b, **fitted}

    @property
    def network(self) -> Encoder:
        """The encoder of documents. Raises EncoderError if it cannot be found any more."""
        if self._network is None:
            assert self._open_network is not None
            self._network = self._open_network()
        return self._network

    @property
    def dim(self) -> int:
        """Number of components."""
        return self._query.dim

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens of the components."""
        return self._query.vocabulary

    @property
    def fitted(self) -> bool:
        return self._documents > 0

    def fit(self, texts: Iterable[str]) -> Self:
        """Compute the statistics of a collection, with the network's weights of every text. Replaces earlier ones.

        Raises EncoderError if no frequency is above zero, and the errors of the network.
        """
        return self.fit_weights(map(self.network.encode_documents, batched(texts, TEXTS_AT_ONCE)))

    def fit_weights(self, parts: Iterable[SparseVectors]) -> Self:
        """Like `fit`, from the network's weights of the texts."""
        documents, frequency, length = 0, np.zeros(self.dim, np.int64), 0.0
        for part in parts:
            frequencies = self.frequencies(part)
            documents += len(part)
            frequency += np.bincount(frequencies.indices, minlength=self.dim)
            length += float(frequencies.values.sum(dtype=np.float64))
        if not length:
            raise EncoderError(
                f"{self.name}: all term frequencies of {documents} documents are 0 after rounding {self.scale:g} times "
                "the weights; raise the scale, or train the network"
            )
        idf = idf_of(np.maximum(frequency, 1).astype(np.float64), documents)
        self._query = LookupSide(replace(self._query.spec, table=None), idf)
        self._documents, self._average_length = documents, length / documents
        return self

    def frequencies(self, weights: SparseVectors) -> SparseVectors:
        """The frequencies tf for the network's weights: whole numbers above zero, as float32."""
        found = np.rint(self.scale * weights.values.astype(np.float64))
        kept = found > 0
        rows = rows_of(np.diff(weights.indptr))[kept]
        indptr = indptr_of(np.bincount(rows, minlength=len(weights)))
        values = found[kept].astype(np.float32)
        return SparseVectors.from_normalized(indptr, weights.indices[kept], values, weights.dim, weights.ids)

    def impacts(self, weights: SparseVectors) -> SparseVectors:
        """BM25's document weights for the network's weights. Raises EncoderError before `fit`."""
        self._check_fitted()
        frequencies = self.frequencies(weights)
        tf = frequencies.values.astype(np.float64)
        rows = rows_of(np.diff(frequencies.indptr))
        lengths = np.bincount(rows, tf, minlength=len(frequencies))
        saturation = self.k1 * (1 - self.b + self.b * lengths / self._average_length)
        values = (tf / (tf + saturation[rows])).astype(np.float32)
        return SparseVectors.from_normalized(
            frequencies.indptr, frequencies.indices, values, frequencies.dim, frequencies.ids
        )

    def encode_documents(
        self, texts: Sequence[str], batch_size: int | None = None, progress: bool = False
    ) -> SparseVectors:
        """Document weights, below 1. Raises EncoderError before `fit`, and the errors of the network."""
        self._check_fitted()
        return self.impacts(self.network.encode_documents(texts, batch_size, progress))

    def encode_queries(self, texts: Sequence[str]) -> SparseVectors:
        """Weights idf · qtf, without a network. Raises EncoderError before `fit`."""
        self._check_fitted()
        return self._query.encode(encodable(texts))

    def literal(self, text: str, query: bool = False) -> set[int]:
        """The components of the tokens of a document, or of a query."""
        return self._query.literal(text) if query else self.network.literal(text)

    def spans(self, text: str) -> TokenSpans:
        """All tokens of a text, without special tokens, and their characters."""
        return self._query.spans(text)

    def describe(self) -> dict[str, Any]:
        """A description as JSON. Raises EncoderError before `fit`."""
        self._check_fitted()
        return {
            "kind": TERM_FREQUENCIES,
            "name": self.name,
            "scale": self.scale,
            "k1": self.k1,
            "b": self.b,
            "documents": self._documents,
            "average_length": self._average_length,
            "query": self._query.describe(),
            "network": self._network_says,
            "vocabulary_hash": self.vocabulary.hash,
        }

    def check_saveable(self) -> None:
        """Raises EncoderError before `fit`, and if the network cannot be saved."""
        self._check_fitted()
        if self._network is not None:
            self._network.check_saveable()

    def save(self, folder: str | Path) -> None:
        """Write a reference to the network, the statistics, and everything that queries need. Raises StorageError."""
        self.check_saveable()
        folder = expanded(folder)
        place = folder / NETWORK_FOLDER
        if self._network is not None:
            self._network.save(place)
        elif self._folder is not None and place.resolve() != (self._folder / NETWORK_FOLDER).resolve():
            with storage_errors(place):
                shutil.copytree(self._folder / NETWORK_FOLDER, place, dirs_exist_ok=True)
        said = {name: value for name, value in self.describe().items() if name != "query"}
        write_saved(folder, {**said, "query": lookup_to_json(self._query, folder / QUERY_FOLDER)})

    @classmethod
    def open(cls, folder: Path, saved: dict[str, Any], open_network: Callable[[], Encoder]) -> Self:
        """Open an encoder written by `save`. saved: the content of encoder.json. Queries need only the folder.
        Raises EncoderError.
        """
        try:
            query = LookupSide(lookup_from_json(saved["query"], folder / QUERY_FOLDER))
            encoder = cls.__new__(cls)
            encoder._begin(str(saved["name"]), saved["scale"], saved["k1"], saved["b"], query)
            encoder._documents, encoder._average_length = int(saved["documents"]), float(saved["average_length"])
            encoder._network_says = dict(saved["network"])
            same = saved["vocabulary_hash"] == query.vocabulary.hash
        except LsrError as error:
            raise EncoderError(f"{folder / ENCODER_FILE}: {error}") from error
        except DAMAGE as error:
            raise damaged_encoder(folder, error) from error
        if not same or encoder._documents < 1 or not 0 < encoder._average_length < float("inf"):
            raise EncoderError(f"{folder}: the files of this encoder do not match; fit and save it again")
        encoder._folder, encoder._open_network = folder, open_network
        return encoder

    def _check_fitted(self) -> None:
        if not self.fitted:
            raise EncoderError(
                f"{self.name}: is not fitted: BM25 needs the statistics of the collection; call fit(texts) first"
            )


def check_frequency_scale(scale: object) -> None:
    """Raises ParameterError for an invalid scale."""
    check_number("frequency_scale", scale, *SCALES)
