"""How an index is built and how far a search goes: frozen, validated where they are made, saved with the index."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Literal

from lsr.errors import ParameterError


def _check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or int(value) < least or (most is not None and int(value) > most):  # type: ignore[call-overload]
        raise ParameterError(f"{name} is {value!r}; it must be a whole number {limits}")


def _check_number(name: str, value: object, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= float(value) <= most:
        raise ParameterError(f"{name} is {value!r}; it must be a number from {least:g} to {most:g}")


def _to_python(settings: IndexConfig | SearchParams) -> None:
    """NumPy's numbers become Python's, which a manifest can hold."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, Real) and not isinstance(value, bool):
            plain = int(value) if isinstance(value, Integral) else float(value)
            object.__setattr__(settings, field.name, plain)


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
        if self.pruning not in ("global", "fixed"):
            raise ParameterError(f"pruning is {self.pruning!r}; it must be 'global' or 'fixed'")
        _check_whole("n_postings", self.n_postings, 1, 2**40)
        _check_number("max_fraction", self.max_fraction, 1 / self.n_postings, 1e6)
        _check_number("centroid_fraction", self.centroid_fraction, 1e-9, 1)
        _check_whole("min_cluster_size", self.min_cluster_size, 0, 2**32 - 1)
        _check_whole("doc_cut", self.doc_cut, 1, 16)
        _check_number("summary_energy", self.summary_energy, 1e-9, 1)
        _check_whole("seed", self.seed, 0, 2**32 - 1)
        _to_python(self)


@dataclass(frozen=True, slots=True)
class SearchParams:
    """How far a search goes. Larger `query_cut` and smaller `heap_factor` find more and take longer.

    query_cut: posting lists visited, those first in which a query term can contribute most. Queries of a hundred terms
        need the default of 16; short ones do with 4 to 8.
    heap_factor: a block is skipped when its estimate is below heap_factor x the k-th best score so far.
    exact: score every document instead, with the same scores (the forward index's), and ignore the other two.
    """

    query_cut: int = 16
    heap_factor: float = 0.8
    exact: bool = False

    def __post_init__(self) -> None:
        _check_whole("query_cut", self.query_cut, 1)
        _check_number("heap_factor", self.heap_factor, 0, 1000)
        if type(self.exact) is not bool:
            raise ParameterError(f"exact is {self.exact!r}; it must be true or false")
        _to_python(self)
