"""Pooling in chunks gives the values and the gradients of pooling over all logits at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lsr.training import pooling
from lsr.training.pooling import max_logits, pooled_weights

TEXTS, TOKENS, HIDDEN, COMPONENTS = 4, 7, 6, 53


@pytest.fixture(params=["one chunk", "many chunks"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many chunks":
        monkeypatch.setattr(pooling, "CPU_CHUNK_ELEMENTS", 1)
        monkeypatch.setattr(pooling, "NARROWEST_CHUNK", 8)
        monkeypatch.setattr(pooling, "GRADIENT_ELEMENTS", 5 * HIDDEN)


def make(seed: int, bias: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    torch.manual_seed(seed)
    counted = torch.rand(TEXTS, TOKENS) < 0.7
    counted[:, 0] |= ~counted.any(1)
    return (
        torch.randn(TEXTS, TOKENS, HIDDEN, requires_grad=True),
        counted,
        torch.randn(COMPONENTS, HIDDEN, requires_grad=True),
        torch.randn(COMPONENTS, requires_grad=True) if bias else None,
    )


def gradients(loss: Tensor, *of: Tensor | None) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [each for each in of if each is not None]))


def both(found: Tensor, expected: Tensor, *of: Tensor | None) -> None:
    """Equal values, and equal gradients of a loss that weighs every component differently and lets many have none."""
    torch.testing.assert_close(found, expected)
    factors = torch.randn(found.shape)
    losses = [(torch.log1p(torch.relu(each)) * factors).sum() for each in (found, expected)]
    for ours, theirs in zip(gradients(losses[0], *of), gradients(losses[1], *of), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
        assert ours.abs().max() > 0.1


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.usefixtures("chunks")
def test_maxima(bias: bool) -> None:
    inputs, counted, weight, shift = make(1, bias)
    logits = inputs @ weight.T + (0 if shift is None else shift)
    expected = logits.masked_fill(~counted[:, :, None], float("-inf")).amax(1)
    both(max_logits(inputs, counted, weight, shift), expected, inputs, weight, shift)


@given(st.integers(0, 10**6))
def test_maxima_of_any_states(seed: int) -> None:
    inputs, counted, weight, bias = make(seed)
    assert bias is not None
    expected = (inputs @ weight.T + bias).masked_fill(~counted[:, :, None], float("-inf")).amax(1)
    both(max_logits(inputs, counted, weight, bias), expected, inputs, weight, bias)


POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda z: torch.log1p(torch.relu(z)).sum(1),
    "softplus": lambda z: torch.nn.functional.softplus(z).amax(1),
}


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.usefixtures("chunks")
def test_sums(pool: str, weighted: bool) -> None:
    inputs, _, weight, bias = make(2)
    importance = torch.rand(TEXTS, TOKENS, 1, requires_grad=True) if weighted else None
    logits = inputs @ weight.T + bias
    expected = POOLS[pool](logits if importance is None else logits * importance)
    both(pooled_weights(inputs, weight, bias, importance, POOLS[pool]), expected, inputs, weight, bias, importance)


def test_a_text_without_positions_that_count() -> None:
    inputs, counted, weight, bias = make(3)
    counted[1] = False
    maxima = max_logits(inputs, counted, weight, bias)
    assert (maxima[1] == 0).all()
    (gradient,) = gradients(maxima.sum(), inputs)
    assert (gradient[1] == 0).all()
    assert (gradient[0] != 0).any()


def test_no_logits_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the graph holds between the passes does not grow with tokens x components."""
    monkeypatch.setattr(pooling, "CPU_CHUNK_ELEMENTS", 1)
    monkeypatch.setattr(pooling, "NARROWEST_CHUNK", 64)
    inputs, weight = torch.randn(2, 500, 4, requires_grad=True), torch.randn(1000, 4, requires_grad=True)
    counted = torch.ones(2, 500, dtype=torch.bool)
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        max_logits(inputs, counted, weight, None).sum().backward()
        pooled_weights(inputs, weight, None, None, POOLS["sum"]).sum()
    assert max(sizes) <= max(inputs.numel(), weight.numel(), 2 * 1000)
    assert max(sizes) < 2 * 500 * 1000 / 100
