"""A test whether one way to train is better than another, over collections, queries and seeds at once.

A paired test over queries takes the two trainings and the collection as given. Here, all of them are sampled with
replacement: the collections, the clusters of queries of each drawn collection, and the seeds of each way to train. The
drawn seeds are the same for all collections, because one training is measured on all of them. Sampling with replacement
at every level of a hierarchy is Davison and Hinkley 1997, section 3.8, strategy 1.

Few seeds make the test optimistic: the variance over n seeds drawn with replacement is (n - 1) / n of the true one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lsr.errors import ParameterError

SAMPLES = 10_000
LEVEL = 0.95

Values = npt.NDArray[np.float64]


class Cases(NamedTuple):
    """The results of two ways to train on one collection.

    first, second: float64 [seeds, queries] of a measure; the two may have different numbers of seeds. clusters: int64
        [queries], the cluster of each query, from 0: queries about the same text are drawn together.
    """

    first: Values
    second: Values
    clusters: npt.NDArray[np.int64]


class Difference(NamedTuple):
    """The mean over collections of the mean of second - first over queries and seeds.

    low, high: its 95 % percentile interval. p_value: two-sided, twice the smaller share of samples on one side of 0.
    """

    difference: float
    low: float
    high: float
    p_value: float


def bootstrap_difference(
    collections: Sequence[Cases], samples: int = SAMPLES, seed: int = 0, drawn: bool = True
) -> Difference:
    """The difference over all collections with equal weights.

    drawn: whether collections are drawn, so that the result holds for other collections of this kind. False draws only
        queries and seeds, as for a single collection.

    Raises ParameterError without collections, or if they have different numbers of seeds.
    """
    if not collections:
        raise ParameterError("collections is empty; give the results on at least one collection")
    seeds = {(len(each.first), len(each.second)) for each in collections}
    if len(seeds) != 1:
        raise ParameterError(
            f"the collections have different numbers of seeds (first, second): {sorted(seeds)}; give the same for all"
        )
    [(of_first, of_second)] = seeds
    random = np.random.default_rng(seed)
    weights = [_drawn(random, samples, count) for count in (of_first, of_second)]
    means = np.zeros(samples)
    for place in range(len(collections)):  # a collection that is drawn twice gets two draws of queries
        chosen = random.integers(len(collections), size=samples) if drawn else np.full(samples, place)
        for number, each in enumerate(collections):
            at = chosen == number
            means[at] += _of_collection(random, each, *(of_seeds[at] for of_seeds in weights)) / len(collections)
    observed = float(np.mean([each.second.mean() - each.first.mean() for each in collections]))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    side = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    return Difference(observed, float(low), float(high), min(1.0, 2 * (side + 1) / (samples + 1)))


def _drawn(random: np.random.Generator, samples: int, count: int) -> Values:
    """float64 [samples, count]: shares of each of `count` items in `count` draws with replacement."""
    shares: Values = random.multinomial(count, np.full(count, 1 / count), size=samples) / count
    return shares


def _of_collection(random: np.random.Generator, cases: Cases, first_seeds: Values, second_seeds: Values) -> Values:
    """float64[samples]: the difference for drawn queries of the collection.

    first_seeds, second_seeds: the share of each seed, [samples, seeds].
    """
    sizes = np.bincount(cases.clusters).astype(np.float64)
    drawn = _drawn(random, len(first_seeds), len(sizes))
    queries = drawn @ sizes

    def mean(values: Values, seeds: Values) -> Values:
        sums = np.stack([np.bincount(cases.clusters, each) for each in values])
        found: Values = ((drawn @ sums.T) * seeds).sum(1) / queries
        return found

    return mean(cases.second, second_seeds) - mean(cases.first, first_seeds)
