"""How an index is built and how far a search goes: frozen, validated where they are made, saved with the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, get_args

from lsr.checks import check_choice, check_flag, check_number, check_whole
from lsr.errors import ParameterError

Layout = Literal["fast", "compact"]

LONGEST_BUDGET = 86_400_000_000  # microseconds: a day

_RETIRED = ("centroid_fraction", "min_cluster_size")


def _to_python(settings: IndexConfig | SearchParams) -> None:
    """NumPy's numbers become Python's, which a manifest can hold."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, Real) and not isinstance(value, bool):
            plain = int(value) if isinstance(value, Integral) else float(value)
            object.__setattr__(settings, field.name, plain)


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """The decisions of a build.

    block_size: documents of a block. Smaller blocks mean fewer documents scored and more estimates.
    doc_cut: components, heaviest first, by which documents and centroids are compared; at most 16.
    summary_energy: share of a block's component-wise maxima, by L1 mass, that its summary keeps (Seismic, Bruch et al.,
        SIGIR 2024, section 4.3).
    layout: "fast", or "compact": weights of 8 bits and components of about as many: three quarters of the memory, and
        slower.
    knn: neighbors of each document to keep, for SearchParams(knn=...); 0 keeps none.
    seed: of the sampled centroids; equal seeds give equal indexes.

    All of this is about blocks: where a collection is small, or its weights too even, it is stored inverted, and
    none of it has an effect.
    """

    block_size: int = 4
    doc_cut: int = 15
    summary_energy: float = 0.7
    layout: Layout = "fast"
    knn: int = 0
    seed: int = 1142

    def __post_init__(self) -> None:
        check_choice("layout", self.layout, get_args(Layout))
        check_whole("block_size", self.block_size, 1, 255)
        check_whole("doc_cut", self.doc_cut, 1, 16)
        check_number("summary_energy", self.summary_energy, 1e-9, 1)
        check_whole("knn", self.knn, 0, 1000)
        check_whole("seed", self.seed, 0, 2**32 - 1)
        _to_python(self)

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> IndexConfig:
        """What a manifest holds, without settings of earlier versions. Raises TypeError and ParameterError."""
        if not isinstance(entries, Mapping):
            raise TypeError("the config is not an object")
        return cls(**{name: value for name, value in entries.items() if name not in _RETIRED})


@dataclass(frozen=True, slots=True)
class SearchParams:
    """How far a search goes. Larger `query_cut` and smaller `heap_factor` find more and take longer.

    query_cut: query terms, those first that can contribute most, whose posting lists estimate the blocks. Documents are
        scored by all terms.
    heap_factor: a block is skipped when its estimate is below heap_factor x the worst score kept so far, a little more
        than k documents being kept. Above 1 it skips blocks that promise more than that, too.
    max_blocks: blocks visited, about; None for 100 times the square root of k.
    knn: neighbors of each of the best documents that are scored too, from the graph that IndexConfig(knn=...) built.
    exact: score every document instead, with the same scores.
    recall: use what `SeismicIndex.tune` or `lsr tune` stored for this recall.
    budget_us: microseconds after which the search for a query stops, and returns what it has found by then; None for no
        limit. It goes with all of the others. With feedback, each of the two searches has half of it. Searches of dense
        vectors do not stop.

    Raises ParameterError for what is out of range, and for any other value but `budget_us` beside `exact` or `recall`.
    """

    query_cut: int = 16
    heap_factor: float = 0.5
    max_blocks: int | None = None
    knn: int = 0
    exact: bool = False
    recall: float | None = None
    budget_us: int | None = None

    def __post_init__(self) -> None:
        check_whole("query_cut", self.query_cut, 1)
        check_number("heap_factor", self.heap_factor, 0, 1000)
        if self.max_blocks is not None:
            check_whole("max_blocks", self.max_blocks, 1)
        check_whole("knn", self.knn, 0)
        check_flag("exact", self.exact)
        if self.recall is not None:
            check_number("recall", self.recall, 1e-9, 1)
        if self.budget_us is not None:
            check_whole("budget_us", self.budget_us, 1, LONGEST_BUDGET)
        _to_python(self)
        given = [each.name for each in fields(self) if getattr(self, each.name) != each.default]
        given = [name for name in given if name != "budget_us"]
        for alone in ("exact", "recall"):
            if alone in given and len(given) > 1:
                others = " and ".join(name for name in given if name != alone)
                raise ParameterError(f"{alone} leaves nothing to choose; leave out {others}, or {alone}")

    def without_budget(self) -> SearchParams:
        """The same, with no limit of time."""
        return self if self.budget_us is None else replace(self, budget_us=None)

    @classmethod
    def at_recall(cls, recall: float) -> SearchParams:
        """The parameters that reach this recall@k at the least time, as tuned for the index that is searched.

        Searching an index of blocks that was not tuned for that recall, or a higher one, raises ParameterError; other
        indexes are exact, and reach any recall.
        """
        return cls(recall=recall)
