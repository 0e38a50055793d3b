"""The self-test of `lsr doctor`: random vectors, searched by blocks, exactly, and with SciPy."""

from __future__ import annotations

import json
import time

import numpy as np
import numpy.typing as npt

from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.seismic.engine import BlockEngine
from lsr.index.seismic.seismic_files import State
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.threads import thread_pool
from lsr.vectors.sparse_vectors import SparseVectors

DOCUMENTS, QUERIES, TOPICS, DIM, K = 20_000, 100, 200, 20_000, 10


def run_self_test() -> None:
    """Print figures as JSON: seconds, microseconds of a search, recall, and the largest error of an exact score."""
    documents, queries = _made(DOCUMENTS, 40, 1), _made(QUERIES, 15, 2)
    begin = time.perf_counter()
    with thread_pool(None) as executor:
        engine = BlockEngine.build(documents, IndexConfig(), executor, progress=False)
    index = SeismicIndex(State(engine, IndexConfig(), None, {}), None)
    built = time.perf_counter()
    index.search(queries, K, threads=1)  # loads the kernels
    loaded = time.perf_counter()
    found = index.search(queries, K, threads=1)
    searched = time.perf_counter()
    exact = index.search(queries, K, SearchParams(exact=True))
    products = (queries.to_scipy() @ documents.to_scipy().T).toarray()
    best = np.sort(products, axis=1)[:, : -K - 1 : -1]
    shared = [len(set(ours) & set(theirs)) for ours, theirs in zip(found.rows, exact.rows, strict=True)]
    figures = {
        "documents": DOCUMENTS,
        "build_seconds": built - begin,
        "load_seconds": loaded - built,
        "microseconds": (searched - loaded) / QUERIES * 1e6,
        "recall": float(np.mean(shared)) / K,
        "score_error": float(np.max(np.abs(exact.scores - best) / best)),
    }
    print(json.dumps(figures))


def _made(rows: int, length: int, seed: int) -> SparseVectors:
    """Random vectors, each with the components of a topic and some others, as a learned encoder gives."""
    rng = np.random.default_rng(seed)
    terms: npt.NDArray[np.int64] = np.random.default_rng(0).integers(0, DIM, (TOPICS, 100))
    own = terms[rng.integers(0, TOPICS, rows)[:, None], rng.integers(0, 100, (rows, length))]
    components = np.where(rng.random((rows, length)) < 0.7, own, rng.integers(0, DIM, (rows, length)))
    weights = rng.lognormal(-0.5, 0.7, (rows, length)).astype(np.float32)
    return SparseVectors.from_scipy(_csr(components, weights))


def _csr(components: npt.NDArray[np.int64], weights: npt.NDArray[np.float32]) -> object:
    from scipy.sparse import csr_matrix

    rows, length = components.shape
    matrix = csr_matrix((weights.ravel(), components.ravel(), np.arange(rows + 1) * length), shape=(rows, DIM))
    matrix.sum_duplicates()
    return matrix
