"""What is asked of a search, as data: how deep and how far it goes, where, with which feedback, and what is fused.

Values check themselves, and refuse what would be without effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args, get_type_hints

from lsr.checks import check_choice, check_number, check_whole, shown
from lsr.errors import ParameterError
from lsr.index.metadata.condition import parsed
from lsr.index.parameters import SearchParams

if TYPE_CHECKING:
    from lsr.index.filters import Allowed

SPARSE: Final = "sparse"
DENSE: Final = "dense"
SideName = Literal["sparse", "dense"]
Place = Literal["none", "before", "after", "both"]
FeedbackMethod = Literal["rocchio", "average", "rm3"]
FusionMethod = Literal["interpolation", "rrf"]
Normalization = Literal["none", "min-max", "z-score"]
Missing = Literal["minimum", "zero"]

SIDES: tuple[SideName, ...] = (SPARSE, DENSE)
_DEFAULT_PARAMS = SearchParams()  # to check these takes half as long as all else of a request
LARGEST = 1e6  # of alpha, beta and gamma, so that products stay finite


@dataclass(frozen=True, slots=True)
class Feedback:
    """How a query learns from its first results. None takes the value that was published for the side.

    method: "average" (dense only), the mean of query and documents; "rocchio"; or "rm3" (sparse only), a relevance
        model of the documents, see lsr.retrieval.feedback.rm3.
    depth: documents taken as relevant, from the top: 3 (average), 5 (dense Rocchio), 10 (sparse).
    alpha, beta: weight of the query, and of the mean of those documents: .4 and .6 (dense), 1 and .75 (sparse). Of rm3
        alpha alone, .5, and the documents have the rest (Anserini's originalQueryWeight; its fbDocs and fbTerms are
        depth and terms).
    gamma: weight of the mean of the `negatives` last documents of the first list, which is subtracted.
    negatives: documents taken as not relevant, from the end of the first list; needed where gamma is not 0.
    terms: terms that the documents' mean, or model, keeps (sparse): 10.

    Raises ParameterError.
    """

    method: FeedbackMethod = "rocchio"
    depth: int | None = None
    alpha: float | None = None
    beta: float | None = None
    gamma: float = 0.0
    negatives: int = 0
    terms: int | None = None

    def __post_init__(self) -> None:
        check_choice("feedback", self.method, get_args(FeedbackMethod))
        for name, whole in (("depth", self.depth), ("terms", self.terms)):
            if whole is not None:
                check_whole(f"feedback: {name}", whole)
        for name, weight in (("alpha", self.alpha), ("beta", self.beta)):
            if weight is not None:
                check_number(f"feedback: {name}", weight, 0, LARGEST)
        check_number("feedback: gamma", self.gamma, 0, LARGEST)
        check_whole("feedback: negatives", self.negatives, 0)
        if (self.gamma > 0) != (self.negatives > 0):
            raise ParameterError(
                f"feedback: gamma is {self.gamma} and negatives {self.negatives}; give both above 0, or neither"
            )
        if self.method == "average" and (self.alpha, self.beta, self.gamma) != (None, None, 0):
            raise ParameterError("feedback: the average has no alpha, beta or gamma; give them to rocchio")
        if self.method == "rm3":
            check_number("feedback: alpha", self.alpha or 0, 0, 1)
            if (self.beta, self.gamma) != (None, 0):
                raise ParameterError("feedback: rm3 has no beta or gamma; give it alpha, from 0 to 1")

    def on_side(self, side: SideName) -> Self:
        """With the values published for that side. Raises ParameterError for what the side does not have."""
        if side == SPARSE and self.method == "average":
            raise ParameterError("feedback: the average is of dense vectors; on the sparse side use rocchio or rm3")
        if side == DENSE and self.method == "rm3":
            raise ParameterError("feedback: rm3 is of terms, which dense vectors do not have; use rocchio or average")
        if side == DENSE and self.terms is not None:
            raise ParameterError("feedback: dense vectors have no terms to choose; leave terms out")
        if self.method == "average":
            return replace(self, depth=self.depth or 3)
        if self.method == "rm3":
            alpha = 0.5 if self.alpha is None else self.alpha
            return replace(self, depth=self.depth or 10, alpha=alpha, terms=self.terms or 10)
        depth, alpha, beta = (10, 1.0, 0.75) if side == SPARSE else (5, 0.4, 0.6)
        return replace(
            self,
            depth=self.depth or depth,
            alpha=alpha if self.alpha is None else self.alpha,
            beta=beta if self.beta is None else self.beta,
            terms=self.terms or 10 if side == SPARSE else None,
        )


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the sparse list and the dense list of a query become one.

    method: "interpolation", weight * sparse + (1 - weight) * dense; or "rrf", to which only the ranks matter.
    weight: of the sparse scores, from 0 to 1.
    normalize: "min-max" brings the scores of each list to 0..1, "z-score" to mean 0 and standard deviation 1, "none"
        leaves them: the list of the larger scores then decides.
    missing: what a list gives a document that it lacks: its "minimum", or "zero". (rrf: nothing.)
    depth: documents of each list that are fused, if the search asks for fewer; and of the list whose last documents
        feedback takes as not relevant.

    Raises ParameterError.
    """

    method: FusionMethod = "interpolation"
    weight: float = 0.5
    normalize: Normalization = "min-max"
    missing: Missing = "minimum"
    depth: int = 1000

    def __post_init__(self) -> None:
        check_choice("fusion", self.method, get_args(FusionMethod))
        check_choice("normalize", self.normalize, get_args(Normalization))
        check_choice("missing", self.missing, get_args(Missing))
        check_number("weight", self.weight, 0, 1)
        check_whole("fusion: depth", self.depth)
        if self.method == "rrf":
            self.refuse("reciprocal ranks have no use for it; interpolate scores", ("weight", "normalize", "missing"))

    def refuse(self, why: str, names: tuple[str, ...]) -> None:
        """Raises ParameterError for the first of these fields that is not the default, which would have no effect."""
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in names and value != each.default:
                raise ParameterError(f"fusion: {each.name} is {value}, and {why}, or leave {each.name} out")


