"""DenseConfig: settings of dense indexes. Does not import faiss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from lsr.checks import check_choice, check_whole

DenseKind = Literal["flat", "hnsw"]
Metric = Literal["inner-product", "cosine"]


@dataclass(frozen=True, slots=True)
class DenseConfig:
    """Settings of a dense index.

    kind: "flat" compares with every document, exactly; "hnsw" searches a graph (Malkov, Yashunin, TPAMI 2020).
    metric: "inner-product", or "cosine", for which documents and queries are normalized to length 1.
    neighbors: the number of neighbors of a document in the graph (M); only for hnsw.
    ef_construction: the number of candidates while the graph is built (efConstruction); only for hnsw.
    ef_search: the number of candidates while the graph is searched (efSearch), at least k; only for hnsw.

    Raises ParameterError for values out of range.
    """

    kind: DenseKind = "flat"
    metric: Metric = "inner-product"
    neighbors: int = 32
    ef_construction: int = 200
    ef_search: int = 128

    def __post_init__(self) -> None:
        check_choice("kind of dense index", self.kind, get_args(DenseKind))
        check_choice("metric", self.metric, get_args(Metric))
        for name, least, most in (("neighbors", 2, 1024), ("ef_construction", 1, 1 << 20), ("ef_search", 1, 1 << 20)):
            check_whole(name, getattr(self, name), least, most)
