"""The published training of a method, as far as known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class PublishedPenalty:
    """A penalty. kind: "FLOPS" or "L1". strength: its factor lambda in the loss; None if unknown."""

    kind: str
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class PublishedRegularizer:
    """The penalties of queries and documents; None for a side without a penalty.

    Strengths grow with the square of the step over the first `steps`, or `epochs`, and then stay; None if unknown.
    above: documents with at most this number of components have no penalty (l0 mask of Shen et al. 2025).
    """

    query: PublishedPenalty | None = None
    document: PublishedPenalty | None = None
    steps: int | None = None
    epochs: float | None = None
    above: int | None = None

    @classmethod
    def flops(cls, query: float | None, document: float | None, steps: int | None = 50_000) -> Self:
        """FLOPS for both sides."""
        return cls(PublishedPenalty("FLOPS", query), PublishedPenalty("FLOPS", document), steps)

    @classmethod
    def l1_flops(cls, query: float | None, document: float | None, steps: int | None = 50_000) -> Self:
        """L1 for queries, FLOPS for documents."""
        return cls(PublishedPenalty("L1", query), PublishedPenalty("FLOPS", document), steps)

    @classmethod
    def of_documents(cls, strength: float | None, steps: int | None = None) -> Self:
        """FLOPS for documents only."""
        return cls(document=PublishedPenalty("FLOPS", strength), steps=steps)


@dataclass(frozen=True, slots=True)
class Supervision:
    """How a training ranks documents. loss: the ranking loss. negatives: the documents beside a query's positive."""

    loss: str
    negatives: str


@dataclass(frozen=True, slots=True)
class Training:
    """Training settings. A setting is None or "" if it is unknown. warm_up is also "" if there was none.

    batch: queries per step, on all devices together. rate: learning rate. warm_up: steps, epochs, or a share.
    """

    batch: int | None = None
    rate: float | None = None
    steps: int | None = None
    epochs: int | None = None
    warm_up: str = ""
