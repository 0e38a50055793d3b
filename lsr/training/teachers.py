"""Teachers that score texts: dense and sparse encoders, which compare vectors, and cross-encoders, which read pairs."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from lsr.encoders.base import Encoder, check_max_length, checked_texts, first_line
from lsr.encoders.batches import TEXTS_AT_ONCE, by_length, computed, find_device, find_dtype, move
from lsr.encoders.dense.dense_encoder import DenseEncoder
from lsr.encoders.folders.find import find_checkpoint
from lsr.encoders.folders.model_files import AGAIN, check_weights
from lsr.encoders.sparse.backbone import positions_of_network, quiet
from lsr.errors import EncoderError, ParameterError
from lsr.training.distillation import Scores, TextGroup, pairs_of
from lsr.vectors.sparse_vectors import SparseVectors

CACHE_BYTES = 1 << 28
LONGEST_PAIR = 512  # tokens, unless a model or the caller states fewer
CROSS_WORKS = "a folder, or a Hugging Face id, of a sequence classifier with one label"

Row = tuple[npt.NDArray[Any], ...]


class DenseTeacher:
    """Scores by the vectors of a dense encoder: their cosine, or their inner product.

    cache_bytes: vectors of documents that are kept for later batches, at most.
    """

    def __init__(self, encoder: DenseEncoder, cosine: bool = True, cache_bytes: int = CACHE_BYTES) -> None:
        self._encoder, self._cosine = encoder, cosine
        self._documents = RowCache(self._rows, cache_bytes)

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        """See Teacher. Raises EncoderError as the encoder does."""
        pairs = pairs_of(groups, whole_batch)
        queries = self._unit(self._encoder.encode_queries(pairs.queries))
        documents = self._unit(np.stack([row for (row,) in self._documents.rows(pairs.documents)]))
        scores: Scores = (queries @ documents.T)[pairs.query_of, pairs.document_of]
        return scores

    def describe(self) -> dict[str, Any]:
        return {**self._encoder.describe(), "cosine": self._cosine}

    def _rows(self, texts: list[str]) -> list[Row]:
        return [(row.copy(),) for row in self._encoder.encode_documents(texts)]

    def _unit(self, rows: Scores) -> Scores:
        if not self._cosine:
            return rows
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Scores = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
        return unit


class SparseTeacher:
    """Scores by the inner product of a sparse encoder's vectors, all of whose components count.

    cache_bytes: as DenseTeacher's.
    """

    def __init__(self, encoder: Encoder, cache_bytes: int = CACHE_BYTES) -> None:
        self._encoder = encoder
        self._documents = RowCache(self._rows, cache_bytes)

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        """See Teacher. Raises EncoderError as the encoder does."""
        pairs = pairs_of(groups, whole_batch)
        queries = self._encoder.encode_queries(pairs.queries).to_scipy()
        rows = self._documents.rows(pairs.documents)
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(components) for components, _ in rows], out=indptr[1:])
        components, weights = (np.concatenate(parts) for parts in zip(*rows, strict=True))
        documents = SparseVectors.from_normalized(indptr, components, weights, self._encoder.dim).to_scipy()
        scores: Scores = (queries @ documents.T).toarray()[pairs.query_of, pairs.document_of].astype(np.float32)
        return scores

    def describe(self) -> dict[str, Any]:
        return self._encoder.describe()

    def _rows(self, texts: list[str]) -> list[Row]:
        found = self._encoder.encode_documents(texts)
        spans = zip(found.indptr[:-1], found.indptr[1:], strict=True)
        return [(found.indices[start:end].copy(), found.values[start:end].copy()) for start, end in spans]


class CrossEncoder:
    """Scores by a network that reads query and document as one text: its logit, before any sigmoid.

    name: a folder, or the id on Hugging Face, of a sequence classifier with one label, such as
        cross-encoder/ms-marco-MiniLM-L-6-v2. Weights are read as safetensors only, and no code of a model is run.
    device, dtype: as load_dense_encoder's.
    max_length: tokens of a pair, special tokens among them; the longer of the two texts loses its end. None takes what
        the tokenizer states, 512 at most; never more than the network has positions for.

    Raises EncoderError for what cannot be found or is no such model, ParameterError for options that cannot work.
    """

    def __init__(
        self, name: str, device: str | None = None, dtype: str = "float32", max_length: int | None = None
    ) -> None:
        number = find_dtype(dtype)
        check_max_length(max_length)
        checkpoint = find_checkpoint(name)
        check_weights(checkpoint.folder)
        self.name, self.dtype = checkpoint.name, dtype
        self._device = find_device(device)
        self._model, self._tokenizer = _load(self.name, str(checkpoint.folder))
        stated = max_length or min(self._tokenizer.model_max_length, LONGEST_PAIR)
        self.max_length = min(stated, positions_of_network(self._model))
        special = self._tokenizer.num_special_tokens_to_add(pair=True)
        if self.max_length <= special + 1:
            raise ParameterError(
                f"max_length is {self.max_length}; {self.name} adds {special} special tokens to every pair, so that it "
                f"must be at least {special + 2}"
            )
        move(self._model, self._device, number)
        known = {*inspect.signature(self._model.forward).parameters} & {*self._tokenizer.model_input_names}
        self._inputs = ["input_ids", "token_type_ids"] if "token_type_ids" in known else ["input_ids"]
        # Classifiers such as Llama's find the last token by it, so that padding must be what the network expects.
        self._pad_id = next(
            (each for each in (self._model.config.pad_token_id, self._tokenizer.pad_token_id) if each is not None), 0
        )

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        """See Teacher. Raises EncoderError for what is not valid text, or where numbers are not finite."""
        pairs = pairs_of(groups, whole_batch)
        queries, documents = checked_texts(pairs.queries), checked_texts(pairs.documents)
        distinct, places = np.unique(np.stack([pairs.query_of, pairs.document_of]), axis=1, return_inverse=True)
        found = np.empty(distinct.shape[1], np.float32)
        for start in range(0, len(found), TEXTS_AT_ONCE):
            query_of, document_of = distinct[:, start : start + TEXTS_AT_ONCE]
            tokens = self._tokenize([queries[i] for i in query_of], [documents[i] for i in document_of])
            lengths = np.array([inputs.shape[1] for inputs in tokens], np.int64)
            batches = by_length(lengths, None, self._device)

            def logits(batch: npt.NDArray[np.int64], tokens: list[npt.NDArray[np.int64]] = tokens) -> Scores:
                return self._logits([tokens[pair] for pair in batch])

            for batch, some in zip(batches, computed(logits, batches, self._device), strict=True):
                found[start + batch] = some
        return found[places.reshape(-1)]

    def describe(self) -> dict[str, Any]:
        return {"kind": "cross-encoder", "name": self.name, "dtype": self.dtype, "max_length": self.max_length}

    def _tokenize(self, queries: list[str], documents: list[str]) -> list[npt.NDArray[np.int64]]:
        """Of each pair: int64 [inputs of the network, tokens]."""
        encoded = self._tokenizer(
            queries,
            documents,
            truncation="longest_first",
            max_length=self.max_length,
            return_token_type_ids=len(self._inputs) > 1,
        )
        return [np.array(inputs, np.int64) for inputs in zip(*(encoded[key] for key in self._inputs), strict=True)]

    @torch.inference_mode()
    def _logits(self, tokens: list[npt.NDArray[np.int64]]) -> Scores:
        lengths = torch.tensor([inputs.shape[1] for inputs in tokens])
        padded = torch.zeros((len(self._inputs), len(tokens), int(lengths.max())), dtype=torch.long)
        padded[0] = self._pad_id
        for row, inputs in enumerate(tokens):
            padded[:, row, : inputs.shape[1]] = torch.from_numpy(inputs)
        mask = (torch.arange(padded.shape[2]) < lengths[:, None]).long().to(self._device)
        named = dict(zip(self._inputs, padded.to(self._device), strict=True))
        logits = self._model(**named, attention_mask=mask).logits[:, 0].float()
        if not logits.isfinite().all():
            raise EncoderError(f"{self.name}: the network gives numbers that are not finite; try dtype float32")
        scores: Scores = logits.cpu().numpy()
        return scores


class RowCache:
    """Rows of texts, of which the latest used are kept, in most_bytes at most.

    encode: from distinct texts to the row of each, arrays that hold nothing but the row.
    """

    def __init__(self, encode: Callable[[list[str]], list[Row]], most_bytes: int) -> None:
        self._encode, self._most_bytes = encode, most_bytes
        self._kept: OrderedDict[str, Row] = OrderedDict()
        self._bytes = 0

    def rows(self, texts: Sequence[str]) -> list[Row]:
        """The row of each of some distinct texts, those that are not kept encoded in one call."""
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


def _size(text: str, row: Row) -> int:
    """About what it takes in memory."""
    return len(text) + sum(array.nbytes for array in row)


def _load(name: str, folder: str) -> tuple[Any, Any]:
    """The network, in float32 on the CPU, and the tokenizer. Raises EncoderError."""
    source: dict[str, Any] = {"pretrained_model_name_or_path": folder, "trust_remote_code": False}
    with quiet():
        try:
            config = AutoConfig.from_pretrained(**source)
            labels = config.num_labels
            model, report = AutoModelForSequenceClassification.from_pretrained(
                **source, config=config, use_safetensors=True, output_loading_info=True
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(**source)
            tokens = max(tokenizer.get_vocab().values(), default=-1) + 1
            known: int = model.get_input_embeddings().num_embeddings
        except Exception as error:  # whatever a damaged file raises in two libraries
            raise EncoderError(f"{name}: cannot be loaded ({first_line(error)}); {AGAIN}") from error
    missing = sorted(report["missing_keys"])
    if labels != 1 or missing:
        lacks = f"its weights lack {missing[0]}" if missing else f"it has {labels} labels"
        raise EncoderError(f"{name}: is no cross-encoder ({lacks}); these work: {CROSS_WORKS}")
    if tokens > known:
        raise EncoderError(
            f"{name}: its tokenizer has {tokens} tokens, its network {known}; copy both from the same place"
        )
    return model.eval().float(), tokenizer
