"""Penalties in plain Python, component by component."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Rows = Sequence[npt.NDArray[np.float64]]


def masked(rows: Rows, above: int | None) -> Rows:
    return [row * 0 if above is not None and sum(w > 0 for w in row) <= above else row for row in rows]


def flops(rows: Rows, factors: Sequence[float] | None = None) -> float:
    """sum_j factors_j * (mean_i |w_ij|)^2."""
    total = 0.0
    for j in range(len(rows[0])):
        mean = sum(abs(row[j]) for row in rows) / len(rows)
        total += mean**2 * (1.0 if factors is None else factors[j])
    return total


def l1(rows: Rows) -> float:
    return sum(sum(abs(w) for w in row) for row in rows) / len(rows)


def anti_zero(rows: Rows) -> float:
    return 1 / sum(sum(row) for row in rows) ** 2


def pooled(documents: npt.NDArray[np.float64], pooling: str, penalty: Callable[[Rows], float]) -> float:
    """documents: [queries, group, components], the positive first."""
    queries, group, _ = documents.shape
    everything = [documents[i, k] for i in range(queries) for k in range(group)]
    if pooling == "all":
        return penalty(everything)
    if pooling == "halves":
        positives = [documents[i, 0] for i in range(queries)]
        negatives = [documents[i, k] for i in range(queries) for k in range(1, group)]
        return (penalty(positives) + penalty(negatives)) / 2
    return sum(penalty([documents[i, k] for i in range(queries)]) for k in range(group))


def document_frequency_factor(share: float, alpha: float, beta: float) -> float:
    if share == 0:
        return 0.0
    return 1 / (1 + (share ** (math.log(2) / math.log(alpha)) - 1) ** beta)


def shares(batches: Sequence[Rows], half_life: float) -> list[float]:
    """Every document with the weight 1/2^(documents of later batches / half_life)."""
    later, total = 0, 0.0
    counts = [0.0] * len(batches[0][0])
    for batch in reversed(batches):
        weight = 0.5 ** (later / half_life)
        for row in batch:
            total += weight
            counts = [count + weight * (w > 0) for count, w in zip(counts, row, strict=True)]
        later += len(batch)
    return [count / total for count in counts]
