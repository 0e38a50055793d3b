"""One ranking from several: interpolation of scores, brought to one scale or not, and reciprocal rank fusion.

Pyserini's ways are all here (Lin et al., SIGIR 2021; its `fusion` package and `HybridSearcher`):

    interpolation    fuse(lists, (w, 1 - w), missing="zero")
    average          fuse(lists, (1 / n,) * n, missing="zero")
    normalize        fuse(lists, normalise="min-max", missing="zero")
    HybridSearcher   fuse(lists, (a, 1), missing="minimum"); its normalization=True is normalise="min-max", whose
                     scores are larger by half the sum of the weights
    rrf              reciprocal_rank_fusion(lists)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.errors import ParameterError

METHODS = ("interpolation", "rrf")
NORMALISATIONS = ("none", "min-max", "z-score")
MISSING = ("minimum", "zero")
RANK_CONSTANT = 60  # Cormack, Clarke, Buettcher, SIGIR 2009

Documents = npt.NDArray[Any]
Scores = npt.NDArray[np.float64]


class Ranking(NamedTuple):
    """One query's documents and their scores.

    documents: rows int64[m], or ids as an object array [m], each at most once. scores: finite numbers [m].
    """

    documents: Documents
    scores: npt.NDArray[np.floating]


class Fused(NamedTuple):
    """documents and scores as in Ranking, best first, equal scores by document.

    places: int64[m, lists], where each document is in each of the rankings that were fused; -1 where it is not.
    """

    documents: Documents
    scores: Scores
    places: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the sparse list and the dense list of a query become one.

    method: "interpolation", weight * sparse + (1 - weight) * dense; or "rrf", to which only the ranks matter.
    weight: of the sparse scores, from 0 to 1.
    normalise: "min-max" brings the scores of each list to 0..1, "z-score" to mean 0 and standard deviation 1, "none"
        leaves them: the list of the larger scores then decides.
    missing: what a list gives a document that it lacks: its "minimum", or "zero". (rrf: nothing.)
    depth: documents of each list that are fused, if the search asks for fewer.

    Raises ParameterError.
    """

    method: str = "interpolation"
    weight: float = 0.5
    normalise: str = "min-max"
    missing: str = "minimum"
    depth: int = 1000

    def __post_init__(self) -> None:
        check_choice("method", self.method, METHODS)
        check_choice("normalise", self.normalise, NORMALISATIONS)
        check_choice("missing", self.missing, MISSING)
        if isinstance(self.weight, bool) or not isinstance(self.weight, int | float) or not 0 <= self.weight <= 1:
            raise ParameterError(f"weight is {self.weight!r}; it must be a number from 0 (dense alone) to 1 (sparse)")
        if type(self.depth) is not int or self.depth < 1:
            raise ParameterError(f"depth is {self.depth!r}; it must be a whole number of at least 1")

    def __call__(self, sparse: Ranking, dense: Ranking) -> Fused:
        """One ranking of all documents that either list has."""
        if self.method == "rrf":
            return reciprocal_rank_fusion((sparse, dense))
        return fuse((sparse, dense), (self.weight, 1 - self.weight), self.normalise, self.missing)


def fuse(
    rankings: Sequence[Ranking],
    weights: Sequence[float] | None = None,
    normalise: str = "none",
    missing: str = "minimum",
) -> Fused:
    """The weighted sum of the scores of each document; weights None: of 1 each.

    A list gives a document that it lacks its least score after normalisation (missing="minimum"), or 0 ("zero"). An
    empty list gives every document 0. Raises ParameterError.
    """
    check_choice("missing", missing, MISSING)
    weights = [1.0] * len(rankings) if weights is None else list(weights)
    if len(weights) != len(rankings):
        raise ParameterError(f"{len(weights)} weights for {len(rankings)} rankings; give one for each")
    documents, places = _union(rankings)
    scores = np.zeros(len(documents))
    for ranking, weight, place in zip(rankings, weights, places.T, strict=True):
        if len(ranking.documents):
            normal = normalised(ranking.scores, normalise)
            lacking = normal.min() if missing == "minimum" else 0.0
            scores += weight * np.where(place < 0, lacking, normal[place])
    return _ranked(documents, scores, places)


