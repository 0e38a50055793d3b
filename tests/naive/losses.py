"""Losses in plain Python, query by query, from a matrix of scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def cross_entropy(right: float, wrong: Sequence[float]) -> float:
    """-log of the share of exp(right) in the sum of all."""
    largest = max([right, *wrong])
    total = sum(math.exp(score - largest) for score in [right, *wrong])
    return -(right - largest - math.log(total))


def softmax(scores: Sequence[float]) -> list[float]:
    largest = max(scores)
    powers = [math.exp(score - largest) for score in scores]
    return [power / sum(powers) for power in powers]


def negatives(name: str, queries: int, group: int, query: int) -> list[int]:
    """The columns that count against the positive of a query."""
    positives = [other * group for other in range(queries)]
    own = [query * group + k for k in range(1, group)]
    everything = range(queries * group)
    chosen = {
        "in-batch": [*positives, *own],
        "multiple-negatives": everything,
        "contrastive": [column for column in everything if column not in positives],
        "pairwise": own,
    }[name]
    return [column for column in chosen if column != query * group]


def ranking(name: str, scores: Matrix, known: npt.NDArray[np.bool_] | None, temperature: float) -> float:
    queries, documents = scores.shape
    group = documents // queries
    losses = []
    for query in range(queries):
        columns = negatives(name, queries, group, query)
        if known is not None and name != "pairwise":
            columns = [column for column in columns if not known[query, column]]
        wrong = [scores[query, column] / temperature for column in columns]
        losses.append(cross_entropy(scores[query, query * group] / temperature, wrong))
    return sum(losses) / queries


def negative_likelihood(scores: Matrix, temperature: float) -> float:
    """How likely it is, on the average, that a document of the query other than the positive one is drawn."""
    queries, documents = scores.shape
    group = documents // queries
    own = [scores[query, query * group : (query + 1) * group] / temperature for query in range(queries)]
    return sum(sum(softmax(list(each))[1:]) for each in own) / queries


def margin_mse(scores: Matrix, teacher: Matrix, everything: bool) -> float:
    """teacher: of the own documents."""
    queries, documents = scores.shape
    group = documents // queries
    errors = []
    for query in range(queries):
        own = scores[query, query * group : (query + 1) * group]
        for a in range(group) if everything else [0]:
            for b in range(group) if everything else range(1, group):
                errors.append(((own[a] - own[b]) - (teacher[query][a] - teacher[query][b])) ** 2)
    return sum(errors) / len(errors)


def kl(scores: Matrix, teacher: Matrix, temperature: float) -> float:
    queries, documents = scores.shape
    group = documents // queries
    total = 0.0
    for query in range(queries):
        whole = len(teacher[query]) == documents
        mine = scores[query] if whole else scores[query, query * group : (query + 1) * group]
        student = softmax([score / temperature for score in mine])
        wanted = softmax([score / temperature for score in teacher[query]])
        total += sum(p * (math.log(p) - math.log(q)) for p, q in zip(wanted, student, strict=True) if p > 0)
    return total / queries * temperature**2


def loss(name: str, scores: Matrix, teacher: Matrix, known: npt.NDArray[np.bool_] | None, temperature: float) -> float:
    """Any loss. teacher: of the own documents, or of all for kl."""
    others: dict[str, Callable[[], float]] = {
        "negative-likelihood": lambda: negative_likelihood(scores, temperature),
        "margin-mse": lambda: margin_mse(scores, teacher, everything=False),
        "margin-mse-all": lambda: margin_mse(scores, teacher, everything=True),
        "kl": lambda: kl(scores, teacher, temperature),
    }
    return others[name]() if name in others else ranking(name, scores, known, temperature)


def term_mse(weights: Matrix, targets: Sequence[tuple[int, int, float]]) -> float:
    """targets: (text, component, weight)."""
    wanted = {(text, component): weight for text, component, weight in targets}
    errors = [
        (weights[text, component] - wanted.get((text, component), 0.0)) ** 2
        for text in range(weights.shape[0])
        for component in range(weights.shape[1])
    ]
    return sum(errors) / len(errors)


def combined_scores(
    teachers: Sequence[Matrix], normalize: str, scale: float, weights: Sequence[float] | None
) -> list[list[float]]:
    """[queries][candidates] of [teachers][queries, candidates]."""
    weights = [1.0] * len(teachers) if weights is None else weights
    found = []
    for query in range(len(teachers[0])):
        total = [0.0] * len(teachers[0][query])
        for teacher, weight in zip(teachers, weights, strict=True):
            least, most = min(teacher[query]), max(teacher[query])
            for at, score in enumerate(teacher[query]):
                value = (score - least) / (most - least + 1e-6) if normalize == "min-max" else score
                total[at] += weight * value
        found.append([scale * each / sum(weights) for each in total])
    return found
