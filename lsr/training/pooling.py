"""The weights of all components of the vocabulary from states, with gradients, without the logits of a whole batch.

A batch of 64 texts of 256 tokens over 30,522 components has 500 million logits: 2 GB, and the same for their gradients.
Here, logits are computed in chunks of components. The gradient of a maximum goes only to its position, which is found
again; sums are computed again, chunk by chunk, when gradients are needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lsr.encoders.sparse.heads import CPU_CHUNK_ELEMENTS, GPU_CHUNK_ELEMENTS, NARROWEST_CHUNK

GRADIENT_ELEMENTS = 1 << 24  # products of gradients and states in memory at once

Activation = Callable[[Tensor], Tensor]


def max_logits(inputs: Tensor, counted: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The maximum over the counted positions i of inputs_i · weight_j + bias_j: float32 [texts, components].

    inputs: float [texts, tokens, hidden].
    counted: bool [texts, tokens]; a text without counted positions gets 0 everywhere, and no gradient.
    weight: float [components, hidden].
    bias: float [components] or None.

    Of equal logits, the first position gets the gradient, while a maximum over all logits would distribute it. The
    backward pass costs one product of vectors for each component with a gradient other than 0, of which a sparse vector
    has few.
    """
    has_some = counted.any(1)
    first = inputs[torch.arange(len(inputs), device=inputs.device), counted.int().argmax(1)]
    # A position that does not count is replaced by the text's first one that does: no maximum changes.
    filled = torch.where(counted[:, :, None], inputs, first[:, None])
    maxima: Tensor = _MaxProducts.apply(filled, counted, weight)  # type: ignore[no-untyped-call]
    if bias is not None:
        maxima = maxima + bias.float()
    # Finding out whether this is needed would wait for a GPU.
    return maxima * has_some[:, None] if has_some.is_cuda or not bool(has_some.all()) else maxima


def pooled_weights(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    importance: Tensor | None,
    pool: Callable[[Tensor], Tensor],
) -> Tensor:
    """pool(logits) of all chunks of components, concatenated: float32 [texts, components].

    inputs: float [texts, tokens, hidden].
    importance: float [texts, tokens, 1], the factors of logits, or None.
    pool: logits [texts, tokens, some components] -> [texts, some components]; it is called again for gradients.
    """
    width = _width(inputs, len(weight))
    biases = [None] * -(-len(weight) // width) if bias is None else torch.split(bias, width)

    def chunk(states: Tensor, some: Tensor, some_bias: Tensor | None, factor: Tensor | None) -> Tensor:
        logits = (states @ some.T).float()
        if some_bias is not None:
            logits = logits + some_bias.float()
        return pool(logits if factor is None else logits * factor)

    return torch.cat(
        [
            checkpoint(chunk, inputs, some, some_bias, importance, use_reentrant=False, preserve_rng_state=False)
            for some, some_bias in zip(torch.split(weight, width), biases, strict=True)
        ],
        dim=1,
    )


class _MaxProducts(torch.autograd.Function):
    """max_i h_i · W_j with gradients for h and W, which come only from the position of each maximum."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, counted: Tensor, weight: Tensor) -> Tensor:
        maxima = torch.empty(len(inputs), len(weight), device=inputs.device)
        for some, length in _parts(counted):
            flat = inputs[some, :length].flatten(0, 1)
            width = _width(flat, len(weight))
            for start in range(0, len(weight), width):
                logits = flat @ weight[start : start + width].T
                maxima[some, start : start + width] = logits.view(-1, length, logits.shape[1]).amax(1)
        ctx.save_for_backward(inputs, weight)
        return maxima

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor | None]:
        (gradient,) = gradients
        inputs, weight = ctx.saved_tensors
        for_inputs = torch.zeros(inputs.shape, device=inputs.device)
        # As large as the output layer, which is not trained with low-rank adapters.
        for_weight = torch.zeros(weight.shape, device=inputs.device) if ctx.needs_input_grad[2] else None
        chosen, components = gradient.nonzero(as_tuple=True)
        values = gradient[chosen, components]
        counts = torch.bincount(chosen, minlength=len(inputs)).tolist()
        step = max(1, GRADIENT_ELEMENTS // max(inputs.shape[1:]))
        # Storing the position of every maximum takes longer than finding those with a gradient again.
        for text, (all_some, all_given) in enumerate(
            zip(torch.split(components, counts), torch.split(values, counts), strict=True)
        ):
            states = inputs[text].to(weight.dtype)
            for some, given in zip(torch.split(all_some, step), torch.split(all_given, step), strict=True):
                rows = weight[some]
                places = (rows @ states.T).argmax(1, keepdim=True)
                # Products with this nearly empty matrix are faster than adding rows one by one.
                at = torch.zeros(len(some), len(states), device=states.device).scatter_(1, places, given[:, None])
                for_inputs[text] += at.T @ rows.float()
                if for_weight is not None:  # `some` are distinct
                    for_weight.index_add_(0, some, at @ states.float())
        of_weight = None if for_weight is None else for_weight.to(weight.dtype)
        return for_inputs.to(inputs.dtype), None, of_weight


def _parts(counted: Tensor) -> list[tuple[slice, int]]:
    """Ranges of texts to multiply at once, and their numbers of tokens: on a CPU one text each, without padding."""
    texts, tokens = counted.shape
    if counted.device.type != "cpu":
        return [(slice(texts), tokens)]
    lengths = (counted * torch.arange(1, tokens + 1)).amax(1).clamp(min=1).tolist()
    return [(slice(text, text + 1), length) for text, length in enumerate(lengths)]


def _width(inputs: Tensor, components: int) -> int:
    elements = CPU_CHUNK_ELEMENTS if inputs.device.type == "cpu" else GPU_CHUNK_ELEMENTS
    return min(components, max(NARROWEST_CHUNK, elements // max(math.prod(inputs.shape[:-1]), 1)))
