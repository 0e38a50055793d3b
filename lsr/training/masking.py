"""Masked language modeling (Devlin et al. 2019), which trains a backbone further on the texts of a collection.

With FLOPS, it is the middle training of Efficient SPLADE (Lassance and Clinchant 2022, arXiv 2207.03834).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lsr.encoders.sparse.heads import Batch

PREDICTED = 0.15  # share of the tokens
MASKED, REPLACED = 0.8, 0.1  # shares of the predicted tokens; the other predicted tokens stay in the text
IGNORED = -100  # the label of positions that are not predicted
LOGITS_AT_ONCE = 1 << 25


def mask_tokens(batch: Batch, mask_id: int, components: int) -> tuple[Batch, Tensor]:
    """The texts with some masked tokens, and the original tokens: int64 [texts, tokens], IGNORED elsewhere.

    Special tokens are never masked. Random numbers are torch's, of the device of the batch.
    """
    drawn = torch.rand(2, *batch.ids.shape, device=batch.ids.device)
    predicted = (drawn[0] < PREDICTED) & batch.mask & ~batch.special
    masked, replaced = drawn[1] < MASKED, (drawn[1] >= MASKED) & (drawn[1] < MASKED + REPLACED)
    ids = torch.where(predicted & masked, mask_id, batch.ids)
    ids = torch.where(predicted & replaced, torch.randint_like(ids, components), ids)
    return batch._replace(ids=ids), torch.where(predicted, batch.ids, IGNORED)


def prediction_error(inputs: Tensor, output: nn.Linear, labels: Tensor) -> Tensor:
    """The mean cross-entropy of the masked tokens; 0 without masked tokens.

    inputs: float [texts, tokens, hidden], the inputs of the output layer. labels: from mask_tokens. Only the logits of
        masked positions are computed, in chunks, and again for gradients.
    """
    asked = labels != IGNORED
    states, targets = inputs[asked], labels[asked]

    def error(some: Tensor, wanted: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return nn.functional.cross_entropy(nn.functional.linear(some, weight, bias).float(), wanted, reduction="sum")

    rows = max(1, LOGITS_AT_ONCE // len(output.weight))
    total = inputs.sum() * 0.0
    for some, wanted in zip(torch.split(states, rows), torch.split(targets, rows), strict=True):
        total = total + checkpoint(error, some, wanted, output.weight, output.bias, use_reentrant=False)
    return total / max(1, len(targets))
