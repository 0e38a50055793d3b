"""IndexConfig and SearchParams: settings of builds and searches. Frozen, checked, and stored in the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, get_args

from lsr.checks import check_choice, check_flag, check_number, check_whole
from lsr.errors import ParameterError

Layout = Literal["fast", "compact"]

LONGEST_BUDGET = 86_400_000_000  # microseconds: a day
MOST = 1 << 40  # of what a search counts: more than any index has, and far from the largest int64

_RETIRED = ("centroid_fraction", "min_cluster_size")


def _to_python(settings: IndexConfig | SearchParams) -> None:
    """Convert NumPy's numbers to Python's, which can be stored in a manifest."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, Real) and not isinstance(value, bool):
            plain = int(value) if isinstance(value, Integral) else float(value)
            object.__setattr__(settings, field.name, plain)


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """Settings of a SeismicIndex.

    block_size: documents per block. Smaller blocks mean fewer scored documents and more estimates.
    doc_cut: the number of heaviest components by which documents and centroids are compared; at most 16.
    summary_energy: share of a block's component-wise maxima, by L1 mass, that its summary keeps (Seismic, Bruch et al.,
        SIGIR 2024, section 4.3). A larger share finds more and takes longer.
    layout: "fast", or "compact", with 8-bit weights and about 8-bit components: three quarters of the memory, and
        slower.
    knn: number of neighbors to store per document, for SearchParams(knn=...); 0 for none.
    seed: of the sampled centroids; equal seeds give equal indexes.

    These settings are for blocks. An index that stores posting lists, because it has few documents or weights that vary
    too little, ignores them.
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
        """The settings in a manifest, without those of earlier versions. Raises TypeError and ParameterError."""
        if not isinstance(entries, Mapping):
            raise TypeError("the config is not an object")
        return cls(**{name: value for name, value in entries.items() if name not in _RETIRED})


@dataclass(frozen=True, slots=True)
class SearchParams:
    """Settings of a search. A larger `query_cut` and a smaller `heap_factor` find more and take longer.

    query_cut: number of query terms whose posting lists estimate blocks; terms with the largest possible contribution
        come first. Documents are scored by all terms.
    heap_factor: a block is skipped if its estimate is below heap_factor x the worst score in the heap, which has a few
        more than k documents. Values above 1 also skip blocks with estimates above that score.
    max_blocks: approximate maximum number of visited blocks. None for 100 times the square root of k.
    knn: number of neighbors of each of the best documents that are also scored, from the graph of IndexConfig(knn=...).
    exact: score every document, with the same scores.
    recall: use the parameters that `SeismicIndex.tune` or `lsr tune` stored for this recall.
    budget_us: time limit of the search for a query, in microseconds; the search then returns the best documents so far.
        None for no limit. It can be combined with all others. With feedback, each of the two searches has half of it.
        Searches of dense vectors ignore it.

    Raises ParameterError for values out of range, and for other values than `budget_us` together with `exact` or
    `recall`.
    """

    query_cut: int = 16
    heap_factor: float = 0.5
    max_blocks: int | None = None
    knn: int = 0
    exact: bool = False
    recall: float | None = None
    budget_us: int | None = None

    def __post_init__(self) -> None:
        check_whole("query_cut", self.query_cut, 1, MOST)
        check_number("heap_factor", self.heap_factor, 0, 1000)
        if self.max_blocks is not None:
            check_whole("max_blocks", self.max_blocks, 1, MOST)
        check_whole("knn", self.knn, 0, MOST)
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
                raise ParameterError(f"{alone} cannot be combined with {others}; remove one of them")

    def without_budget(self) -> SearchParams:
        """The same parameters without a time limit."""
        return self if self.budget_us is None else replace(self, budget_us=None)

    @classmethod
    def at_recall(cls, recall: float) -> SearchParams:
        """The fastest parameters that reach this recall@k, as tuned for the searched index.

        Searching an index of blocks that was not tuned for this recall, or a higher one, raises ParameterError. Other
        indexes are exact and reach any recall.
        """
        return cls(recall=recall)
