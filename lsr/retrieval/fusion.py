"""Fusion: one ranking from several, by interpolation of scores or by reciprocal ranks.

All fusions of Pyserini are available (Lin et al., SIGIR 2021; its `fusion` package and `HybridSearcher`):

    interpolation    fuse(lists, (w, 1 - w), missing="zero")
    average          fuse(lists, (1 / n,) * n, missing="zero")
    normalize        fuse(lists, normalize="min-max", missing="zero")
    HybridSearcher   fuse(lists, (a, 1), missing="minimum"); its normalization=True is normalize="min-max", with
                     scores that are larger by half the sum of the weights
    rrf              reciprocal_rank_fusion(lists)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from lsr.checks import check_choice, check_number, check_scores, check_whole, listed
from lsr.errors import ParameterError
from lsr.retrieval.request import Fusion, FusionMethod, Missing, Normalization

LARGEST_SCORE = 1e100  # so that weighted sums stay finite
RANK_CONSTANT = 60  # Cormack, Clarke, Buettcher, SIGIR 2009

Documents = npt.NDArray[Any]
Scores = npt.NDArray[np.float64]


class Ranking(NamedTuple):
    """The documents of one query, and their scores.

    documents: rows int64[m], or ids as an object array [m], without duplicates. scores: finite numbers [m].
    """

    documents: Documents
    scores: npt.NDArray[np.floating]


class Fused(NamedTuple):
    """A fused ranking: documents and scores as in Ranking, best first, equal scores by document.

    places: int64[m, lists], the place of each document in each fused ranking; -1 if it is not there.
    """

    documents: Documents
    scores: Scores
    places: npt.NDArray[np.int64]


def interpolate(sparse: Ranking, dense: Ranking, fusion: Fusion) -> Fused:
    """The fused ranking of the documents of both lists: weight * sparse + (1 - weight) * dense, or reciprocal ranks."""
    if fusion.method == "rrf":
        return reciprocal_rank_fusion((sparse, dense))
    return fuse((sparse, dense), (fusion.weight, 1 - fusion.weight), fusion.normalize, fusion.missing)


def fuse(
    rankings: Sequence[Ranking],
    weights: Sequence[float] | None = None,
    normalize: Normalization = "none",
    missing: Missing = "minimum",
) -> Fused:
    """The weighted sum of the scores of each document. weights: None for 1 each.

    missing: the score of a document that a list lacks: the lowest score of the list after normalization ("minimum"), or
        0 ("zero"). An empty list adds 0 to every document. Raises ParameterError.
    """
    check_choice("missing", missing, get_args(Missing))
    weights = [1.0] * len(rankings) if weights is None else listed(weights, "weights")
    for weight in weights:
        check_number("a weight", weight, -LARGEST_SCORE, LARGEST_SCORE)
    if len(weights) != len(rankings):
        raise ParameterError(f"weights are {weights} for {len(rankings)} rankings; give one finite number per ranking")
    documents, places = _union(rankings)
    scores = np.zeros(len(documents))
    for ranking, weight, place in zip(rankings, weights, places.T, strict=True):
        if len(ranking.documents):
            normal = normalized(ranking.scores, normalize)
            lacking = normal.min() if missing == "minimum" else 0.0
            scores += weight * np.where(place < 0, lacking, normal[place])
    return _ranked(documents, scores, places)


def reciprocal_rank_fusion(rankings: Sequence[Ranking], constant: float = RANK_CONSTANT) -> Fused:
    """The sum of 1 / (constant + rank) over the lists that have the document. Ranks begin with 1.

    A list is ranked by its scores; equal scores keep their order. Cormack, Clarke, Buettcher, SIGIR 2009, equation 1.
    """
    documents, places = _union(rankings)
    scores = np.zeros(len(documents))
    for ranking, place in zip(rankings, places.T, strict=True):
        ranks = np.empty(len(ranking.documents) + 1)  # the last one is for missing documents
        ranks[np.argsort(-ranking.scores, kind="stable")] = np.arange(1, len(ranking.documents) + 1)
        ranks[-1] = np.inf
        scores += 1 / (constant + ranks[place])
    return _ranked(documents, scores, places)


def normalized(scores: npt.NDArray[np.floating], how: Normalization) -> Scores:
    """The normalized scores of one list, float64[m].

    "none": unchanged.
    "min-max": (s - min) / (max - min). Equal scores become 1.
    "z-score": (s - mean) / deviation. Equal scores become 0. The deviation is the square root of the mean of
        (s - mean)^2, that is, of the list itself and not an estimate from a sample.

    Raises ParameterError.
    """
    check_choice("normalize", how, get_args(Normalization))
    values = np.asarray(scores, np.float64)
    if how == "none" or not len(values):
        return values
    least, most = values.min(), values.max()
    if least == most:  # not by the deviation, which may be a rounding error
        return np.full(len(values), 1.0 if how == "min-max" else 0.0)
    scaled: Scores = (values - least) / (most - least)
    return scaled if how == "min-max" else (scaled - scaled.mean()) / scaled.std()


def fuse_runs(
    runs: Sequence[Mapping[str, Mapping[str, float]]],
    weights: Sequence[float] | None = None,
    normalize: Normalization = "none",
    missing: Missing = "minimum",
    method: FusionMethod = "interpolation",
    k: int | None = None,
) -> dict[str, dict[str, float]]:
    """Fuse several runs into one, {query id: {document id: score}}, over the queries of all runs.

    runs: the runs. A query that a run lacks is an empty list.
    weights: the weight of each run. Default: 1 each.
    normalize, missing, method: see Fusion.
    k: the number of documents per query. None for all.

    Equal scores are in ascending order of document ids. Raises ParameterError, RunError.
    """
    check_choice("method", method, get_args(FusionMethod))
    if k is not None:
        check_whole("k", k)
    if method == "rrf" and weights is not None:
        raise ParameterError("rrf has no weights; remove them, or use interpolation")
    runs = listed(runs, "runs")
    for run in runs:
        check_scores(run)
    fused: dict[str, dict[str, float]] = {}
    for query_id in dict.fromkeys(query_id for run in runs for query_id in run):
        rankings = [_of_run(run.get(query_id, {})) for run in runs]
        found = reciprocal_rank_fusion(rankings) if method == "rrf" else fuse(rankings, weights, normalize, missing)
        fused[query_id] = dict(zip(found.documents[:k].tolist(), found.scores[:k].tolist(), strict=True))
    return fused


def _of_run(ranking: Mapping[str, float]) -> Ranking:
    return Ranking(np.array(list(ranking), object), np.array(list(ranking.values()), np.float64))


def _union(rankings: Sequence[Ranking]) -> tuple[Documents, npt.NDArray[np.int64]]:
    """All documents, ascending, and the place of each in each ranking, or -1. Raises ParameterError."""
    if not rankings:
        raise ParameterError("nothing to fuse; give at least one ranking")
    for ranking in rankings:
        if not (np.abs(np.asarray(ranking.scores, np.float64)) <= LARGEST_SCORE).all():
            raise ParameterError(
                f"a ranking has a score that is NaN or not from -{LARGEST_SCORE:g} to {LARGEST_SCORE:g}; correct it"
            )
    documents, inverse = np.unique(np.concatenate([each.documents for each in rankings]), return_inverse=True)
    places = np.full((len(documents), len(rankings)), -1, np.int64)
    start = 0
    for column, ranking in enumerate(rankings):
        end = start + len(ranking.documents)
        places[inverse[start:end], column] = np.arange(end - start)
        start = end
    return documents, places


def _ranked(documents: Documents, scores: Scores, places: npt.NDArray[np.int64]) -> Fused:
    order = np.argsort(-scores, kind="stable")  # documents ascend, so equal scores are ordered by document
    return Fused(documents[order], scores[order], places[order])
