"""The hierarchical bootstrap, beside scipy's plain one and beside the variance of a model of which it is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lsr.errors import ParameterError
from lsr.reproduce.hierarchical_bootstrap import Cases, bootstrap_difference

SAMPLES = 4000


def cases(first: np.ndarray, second: np.ndarray, clusters: np.ndarray | None = None) -> Cases:
    return Cases(first, second, np.arange(first.shape[1]) if clusters is None else clusters)


def test_with_one_collection_and_seed_it_equals_the_bootstrap_over_queries() -> None:
    random = np.random.default_rng(1)
    first, second = random.random((2, 1, 60))
    found = bootstrap_difference([cases(first, second)], SAMPLES)
    expected = stats.bootstrap(
        ((second - first)[0],), np.mean, n_resamples=SAMPLES, method="percentile", random_state=random
    ).confidence_interval
    assert found.difference == pytest.approx((second - first).mean())
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.01)


def test_with_clusters_it_equals_the_bootstrap_over_cluster_means() -> None:
    random = np.random.default_rng(2)
    means = random.normal(0.05, 0.1, 40)
    second = means.repeat(5)[None]  # five queries about the same text say the same
    found = bootstrap_difference([cases(np.zeros_like(second), second, np.arange(40).repeat(5))], SAMPLES)
    alone = bootstrap_difference([cases(np.zeros((1, 40)), means[None])], SAMPLES)
    assert found == pytest.approx(alone, abs=1e-12)
    apart = bootstrap_difference([cases(np.zeros_like(second), second)], SAMPLES)
    assert apart.high - apart.low == pytest.approx((found.high - found.low) / np.sqrt(5), rel=0.1)


def test_collections_that_are_not_drawn_do_not_vary() -> None:
    random = np.random.default_rng(4)
    effects, noise = random.normal(0.1, 0.3, 12), random.normal(0, 0.2, (12, 50))
    noise -= noise.mean(1, keepdims=True)
    compared = [cases(np.zeros((1, 50)), (effect + each)[None]) for effect, each in zip(effects, noise, strict=True)]
    found = bootstrap_difference(compared, SAMPLES, drawn=False)
    error = np.sqrt((noise**2).mean(1).sum() / 50) / 12  # of a mean of twelve means of 50
    assert found.difference == pytest.approx(effects.mean())
    assert found.high - found.low == pytest.approx(2 * stats.norm.ppf(0.975) * error, rel=0.06)


@pytest.mark.parametrize(("of_collections", "of_seeds", "of_queries"), [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 2, 4)])
def test_the_width_of_the_interval_follows_from_the_variances(
    of_collections: float, of_seeds: float, of_queries: float
) -> None:
    random = np.random.default_rng(3)
    collections, seeds, queries = 30, 40, 50

    def effects(scale: float, *shape: int) -> np.ndarray:
        drawn = random.normal(size=shape)
        return scale * (drawn - drawn.mean()) / drawn.std() if scale else np.zeros(shape)

    by_collection, by_seed = effects(of_collections, collections), effects(of_seeds, seeds)
    found = bootstrap_difference(
        [
            cases(np.zeros((seeds, queries)), each + by_seed[:, None] + effects(of_queries, queries)[None])
            for each in by_collection
        ],
        SAMPLES,
    )
    variance = of_collections**2 / collections + of_seeds**2 / seeds + of_queries**2 / queries / collections
    assert found.difference == pytest.approx(0, abs=1e-9)
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(variance), rel=0.08)
    assert found.p_value > 0.8


def test_p_is_small_for_a_sure_difference_and_never_zero_or_above_one() -> None:
    ones, zeros = np.ones((3, 5)), np.zeros((1, 5))
    sure = bootstrap_difference([cases(zeros, ones)] * 4, SAMPLES)
    assert sure == pytest.approx((1.0, 1.0, 1.0, 2 / (SAMPLES + 1)))
    assert bootstrap_difference([cases(zeros, zeros)] * 4, SAMPLES).p_value == 1


def test_the_result_depends_only_on_the_seed() -> None:
    random = np.random.default_rng(4)
    many = [cases(random.random((2, 9)), random.random((3, 9))) for _ in range(5)]
    first, again, other = (bootstrap_difference(many, 500, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert first.difference == other.difference


def test_collections_are_needed_with_the_same_seeds() -> None:
    with pytest.raises(ParameterError, match="collections is empty"):
        bootstrap_difference([])
    with pytest.raises(ParameterError, match="seeds"):
        bootstrap_difference([cases(np.zeros((1, 2)), np.zeros((2, 2))), cases(np.zeros((2, 2)), np.zeros((2, 2)))])
