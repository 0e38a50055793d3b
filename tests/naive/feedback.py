"""Feedback over dictionaries, one term at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Vector = Mapping[int, float]


def unit(vector: Vector) -> dict[int, float]:
    length = sum(weight**2 for weight in vector.values()) ** 0.5
    return {component: weight / length for component, weight in vector.items()} if length else {}


def top_of_mean(documents: Sequence[Vector], terms: int) -> dict[int, float]:
    """The heaviest terms of the mean of unit vectors, as a unit vector."""
    mean: dict[int, float] = {}
    for document in documents:
        if sum(weight**2 for weight in document.values()) ** 0.5 > 0.001:
            for component, weight in unit(document).items():
                mean[component] = mean.get(component, 0.0) + weight / len(documents)
    heaviest = sorted(mean, key=lambda component: (-mean[component], component))[:terms]
    return unit({component: mean[component] for component in heaviest})


def rocchio(
    query: Vector,
    relevant: Sequence[Vector],
    not_relevant: Sequence[Vector],
    alpha: float,
    beta: float,
    gamma: float,
    terms: int,
) -> dict[int, float]:
    if not relevant:
        return dict(query)
    weights: dict[int, float] = {}
    for factor, vector in (
        (alpha, unit(query)),
        (beta, top_of_mean(relevant, terms)),
        (-gamma, top_of_mean(not_relevant, terms) if not_relevant else {}),
    ):
        for component, weight in vector.items():
            weights[component] = weights.get(component, 0.0) + factor * weight
    return {component: weight for component, weight in weights.items() if weight > 0}
