"""How dense vectors are indexed: a value that checks itself, without faiss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from lsr.checks import check_choice, check_whole

DenseKind = Literal["flat", "hnsw"]
Metric = Literal["inner-product", "cosine"]


@dataclass(frozen=True, slots=True)
class DenseConfig:
    """How dense vectors are indexed.

    kind: "flat" compares with every document, exactly; "hnsw" walks a graph (Malkov, Yashunin, TPAMI 2020).
    metric: "inner-product", or "cosine", for which documents and queries are brought to length 1.
    neighbors: of a document in the graph (M). ef_construction, ef_search: candidates kept while the graph is built,
        and while it is searched (never fewer than k). These three are hnsw's.

    Raises ParameterError.
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