def reciprocal_rank_fusion(rankings: Sequence[Ranking], constant: float = RANK_CONSTANT) -> Fused:
    """The sum of 1 / (constant + rank), ranks from 1, over the lists that a document is in.

    A list is ranked by its scores, equal ones in the order given. Cormack, Clarke, Buettcher, SIGIR 2009, equation 1.
    """
    documents, places = _union(rankings)
    scores = np.zeros(len(documents))
    for ranking, place in zip(rankings, places.T, strict=True):
        ranks = np.empty(len(ranking.documents) + 1)  # the last one is for documents that are not in it
        ranks[np.argsort(-ranking.scores, kind="stable")] = np.arange(1, len(ranking.documents) + 1)
        ranks[-1] = np.inf
        scores += 1 / (constant + ranks[place])
    return _ranked(documents, scores, places)


def normalised(scores: npt.NDArray[np.floating], how: str) -> Scores:
    """Scores float64[m] of one list on another scale.

    "min-max": (s - min) / (max - min), all 1 if they are equal. "z-score": (s - mean) / deviation, all 0 if they are
    equal; the standard deviation is that of the list itself, not an estimate (divided by m). "none": as they are.
    Raises ParameterError.
    """
    check_choice("normalise", how, NORMALISATIONS)
    values = np.asarray(scores, np.float64)
    if how == "none" or not len(values):
        return values
    least, most = values.min(), values.max()
    if least == most:  # told by the extremes: a deviation may come out as a rounding error
        return np.full(len(values), 1.0 if how == "min-max" else 0.0)
    scaled: Scores = (values - least) / (most - least)
    return scaled if how == "min-max" else (scaled - scaled.mean()) / scaled.std()


def fuse_runs(
    runs: Sequence[Mapping[str, Mapping[str, float]]],
    weights: Sequence[float] | None = None,
    normalise: str = "none",
    missing: str = "minimum",
    method: str = "interpolation",
    k: int | None = None,
) -> dict[str, dict[str, float]]:
    """Runs (query id -> document id -> score) as one, over the queries that any of them has, k documents each.

    Equal scores are ordered by document id, ascending. Raises ParameterError.
    """
    check_choice("method", method, METHODS)
    fused: dict[str, dict[str, float]] = {}
    for query_id in dict.fromkeys(query_id for run in runs for query_id in run):
        rankings = [_of_run(run.get(query_id, {})) for run in runs]
        found = reciprocal_rank_fusion(rankings) if method == "rrf" else fuse(rankings, weights, normalise, missing)
        fused[query_id] = dict(zip(found.documents[:k].tolist(), found.scores[:k].tolist(), strict=True))
    return fused


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises ParameterError unless `value` is one of `choices`."""
    if value not in choices:
        raise ParameterError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")


def _of_run(ranking: Mapping[str, float]) -> Ranking:
    return Ranking(np.array(list(ranking), object), np.array(list(ranking.values()), np.float64))


def _union(rankings: Sequence[Ranking]) -> tuple[Documents, npt.NDArray[np.int64]]:
    """Every document once, ascending, and its place in each ranking, or -1."""
    documents, inverse = np.unique(np.concatenate([each.documents for each in rankings]), return_inverse=True)
    places = np.full((len(documents), len(rankings)), -1, np.int64)
    start = 0
    for column, ranking in enumerate(rankings):
        end = start + len(ranking.documents)
        places[inverse[start:end], column] = np.arange(end - start)
        start = end
    return documents, places


def _ranked(documents: Documents, scores: Scores, places: npt.NDArray[np.int64]) -> Fused:
    order = np.argsort(-scores, kind="stable")  # documents ascend, so that equal scores do too
    return Fused(documents[order], scores[order], places[order])
