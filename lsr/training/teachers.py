"""Teachers that score texts: dense and sparse encoders, which compare vectors, and cross-encoders, which read pairs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
from transformers import AutoModelForSequenceClassification

from lsr.encoders.base import TEXTS_AT_ONCE, Dtype, Encoder, encodable
from lsr.encoders.dense.dense_encoder import DenseEncoder
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.folders.model_files import check_weights
from lsr.encoders.text_network import TextNetwork
from lsr.errors import EncoderError
from lsr.training.distillation import Scores, TextGroup, pairs_of
from lsr.vectors.normalize import indptr_of
from lsr.vectors.sparse_vectors import SparseVectors

CACHE_BYTES = 1 << 28
LONGEST_PAIR = 512  # tokens, unless a model or the caller states fewer
CROSS_WORKS = "a folder, or a Hugging Face id, of a sequence classifier with one label"

Row = tuple[npt.NDArray[Any], ...]


class DenseTeacher:
    """Scores by the vectors of a dense encoder: their cosine, or their inner product.

    cache_bytes: maximum memory for vectors of queries, and again of documents, that are kept for later batches and
        trainings.
    """

    def __init__(self, encoder: DenseEncoder, cosine: bool = True, cache_bytes: int = CACHE_BYTES) -> None:
        self._encoder, self._cosine = encoder, cosine
        self._queries = RowCache(lambda texts: _dense_rows(encoder.encode_queries(texts)), cache_bytes)
        self._documents = RowCache(lambda texts: _dense_rows(encoder.encode_documents(texts)), cache_bytes)

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        """See Teacher. Raises EncoderError as the encoder does."""
        pairs = pairs_of(groups, whole_batch)
        queries = self._unit(self._queries.rows(pairs.queries))
        documents = self._unit(self._documents.rows(pairs.documents))
        scores: Scores = (queries @ documents.T)[pairs.query_of, pairs.document_of]
        return scores

    def describe(self) -> dict[str, Any]:
        return {**self._encoder.describe(), "cosine": self._cosine}

    def _unit(self, rows: Sequence[Row]) -> Scores:
        stacked: Scores = np.stack([row for (row,) in rows])
        if not self._cosine:
            return stacked
        lengths = np.linalg.norm(stacked, axis=1, keepdims=True)
        unit: Scores = stacked / np.maximum(lengths, np.finfo(np.float32).tiny)
        return unit


class SparseTeacher:
    """Scores by the inner product of a sparse encoder's vectors, with all components.

    cache_bytes: see DenseTeacher.
    """

    def __init__(self, encoder: Encoder, cache_bytes: int = CACHE_BYTES) -> None:
        self._encoder = encoder
        self._queries = RowCache(lambda texts: _sparse_rows(encoder.encode_queries(texts)), cache_bytes)
        self._documents = RowCache(lambda texts: _sparse_rows(encoder.encode_documents(texts)), cache_bytes)

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        """See Teacher. Raises EncoderError as the encoder does."""
        pairs = pairs_of(groups, whole_batch)
        queries = self._stacked(self._queries.rows(pairs.queries))
        documents = self._stacked(self._documents.rows(pairs.documents))
        scores: Scores = (queries @ documents.T).toarray()[pairs.query_of, pairs.document_of].astype(np.float32)
        return scores

    def describe(self) -> dict[str, Any]:
        return self._encoder.describe()

    def _stacked(self, rows: Sequence[Row]) -> scipy.sparse.csr_matrix:
        indptr = indptr_of([len(components) for components, _ in rows])
        components, weights = (np.concatenate(parts) for parts in zip(*rows, strict=True))
        return SparseVectors.from_normalized(indptr, components, weights, self._encoder.dim).to_scipy()


class CrossEncoder:
    """Scores by a network that reads query and document as one text: its logit, before any sigmoid.

    name: a folder, or the id on Hugging Face, of a sequence classifier with one label, such as
        cross-encoder/ms-marco-MiniLM-L-6-v2. Weights are read only as safetensors, and no code of a model is run.
    device, dtype: see load_dense_encoder.
    max_length: maximum number of tokens of a pair, with special tokens; the longer of the two texts is truncated. None
        takes that of the tokenizer, at most 512; never more than the network has positions for.

    Raises EncoderError for a model that is missing or of another kind, ParameterError for invalid options.
    """

    def __init__(
        self, name: str, device: str | None = None, dtype: Dtype = "float32", max_length: int | None = None
    ) -> None:
        checkpoint = find_checkpoint(name)
        check_weights(checkpoint.folder)
        self.name, self.dtype = checkpoint.name, dtype
        self._network = TextNetwork(
            self.name,
            checkpoint.folder,
            AutoModelForSequenceClassification,
            CROSS_WORKS,
            device,
            dtype,
            max_length,
            pair=True,
            longest=LONGEST_PAIR,
        )
        self.max_length = self._network.max_length
        labels = self._network.model.config.num_labels
        if labels != 1:
            raise EncoderError(
                f"{self.name}: is not a cross-encoder (it has {labels} labels); supported: {CROSS_WORKS}"
            )

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        """See Teacher. Raises EncoderError for invalid texts, and for scores that are not finite."""
        pairs = pairs_of(groups, whole_batch)
        queries, documents = encodable(pairs.queries), encodable(pairs.documents)
        distinct, places = np.unique(np.stack([pairs.query_of, pairs.document_of]), axis=1, return_inverse=True)
        found = np.empty(distinct.shape[1], np.float32)
        for start in range(0, len(found), TEXTS_AT_ONCE):
            query_of, document_of = distinct[:, start : start + TEXTS_AT_ONCE]
            tokens = self._network.tokenize([queries[i] for i in query_of], [documents[i] for i in document_of])
            for batch, logits in self._network.compute(tokens, None, lambda output, _: output.logits[:, 0]):
                found[start + batch] = logits
        return found[places.reshape(-1)]

    def describe(self) -> dict[str, Any]:
        return {"kind": "cross-encoder", "name": self.name, "dtype": self.dtype, "max_length": self.max_length}


class RowCache:
    """A cache of the last used rows of texts, with at most most_bytes.

    encode: returns the row of each of some distinct texts, arrays that hold nothing but the row.
    """

    def __init__(self, encode: Callable[[list[str]], list[Row]], most_bytes: int) -> None:
        self._encode, self._most_bytes = encode, most_bytes
        self._kept: OrderedDict[str, Row] = OrderedDict()
        self._bytes = 0

    def rows(self, texts: Sequence[str]) -> list[Row]:
        """The rows of distinct texts. Rows that are not in the cache are encoded in one call."""
        missing = [text for text in texts if text not in self._kept]
        found = dict(zip(missing, self._encode(missing), strict=True)) if missing else {}
        for text in texts:
            if text in found:
                self._kept[text] = found[text]
                self._bytes += _size(text, found[text])
            else:
                found[text] = self._kept[text]
                self._kept.move_to_end(text)
        while self._bytes > self._most_bytes:
            self._bytes -= _size(*self._kept.popitem(last=False))
        return [found[text] for text in texts]


def _dense_rows(found: npt.NDArray[Any]) -> list[Row]:
    return [(row.copy(),) for row in found]


def _sparse_rows(found: SparseVectors) -> list[Row]:
    spans = zip(found.indptr[:-1], found.indptr[1:], strict=True)
    return [(found.indices[start:end].copy(), found.values[start:end].copy()) for start, end in spans]


def _size(text: str, row: Row) -> int:
    """The approximate memory of an entry of the cache, in bytes."""
    return len(text) + sum(array.nbytes for array in row)
