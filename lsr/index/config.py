"""How an index is built and how far a search goes: frozen, validated where they are made, saved with the index."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lsr.errors import ParameterError


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ParameterError(message)


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """The decisions of a build (Seismic, Bruch et al., SIGIR 2024, sections 4 and 5).

    pruning: "global" keeps the `n_postings x components` heaviest postings of the whole collection, and of each
        posting list no more than `n_postings x max_fraction`; "fixed" keeps the `n_postings` heaviest of each list.
    n_postings: postings a list, on average ("global") or at most ("fixed").
    max_fraction: cap of one list, as a multiple of n_postings; only for "global".
    centroid_fraction: centroids sampled for a list, as a share of its postings; 0.2 makes blocks of about 8 documents.
    min_cluster_size: clusters of this size or smaller are dissolved into the nearest of the others.
    doc_cut: components, heaviest first, by which a document picks its centroid; at most 16.
    summary_energy: share of a block's component-wise maxima, by L1 mass, that its summary keeps.
    seed: of the sampled centroids; equal seeds give equal indexes.
    """

    pruning: Literal["global", "fixed"] = "global"
    n_postings: int = 4000
    max_fraction: float = 3.0
    centroid_fraction: float = 0.2
    min_cluster_size: int = 2
    doc_cut: int = 15
    summary_energy: float = 0.5
    seed: int = 1142

    def __post_init__(self) -> None:
        _require(self.pruning in ("global", "fixed"), f"pruning is {self.pruning!r}; it must be 'global' or 'fixed'")
        _require(self.n_postings >= 1, f"n_postings is {self.n_postings}; it must be at least 1")
        _require(
            math.isfinite(self.max_fraction) and self.n_postings * self.max_fraction >= 1,
            f"max_fraction is {self.max_fraction}; n_postings x max_fraction must be at least 1",
        )
        _require(
            0 < self.centroid_fraction <= 1,
            f"centroid_fraction is {self.centroid_fraction}; it must be above 0 and at most 1",
        )
        _require(self.min_cluster_size >= 0, f"min_cluster_size is {self.min_cluster_size}; it must be at least 0")
        _require(1 <= self.doc_cut <= 16, f"doc_cut is {self.doc_cut}; it must be from 1 to 16")
        _require(
            0 < self.summary_energy <= 1, f"summary_energy is {self.summary_energy}; it must be above 0 and at most 1"
        )
        _require(0 <= self.seed < 2**32, f"seed is {self.seed}; it must be from 0 to 2**32 - 1")


@dataclass(frozen=True, slots=True)
class SearchParams:
    """How far a search goes. Larger `query_cut` and smaller `heap_factor` find more and take longer.

    query_cut: posting lists visited, heaviest query terms first.
    heap_factor: a block is skipped when its estimate is below heap_factor x the k-th best score so far.
    exact: score every document instead, with the same scores (the forward index's), and ignore the other two.
    """

    query_cut: int = 10
    heap_factor: float = 0.8
    exact: bool = False

    def __post_init__(self) -> None:
        _require(self.query_cut >= 1, f"query_cut is {self.query_cut}; it must be at least 1")
        _require(0 <= self.heap_factor <= 1000, f"heap_factor is {self.heap_factor}; it must be from 0 to 1000")
