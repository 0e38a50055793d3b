"""What is done for a query, as data: the side that is searched, its feedback, and what is interpolated when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypedDict

from lsr.checks import check_choice
from lsr.errors import ParameterError
from lsr.retrieval.settings import RRF, Feedback, Fusion

SPARSE, DENSE = "sparse", "dense"
SIDES = (SPARSE, DENSE)
PLACES = ("none", "before", "after", "both")


class Options(TypedDict, total=False):
    """How to search, in the words of Searcher.search. None or left out is the default.

    feedback: "rocchio", "average" (dense only), or a Feedback with values of one's own.
    interpolate: "before", "after" or "both" (before and after the feedback); without feedback "after" is all there is.
    weight: of the sparse scores in interpolation, .5 by default.
    side: "sparse" or "dense", where the search and its feedback take place; "dense" by default where anything is
        interpolated, else "sparse".
    fusion: "rrf" for reciprocal ranks, or a Fusion: normalization, documents missing from a list, depth.
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
        interpolate = "none" if interpolate is None else interpolate
        feedback = Feedback(feedback) if isinstance(feedback, str) else feedback
        if interpolate == "none":
            deep = isinstance(feedback, Feedback) and feedback.negatives  # the last of a list as deep as fusion says
            _refuse({"weight": weight, "fusion": None if deep else fusion}, "no interpolate", "is asked for; give it")
        fusion = Fusion(fusion) if isinstance(fusion, str) else Fusion() if fusion is None else fusion
        if not isinstance(fusion, Fusion) or not isinstance(feedback, Feedback | None):
            raise ParameterError(f"feedback is {feedback!r}, fusion {fusion!r}; give a word, a Feedback or a Fusion")
        if fusion.method == RRF:
            _refuse({"weight": weight}, "reciprocal ranks", "have no use for it; interpolate scores")
        return cls(
            (SPARSE if interpolate == "none" else DENSE) if side is None else side,
            feedback,
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
    fusion: str | None = None,
    normalize: str | None = None,
    missing: str | None = None,
    fusion_depth: int | None = None,
) -> Options:
    """Options from the flat names that command lines and experiment files use. Raises ParameterError.

    Values of a feedback or an interpolation that is not asked for are an error, rather than without effect.
    """
    of_feedback = {"feedback_depth": feedback_depth, "feedback_terms": feedback_terms, "alpha": alpha, "beta": beta}
    of_feedback |= {"gamma": gamma or None, "negatives": negatives or None}
    of_fusion = {"weight": weight, "fusion": fusion, "normalize": normalize, "missing": missing}
    if not negatives:  # which are the last of a list of that depth
        of_fusion["fusion_depth"] = fusion_depth
    for asked, unused in ((feedback, of_feedback), (interpolate, of_fusion)):
        if asked is None or asked == "none":
            _refuse(unused, "no interpolate" if unused is of_fusion else "no feedback", "is asked for; give it")
    if fusion == RRF:
        unused = {name: of_fusion[name] for name in ("weight", "normalize", "missing")}
        _refuse(unused, "reciprocal ranks", "have no use for it; interpolate scores")
    fused: dict[str, Any] = {"method": fusion, "normalize": normalize, "missing": missing, "depth": fusion_depth}
    given = {name: value for name, value in fused.items() if value is not None}
    options = Options(
        feedback=None
        if feedback is None
        else Feedback(feedback, feedback_depth, alpha, beta, gamma, negatives, feedback_terms),
        interpolate=interpolate,
        weight=weight,
        side=side,
        fusion=Fusion(**given) if given else None,
    )
    Pipeline.of(**options)  # says what does not go together
    return options


def _refuse(unused: Mapping[str, object], why: str, what: str) -> None:
    """Raises ParameterError for the first value that would be without effect."""
    for name, value in unused.items():
        if value is not None:
            raise ParameterError(f"{name} is {value}, and {why} {what}, or leave {name} out")
