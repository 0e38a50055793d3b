"""Merging the lists of shards into one ranking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lsr.distributed.shard import ShardFound


class Ranked(NamedTuple):
    """A document of the ranking: its shard and row, and its score."""

    shard: int
    row: int
    doc_id: str
    score: float


def merge_rankings(found: Mapping[int, ShardFound], queries: int, k: int) -> list[list[Ranked]]:
    """The k best documents of each query, best first, equal scores by shard and row.

    found: shard -> its lists. The k best of all are among the k best of each shard.
    """
    if not found:
        return [[] for _ in range(queries)]
    shards = sorted(found)
    scores = np.concatenate([np.asarray(found[shard].scores) for shard in shards], axis=1)
    places = [(shard, place) for shard in shards for place in range(found[shard].scores.shape[1])]
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    rankings = []
    for query, columns in enumerate(best.tolist()):
        ranking = []
        for column in columns:
            shard, place = places[column]
            row = int(found[shard].rows[query, place])
            if row >= 0:
                ranking.append(Ranked(shard, row, found[shard].ids[query][place], float(scores[query, column])))
        rankings.append(ranking)
    return rankings
