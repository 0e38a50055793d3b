"""From the hidden states of a masked language model to sparse weights, without ever holding all logits."""

from __future__ import annotations

import torch

# Elements of one chunk of logits [tokens, components]: what stays in a core's second-level cache, or is a small part of
# a GPU's memory. Wider chunks are slower on the CPU: the maximum would read the logits back from main memory.
CHUNK_ELEMENTS = {"cpu": 1 << 18}
GPU_CHUNK_ELEMENTS = 1 << 27
NARROWEST_CHUNK = 128


class SpladeMaxHead:
    """w_j = max_i log(1 + max(0, h_i · W_j + b_j)), over the tokens i of a text (Formal et al., 2021, SPLADE-max).

    weight: [components, hidden]. bias: [components] or None. Both as the model's output layer has them.

    The maximum is taken first, over the products alone: the bias is the same for all tokens and the rest rises with its
    argument, so that the result is the same. All positions count, those of special tokens too.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._weight = weight.contiguous()
        self._bias = None if bias is None else bias.float()
        self._elements = CHUNK_ELEMENTS.get(weight.device.type, GPU_CHUNK_ELEMENTS)

    @property
    def components(self) -> int:
        return self._weight.shape[0]

    def maxima(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32 [texts, components]: the largest logit of each component.

        hidden: [texts, tokens, hidden], of the weight's dtype, without padding: where a text has fewer tokens than
        others, one of its own is repeated, which no maximum sees.
        """
        texts, tokens, size = hidden.shape
        flat = hidden.reshape(texts * tokens, size)
        maxima = torch.empty(texts, self.components, device=hidden.device)
        width = max(NARROWEST_CHUNK, self._elements // len(flat))
        for start in range(0, self.components, width):
            logits = flat @ self._weight[start : start + width].T
            maxima[:, start : start + width] = logits.view(texts, tokens, -1).amax(1)
        return maxima if self._bias is None else maxima.add_(self._bias)

    def rows(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(lengths [texts], components [nnz], weights float32 [nnz]), on the CPU; components rise within a text."""
        maxima = self.maxima(hidden)
        positive = maxima > 0
        weights = maxima[positive].log1p_()
        components = positive.nonzero()[:, 1]
        return positive.sum(1).cpu(), components.cpu(), weights.cpu()
