"""From states to a weight for every component of the vocabulary, with gradients, never holding a batch's logits.

A batch of 64 texts of 256 tokens over 30,522 components has 500 million logits: 2 GB, and as much again for their
gradients. Here they come a chunk of components at a time. The gradient of a maximum goes to the position that it came
from alone, which is found again; sums are computed anew, chunk by chunk, when gradients are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lsr.encoders.sparse.heads import CPU_CHUNK_ELEMENTS, GPU_CHUNK_ELEMENTS, NARROWEST_CHUNK

GRADIENT_ELEMENTS = 1 << 24  # of products of gradients and states, held at once

Activation = Callable[[Tensor], Tensor]


def max_logits(inputs: Tensor, counted: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The maximum over the counted positions i of inputs_i · weight_j + bias_j: float32 [texts, components].

    inputs: float [texts, tokens, hidden]. counted: bool [texts, tokens]; a text without any gets 0 everywhere, and no
    gradient. weight: float [components, hidden]. bias: float [components] or None.

    Of equal logits the first position takes the gradient, where a maximum over all logits would share it out. The
    backward pass costs one product of vectors for each component whose gradient is not 0, few in a sparse vector.
    """
    has_some = counted.any(1)
    first = inputs[torch.arange(len(inputs), device=inputs.device), counted.int().argmax(1)]
    # Instead of a position that does not count, the text's first that does, again: no maximum changes.
    filled = torch.where(counted[:, :, None], inputs, first[:, None])
    maxima: Tensor = _MaxProducts.apply(filled, counted, weight)  # type: ignore[no-untyped-call]
    if bias is not None:
        maxima = maxima + bias.float()
    # A GPU would have to be waited for to know whether this is needed.
    return maxima * has_some[:, None] if has_some.is_cuda or not bool(has_some.all()) else maxima


def pooled_weights(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    importance: Tensor | None,
    pool: Callable[[Tensor], Tensor],
) -> Tensor:
    """pool(logits) of every chunk of components, side by side: float32 [texts, components].

    inputs: float [texts, tokens, hidden]. importance: float [texts, tokens, 1], by which logits are multiplied, or
    None. pool: logits [texts, tokens, some components] -> [texts, some components]; it is called again for gradients.
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
    """max_i h_i · W_j with gradients for h and W, which only the position of each maximum passes on."""

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
        texts, tokens, size = inputs.shape
        flat = inputs.reshape(texts * tokens, size)
        for_inputs = torch.zeros(flat.shape, device=flat.device)
        # As large as the output layer, which does not learn beside low-rank adapters.
        for_weight = torch.zeros(weight.shape, device=flat.device) if ctx.needs_input_grad[2] else None
        chosen, components = gradient.nonzero(as_tuple=True)
        values = gradient[chosen, components][:, None]
        # Remembering the position of every maximum takes longer than finding those again that have a gradient.
        of_texts = torch.split(components, torch.bincount(chosen, minlength=texts).tolist())
        texts_states = inputs.to(weight.dtype)
        places = [(weight[some] @ states.T).argmax(1) for states, some in zip(texts_states, of_texts, strict=True)]
        rows = chosen * tokens + torch.cat(places)
        step = max(1, GRADIENT_ELEMENTS // size)
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            for_inputs.index_add_(0, rows[some], values[some] * weight[components[some]])
            if for_weight is not None:
                for_weight.index_add_(0, components[some], values[some] * flat[rows[some]])
        of_weight = None if for_weight is None else for_weight.to(weight.dtype)
        return for_inputs.to(inputs.dtype).view(inputs.shape), None, of_weight


def _parts(counted: Tensor) -> list[tuple[slice, int]]:
    """Texts that are multiplied at once, and how many of their tokens: on a CPU each text alone, without padding."""
    texts, tokens = counted.shape
    if counted.device.type != "cpu":
        return [(slice(texts), tokens)]
    lengths = (counted * torch.arange(1, tokens + 1)).amax(1).clamp(min=1).tolist()
    return [(slice(text, text + 1), length) for text, length in enumerate(lengths)]


def _width(inputs: Tensor, components: int) -> int:
    elements = CPU_CHUNK_ELEMENTS if inputs.device.type == "cpu" else GPU_CHUNK_ELEMENTS
    return min(components, max(NARROWEST_CHUNK, elements // max(math.prod(inputs.shape[:-1]), 1)))
