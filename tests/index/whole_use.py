"""Indexes of every kind, and whatever one does with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np

from lsr.index.dense.dense_index import DenseIndex
from lsr.index.dense_config import DenseConfig
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.open_index import open_index
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.segments.generation import DENSE, METADATA, TEXTS, Generation
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.seismic.build import trial
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.index.sparse_index import SparseIndex
from lsr.storage.columns import Columns, write_columns
from lsr.storage.strings import StringColumn
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import EXACT, always_blocks, build, zipf_vectors
from tests.index.superblocks import always_superblocks

ROWS = 400
NARROW_DIM, WIDE_DIM, DENSE_DIM = 300, 1 << 20, 16


def sample(dim: int = NARROW_DIM, rows: int = ROWS, seed: int = 0) -> SparseVectors:
    return zipf_vectors(seed, rows, dim, 40, 1000)


def wide_sample() -> SparseVectors:
    """Documents of so many components that these take 32 bits."""
    common = sample()
    rare = np.arange(ROWS * 200).reshape(ROWS, 200) + NARROW_DIM
    both = [np.concatenate([common[row].indices, rare[row]]) for row in range(ROWS)]
    weights = [np.concatenate([common[row].values, np.ones(200, np.float32)]) for row in range(ROWS)]
    indptr = np.cumsum([0, *map(len, both)])
    return SparseVectors(indptr, np.concatenate(both), np.concatenate(weights), WIDE_DIM)


def named(vectors: SparseVectors, first: int = 0) -> SparseVectors:
    return vectors.with_ids([f"document {first + row}" for row in range(len(vectors))])


def dense_sample(rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((rows, DENSE_DIM), np.float32)


def save_dense(kind: str, folder: Path, rows: int = ROWS) -> None:
    ids = [f"document {row}" for row in range(rows)]
    DenseIndex.build(dense_sample(rows), DenseConfig(kind=kind, neighbors=8), ids, threads=1).save(folder)


def save_segments(folder: Path) -> None:
    """Blocks and posting lists, with all that a segment may have, and deleted documents in both."""
    with IndexWriter.create(folder) as writer:
        for first, rows in ((0, 150), (150, 60)):

            def extra(temporary: Path, first: int = first, rows: int = rows) -> dict[str, object]:
                StringColumn.write(temporary, TEXTS, (f"text of {first + row}, äöü" for row in range(rows)))
                columns = ({"year": 1990 + row % 30, "kind": "ab"[row % 2], "n": row / 2} for row in range(rows))
                write_columns(temporary, METADATA, columns)
                save_dense("flat", temporary / DENSE, rows)
                return {"has_texts": True}

            path = writer.new_segment()
            vectors = named(sample(NARROW_DIM, rows, first), first)
            with patch.object(trial, "INVERTED_BELOW", 100), patch.object(trial, "sample_recall", lambda *_: 1.0):
                build(vectors, IndexConfig(knn=4)).save(path, extra)
            writer.add_segment(path)
        writer.commit()
        writer.delete([f"document {row}" for row in range(3, 200, 7)])
        writer.commit()


def _blocks(save: Callable[[Path], None]) -> Callable[[Path], None]:
    def saving(folder: Path) -> None:
        with always_blocks():
            save(folder)

    return saving


def _save_superblocks(folder: Path) -> None:
    with always_superblocks():
        build(named(sample()), IndexConfig(knn=4)).save(folder)


SAVED: dict[str, Callable[[Path], None]] = {
    "inverted": lambda folder: ExactIndex.build(named(sample())).save(folder),
    "blocks": _blocks(lambda folder: build(named(sample()), IndexConfig(knn=4)).save(folder)),
    "superblocks": _save_superblocks,
    "wide": _blocks(lambda folder: build(named(wide_sample()), IndexConfig(knn=4)).save(folder)),
    "compact": _blocks(lambda folder: build(sample(), IndexConfig(layout="compact")).save(folder)),
    "wide compact": _blocks(lambda folder: build(wide_sample(), IndexConfig(layout="compact")).save(folder)),
    "dense": lambda folder: save_dense("flat", folder),
    "dense graph": lambda folder: save_dense("hnsw", folder),
    "segments": save_segments,
}


def use(folder: Path) -> None:
    """Searches of all kinds, and whatever can be read."""
    index = open_index(folder)
    allowed = np.arange(len(index)) % 3 == 0
    sparse = isinstance(index, SparseIndex)
    queries = sample(index.dim, 5) if sparse else dense_sample(5)
    kinds = [SearchParams(), EXACT]
    if isinstance(index, SeismicIndex):
        kinds.append(SearchParams(knn=index.knn))
    for params in kinds:
        for filtered in (None, allowed):
            found = index.search(queries, 10, params, allowed=filtered)
            assert (found.rows < len(index)).all()
            if index.ids is not None:
                [index.ids[row] for row in found.rows[found.rows >= 0].tolist()]
    if index.ids is not None:
        index.ids.rows(["document 3", "no document"])
        list(index.ids)
    rows = np.array([0, len(index) - 1])
    index.vector(1)
    index.gather(rows)
    list(index.iter_vectors())
    if isinstance(index, SeismicIndex):
        assert (index.neighbors < len(index)).all()
        index.why(queries[0], 3)
        if index.generation is not None:
            _use_generation(index.generation)


def _use_generation(generation: Generation) -> None:
    if generation.texts is not None:
        assert len(generation.texts) == len(generation.engine)
        list(generation.texts)
    for segment in generation.segments:
        if segment.metadata is not None:
            columns = Columns.open(segment.folder, METADATA)
            for row in (0, len(columns) - 1):
                columns.row(row)
            columns.take(np.arange(len(columns)))
        if segment.dense is not None:
            use(segment.dense)
