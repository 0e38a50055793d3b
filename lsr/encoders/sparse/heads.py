"""Heads: from the states of a backbone to sparse weights, without storing all logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lsr.encoders.sparse.lexical_part import LexicalPart, expansion_width
from lsr.encoders.spec import HeadSpec
from lsr.vectors.normalize import component_dtype, indptr_of, rows_of
from lsr.vectors.sparse_vectors import SparseVectors

# Elements of a chunk of logits [tokens, components]: fits a core's second-level cache, or is a small part of
# a GPU's memory. Wider chunks are slower on the CPU: the maximum would read the logits back from main memory.
CPU_CHUNK_ELEMENTS = 1 << 18
GPU_CHUNK_ELEMENTS = 1 << 27
NARROWEST_CHUNK = 128

# Rounding two vectors to bfloat16, each element by at most 2**-8 of itself, changes their dot product by less than
# this share of the product of their lengths (Cauchy and Schwarz); the last 2**-10 covers sums in float32.
SCREENING_ERROR = 2 * 2**-8 + 2**-16 + 2**-10
ROUNDING_ERROR = 2**-8 + 2**-14  # rounding of a product to bfloat16, relative to the rounded value

ACTIVATION_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "relu": torch.relu,
    "log1p": lambda z: torch.log1p(torch.relu(z)),
    "log1p-log1p": lambda z: torch.log1p(torch.log1p(torch.relu(z))),
    "softplus": nn.functional.softplus,
    "log1p-softplus": lambda z: torch.log1p(nn.functional.softplus(z)),
}
ABOVE_ZERO = ("softplus", "log1p-softplus")  # with the others, a logit of at most zero has no weight


class Batch(NamedTuple):
    """A batch of texts, padded to one length.

    ids: int64 [texts, tokens].
    mask: bool [texts, tokens], False for padding.
    counted: bool [texts, tokens], whether a head uses the position.
    special: bool [texts, tokens], whether the tokenizer added the token.
    beyond: int64 [texts, others], tokens after the maximum length, which only a lexical part reads; padded with -1.
    """

    ids: Tensor
    mask: Tensor
    counted: Tensor
    special: Tensor
    beyond: Tensor

    def own_tokens(self) -> tuple[Tensor, Tensor]:
        """(texts, tokens), int64 each: every token that is read, except special tokens, with duplicates."""
        texts, positions = (self.mask & ~self.special).nonzero(as_tuple=True)
        return texts, self.ids[texts, positions]

    def all_tokens(self) -> tuple[Tensor, Tensor]:
        """Like own_tokens, with the tokens in `beyond`."""
        texts, positions = (self.beyond >= 0).nonzero(as_tuple=True)
        own_texts, own = self.own_tokens()
        return torch.cat([own_texts, texts]), torch.cat([own, self.beyond[texts, positions]])


class States(NamedTuple):
    """The states of a batch. last: float [texts, tokens, hidden], last states. inputs: those of the output layer."""

    last: Tensor | None
    inputs: Tensor | None


class HeadOutput(NamedTuple):
    """Sparse rows: lengths int64 [texts], components int64 [nnz], ascending in each row, weights float32 [nnz]."""

    lengths: Tensor
    components: Tensor
    weights: Tensor


class Head(nn.Module):
    """A head: a HeadSpec with its weights.

    output: the backbone's output layer over its vocabulary. Only mlm needs it; it may be None for mlp.
    hidden: the size of a state. components: the size of the vocabulary. special: the components of special tokens.
    The parameters are `linear` (mlp), `importance`, `quality` and `residual`, if the spec has them; `lexical` has a
    table and no parameters. kept_components: float32 [components], 0 for special tokens, else 1.
    """

    kept_components: Tensor

    def __init__(
        self, spec: HeadSpec, output: nn.Linear | None, hidden: int, components: int, special: frozenset[int]
    ) -> None:
        super().__init__()
        self.spec = spec
        self.components = components
        self.vocabulary = None if output is None or spec.kind == "mlp" else VocabularyLayer(output, spec)
        self.linear = one_for_all(hidden) if spec.kind == "mlp" else None
        self.importance = nn.Linear(hidden, 1) if spec.importance else None
        self.quality = nn.Linear(hidden, 1) if spec.quality else None
        self.residual = nn.Linear(hidden, components) if spec.residual else None
        self.lexical = LexicalPart(components) if spec.lexical is not None else None
        kept = torch.ones(components)
        kept[list(special)] = 0
        self.register_buffer("kept_components", kept, persistent=False)
        self._is_special = kept.numpy() == 0

    def share(self, other: Head) -> None:
        """Use the parameters of `other` that both heads have, so that two sides of one network share a head."""
        for name in ("linear", "importance", "quality", "residual"):
            if getattr(self, name) is not None and getattr(other, name) is not None:
                setattr(self, name, getattr(other, name))

    @property
    def needs_last(self) -> bool:
        """Whether the head uses the last states of the backbone."""
        return self.spec.kind == "mlp" or bool(self.importance or self.quality or self.residual)

    def vectors(self, states: States, batch: Batch) -> SparseVectors:
        """One row per text. The states must be finite; this is not checked."""
        rows = self._mlp(states, batch) if self.vocabulary is None else self._mlm(states, batch)
        indptr = indptr_of(rows.lengths.numpy())
        texts = rows_of(rows.lengths.numpy())
        components, weights = rows.components.numpy(), rows.weights.numpy()
        spec = self.spec
        if self.lexical is not None:
            merged = self.lexical.merged(*(torch.from_numpy(each) for each in (texts, components, weights)))
            texts, components, weights = (each.numpy() for each in merged)
        if self.residual is not None:
            both = zip((texts, components, weights), self._literal_residual(states, batch), strict=True)
            texts, components, weights = (np.concatenate(each) for each in both)
        if not spec.special_components:
            texts, components, weights = _keep(~self._is_special[components], texts, components, weights)
        if spec.literal_only:
            literal = _keys(*_literal(batch), self.components)
            texts, components, weights = _keep(
                np.isin(_keys(texts, components, self.components), literal), texts, components, weights
            )
        if self.residual is None and self.lexical is None and len(components) == indptr[-1]:
            narrow = components.astype(component_dtype(self.components))
            vectors = SparseVectors.from_normalized(indptr, narrow, weights, self.components)
        else:
            vectors = self._rows(len(batch.ids), texts, components, weights)
        if self.lexical is not None:
            vectors = self._with_counts(vectors, batch, self.lexical)
        elif spec.window is not None:
            vectors = vectors.top_k(spec.window)
        return unit_length(vectors) if spec.unit_length else vectors

    def _with_counts(self, vectors: SparseVectors, batch: Batch, lexical: LexicalPart) -> SparseVectors:
        """The network's rows times the factor, plus the lexical part. See HeadSpec for the window."""
        counts = [each.cpu().numpy() for each in lexical(*batch.all_tokens(), len(batch.ids))]
        if not self.spec.special_components:
            counts = [*_keep(~self._is_special[counts[1]], *counts)]
        network = rows_of(np.diff(vectors.indptr)), vectors.indices, vectors.values * np.float32(self.spec.lexical)
        in_text = np.isin(_keys(network[0], network[1], self.components), _keys(counts[0], counts[1], self.components))
        others = self._rows(len(vectors), *_keep(~in_text, *network))
        if self.spec.window is not None:
            counted = np.bincount(counts[0], minlength=len(vectors))
            others = others.top_k(expansion_width(self.spec.window, counted))
        expansion: tuple[npt.NDArray[Any], ...] = rows_of(np.diff(others.indptr)), others.indices, others.values
        found = counts, _keep(in_text, *network), expansion
        return self._rows(len(vectors), *(np.concatenate(each) for each in zip(*found, strict=True)))

    def _rows(self, count: int, *found: npt.NDArray[Any]) -> SparseVectors:
        """`count` rows from (texts, components, weights) in any order. Weights of the same component are added."""
        texts, components, weights = found
        order = np.argsort(texts, kind="stable")
        indptr = indptr_of(np.bincount(texts, minlength=count))
        return SparseVectors(indptr, components[order], weights[order], self.components)

    def _mlm(self, states: States, batch: Batch) -> HeadOutput:
        inputs, spec, counted = states.inputs, self.spec, batch.counted
        assert inputs is not None and self.vocabulary is not None
        if spec.pooling in ("first", "last"):
            at = torch.zeros_like(batch.ids[:, 0]) if spec.pooling == "first" else batch.mask.sum(1) - 1
            inputs = inputs[torch.arange(len(at)), at][:, None]
            counted = torch.ones_like(batch.mask[:, :1])
        importance = None
        if self.importance is not None:
            assert states.last is not None
            importance = torch.log1p(nn.functional.softplus(self.importance(states.last.float())))
        rows = self.vocabulary.rows(inputs, counted, importance)
        if self.quality is not None:
            assert states.last is not None
            quality = torch.sigmoid(self.quality(states.last[:, 0].float()))[:, 0].cpu()
            rows = rows._replace(weights=rows.weights * torch.repeat_interleave(quality, rows.lengths))
        return rows

    def _mlp(self, states: States, batch: Batch) -> HeadOutput:
        assert states.last is not None and self.linear is not None
        weights = ACTIVATION_FUNCTIONS[self.spec.activation](self.linear(states.last.float())[:, :, 0]).cpu()
        texts, positions = batch.counted.cpu().nonzero(as_tuple=True)
        keys = texts * self.components + batch.ids.cpu()[texts, positions]
        keys, places = torch.unique(keys, return_inverse=True)
        pooled = torch.zeros(len(keys)).scatter_reduce_(
            0, places, weights[texts, positions], "sum" if self.spec.pooling == "sum" else "amax", include_self=True
        )
        keys, pooled = keys[pooled > 0], pooled[pooled > 0]
        lengths = torch.bincount(keys // self.components, minlength=len(batch.ids))
        return HeadOutput(lengths, keys % self.components, pooled)

    def _literal_residual(self, states: States, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        """(texts, components, weights) of max_j u_j - u_t for the tokens t of each text, with zeros."""
        assert states.last is not None and self.residual is not None
        last = states.last[torch.arange(len(batch.ids)), batch.mask.sum(1) - 1].float()
        features = torch.log1p(torch.relu(last))
        texts, components = _literal(batch)
        largest = torch.stack([self.residual(row).amax() for row in features]).cpu().numpy()
        rows, tokens = torch.from_numpy(texts).to(last.device), torch.from_numpy(components).to(last.device)
        own = (features[rows] * self.residual.weight[tokens]).sum(1) + self.residual.bias[tokens]
        return texts, components, np.maximum(largest[texts] - own.cpu().numpy(), 0)


def one_for_all(size: int) -> nn.Linear:
    """A projection to one weight, initialized near 1 for any input.

    With a random initialization, the value under a ReLU could be negative for every token and never be trained.
    """
    linear = nn.Linear(size, 1)
    nn.init.normal_(linear.weight, std=0.02)
    nn.init.ones_(linear.bias)
    return linear


class VocabularyLayer(nn.Module):
    """w_j = pool_i act(z_ij), z_ij = g_i (h_i · W_j + b_j), over the counted positions i of a text.

    output: W [components, hidden] and b [components] or None, the backbone's output layer. g_i is 1 except for EPIC.

    max: the maximum is taken first, over the products, which gives the same result because activations are monotonic. A
        CPU with bfloat16 instructions multiplies bfloat16 several times as fast as float32. There, float32 weights are
        computed in two steps: products in bfloat16, with a bound of their error, exclude the components that cannot be
        positive, which are nearly all; the others are computed in float32. The result is that of float32.
    """

    def __init__(self, output: nn.Linear, spec: HeadSpec) -> None:
        super().__init__()
        self.output = output
        self._activate = ACTIVATION_FUNCTIONS[spec.activation]
        self._sum = spec.pooling == "sum"
        # Positions that are not counted have a logit of 0 in a maximum (HeadSpec.special_positions).
        self._least = 0.0 if not spec.special_positions and spec.pooling == "max" else None
        self._sparse = spec.activation not in ABOVE_ZERO and not self._sum and not spec.importance
        self._screen: tuple[Tensor, Tensor] | None = None

    def prepare(self) -> None:
        """Prepare for encoding. Call it when the weights are on their device."""
        weight = self.output.weight.detach()
        on_cpu = weight.device.type == "cpu"
        self._chunk_elements = CPU_CHUNK_ELEMENTS if on_cpu else GPU_CHUNK_ELEMENTS
        self._weight = weight.contiguous()
        bias = self.output.bias
        self._bias = torch.zeros(len(weight), device=weight.device) if bias is None else bias.detach().float()
        self._screen = None
        if self._sparse and on_cpu and weight.dtype == torch.float32 and _multiplies_bfloat16():
            self._screen = self._weight.bfloat16(), self._weight.norm(dim=1) * SCREENING_ERROR

    def rows(self, inputs: Tensor, counted: Tensor, importance: Tensor | None) -> HeadOutput:
        """The rows of a batch.

        inputs: [texts, tokens, hidden]. counted: bool [texts, tokens]. importance: float [texts, tokens, 1].
        """
        if self._sparse:
            # A position that is not counted is replaced by the first counted one, which changes no maximum.
            first = inputs[torch.arange(len(inputs)), counted.int().argmax(1)]
            inputs = torch.where(counted[:, :, None], inputs, first[:, None])
            if self._screen is not None:
                rows = self._screened(inputs, *self._screen)
            else:
                rows = self._positive(self._maxima(inputs, self._weight).add_(self._bias))
            empty = ~counted.any(1).cpu()
            return rows if not empty.any() else _without(rows, empty)
        return self._positive(self._pooled(inputs, counted, importance), active=True)

    def _positive(self, logits: Tensor, active: bool = False) -> HeadOutput:
        texts, components = (logits > 0).nonzero(as_tuple=True)
        weights = logits[texts, components]
        if not active:
            weights = self._activate(weights)
        return HeadOutput(torch.bincount(texts, minlength=len(logits)).cpu(), components.cpu(), weights.cpu())

    def _maxima(self, inputs: Tensor, weight: Tensor) -> Tensor:
        """max_i h_i · W_j, float32 [texts, components]."""
        texts, tokens, size = inputs.shape
        flat = inputs.reshape(texts * tokens, size)
        maxima = torch.empty(texts, len(weight), device=inputs.device)
        for start, stop in self._chunks(len(flat), len(weight)):
            logits = flat @ weight[start:stop].T
            maxima[:, start:stop] = logits.view(texts, tokens, -1).amax(1)
        return maxima

    def _pooled(self, inputs: Tensor, counted: Tensor, importance: Tensor | None) -> Tensor:
        """Weights, float32 [texts, components], with zeros and negative values."""
        texts, tokens, size = inputs.shape
        flat = inputs.reshape(texts * tokens, size)
        pooled = torch.empty(texts, len(self._weight), device=inputs.device)
        for start, stop in self._chunks(len(flat), len(self._weight)):
            logits = (flat @ self._weight[start:stop].T).view(texts, tokens, -1).float() + self._bias[start:stop]
            if importance is not None:
                logits = logits * importance
            if self._sum:
                pooled[:, start:stop] = (self._activate(logits) * counted[:, :, None]).sum(1)
                continue
            least = float("-inf") if self._least is None else self._least
            largest = logits.masked_fill(~counted[:, :, None], least).amax(1)
            pooled[:, start:stop] = self._activate(largest if self._least is None else largest.clamp(min=self._least))
        return pooled

    def _chunks(self, tokens: int, components: int) -> list[tuple[int, int]]:
        width = max(NARROWEST_CHUNK, self._chunk_elements // tokens)
        return [(start, min(start + width, components)) for start in range(0, components, width)]

    def _screened(self, inputs: Tensor, screen: Tensor, error: Tensor) -> HeadOutput:
        longest = inputs.norm(dim=2).amax(1)
        maxima = self._maxima(inputs.bfloat16(), screen)
        bound = torch.addcmul(self._bias, error, longest[:, None])
        bound.add_(maxima).add_(maxima.abs_(), alpha=ROUNDING_ERROR)
        texts, candidates = (bound > 0).nonzero(as_tuple=True)
        counts = torch.bincount(texts, minlength=len(inputs))
        components, weights, lengths = [], [], []
        for states, chosen in zip(inputs, torch.split(candidates, counts.tolist()), strict=True):
            logits = (states @ self._weight[chosen].T).amax(0).add_(self._bias[chosen])
            positive = logits > 0
            components.append(chosen[positive])
            weights.append(self._activate(logits[positive]))
            lengths.append(len(components[-1]))
        return HeadOutput(torch.tensor(lengths), torch.cat(components), torch.cat(weights))


class LearnedTable(nn.Module):
    """s_v = log(1 + relu(w · E(v) + b)) for every token v, with word embedding E(v) and learned w and b.

    Query weights without a network (Li-LSR; Nardini et al. 2025, from second-hand notes: their code was not found).

    embeddings: float [components, hidden], frozen.
    """

    embeddings: Tensor

    def __init__(self, embeddings: Tensor) -> None:
        super().__init__()
        self.register_buffer("embeddings", embeddings.detach())
        self.linear = one_for_all(embeddings.shape[1])

    def forward(self) -> Tensor:
        """The weights, float32 [components]."""
        return ACTIVATION_FUNCTIONS["log1p"](self.linear(self.embeddings)[:, 0])


def unit_length(vectors: SparseVectors) -> SparseVectors:
    """Each row divided by its Euclidean length. Empty rows remain empty."""
    squares = np.zeros(len(vectors))
    rows = rows_of(np.diff(vectors.indptr))
    np.add.at(squares, rows, vectors.values.astype(np.float64) ** 2)
    values = (vectors.values / np.sqrt(squares)[rows]).astype(np.float32)
    return SparseVectors.from_normalized(vectors.indptr, vectors.indices, values, vectors.dim, vectors.ids)


def _literal(batch: Batch) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(texts, components): the different tokens of each text, without special tokens."""
    pairs = torch.unique(torch.stack(batch.own_tokens()), dim=1).cpu().numpy()
    return pairs[0], pairs[1]


def _keys(texts: npt.NDArray[Any], components: npt.NDArray[Any], dim: int) -> npt.NDArray[np.int64]:
    keys: npt.NDArray[np.int64] = texts.astype(np.int64) * dim + components
    return keys


def _keep(chosen: npt.NDArray[np.bool_], *arrays: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
    return tuple(array[chosen] for array in arrays)


def _without(rows: HeadOutput, texts: Tensor) -> HeadOutput:
    """`rows`, with empty rows for `texts` (a mask)."""
    kept = ~torch.repeat_interleave(texts, rows.lengths)
    return HeadOutput(rows.lengths.masked_fill(texts, 0), rows.components[kept], rows.weights[kept])


def _multiplies_bfloat16() -> bool:
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
