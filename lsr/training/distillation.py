"""The scores of several teachers for the documents of a batch, combined into one score.

The heterogeneous ensemble of OpenSearch's inference-free encoders (Geng et al. 2024): with s_k the scores of teacher k
for the candidates C of a query,

    t(q, d) = scale * mean_k (s_k(q, d) - min_C s_k) / (max_C s_k - min_C s_k + 1e-6)

With two candidates, one has 0 and the other nearly the whole scale, for any difference between the teachers' scores:
score the whole batch, or many documents of each query.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
import numpy.typing as npt

from lsr.checks import check_choice
from lsr.errors import ParameterError

Normalization = Literal["min-max", "none"]  # applied to the scores of one teacher for one query
LEAST_RANGE = 1e-6  # added to the range of a query's scores, which can all be equal
SCALE = 30.0

Scores = npt.NDArray[np.float32]


class TextGroup(Protocol):
    """A query and the documents to score for it, such as lsr.training.data's Group."""

    @property
    def query_id(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def document_ids(self) -> tuple[str, ...]: ...
    @property
    def documents(self) -> tuple[str, ...]: ...


class Teacher(Protocol):
    """Scores documents for queries: the classes of lsr.training.teachers, and stored scores."""

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        """The scores float32 [pairs], query by query.

        The pairs of a query are those with its own documents, or, with whole_batch, with the documents of all groups.
        """

    def describe(self) -> dict[str, Any]:
        """A description as JSON: every setting that changes a score by more than rounding."""


class Pairs(NamedTuple):
    """The pairs to score, without duplicate texts.

    queries, documents: texts.
    query_of, document_of: int64 [pairs], the query and the document of each pair. The documents of the first query come
        first.
    """

    queries: list[str]
    documents: list[str]
    query_of: npt.NDArray[np.int64]
    document_of: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ensemble:
    """Several teachers, combined as described above.

    normalize: "min-max" for each query, or "none", the mean of the scores without normalization.
    scale: the factor of the mean.
    weights: the weights of the teachers in the mean. None gives all the same weight.

    Raises ParameterError.
    """

    teachers: tuple[Teacher, ...]
    normalize: Normalization = "min-max"
    scale: float = SCALE
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.teachers:
            raise ParameterError("there is no teacher; name at least one")
        _check(len(self.teachers), self.normalize, self.scale, self.weights)

    def scores(self, groups: Sequence[TextGroup], whole_batch: bool = False) -> Scores:
        """float32 [queries, group], the scores of each query's own documents.

        With whole_batch, float32 [queries, queries * group], the scores of the documents of all groups. groups: all
        with the same number of documents. Raises ParameterError for different numbers, and the errors of the teachers.
        """
        sizes = {len(group.documents) for group in groups}
        if len(sizes) != 1:
            raise ParameterError(f"groups have {sorted(sizes)} documents; all must have the same number")
        return self._combined(
            [teacher.scores(groups, whole_batch).reshape(len(groups), -1) for teacher in self.teachers]
        )

    def score(self, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[list[float]]:
        """A score for each document of each query, for any number of documents; see lsr.training.negatives.Scorer.

        Stored teachers, which know only ids, raise CollectionError.
        """
        groups = [_Unnamed(query, query, tuple(own), tuple(own)) for query, own in zip(queries, documents, strict=True)]
        ends = np.cumsum([len(own) for own in documents])
        found = [np.split(teacher.scores(groups), ends[:-1]) for teacher in self.teachers]
        return [self._combined([scores[None] for scores in own])[0].tolist() for own in zip(*found, strict=True)]

    def _combined(self, scores: Sequence[Scores]) -> Scores:
        return combined_scores(scores, self.normalize, self.scale, self.weights)


def combined_scores(
    scores: Sequence[npt.NDArray[np.floating]],
    normalize: Normalization = "min-max",
    scale: float = SCALE,
    weights: Sequence[float] | None = None,
) -> Scores:
    """float32 [queries, candidates]: the combined scores of all teachers, as in Ensemble. Raises ParameterError."""
    _check(len(scores), normalize, scale, weights)
    stacked = np.stack([np.asarray(each, np.float64) for each in scores])
    if normalize == "min-max" and stacked.size:
        least, most = (extreme(stacked, axis=2, keepdims=True) for extreme in (np.min, np.max))
        stacked = (stacked - least) / (most - least + LEAST_RANGE)
    parts = np.ones(len(scores)) if weights is None else np.array(weights)
    mean: Scores = (scale * np.tensordot(parts / parts.sum(), stacked, 1)).astype(np.float32)
    return mean


def pairs_of(groups: Sequence[TextGroup], whole_batch: bool) -> Pairs:
    """Every query of the groups with its own documents, or with those of all groups. Equal texts are one text."""
    queries, query_of = _distinct(group.query for group in groups)
    documents, document_of = _distinct(document for group in groups for document in group.documents)
    if whole_batch:
        return Pairs(queries, documents, query_of.repeat(len(document_of)), np.tile(document_of, len(query_of)))
    return Pairs(queries, documents, query_of.repeat([len(group.documents) for group in groups]), document_of)


class _Unnamed(NamedTuple):
    """A TextGroup with the texts as ids."""

    query_id: str
    query: str
    document_ids: tuple[str, ...]
    documents: tuple[str, ...]


def _distinct(texts: Iterable[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    numbers: dict[str, int] = {}
    places = [numbers.setdefault(text, len(numbers)) for text in texts]
    return list(numbers), np.array(places, np.int64)


def _check(teachers: int, normalize: str, scale: float, weights: Sequence[float] | None) -> None:
    check_choice("normalize", normalize, get_args(Normalization))
    if not 0 < scale < math.inf:
        raise ParameterError(f"scale is {scale!r}; it must be a number above 0")
    if weights is not None and (len(weights) != teachers or not all(0 < weight < math.inf for weight in weights)):
        raise ParameterError(f"weights are {list(weights)} for {teachers} teachers; give a number above 0 for each")
