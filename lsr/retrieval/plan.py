"""What is done for a query, as data: the side that is searched, its feedback, and what is interpolated when."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self, TypedDict

from lsr.errors import ParameterError
from lsr.retrieval.config import RRF, Feedback, Fusion, check_choice

SPARSE, DENSE = "sparse", "dense"
SIDES = (SPARSE, DENSE)
PLACES = ("none", "before", "after", "both")

_FUSION = Fusion()


class Options(TypedDict, total=False):
    """How to search, in the words of Searcher.search. None or left out is the default.

    feedback: "rocchio", "average" (dense only), or a Feedback with values of one's own.
    interpolate: "before", "after" or "both" (before and after the feedback); without feedback "after" is all there is.
    weight: of the sparse scores in interpolation, .5 by default.
    side: "sparse" or "dense", where the search and its feedback take place; "dense" by default where anything is
        interpolated, else "sparse".
    fusion: "rrf" for reciprocal ranks, or a Fusion: normalisation, documents missing from a list, depth.
    """

    feedback: Feedback | str | None
    interpolate: str | None
    weight: float | None
    side: str | None
    fusion: Fusion | str | None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is done for a query: see Options, which `of` makes one from. Raises ParameterError."""

    side: str = SPARSE
    feedback: Feedback | None = None
    interpolate: str = "none"
    fusion: Fusion = field(default_factory=Fusion)

    def __post_init__(self) -> None:
        check_choice("side", self.side, SIDES)
        check_choice("interpolate", self.interpolate, PLACES)
        if self.feedback is None and self.interpolate in ("before", "both"):
            raise ParameterError(
                f"interpolate is {self.interpolate!r}, and there is no feedback that anything could be before; "
                f"give feedback, or interpolate 'after'"
            )
        if self.feedback is not None:
            resolved = self.feedback.on_sparse() if self.side == SPARSE else self.feedback.on_dense()
            object.__setattr__(self, "feedback", resolved)

    @classmethod
    def of(
        cls,
        feedback: Feedback | str | None = None,
        interpolate: str | None = None,
        weight: float | None = None,
        side: str | None = None,
        fusion: Fusion | str | None = None,
    ) -> Self:
        """The pipeline that Options describe. Raises ParameterError."""
        interpolate = interpolate or "none"
        fusion = Fusion(fusion) if isinstance(fusion, str) else fusion or Fusion()
        if fusion.method == RRF and weight is not None:
            raise ParameterError(f"weight is {weight}, and reciprocal ranks have no weights; leave it out")
        return cls(
            side or (SPARSE if interpolate == "none" else DENSE),
            Feedback(feedback) if isinstance(feedback, str) else feedback,
            interpolate,
            fusion if weight is None else replace(fusion, weight=weight),
        )

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that are searched."""
        return (self.side,) if self.interpolate == "none" else SIDES


def describe_search(
    feedback: str | None = None,
    feedback_depth: int | None = None,
    feedback_terms: int | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    gamma: float = 0.0,
    negatives: int = 0,
    interpolate: str | None = None,
    weight: float | None = None,
    side: str | None = None,
    fusion: str = _FUSION.method,
    normalise: str = _FUSION.normalise,
    missing: str = _FUSION.missing,
    fusion_depth: int = _FUSION.depth,
) -> Options:
    """Options from the flat names that command lines and experiment files use. Raises ParameterError.

    Values of a feedback or an interpolation that is not asked for are an error, rather than without effect.
    """
    unused: dict[str, object] = {}
    if feedback is None:
        unused |= {"feedback_depth": feedback_depth, "feedback_terms": feedback_terms, "alpha": alpha, "beta": beta}
        unused |= {"gamma": gamma or None, "negatives": negatives or None}
    if interpolate is None:
        unused["weight"] = weight
    for name, value in unused.items():
        if value is not None:
            needed = "interpolate" if name == "weight" else "feedback"
            raise ParameterError(f"{name} is {value}, and no {needed} is asked for; give {needed}, or leave {name} out")
    options = Options(
        feedback=None
        if feedback is None
        else Feedback(feedback, feedback_depth, alpha, beta, gamma, negatives, feedback_terms),
        interpolate=interpolate,
        weight=weight,
        side=side,
        fusion=Fusion(method=fusion, normalise=normalise, missing=missing, depth=fusion_depth),
    )
    Pipeline.of(**options)  # says what does not go together
    return options
