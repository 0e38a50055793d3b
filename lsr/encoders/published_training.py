"""How a method is trained, as far as it is known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishedPenalty:
    """kind: "FLOPS" or "L1". strength: lambda, None where it is not known."""

    kind: str
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class PublishedRegularizer:
    """What keeps each side's vectors sparse, None for nothing.

    Strengths rise with the square of the step over the first `steps`, or `epochs`, and stay; None: not known.
    above: documents of that many components or fewer are left alone (l0 mask of Shen et al. 2025).
    """

    query: PublishedPenalty | None = None
    document: PublishedPenalty | None = None
    steps: int | None = None
    epochs: float | None = None
    above: int | None = None


@dataclass(frozen=True, slots=True)
class Supervision:
    """loss: of the ranking. negatives: the documents against which a query's own are set."""

    loss: str
    negatives: str


@dataclass(frozen=True, slots=True)
class Training:
    """batch: queries at once, on all devices together. rate: of learning. warm_up: steps, epochs, or a share of all.

    None or "" for what is not known, and for no warm-up.
    """

    batch: int | None = None
    rate: float | None = None
    steps: int | None = None
    epochs: int | None = None
    warm_up: str = ""
