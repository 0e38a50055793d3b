"""Small BERT models in NumPy, for queries: importing torch and transformers takes as long as thousands of queries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from lsr.encoders.base import TokenSpans
from lsr.encoders.folders.model_files import limit_of, read_object, shortest
from lsr.encoders.sparse.tokens import FolderTokenizer, prepared_texts
from lsr.encoders.spec import HeadSpec, TransformerSpec
from lsr.errors import EncoderError
from lsr.vectors.normalize import component_dtype
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary

Floats = npt.NDArray[np.float32]

MOST_WEIGHTS = 1 << 20  # largest network: with about this number of weights, torch becomes faster
# Required values of config.json, if they are stated.
CONFIG = {
    "model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False,
    "add_cross_attention": False, "tie_word_embeddings": True, "architectures": ["BertForMaskedLM"],
}  # fmt: skip
# NumPy has no erf, and importing SciPy takes longer than a query.
_ERF = np.frompyfunc(math.erf, 1, 1)


class SmallBert:
    """The network of Devlin et al. 2019 with SPLADE-max, w_j = max_i log(1 + relu(z_ij)), in float32.

    Weights differ from TransformerSide's only by rounding. Raises KeyError, ValueError, EncoderError and errors of
    safetensors if the files are not of such a network; TransformerSide then raises the error with an explanation.
    """

    def __init__(self, spec: TransformerSpec) -> None:
        backbone = spec.backbone
        config = read_object(Path(backbone.config) / "config.json")
        layers, hidden = int(config["num_hidden_layers"]), int(config["hidden_size"])
        if any(config.get(key, value) != value for key, value in CONFIG.items()) or "model_type" not in config:
            raise ValueError("another network")
        other = spec.head != HeadSpec() or spec.echo or not spec.special_tokens or backbone.prefix
        if other or layers * 12 * hidden**2 > MOST_WEIGHTS:
            raise ValueError("another head, other texts, or too large")
        self.spec = spec
        self.tokens = FolderTokenizer(backbone.tokenizer, int(config["vocab_size"]))
        self._begin, self._end = self.tokens.around
        named = load_file(Path(backbone.weights) / "model.safetensors")
        # BERT's original files have the names gamma and beta.
        self._tensors: dict[str, Floats] = {
            key.replace(".gamma", ".weight").replace(".beta", ".bias"): tensor.astype(np.float32, copy=False)
            for key, tensor in named.items()
        }
        self._layers, self._heads = layers, int(config["num_attention_heads"])
        self._epsilon = np.float32(config["layer_norm_eps"])
        self._words = self._tensors["bert.embeddings.word_embeddings.weight"]
        self._places = (
            self._tensors["bert.embeddings.position_embeddings.weight"]
            + self._tensors["bert.embeddings.token_type_embeddings.weight"][0]
        )
        self._room = shortest(spec.max_length, len(self._places), limit_of(self.tokens.folder)) - 2
        if self._room < 1 or self._words.shape != (self.dim, hidden):
            raise ValueError("another size")
        self._weights(np.array([self._begin, self._end]))  # raises KeyError and ValueError here, not at a query

    @property
    def dim(self) -> int:
        return len(self.vocabulary)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.tokens.vocabulary

    def spans(self, text: str) -> TokenSpans:
        """All tokens of a text, and their characters."""
        return self.tokens.spans(text, self.spec.lower_case)

    def encode(self, texts: Sequence[str]) -> SparseVectors:
        """See TransformerSide.encode. Raises EncoderError if the network returns NaN or infinite values."""
        prepared = prepared_texts(texts, self.spec.prompt, self.spec.lower_case)
        indices, values, ends = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)], [0]
        for text, ids in zip(prepared, self.tokens.ids(prepared, self._room), strict=True):
            if text:
                weights = self._weights(np.array([self._begin, *ids, self._end]))
                indices.append(np.flatnonzero(weights))
                values.append(weights[indices[-1]])
            ends.append(ends[-1] + (len(indices[-1]) if text else 0))
        components = np.concatenate(indices).astype(component_dtype(self.dim))
        return SparseVectors.from_normalized(np.array(ends), components, np.concatenate(values), self.dim)

    @np.errstate(over="ignore", invalid="ignore")  # checked below
    def _weights(self, ids: npt.NDArray[np.int64]) -> Floats:
        """The weights, float32 [components], for ids int64 [tokens]."""
        states = self._normal("bert.embeddings.LayerNorm", self._words[ids] + self._places[: len(ids)])
        for layer in range(self._layers):
            at = f"bert.encoder.layer.{layer}."
            mixed = self._linear(at + "attention.output.dense", self._attention(at + "attention.self.", states))
            states = self._normal(at + "attention.output.LayerNorm", mixed + states)
            inner = gelu(self._linear(at + "intermediate.dense", states))
            states = self._normal(at + "output.LayerNorm", self._linear(at + "output.dense", inner) + states)
        at = "cls.predictions."
        states = self._normal(at + "transform.LayerNorm", gelu(self._linear(at + "transform.dense", states)))
        if not np.isfinite(states).all():
            raise EncoderError(
                f"{self.spec.backbone.weights}: the network returns NaN or infinite values; copy or train it again"
            )
        logits = (states @ self._words.T).max(axis=0) + self._tensors[at + "bias"]
        weights: Floats = np.log1p(np.maximum(logits, 0))
        return weights

    def _attention(self, at: str, states: Floats) -> Floats:
        query, key, value = (
            self._linear(at + name, states).reshape(len(states), self._heads, -1).swapaxes(0, 1)
            for name in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.float32(math.sqrt(query.shape[2]))
        shares = np.exp(scores - scores.max(axis=2, keepdims=True))
        shares /= shares.sum(axis=2, keepdims=True)
        result: Floats = (shares @ value).swapaxes(0, 1).reshape(states.shape)
        return result

    def _linear(self, at: str, states: Floats) -> Floats:
        result: Floats = states @ self._tensors[at + ".weight"].T + self._tensors[at + ".bias"]
        return result

    def _normal(self, at: str, states: Floats) -> Floats:
        centered = states - states.mean(axis=1, keepdims=True)
        variance = np.square(centered).mean(axis=1, keepdims=True)
        scaled = centered / np.sqrt(variance + self._epsilon)
        result: Floats = scaled * self._tensors[at + ".weight"] + self._tensors[at + ".bias"]
        return result


def gelu(values: Floats) -> Floats:
    """Φ(x) · x, Φ the distribution function of the normal distribution (Hendrycks and Gimpel 2016)."""
    cumulated = 0.5 * (1 + _ERF(values / np.float32(math.sqrt(2))).astype(np.float32))
    result: Floats = values * cumulated.astype(np.float32)
    return result
