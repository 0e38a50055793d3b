"""Fusion over dictionaries, one document at a time, as Pyserini's documentation describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Scores = Mapping[str, float]


def normalized(scores: Scores, how: str) -> dict[str, float]:
    if how == "none" or not scores:
        return dict(scores)
    values = list(scores.values())
    least, most = min(values), max(values)
    if least == most:
        return dict.fromkeys(scores, 1.0 if how == "min-max" else 0.0)
    if how == "min-max":
        return {doc: (score - least) / (most - least) for doc, score in scores.items()}
    mean = sum(values) / len(values)
    deviation = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    return {doc: (score - mean) / deviation for doc, score in scores.items()}


def fuse(rankings: Sequence[Scores], weights: Sequence[float], how: str, missing: str) -> dict[str, float]:
    lists = [normalized(ranking, how) for ranking in rankings]
    fused = {}
    for doc in {doc for ranking in rankings for doc in ranking}:
        fused[doc] = 0.0
        for scores, weight in zip(lists, weights, strict=True):
            if doc in scores:
                fused[doc] += weight * scores[doc]
            elif missing == "minimum" and scores:
                fused[doc] += weight * min(scores.values())
    return fused


def reciprocal_rank_fusion(rankings: Sequence[Scores], constant: int = 60) -> dict[str, float]:
    fused: dict[str, float] = {}
    for ranking in rankings:
        ordered = sorted(ranking, key=lambda doc: -ranking[doc])
        for rank, doc in enumerate(ordered, start=1):
            fused[doc] = fused.get(doc, 0.0) + 1 / (constant + rank)
    return fused


def hybrid_searcher(dense: Scores, sparse: Scores, alpha: float, normalize: bool) -> dict[str, float]:
    """Pyserini's HybridSearcher: sparse times alpha, plus dense; a missing document gets its list's minimum."""

    def centered(scores: Scores) -> dict[str, float]:
        least, most = min(scores.values()), max(scores.values())
        return {doc: (score - (least + most) / 2) / (most - least) for doc, score in scores.items()}

    if normalize:
        dense, sparse = centered(dense), centered(sparse)
    least_sparse, least_dense = min(sparse.values()), min(dense.values())
    return {doc: alpha * sparse.get(doc, least_sparse) + dense.get(doc, least_dense) for doc in {*sparse, *dense}}
