"""SearchRequest: the parameters of a search as data.

Values are checked on construction. A value that would have no effect is an error.
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
_DEFAULT_PARAMS = SearchParams()  # checked once: it would add half of the time of checking a request
LARGEST = 1e6  # limit of alpha, beta and gamma, so that products stay finite


@dataclass(frozen=True, slots=True)
class Feedback:
    """Pseudo-relevance feedback: a second query from the best documents.

    An option that is None has the published value for the side, given below as its default.

    method: "average" (dense only), the mean of query and documents; "rocchio"; or "rm3" (sparse only), a relevance
        model of the documents, see lsr.retrieval.feedback.rm3.
    depth: the number of top documents that are taken as relevant. Default: 3 (average), 5 (dense Rocchio), 10 (sparse).
    alpha: the weight of the query. Default: .4 (dense), 1 (sparse Rocchio), .5 (rm3). In rm3, the weight of the
        documents is 1 - alpha.
    beta: the weight of the mean of the relevant documents; not for rm3. Default: .6 (dense), .75 (sparse).
    gamma: the weight of the mean of the documents taken as not relevant, which is subtracted. Default: 0.
    negatives: the number of documents at the end of the first list that are taken as not relevant. Required if gamma is
        not 0.
    terms: the number of terms in the mean, or relevance model, of the documents (sparse only). Default: 10.

    In Anserini, alpha of rm3 is originalQueryWeight, depth is fbDocs, and terms is fbTerms. Raises ParameterError for
    values out of range.
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
            raise ParameterError("feedback: average has no alpha, beta or gamma; use rocchio")
        if self.method == "rm3":
            check_number("feedback: alpha", self.alpha or 0, 0, 1)
            if (self.beta, self.gamma) != (None, 0):
                raise ParameterError("feedback: rm3 has no beta or gamma; give alpha, from 0 to 1")

    def on_side(self, side: SideName) -> Self:
        """A copy with the published values of a side. Raises ParameterError for values that do not apply to it."""
        if side == SPARSE and self.method == "average":
            raise ParameterError("feedback: average works on dense vectors only; use rocchio or rm3 on the sparse side")
        if side == DENSE and self.method == "rm3":
            raise ParameterError("feedback: rm3 works on sparse vectors only; use rocchio or average")
        if side == DENSE and self.terms is not None:
            raise ParameterError("feedback: dense vectors have no terms; remove terms")
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
    """How the sparse list and the dense list of a query are fused.

    method: "interpolation", weight * sparse + (1 - weight) * dense; or "rrf", which uses only the ranks.
    weight: the weight of the sparse scores, from 0 to 1.
    normalize: "min-max" scales the scores of each list to 0..1, "z-score" to mean 0 and standard deviation 1. "none"
        does not change them, so the list with larger scores dominates.
    missing: the score of a document that a list lacks: the list's "minimum", or "zero". rrf adds nothing.
    depth: the number of documents of each list that are fused, at least k. Feedback takes the documents at the end of
        this list as not relevant.

    Raises ParameterError for values out of range.
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
            self.refuse("rrf does not use it; use interpolation", ("weight", "normalize", "missing"))

    def refuse(self, why: str, names: tuple[str, ...]) -> None:
        """Raises ParameterError for the first of these fields that is set, because it would have no effect."""
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in names and value != each.default:
                raise ParameterError(f"fusion: {each.name} is {value}, and {why}, or leave {each.name} out")


_DEFAULT_FUSION = Fusion()


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """All parameters of one search, or of many searches with the same parameters.

    k: the maximum number of documents per query.
    params: parameters of the searches in the indexes.
    allowed: the documents that can be returned: a mask, ids or rows. Feedback uses only these, too. None for all.
    side: the side that is searched and on which feedback works; None for "dense" with interpolation, else "sparse".
    feedback: a second search, changed by the best documents; None for one search.
    interpolate: fuse the sparse and the dense list "before" the feedback, "after" it, or "both" times (Li et al., SIGIR
        2022); "none" searches `side` alone. Without feedback, only "after" is possible.
    fusion: how the two lists are fused.
    where: an SQL expression over the documents' metadata that must be true for a returned document; see
        Searcher.search.

    Raises ParameterError for values that cannot be combined.
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
                f"interpolate is {self.interpolate!r}, which needs feedback; give feedback, or interpolate 'after'"
            )
        if self.interpolate == "none":
            deep = self.feedback is not None and self.feedback.negatives > 0
            unused = ("method", "weight", "normalize", "missing", *(() if deep else ("depth",)))
            self.fusion.refuse("the search does not interpolate; give interpolate", unused)
        if self.feedback is not None:
            self.feedback.on_side(self.main)
        if SPARSE not in self.sides and self.params not in (SearchParams(), SearchParams(exact=True)):
            raise ParameterError(
                f"params is {self.params}, but dense searches use only exact; remove the other parameters"
            )

    @property
    def main(self) -> SideName:
        """The side that is searched and on which feedback works."""
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
        """The request. The name of a method stands for a Feedback or Fusion with default values."""
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
        """The request with some options set. words: a name among WORDS -> value. Raises ParameterError."""
        given: dict[type, dict[str, Any]] = {SearchParams: {}, Feedback: {}, Fusion: {}, SearchRequest: {}}
        for word, value in words.items():
            kind, name = WORDS[word]
            given[kind][name] = value
        for word in words:
            if WORDS[word][0] is Feedback and "feedback" not in words:
                raise ParameterError(f"{word} is {words[word]}, which needs feedback; give feedback, or remove {word}")
        return cls(
            k,
            SearchParams(**given[SearchParams]),
            allowed,
            feedback=Feedback(**given[Feedback]) if given[Feedback] else None,
            fusion=Fusion(**given[Fusion]),
            **given[SearchRequest],
        )


# The words of command lines and experiment files -> their dataclass and field.
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
    """The request for k documents with default values. Cached, because checking a request takes longer."""
    return SearchRequest(k, _DEFAULT_PARAMS)
