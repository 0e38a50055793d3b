"""Vectors for the tests of the index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from threading import Thread
from typing import TypeVar
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.result import SearchResult
from lsr.index.seismic.build import in_memory as building
from lsr.index.seismic.build import node_plan, trial
from lsr.index.seismic.forward import (
    Components,
    Forward,
    count_components,
    head_layout,
    quantize,
    table_size,
    weight_scale,
)
from lsr.index.seismic.search.kernels import NOTHING
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.storage.arrays import Array, read_only
from lsr.vectors.sparse_vectors import SparseVectors

NARROW, WIDE = np.uint16, np.uint32

T = TypeVar("T")

LAYOUTS = ("fast", "compact")

DIMS = (3, 40, 1 << 16, (1 << 16) + 1, 1 << 32)

# Everything is kept in the summaries.
WHOLE = IndexConfig(summary_energy=1.0)

EXACT = SearchParams(exact=True)

# Every block that has anything to do with the query is visited.
EVERYTHING = SearchParams(query_cut=1 << 40, heap_factor=0, max_blocks=1 << 40)


@contextmanager
def always_blocks() -> Iterator[None]:
    """Indexes built meanwhile have blocks, however few the documents, and however even their weights."""
    with patch.object(trial, "INVERTED_BELOW", 0), patch.object(trial, "sample_recall", lambda *_: 1.0):
        yield


@contextmanager
def nodes_are(superblocks: bool) -> Iterator[None]:
    """Indexes built meanwhile have summaries of superblocks, and pages, or of blocks, however many the documents."""
    with patch.object(node_plan, "SUPERBLOCKS_FROM", 0 if superblocks else 1 << 32):
        yield


def zipf_vectors(seed: int, rows: int, dim: int, mean_length: float, levels: int) -> SparseVectors:
    """Rows of few components, some of them in most rows, and of weights k / 8 with k from 1 to `levels`."""
    rng = np.random.default_rng(seed)
    # From both ends of the range, in random order.
    components = rng.permutation(np.unique(np.r_[: min(dim, 30), max(0, dim - 30) : dim]))
    share = 1 / np.arange(1, len(components) + 1)
    lengths = np.minimum(rng.poisson(mean_length, rows), len(components))
    chosen = [rng.choice(components, length, replace=False, p=share / share.sum()) for length in lengths]
    weights = rng.integers(1, levels + 1, lengths.sum()) / 8
    return SparseVectors(np.r_[0, np.cumsum(lengths)], np.concatenate([np.empty(0, int), *chosen]), weights, dim)


@st.composite
def vectors_and_queries(draw: st.DrawFn, max_rows: int = 300, min_rows: int = 0) -> tuple[SparseVectors, SparseVectors]:
    """Up to `max_rows` documents, empty ones and equal ones among them, and twelve queries to match."""
    seed = draw(st.integers(0, 2**32 - 1))
    dim = draw(st.sampled_from(DIMS))
    levels = draw(st.sampled_from([1, 4, 1000]))
    vectors = zipf_vectors(seed, draw(st.integers(min_rows, max_rows)), dim, draw(st.sampled_from([1, 5, 30])), levels)
    if len(vectors) and draw(st.booleans()):
        vectors = vectors[np.random.default_rng(seed).integers(0, len(vectors), max_rows)]
    return vectors, zipf_vectors(seed + 1, 12, dim, 5, 4)


@st.composite
def configs(draw: st.DrawFn) -> IndexConfig:
    """Settings that make a difference to a few hundred documents."""
    return IndexConfig(
        block_size=draw(st.sampled_from([1, 3, 6, 255])),
        doc_cut=draw(st.sampled_from([1, 3, 16])),
        summary_energy=draw(st.sampled_from([0.1, 0.5, 1.0])),
        layout=draw(st.sampled_from(LAYOUTS)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def make_forward(
    vectors: SparseVectors,
    dtype: type[np.unsignedinteger] = NARROW,
    compact: bool = False,
    rows: npt.NDArray[np.uint32] | None = None,
) -> tuple[Forward, Components]:
    """A forward index and its numbering, with internal components of 16 or of 32 bits.

    rows: the row that each document is; by default they are in order.
    """
    components = count_components(vectors)
    internal = components.renumber(vectors.indices, np.dtype(dtype))
    scale = weight_scale(internal, vectors.values, len(components.external))
    order = np.arange(len(vectors), dtype=np.uint32) if rows is None else rows
    head_size = head_layout(vectors.nnz, len(vectors))
    with ThreadPoolExecutor(2) as executor:
        arrays = quantize(order, vectors.indptr, internal, vectors.values, scale, head_size, compact, executor)
    return Forward.of(*arrays, scale, head_size), components


def sample_table(n_components: int) -> npt.NDArray[np.float32]:
    """A query with a weight, perhaps zero, for each component."""
    return np.random.default_rng(7).integers(0, 5, table_size(n_components, 4)).astype(np.float32)


def build(
    vectors: SparseVectors,
    config: IndexConfig | None = None,
    rare: int = 128,
    threads: int = 1,
    superblocks: bool | None = None,
) -> SeismicIndex:
    """An index whose summaries keep all there is of components of up to `rare` documents.

    superblocks: whether it has them; None for as many documents as it takes.
    """
    with patch.object(building, "RARE", rare), nullcontext() if superblocks is None else nodes_are(superblocks):
        return SeismicIndex.build(vectors, config, threads=threads)


def unrounded(vectors: SparseVectors) -> SparseVectors:
    """The same rows with weights that the index keeps as they are, and whose scores no order of additions rounds.

    The largest weight of each component becomes 255, so that its scale is 1, and the others multiples of 1 / 256.
    """
    used, at = np.unique(vectors.indices, return_inverse=True)
    maxima = np.zeros(len(used), np.float32)
    np.maximum.at(maxima, at, vectors.values)
    steps = np.maximum(np.rint(vectors.values / maxima[at] * 65280.0), 1)
    return SparseVectors(vectors.indptr, vectors.indices, steps / 256, vectors.dim)


def whole_numbers(queries: SparseVectors) -> SparseVectors:
    """The same queries, at most 30 terms of each, with weights 1 to 8."""
    cut = queries.top_k(30)
    heaviest = cut.values.max(initial=1)
    return SparseVectors(cut.indptr, cut.indices, np.ceil(cut.values / heaviest * 8), cut.dim)


def dequantized(index: SeismicIndex) -> SparseVectors:
    """The documents as the index scores them."""
    rows = [index.vector(row) for row in range(len(index))]
    return SparseVectors(
        np.cumsum([0] + [len(components) for components, _ in rows]),
        np.concatenate([np.empty(0, np.uint32)] + [components for components, _ in rows]),
        np.concatenate([np.empty(0, np.float32)] + [weights for _, weights in rows]),
        index.dim,
    )


def graph_of(neighbors: Array, index: SeismicIndex) -> Array:
    """The graph as an engine keeps it, of rows int64[n, m], -1 where there are fewer."""
    blocks = index.engine.blocks
    linked = neighbors[blocks.rows]
    graph = np.where(linked < 0, NOTHING, blocks.positions[np.maximum(linked, 0)]).astype(np.uint32)
    return read_only(graph)


def same(first: SearchResult, second: SearchResult) -> bool:
    """Whether two results are the same, to the last bit."""
    return np.array_equal(first.scores, second.scores) and np.array_equal(first.rows, second.rows)


def recall(result: SearchResult, expected: SearchResult) -> float:
    """The share of the expected rows that were found, on average."""
    hits = [
        len(set(rows) & set(wanted) - {-1}) / max(1, len(set(wanted) - {-1}))
        for rows, wanted in zip(result.rows.tolist(), expected.rows.tolist(), strict=True)
    ]
    return float(np.mean(hits))


def finish(action: Callable[[], T], seconds: float = 30) -> T:
    """What `action` returns or raises; fails if it goes on for long where it should take an instant."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except BaseException as error:
            future.set_exception(error)

    # No executor: it would wait for its threads at the end of the tests.
    Thread(target=run, daemon=True).start()
    return future.result(seconds)
