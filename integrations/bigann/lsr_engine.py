"""lsr in the sparse track of BigANN (NeurIPS'23): the class for its harness; README.md says where to put it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from benchmark.algorithms.base import BaseANN
from benchmark.datasets import DATASETS

from lsr import IndexConfig, SearchParams, SeismicIndex

MEMORY = 8 << 30  # bytes for a build; the track allows 16 GB, which pages of files and Python also need
INDEXES = Path("data") / "indices" / "sparse"  # a folder that the harness mounts


class Lsr(BaseANN):
    """lsr for BigANN. index_params: of lsr.IndexConfig. The parameters of searches are those of lsr.SearchParams."""

    def __init__(self, metric: str, index_params: dict[str, Any]) -> None:
        if metric != "ip":
            raise ValueError(f"the metric is {metric}; lsr supports only inner products, ip")
        self._config = IndexConfig(**index_params)
        self._named = "-".join(f"{name}={value}" for name, value in sorted(index_params.items())) or "defaults"
        self._searched: dict[str, Any] = {}
        self._rows = np.empty((0, 0), np.int32)
        self._index: SeismicIndex | None = None

    def track(self) -> str:
        return "sparse"

    def fit(self, dataset: str) -> None:
        """Build the index of a data set on disk, and open it."""
        folder = self._folder(dataset)
        folder.parent.mkdir(parents=True, exist_ok=True)
        source = DATASETS[dataset]().get_dataset_fn()
        self._index = SeismicIndex.build_from(source, folder, self._config, memory=MEMORY)

    def load_index(self, dataset: str) -> bool:
        """Open the index of an earlier run; False if there is none."""
        folder = self._folder(dataset)
        if not folder.exists():
            return False
        self._index = SeismicIndex.open(folder)
        return True

    def set_query_arguments(self, query_args: dict[str, Any]) -> None:
        self._searched = query_args

    def query(self, X: Any, k: int) -> None:  # noqa: N803, as the harness has it
        """Search for all rows of a SciPy matrix at once, on all processors."""
        if self._index is None:
            raise RuntimeError("there is no index; call fit or load_index first")
        self._rows = self._index.search(X, k, SearchParams(**self._searched), threads=None).rows.astype(np.int32)

    def get_results(self) -> np.ndarray:
        """Rows int32[queries, k], best first, padded with -1."""
        return self._rows

    def __str__(self) -> str:
        searched = ",".join(f"{name}={value}" for name, value in self._searched.items()) or "defaults"
        return f"lsr({self._named},{searched})"

    def _folder(self, dataset: str) -> Path:
        return INDEXES / f"lsr-{dataset}-{self._named}"
