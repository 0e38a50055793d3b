"""Dense indexes, feedback and fusion as data: values that check themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lsr.checks import check_choice
from lsr.errors import ParameterError

FLAT, HNSW = "flat", "hnsw"
KINDS = (FLAT, HNSW)
METRICS = ("inner-product", "cosine")
AVERAGE, ROCCHIO = "average", "rocchio"
FEEDBACKS = (AVERAGE, ROCCHIO)
LARGEST = 1e6  # of alpha, beta and gamma, so that products stay finite
INTERPOLATION, RRF = "interpolation", "rrf"
FUSIONS = (INTERPOLATION, RRF)
NORMALIZATIONS = ("none", "min-max", "z-score")
MISSING = ("minimum", "zero")


@dataclass(frozen=True, slots=True)
class DenseConfig:
    """How dense vectors are indexed.

    kind: "flat" compares with every document, exactly; "hnsw" walks a graph (Malkov, Yashunin, TPAMI 2020).
    metric: "inner-product", or "cosine", for which documents and queries are brought to length 1.
    neighbors: of a document in the graph (M). ef_construction, ef_search: candidates kept while the graph is built,
        and while it is searched (never fewer than k). These three are hnsw's.

    Raises ParameterError.
    """

    kind: str = FLAT
    metric: str = "inner-product"
    neighbors: int = 32
    ef_construction: int = 200
    ef_search: int = 128

    def __post_init__(self) -> None:
        check_choice("kind of dense index", self.kind, KINDS)
        check_choice("metric", self.metric, METRICS)
        for name, least, most in (("neighbors", 2, 1024), ("ef_construction", 1, 1 << 20), ("ef_search", 1, 1 << 20)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ParameterError(f"{name} is {value!r}; it must be a whole number from {least} to {most}")


@dataclass(frozen=True, slots=True)
class Feedback:
    """How a query learns from its first results. None takes the value that was published for the side.

    method: "average" (dense only), the mean of query and documents; or "rocchio".
    depth: documents taken as relevant, from the top: 3 (average), 5 (dense Rocchio), 10 (sparse Rocchio).
    alpha, beta: weight of the query, and of the mean of those documents: .4 and .6 (dense), 1 and .75 (sparse).
    gamma: weight of the mean of the `negatives` last documents of the first list, which is subtracted.
    negatives: documents taken as not relevant, from the end of the first list; needed where gamma is not 0.
    terms: terms that the documents' mean keeps (sparse): 10.

    Raises ParameterError.
    """

    method: str = ROCCHIO
    depth: int | None = None
    alpha: float | None = None
    beta: float | None = None
    gamma: float = 0.0
    negatives: int = 0
    terms: int | None = None

    def __post_init__(self) -> None:
        check_choice("feedback", self.method, FEEDBACKS)
        for name, whole in (("depth", self.depth), ("terms", self.terms)):
            if whole is not None and (type(whole) is not int or whole < 1):
                raise ParameterError(f"feedback: {name} is {whole!r}; it must be a whole number of at least 1")
        for name, weight in (("alpha", self.alpha), ("beta", self.beta), ("gamma", self.gamma)):
            if weight is not None and not (_is_number(weight) and 0 <= weight <= LARGEST):
                raise ParameterError(f"feedback: {name} is {weight!r}; it must be a number from 0 to {LARGEST:.0f}")
        if type(self.negatives) is not int or self.negatives < 0:
            raise ParameterError(f"feedback: negatives is {self.negatives!r}; it must be a whole number of at least 0")
        if (self.gamma > 0) != (self.negatives > 0):
            raise ParameterError(
                f"feedback: gamma is {self.gamma} and negatives {self.negatives}; give both above 0, or neither"
            )
        if self.method == AVERAGE and (self.alpha, self.beta, self.gamma) != (None, None, 0):
            raise ParameterError("feedback: the average has no alpha, beta or gamma; give them to rocchio")

    def on_dense(self) -> Feedback:
        """With the values published for dense vectors. Raises ParameterError for what they do not have."""
        if self.terms is not None:
            raise ParameterError("feedback: dense vectors have no terms to choose; leave terms out")
        if self.method == AVERAGE:
            return replace(self, depth=self.depth or 3)
        return self._with(5, 0.4, 0.6)

    def on_sparse(self) -> Feedback:
        """With the values published for sparse vectors. Raises ParameterError for the average."""
        if self.method == AVERAGE:
            raise ParameterError("feedback: the average is of dense vectors; on the sparse side use rocchio")
        return replace(self._with(10, 1.0, 0.75), terms=self.terms or 10)

    def _with(self, depth: int, alpha: float, beta: float) -> Feedback:
        return replace(
            self,
            depth=self.depth or depth,
            alpha=alpha if self.alpha is None else self.alpha,
            beta=beta if self.beta is None else self.beta,
        )


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the sparse list and the dense list of a query become one.

    method: "interpolation", weight * sparse + (1 - weight) * dense; or "rrf", to which only the ranks matter.
    weight: of the sparse scores, from 0 to 1.
    normalize: "min-max" brings the scores of each list to 0..1, "z-score" to mean 0 and standard deviation 1, "none"
        leaves them: the list of the larger scores then decides.
    missing: what a list gives a document that it lacks: its "minimum", or "zero". (rrf: nothing.)
    depth: documents of each list that are fused, if the search asks for fewer.

    Raises ParameterError.
    """

    method: str = INTERPOLATION
    weight: float = 0.5
    normalize: str = "min-max"
    missing: str = "minimum"
    depth: int = 1000

    def __post_init__(self) -> None:
        check_choice("fusion", self.method, FUSIONS)
        check_choice("normalize", self.normalize, NORMALIZATIONS)
        check_choice("missing", self.missing, MISSING)
        if not (_is_number(self.weight) and 0 <= self.weight <= 1):
            raise ParameterError(f"weight is {self.weight!r}; it must be a number from 0 (dense alone) to 1 (sparse)")
        if type(self.depth) is not int or self.depth < 1:
            raise ParameterError(f"fusion: depth is {self.depth!r}; it must be a whole number of at least 1")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
