"""An encoder as a network to train: from the texts of a batch to the weights of all components, with gradients.

The networks are those of the encoder, so that the encoder always encodes with the present weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lsr.encoders.sparse.backbone import Backbone, seeded
from lsr.encoders.sparse.heads import ABOVE_ZERO, ACTIVATION_FUNCTIONS, Batch, Head, LearnedTable, States
from lsr.encoders.sparse.lexical_part import expansion_width
from lsr.encoders.sparse.lookup import LookupSide
from lsr.encoders.sparse.sparse_encoder import SparseEncoder
from lsr.encoders.sparse.transformer import TransformerSide
from lsr.errors import ParameterError
from lsr.training.focusing_window import focused
from lsr.training.masking import mask_tokens, prediction_error
from lsr.training.pooling import max_logits, pooled_weights

FIXED, SCALE, TABLE, LEARNED = "fixed", "scale", "table", "learned"
QUERY_TABLES = (FIXED, SCALE, TABLE, LEARNED)


class Weights(NamedTuple):
    """The weights of a batch, float32 [texts, components].

    final: the scored weights.
    base: the network's weights before a residual, a lexical part, window and length, on which FLOPS acts; otherwise the
        same.
    masked: a scalar, the prediction error of masked tokens (lsr.training.masking); None without masked tokens.
    """

    final: Tensor
    base: Tensor
    masked: Tensor | None = None


class TextBatch(NamedTuple):
    """Texts of one side, for TrainableEncoder: tokens of a network, or bags of words of a table, int64 each.

    bags: (texts, components, counts), one entry for each token of a text.
    labels: the masked tokens, int64 [texts, tokens] (lsr.training.masking).
    """

    tokens: Batch | None
    bags: tuple[Tensor, Tensor, Tensor] | None
    size: int
    labels: Tensor | None = None

    def to(self, device: torch.device) -> TextBatch:
        """The batch on a device."""
        tokens = None if self.tokens is None else Batch(*(tensor.to(device) for tensor in self.tokens))
        bags = None if self.bags is None else tuple(tensor.to(device) for tensor in self.bags)
        labels = None if self.labels is None else self.labels.to(device)
        return TextBatch(tokens, bags, self.size, labels)  # type: ignore[arg-type]

    def part(self, start: int, end: int) -> TextBatch:
        """Only the texts from number `start` to before number `end`."""
        size = min(end, self.size) - start
        if self.tokens is not None:
            labels = None if self.labels is None else self.labels[start:end]
            return TextBatch(Batch(*(tensor[start:end] for tensor in self.tokens)), None, size, labels)
        assert self.bags is not None
        texts, components, counts = self.bags
        chosen = (texts >= start) & (texts < end)
        return TextBatch(None, (texts[chosen] - start, components[chosen], counts[chosen]), size)


class TrainableSide(nn.Module):
    """A side with a network."""

    def __init__(self, side: TransformerSide) -> None:
        super().__init__()
        self.backbone, self.head = side.backbone, side.head
        self.window: int | None = side.head.spec.window  # a training can set another one

    def forward(self, batch: Batch, labels: Tensor | None = None) -> Weights:
        states = self.backbone.states(batch.ids, batch.mask)
        weights = head_weights(self.head, states, batch, self.window)
        if labels is None:
            return weights
        assert states.inputs is not None and self.head.vocabulary is not None
        return weights._replace(masked=prediction_error(states.inputs, self.head.vocabulary.output, labels))


class TrainableTable(nn.Module):
    """A side with a table of token weights.

    learns: "fixed" learns nothing, "scale" one factor (the unified framework's binary texts), "table" every weight
        (OpenSearch's trainable IDF; never below 0), "learned" a projection of word embeddings (Li-LSR), which needs
        `embeddings`.
    """

    weights: Tensor
    allowed: Tensor

    def __init__(self, side: LookupSide, learns: str, embeddings: Tensor | None, seed: int) -> None:
        super().__init__()
        weights = torch.from_numpy(side.weights.copy())
        self.learns = learns
        self.register_buffer("allowed", (weights > 0).float(), persistent=False)
        self.learned: LearnedTable | None = None
        if learns == LEARNED:
            if embeddings is None:
                raise ParameterError(
                    'query_table "learned" needs word embeddings, which documents do not have; use documents with a '
                    "network"
                )
            allowed = torch.ones(len(weights))
            if not side.spec.special_components:
                allowed[list(side.tokens.special)] = 0
            self.allowed = allowed
            with seeded(seed):
                self.learned = LearnedTable(embeddings.detach().clone())
        elif learns == TABLE:
            self.free = nn.Parameter(weights)
        else:
            self.register_buffer("weights", weights, persistent=False)
            if learns == SCALE:
                self.scale = nn.Parameter(torch.ones(()))

    def table(self) -> Tensor:
        """float32 [components]."""
        if self.learned is not None:
            return self.learned() * self.allowed  # type: ignore[no-any-return]
        if self.learns == TABLE:
            return torch.relu(self.free) * self.allowed
        return self.weights * torch.relu(self.scale) if self.learns == SCALE else self.weights

    def forward(self, bags: tuple[Tensor, Tensor, Tensor], size: int) -> Weights:
        texts, components, counts = bags
        table = self.table()
        weights = torch.zeros(size, len(table), device=table.device)
        weights = weights.index_put((texts, components), table[components] * counts)
        return Weights(weights, weights)


class TrainableEncoder(nn.Module):
    """Both sides of a SparseEncoder, with the same shared parts.

    query_table: what a table of queries learns, one of QUERY_TABLES.
    document_table: what a table of documents learns, "fixed" or "scale".
    seed: the seed of the initial weights of a learned table.

    Raises ParameterError if both sides have tables, and for a table on a side without one.
    """

    def __init__(
        self, encoder: SparseEncoder, query_table: str = FIXED, seed: int = 0, document_table: str = FIXED
    ) -> None:
        super().__init__()
        document, query = encoder.document_side, encoder.query_side
        if isinstance(document, LookupSide) and isinstance(query, LookupSide):
            raise ParameterError(
                f"{encoder.name}: queries and documents are looked up, so there is no network to train; start from an "
                "encoder with a network"
            )
        self.encoder = encoder
        self.document: TrainableSide | TrainableTable
        embeddings: Tensor | None = None
        if isinstance(document, LookupSide):
            self.document = TrainableTable(document, document_table, None, seed)
        else:
            self.document = TrainableSide(document)
            embeddings = document.backbone.model.get_input_embeddings().weight
        self.query: TrainableSide | TrainableTable
        if isinstance(query, LookupSide):
            self.query = TrainableTable(query, query_table, embeddings if query_table == LEARNED else None, seed)
        elif query_table != FIXED:
            raise ParameterError(
                f"query_table is {query_table!r}, but {encoder.name} has a network for queries; remove query_table"
            )
        else:
            same = query is document and isinstance(self.document, TrainableSide)
            self.query = self.document if same else TrainableSide(query)
        self.requires_grad_(True)

    def forward(self, queries: TextBatch, documents: TextBatch) -> tuple[Weights, Weights]:
        """Weights of the queries and of the documents, in one call, as data-parallel wrappers need it."""
        return _weights(self.query, queries), _weights(self.document, documents)

    def batch(self, texts: Sequence[str], query: bool) -> TextBatch:
        """Texts as one batch, on the CPU. Changes nothing, so that it can run during a training step."""
        side = self.encoder.query_side if query else self.encoder.document_side
        if isinstance(side, LookupSide):
            return TextBatch(None, _bags(side, texts), len(texts))
        return TextBatch(side.collate(side.tokenize(texts, side.spec.prompt)), None, len(texts))

    def check_maskable(self) -> None:
        """Raises ParameterError unless documents are encoded by a masked language model."""
        side = self.encoder.document_side
        if isinstance(side, LookupSide) or side.head.vocabulary is None or side.tokenizer.mask_token_id is None:
            raise ParameterError(
                f"{self.encoder.name}: has no head mlm for documents, or no mask token, which masked_language needs; "
                "use a masked language model"
            )

    def masked(self, batch: TextBatch, query: bool) -> TextBatch:
        """A batch with some masked tokens, if the side can predict them. Random numbers are torch's."""
        side = self.encoder.query_side if query else self.encoder.document_side
        if batch.tokens is None or isinstance(side, LookupSide) or side.head.vocabulary is None:
            return batch
        tokens, labels = mask_tokens(batch.tokens, side.tokenizer.mask_token_id, side.dim)
        return batch._replace(tokens=tokens, labels=labels)

    def backbones(self) -> list[Backbone]:
        """The networks, without duplicates."""
        sides = (side for side in (self.document, self.query) if isinstance(side, TrainableSide))
        return list(dict.fromkeys(side.backbone for side in sides))

    @property
    def _no_split_modules(self) -> list[str]:
        """The classes of layers whose weights FSDP distributes together, as accelerate asks for them.

        Layers with the word embeddings are not among them: an output layer outside of them can be tied to these.
        """
        found = set()
        for backbone in self.backbones():
            words = backbone.model.get_input_embeddings().weight
            for kind in backbone.model._no_split_modules or ():
                layers = [each for each in backbone.modules() if type(each).__name__ == kind]
                if layers and not any(each is words for layer in layers for each in layer.parameters()):
                    found.add(kind)
        return sorted(found)

    def gradient_checkpointing(self) -> None:
        """Do not keep the states of layers, but compute them again for gradients."""
        for backbone in self.backbones():
            backbone.checkpoint_states()

    def update_encoder(self) -> None:
        """Let the encoder encode with the present weights."""
        for side, ours in ((self.encoder.query_side, self.query), (self.encoder.document_side, self.document)):
            if isinstance(side, TransformerSide) and isinstance(ours, TrainableSide):
                if side.head.vocabulary is not None:
                    side.head.vocabulary.prepare()
                side.set_window(ours.window)
        self.encoder.update_spec()
        for ours, replace_table in (
            (self.query, self.encoder.set_query_table),
            (self.document, self.encoder.set_document_table),
        ):
            if isinstance(ours, TrainableTable) and ours.learns != FIXED:
                replace_table(ours.table().detach().cpu().numpy())


def _weights(side: TrainableSide | TrainableTable, batch: TextBatch) -> Weights:
    if isinstance(side, TrainableTable):
        assert batch.bags is not None
        looked_up: Weights = side(batch.bags, batch.size)
        return looked_up
    assert batch.tokens is not None
    weights: Weights = side(batch.tokens, batch.labels)
    return weights


def head_weights(head: Head, states: States, batch: Batch, window: int | None) -> Weights:
    """Like Head.vectors, but dense and with gradients: float32 [texts, components].

    window: replaces the window of the spec. Weights at or below zero, which sparse vectors omit, are kept.
    """
    spec = head.spec
    weights = _mlp(head, states, batch) if head.vocabulary is None else _mlm(head, states, batch)
    literal = literal_tokens(batch, head.components) if spec.literal_only or head.residual is not None else None
    found = [weights]
    if head.lexical is not None:
        stems = head.lexical.stems.expand_as(weights)
        weights = torch.zeros_like(weights).scatter_reduce(1, stems, weights, "amax")
        texts, components, counted = head.lexical(*batch.all_tokens(), len(batch.ids))
        found = [weights, torch.zeros_like(weights).index_put((texts, components), counted.to(weights.dtype))]
    if not spec.special_components:
        found = [each * head.kept_components for each in found]
    if spec.literal_only and literal is not None:
        found = [each * literal for each in found]
    base = weights = found[0]
    if head.residual is not None:
        assert states.last is not None and literal is not None
        last = states.last[torch.arange(len(batch.ids), device=batch.ids.device), batch.mask.sum(1) - 1].float()
        other = _exact(head.residual, torch.log1p(torch.relu(last)))
        weights = weights + literal * (other.amax(1, keepdim=True) - other)
    if spec.lexical is not None:
        weights, counts = torch.relu(weights), found[1]
        if window is not None and window < weights.shape[1]:
            width = expansion_width(window, (counts > 0).sum(1, keepdim=True))
            weights = torch.where(counts > 0, weights, focused(weights * (counts == 0), width))
        weights = spec.lexical * weights + counts
    elif window is not None and window < weights.shape[1]:
        weights = focused(weights, window)
    if spec.unit_length:
        weights = weights / weights.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    return Weights(weights, base)


def tokens_present(batch: TextBatch, components: int) -> Tensor:
    """float32 [texts, components], 1 at the tokens of each text."""
    if batch.tokens is not None:
        return literal_tokens(batch.tokens, components)
    assert batch.bags is not None
    present = torch.zeros(batch.size, components, device=batch.bags[0].device)
    present[batch.bags[0], batch.bags[1]] = 1
    return present


def literal_tokens(batch: Batch, components: int) -> Tensor:
    """float32 [texts, components], 1 at the tokens of each text except special tokens."""
    literal = torch.zeros(len(batch.ids), components, device=batch.ids.device)
    literal[batch.own_tokens()] = 1
    return literal


def _mlm(head: Head, states: States, batch: Batch) -> Tensor:
    inputs, spec, counted = states.inputs, head.spec, batch.counted
    assert inputs is not None and head.vocabulary is not None
    weight, bias = head.vocabulary.output.weight, head.vocabulary.output.bias
    activate = ACTIVATION_FUNCTIONS[spec.activation]
    if spec.pooling in ("first", "last"):
        at = torch.zeros_like(batch.ids[:, 0]) if spec.pooling == "first" else batch.mask.sum(1) - 1
        inputs = inputs[torch.arange(len(at), device=at.device), at][:, None]
        counted = torch.ones_like(batch.mask[:, :1])
    importance = None
    if head.importance is not None:
        assert states.last is not None
        importance = torch.log1p(nn.functional.softplus(_exact(head.importance, states.last)))
    if spec.pooling == "sum":
        mask = counted[:, :, None]
        weights = pooled_weights(inputs, weight, bias, importance, lambda z: (activate(z) * mask).sum(1))
    else:
        if importance is None:
            largest = max_logits(inputs, counted, weight, bias)
        else:
            outside = ~counted[:, :, None]
            # As in Head: tokens that do not count have a logit of 0, or none.
            least = float("-inf") if spec.special_positions else 0.0
            largest = pooled_weights(inputs, weight, bias, importance, lambda z: z.masked_fill(outside, least).amax(1))
        if not spec.special_positions and spec.pooling == "max":
            largest = largest.clamp(min=0)
        weights = activate(largest)
        if spec.activation in ABOVE_ZERO and spec.special_positions:
            weights = weights * counted.any(1, keepdim=True)
    if head.quality is not None:
        assert states.last is not None
        weights = weights * torch.sigmoid(_exact(head.quality, states.last[:, 0]))
    return weights


def _mlp(head: Head, states: States, batch: Batch) -> Tensor:
    assert states.last is not None and head.linear is not None
    weights = ACTIVATION_FUNCTIONS[head.spec.activation](_exact(head.linear, states.last)[:, :, 0])
    texts, positions = batch.counted.nonzero(as_tuple=True)
    places = texts * head.components + batch.ids[texts, positions]
    pooled = torch.zeros(len(batch.ids) * head.components, device=weights.device)
    how = "sum" if head.spec.pooling == "sum" else "amax"
    pooled = pooled.scatter_reduce(0, places, weights[texts, positions], how, include_self=False)
    return pooled.view(len(batch.ids), head.components)


def _exact(layer: nn.Module, inputs: Tensor) -> Tensor:
    """The output of a small layer in float32, for any precision of the networks."""
    with torch.autocast(inputs.device.type, enabled=False):
        found: Tensor = layer(inputs.float())
    return found


def _bags(side: LookupSide, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    rows, components, counts = (torch.from_numpy(each) for each in side.bags(texts))
    return rows, components, counts if side.spec.counts else torch.ones_like(counts)
