"""Index vectors that you already have, as a SciPy matrix; save the index, open it, search it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse

from lsr import SearchParams, SeismicIndex, SparseVectors

rng = np.random.default_rng(7)
documents = scipy.sparse.random(2000, 500, density=0.05, format="csr", dtype=np.float32, rng=rng)
queries = documents[:5]

index = SeismicIndex.build(SparseVectors.from_scipy(documents), ids=[f"doc{row}" for row in range(2000)])
with tempfile.TemporaryDirectory() as folder:
    index.save(Path(folder) / "my-index")
    opened = SeismicIndex.open(Path(folder) / "my-index")
    found = opened.search(SparseVectors.from_scipy(queries), k=3)
    exact = opened.search(SparseVectors.from_scipy(queries), k=3, params=SearchParams(exact=True))
    for ids, scores, exact_ids in zip(found.ids, found.scores, exact.ids, strict=True):
        print(list(ids), scores.round(3).tolist(), "exact:", list(exact_ids))
