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


def shares(vector: Vector) -> dict[int, float]:
    """A language model: each weight over the sum of all."""
    total = sum(vector.values())
    return {component: weight / total for component, weight in vector.items()} if total else {}


def heaviest(vector: Vector, most: int) -> dict[int, float]:
    chosen = sorted((c for c in vector if vector[c] > 0), key=lambda component: (-vector[component], component))
    return {component: vector[component] for component in chosen[:most]}


def rm3(query: Vector, documents: Sequence[tuple[Vector, float]], alpha: float, terms: int) -> dict[int, float]:
    """The interpolated model of a query, and of documents with their scores; {} where documents have no term."""
    scores = [max(score, 0.0) for _, score in documents]
    if not any(scores):
        scores = [1.0] * len(documents)
    model: dict[int, float] = {}
    for (document, _), score in zip(documents, scores, strict=True):
        for component, share in shares(heaviest(document, terms)).items():
            model[component] = model.get(component, 0.0) + share * score
    model = shares(heaviest(model, terms))
    if not model:
        return {}
    asked = shares(query)
    mixed = {c: alpha * asked.get(c, 0.0) + (1 - alpha) * model.get(c, 0.0) for c in {*asked, *model}}
    return {component: weight for component, weight in mixed.items() if weight > 0}