_DEFAULT_FUSION = Fusion()


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """Everything that is asked of one search, or of many alike.

    k: documents of a query, at most.
    params: how far indexes are searched.
    allowed: the documents that may be found, a mask, ids or rows; feedback learns from no others. None for all.
    side: where the search and its feedback take place; None for "dense" where anything is interpolated, else "sparse".
    feedback: a second search with what the best documents say; None for one search.
    interpolate: the sparse and the dense list become one "before" the feedback, "after" it, or "both" times (Li et al.,
        SIGIR 2022); "none" searches `side` alone. Without feedback "after" is all there is.
    fusion: how two lists become one.
    where: an SQL expression over the documents' metadata, which must be true of what is found; see Searcher.search.

    Raises ParameterError for values that do not go together.
    """

    k: int = 10
    params: SearchParams = field(default_factory=SearchParams)
    allowed: Allowed | None = None
    side: SideName | None = None
    feedback: Feedback | None = None
    interpolate: Place = "none"
    fusion: Fusion = field(default_factory=Fusion)
    where: str | None = None

    def __post_init__(self) -> None:
        check_whole("k", self.k)
        if self.where is not None:
            parsed(self.where)
        check_choice("interpolate", self.interpolate, get_args(Place))
        for name, kind, optional in (
            ("params", SearchParams, False),
            ("feedback", Feedback, True),
            ("fusion", Fusion, False),
        ):
            value = getattr(self, name)
            if not isinstance(value, kind) and not (optional and value is None):
                raise ParameterError(f"{name} is {shown(value)}; give {kind.__name__}(...)")
        check_choice("side", self.main, SIDES)
        if self.feedback is None and self.interpolate in ("before", "both"):
            raise ParameterError(
                f"interpolate is {self.interpolate!r}, and there is no feedback that anything could be before; "
                f"give feedback, or interpolate 'after'"
            )
        if self.interpolate == "none":
            deep = self.feedback is not None and self.feedback.negatives > 0
            unused = ("method", "weight", "normalize", "missing", *(() if deep else ("depth",)))
            self.fusion.refuse("no interpolate is asked for; give it", unused)
        if self.feedback is not None:
            self.feedback.on_side(self.main)
        if SPARSE not in self.sides and self.params not in (SearchParams(), SearchParams(exact=True)):
            raise ParameterError(f"of {self.params} only exact is for a search of dense vectors; leave out the rest")

    @property
    def main(self) -> SideName:
        """The side where the search and its feedback take place."""
        if self.side is None:
            return SPARSE if self.interpolate == "none" else DENSE
        return self.side

    @property
    def sides(self) -> tuple[SideName, ...]:
        """The sides that are searched."""
        return (self.main,) if self.interpolate == "none" else SIDES

    @classmethod
    def of(
        cls,
        k: int = 10,
        params: SearchParams | None = None,
        allowed: Allowed | None = None,
        side: SideName | None = None,
        feedback: Feedback | FeedbackMethod | None = None,
        interpolate: Place = "none",
        fusion: Fusion | FusionMethod = Fusion(),
        where: str | None = None,
    ) -> SearchRequest:
        """The request, where names stand for a Feedback and a Fusion with their default values."""
        others = (params, allowed, side, feedback, where)
        plain = all(each is None for each in others) and type(interpolate) is str and interpolate == "none"
        if plain and type(k) is int and type(fusion) is Fusion and fusion == _DEFAULT_FUSION:
            return _plain(k)
        return cls(
            k,
            _DEFAULT_PARAMS if params is None else params,
            allowed,
            side,
            Feedback(feedback) if isinstance(feedback, str) else feedback,
            interpolate,
            Fusion(fusion) if isinstance(fusion, str) else fusion,
            where,
        )

    @classmethod
    def from_words(cls, words: Mapping[str, Any], k: int = 10, allowed: Allowed | None = None) -> Self:
        """The request that WORDS describe, those that are not at their defaults. Raises ParameterError."""
        given: dict[type, dict[str, Any]] = {SearchParams: {}, Feedback: {}, Fusion: {}, SearchRequest: {}}
        for word, value in words.items():
            kind, name = WORDS[word]
            given[kind][name] = value
        for word in words:
            if WORDS[word][0] is Feedback and "feedback" not in words:
                raise ParameterError(
                    f"{word} is {words[word]}, and no feedback is asked for; give it, or leave {word} out"
                )
        return cls(
            k,
            SearchParams(**given[SearchParams]),
            allowed,
            feedback=Feedback(**given[Feedback]) if given[Feedback] else None,
            fusion=Fusion(**given[Fusion]),
            **given[SearchRequest],
        )


# The words of command lines and experiment files -> the dataclass and its field that they stand for.
WORDS: dict[str, tuple[type, str]] = {
    **{each.name: (SearchParams, each.name) for each in fields(SearchParams)},
    "feedback": (Feedback, "method"),
    "feedback_depth": (Feedback, "depth"),
    "feedback_terms": (Feedback, "terms"),
    **{name: (Feedback, name) for name in ("alpha", "beta", "gamma", "negatives")},
    **{name: (SearchRequest, name) for name in ("interpolate", "side", "where")},
    "fusion": (Fusion, "method"),
    **{name: (Fusion, name) for name in ("weight", "normalize", "missing")},
    "fusion_depth": (Fusion, "depth"),
}


@cache
def word_types() -> dict[str, Any]:
    """The annotation of each of WORDS."""
    hints = {kind: get_type_hints(kind, localns={"Allowed": object}) for kind, _ in WORDS.values()}
    return {word: hints[kind][name] for word, (kind, name) in WORDS.items()}


@lru_cache(maxsize=64)
def _plain(k: int) -> SearchRequest:
    """The request of k documents and nothing else, which most are: to check it takes longer than to look it up."""
    return SearchRequest(k, _DEFAULT_PARAMS)
