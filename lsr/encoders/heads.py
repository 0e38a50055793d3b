"""From the hidden states of a masked language model to sparse weights, without ever holding all logits."""

from __future__ import annotations

import torch

# Elements of one chunk of logits [tokens, components]: what stays in a core's second-level cache, or is a small part of
# a GPU's memory. Wider chunks are slower on the CPU: the maximum would read the logits back from main memory.
CPU_CHUNK_ELEMENTS = 1 << 18
GPU_CHUNK_ELEMENTS = 1 << 27
NARROWEST_CHUNK = 128

# Rounding two factors to bfloat16, each by at most 2**-8 of itself, changes their dot product by less than this share
# of the product of their lengths (Cauchy and Schwarz); the last 2**-10 covers sums in float32.
SCREENING_ERROR = 2 * 2**-8 + 2**-16 + 2**-10
ROUNDING_ERROR = 2**-8 + 2**-14  # of the result itself, relative to what it was rounded to


class SpladeMaxHead:
    """w_j = max_i log(1 + max(0, h_i · W_j + b_j)), over the tokens i of a text (Formal et al., 2021, SPLADE-max).

    weight: [components, hidden]. bias: [components] or None. Both as the model's output layer has them.

    The maximum is taken first, over the products alone: the bias is the same for all tokens and the rest rises with its
    argument, so that the result is the same. All positions count, those of special tokens too.

    A CPU with instructions for bfloat16 multiplies it several times as fast as float32. There, float32 weights are
    found in two steps: products in bfloat16, with a bound of their error, leave out the components that cannot be
    above zero, nearly all of them; those left are computed in float32. The result is that of float32.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._weight = weight.contiguous()
        self._bias = torch.zeros(len(weight), device=weight.device) if bias is None else bias.float()
        on_cpu = weight.device.type == "cpu"
        self._chunk_elements = CPU_CHUNK_ELEMENTS if on_cpu else GPU_CHUNK_ELEMENTS
        self._screen: torch.Tensor | None = None
        if on_cpu and weight.dtype == torch.float32 and _multiplies_bfloat16():
            self._screen = self._weight.bfloat16()
            self._error = self._weight.norm(dim=1) * SCREENING_ERROR

    @property
    def components(self) -> int:
        return len(self._weight)

    def rows(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(lengths int64 [texts], components int64 [nnz], weights float32 [nnz]), on the CPU, components rising.

        hidden: [texts, tokens, hidden], of the weight's dtype, without padding: where a text has fewer tokens than
        others, one of its own is repeated, which no maximum sees.
        """
        if self._screen is not None:
            return self._screened_rows(hidden, self._screen)
        logits = self._maxima(hidden, self._weight).add_(self._bias)
        texts, components = (logits > 0).nonzero(as_tuple=True)
        weights = logits[texts, components].log1p_()
        return torch.bincount(texts, minlength=len(hidden)).cpu(), components.cpu(), weights.cpu()

    def _maxima(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """max_i h_i · W_j, float32 [texts, components]."""
        texts, tokens, size = hidden.shape
        flat = hidden.reshape(texts * tokens, size)
        maxima = torch.empty(texts, len(weight), device=hidden.device)
        width = max(NARROWEST_CHUNK, self._chunk_elements // len(flat))
        for start in range(0, len(weight), width):
            logits = flat @ weight[start : start + width].T
            maxima[:, start : start + width] = logits.view(texts, tokens, -1).amax(1)
        return maxima

    def _screened_rows(
        self, hidden: torch.Tensor, screen: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        longest = hidden.norm(dim=2).amax(1)
        maxima = self._maxima(hidden.bfloat16(), screen)
        bound = torch.addcmul(self._bias, self._error, longest[:, None])
        bound.add_(maxima).add_(maxima.abs_(), alpha=ROUNDING_ERROR)
        texts, candidates = (bound > 0).nonzero(as_tuple=True)
        counts = torch.bincount(texts, minlength=len(hidden))
        components, weights, lengths = [], [], []
        for states, chosen in zip(hidden, torch.split(candidates, counts.tolist()), strict=True):
            logits = (states @ self._weight[chosen].T).amax(0).add_(self._bias[chosen])
            positive = logits > 0
            components.append(chosen[positive])
            weights.append(logits[positive].log1p_())
            lengths.append(len(components[-1]))
        return torch.tensor(lengths), torch.cat(components), torch.cat(weights)


def _multiplies_bfloat16() -> bool:
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
