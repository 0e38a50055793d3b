"""Gradients of a batch whose states do not fit in memory together (GradCache, Gao et al. 2021, arXiv 2101.06983).

A loss over a batch needs the vectors of all its texts, but not the states behind them. So the vectors are computed in
chunks without gradients; the loss gives the gradient of each vector; and a second pass computes each chunk again, to
continue from that gradient to the weights: with v the vectors of a chunk, dL/dw = sum_v (dL/dv)(dv/dw). These are the
gradients of the whole batch, for losses and penalties, at the cost of one more forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.utils.checkpoint import get_device_states, set_device_states

from lsr.training.model import Weights
from lsr.training.objective import Cost, TrainingBatch

# Encodes some groups, on their device: the weights of their queries and of their documents.
Encode = Callable[[TrainingBatch], tuple[Weights, Weights]]


def cached_gradients(
    batch: TrainingBatch,
    chunk: int,
    encode: Encode,
    cost_of: Callable[[Weights, Weights], Cost],
    backward: Callable[[Tensor], None],
    around: Callable[[bool], AbstractContextManager[None]],
) -> tuple[Cost, Weights, Weights]:
    """The cost of a batch and its weights. `backward` has then added the gradients of the trained parameters.

    chunk: number of queries encoded together, with their documents. encode is called twice for each chunk, and draws
        the same random numbers both times, for dropout.
    backward: called with a scalar of each chunk, to differentiate it. Only the gradients of the scalar matter.
    around: a context for the second call of a chunk and its backward; its argument says whether the chunk is the last.
    """
    chunks = [batch.part(start, start + chunk) for start in range(0, len(batch.query_ids), chunk)]
    random, found = [], []
    with torch.no_grad():
        for each in chunks:
            random.append(_random_state(each.known))
            found.append(encode(each))
    queries, documents = (_together([pair[side] for pair in found]) for side in range(2))
    del found
    cost = cost_of(queries, documents)
    cost.total.backward()  # type: ignore[no-untyped-call]
    at_query = at_document = 0
    for number, (each, state) in enumerate(zip(chunks, random, strict=True)):
        _set_random_state(state)
        with around(number + 1 == len(chunks)):
            of_queries, of_documents = encode(each)
            backward(_product(of_queries, queries, at_query) + _product(of_documents, documents, at_document))
        at_query, at_document = at_query + len(of_queries.final), at_document + len(of_documents.final)
    return cost, queries, documents


def _together(parts: Sequence[Weights]) -> Weights:
    """The weights of all chunks, detached from their gradients."""
    final = torch.cat([part.final for part in parts]).requires_grad_()
    if all(part.base is part.final for part in parts):
        return Weights(final, final)
    return Weights(final, torch.cat([part.base for part in parts]).requires_grad_())


def _product(chunk: Weights, whole: Weights, start: int) -> Tensor:
    """A scalar whose gradient for a chunk's weights is that of `whole`. start: the number of the first text."""
    pairs = [(chunk.final, whole.final)] + [(chunk.base, whole.base)] * (whole.base is not whole.final)
    total = chunk.final.new_zeros(())
    for weights, all_weights in pairs:
        if all_weights.grad is not None:
            total = total + (weights * all_weights.grad[start : start + len(weights)]).sum()
    return total


_RandomState = tuple[Tensor, list[int], list[Tensor]]


def _random_state(on_device: Tensor) -> _RandomState:
    return torch.get_rng_state(), *get_device_states(on_device)


def _set_random_state(state: _RandomState) -> None:
    cpu, devices, states = state
    torch.set_rng_state(cpu)
    set_device_states(devices, states)
