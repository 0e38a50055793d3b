"""How a method is trained, as far as it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


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

    @classmethod
    def flops(cls, query: float | None, document: float | None, steps: int | None = 50_000) -> Self:
        """FLOPS of both sides."""
        return cls(PublishedPenalty("FLOPS", query), PublishedPenalty("FLOPS", document), steps)

    @classmethod
    def l1_flops(cls, query: float | None, document: float | None, steps: int | None = 50_000) -> Self:
        """L1 of queries, FLOPS of documents."""
        return cls(PublishedPenalty("L1", query), PublishedPenalty("FLOPS", document), steps)

    @classmethod
    def of_documents(cls, strength: float | None, steps: int | None = None) -> Self:
        """FLOPS of documents alone."""
        return cls(document=PublishedPenalty("FLOPS", strength), steps=steps)


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
