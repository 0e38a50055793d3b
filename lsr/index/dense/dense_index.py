"""DenseIndex: dense vectors with faiss, exact (flat) or with a graph (HNSW).

manifest.json     as in every index; kind "dense"
vectors.npy       flat: float32[n, dim], memory-mapped
graph.faiss       hnsw: graph and vectors in faiss's format, memory-mapped by faiss
ids.*.npy         the ids of the documents
encoder/          the name and options of the encoder, if the index was built from text
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from lsr.checks import check_whole
from lsr.display import HasFacts, size_of
from lsr.errors import IndexFormatError, ParameterError, VectorsError
from lsr.index.dense_config import DenseConfig
from lsr.index.filters import Allowed, Filter
from lsr.index.index_checks import empty_result, settings_of
from lsr.index.index_folder import IDS, FromFolder, IndexFolder, opened, write_index
from lsr.index.parameters import SearchParams
from lsr.index.result import SearchResult
from lsr.index.rows import checked_row, checked_rows
from lsr.progress import progress_bar
from lsr.spelling import american
from lsr.storage.arrays import damaged, growing_array, read_only
from lsr.storage.files import storage_errors
from lsr.storage.id_column import IdColumn
from lsr.storage.ids import check_ids
from lsr.storage.manifest import Extra, Verify
from lsr.storage.manifest import verify as check_files
from lsr.storage.reading import open_regular
from lsr.threads import checked_threads, openmp_team
from lsr.vectors.conversions import library_of

FORMAT_VERSION = 2
KIND = "dense"
VECTORS, GRAPH = "vectors", "graph.faiss"
ROWS_AT_ONCE = 4096  # rows that are checked, scaled, or added to a graph between two chances to stop
QUERIES_AT_ONCE = 1024

LARGEST = 1e15  # limit of a component, so that inner products stay finite

_reading = Lock()  # faiss's limit for reading is global in the process

Vectors = npt.NDArray[np.float32]


class DenseIndex(HasFacts, FromFolder):
    """An index of dense vectors. Create one with `build` or `open`.

    A flat index is exact. Its scores are float32 inner products. faiss adds them up in an order that depends on the
    number of queries searched together, so the last digits can differ. An HNSW graph finds most of the best documents.
    If several documents have the score of the k-th, faiss decides which of them are returned.
    """

    def __init__(self, vectors: Vectors, config: DenseConfig, ids: IdColumn | None, graph: Any = None) -> None:
        self.config = config
        self.ids = ids
        self._vectors = vectors
        self._graph = graph  # a faiss.IndexHNSWFlat, which owns `vectors`

    @classmethod
    def build(
        cls,
        vectors: Vectors,
        config: DenseConfig | None = None,
        ids: Sequence[str] | None = None,
        threads: int | None = None,
        progress: bool = False,
    ) -> DenseIndex:
        """Index the rows of `vectors`.

        vectors: float32[n, dim]. A flat index can use them without a copy: do not change them afterwards.
        config: settings of the index. Default: DenseConfig().
        ids: a unique id per row.
        threads: the number of threads that build the graph. None for all processors. Graphs built by one thread are
            always equal; those of several threads differ slightly between builds.
        progress: show a bar on standard error.

        Raises VectorsError for vectors that are not a float32 matrix without NaN and infinity, and for invalid ids;
        ParameterError.
        """
        config = settings_of(DenseConfig, config)
        threads = checked_threads(threads)
        rows = checked_vectors(vectors)
        names = None if ids is None else IdColumn.of(check_ids(ids, len(rows)))
        if config.metric == "cosine":
            rows = unit_length(rows)
        if config.kind == "flat":
            return cls(read_only(rows), config, names)
        graph = _build_graph(rows, config, threads, progress)
        return cls(_vectors_of(graph), config, names, graph)

    def save(self, folder: str | os.PathLike[str], extra: Extra | None = None) -> None:
        """Write the index to `folder` in one step. Replaces an existing index. Raises StorageError.

        extra: see SeismicIndex.save.
        """

        def with_graph(temporary: Path) -> Mapping[str, Any]:
            if self._graph is not None:
                with storage_errors(folder):
                    _write_graph(self._graph, temporary / GRAPH)
            return extra(temporary) if extra else {}

        arrays = {VECTORS: self._vectors} if self._graph is None else {}
        write_index(folder, _manifest_of(self.config, self.dim), arrays, len(self), self.ids, with_graph)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, verify: Verify = "none") -> DenseIndex:
        """Open an index written by `save`. Vectors and graph are memory-mapped, not read.

        verify: "full" first compares the checksum of every file, "sample" those of some randomly chosen MiB, "none"
            nothing. Damaged weights on disk change scores, and only checksums reveal them.

        Raises IndexFormatError if the folder has no such index, or a damaged one.
        """

        def read() -> DenseIndex:
            check_files(folder, verify)
            stored = IndexFolder(folder, KIND, (1, FORMAT_VERSION))
            config = stored.entry("config", lambda entries: DenseConfig(**american(entries)))
            graph = None if config.kind == "flat" else _open_graph(stored.path / GRAPH)
            vectors = stored.array(VECTORS) if graph is None else _vectors_of(graph)
            shape = stored.number("documents"), stored.number("dim")
            stored.check(
                vectors.dtype == np.float32 and vectors.shape == shape and vectors.flags.c_contiguous,
                "vectors and manifest",
            )
            return cls(vectors, config, stored.ids(), graph)

        return opened(folder, read)

    def _facts(self) -> dict[str, object]:
        return {
            "documents": len(self),
            "components": self.dim,
            "size": size_of(self.nbytes),
            "ids": self.ids is not None,
            "kind": self.config.kind,
            "metric": self.config.metric,
        }

    @property
    def dim(self) -> int:
        """Number of components of documents and queries."""
        return int(self._vectors.shape[1])

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes in memory (or memory-mapped) of each part."""
        parts = {"vectors": self._vectors.nbytes}
        if self._graph is not None:
            hnsw = self._graph.hnsw
            parts["graph"] = 4 * hnsw.neighbors.size() + 8 * hnsw.offsets.size() + 4 * hnsw.levels.size()
        return parts

    def __len__(self) -> int:
        """Number of documents."""
        return len(self._vectors)

    def vector(self, row: int) -> Vectors:
        """float32[dim]: the vector of a document as the index compares it. Raises ParameterError."""
        found: Vectors = self._vectors[checked_row(row, len(self))]
        return found

    def gather(self, rows: npt.NDArray[np.int64]) -> Vectors:
        """float32[n, dim]: the vectors of documents, int64[n], as the index compares them. Raises ParameterError."""
        gathered: Vectors = self._vectors[checked_rows(rows, len(self))]
        return gathered

    def iter_vectors(self) -> Iterator[tuple[list[str] | None, Vectors]]:
        """(ids, float32[n, dim]) of all documents in the order of their rows, in batches of a few thousand."""
        for begin in range(0, len(self), ROWS_AT_ONCE):
            rows = range(begin, min(begin + ROWS_AT_ONCE, len(self)))
            names = None if self.ids is None else [self.ids[row] for row in rows]
            yield names, self._vectors[rows.start : rows.stop]

    def search(
        self,
        queries: Vectors,
        k: int = 10,
        params: SearchParams | None = None,
        threads: int | None = 1,
        allowed: Allowed | None = None,
    ) -> SearchResult:
        """The k documents with the largest scores for each query, best first, equal scores by row.

        queries: float32[queries, dim].
        k: the maximum number of documents per query.
        params: only `exact` has an effect: it compares with every document, even with a graph.
        threads: the number of threads. None for all processors.
        allowed: the documents that can be returned; see SeismicIndex.search. If they are too few for a graph, each is
            compared.

        Documents of any score are hits. Scores float32[queries, k] and rows int64[queries, k] are padded with -inf and
        -1. Raises ParameterError for k < 1, threads < 1, queries of another shape, or an invalid `allowed`;
        VectorsError for queries with NaN or infinite values.
        """
        check_whole("k", k)
        checked = self.comparable(queries)
        scores, rows = empty_result(len(checked), k)
        chosen = Filter.of(allowed, len(self), self.ids)
        candidates = len(self) if chosen is None else len(chosen.rows)
        depth = min(k, candidates)
        selector = None if chosen is None else faiss.IDSelectorBitmap(chosen.bits)
        share = candidates / max(len(self), 1)
        # The walk in a graph passes documents that are not allowed, so it must visit more documents.
        effort = max(self.config.ef_search, depth) / max(share, 1e-9)
        exact = settings_of(SearchParams, params).exact or self._graph is None
        exact = exact or (chosen is not None and candidates <= effort * self.config.neighbors)
        with openmp_threads(checked_threads(threads)):
            for start in range(0, len(checked) if depth else 0, QUERIES_AT_ONCE):
                batch = checked[start : start + QUERIES_AT_ONCE]
                if exact:
                    found = _best(batch, self._vectors, depth, selector)
                else:
                    walk = faiss.SearchParametersHNSW(efSearch=int(effort), sel=selector)
                    found = self._graph.search(batch, depth, params=walk)
                    if chosen is not None and (lacking := (found[1] < 0).any(1)).any():
                        for each, better in zip(
                            found, _best(batch[lacking], self._vectors, depth, selector), strict=True
                        ):
                            each[lacking] = better
                part = slice(start, start + QUERIES_AT_ONCE)
                scores[part, :depth], rows[part, :depth] = _in_order(*found)
        scores[rows < 0] = -np.inf
        return SearchResult(scores, rows, self.ids)

    def comparable(self, queries: Vectors) -> Vectors:
        """Queries as they are compared with `vectors`: with length 1 for the cosine metric.

        Raises ParameterError, VectorsError.
        """
        checked = checked_vectors(queries)
        if checked.shape[1] != self.dim:
            raise ParameterError(
                f"queries have {checked.shape[1]} components, but the index has {self.dim}; use the encoder of the "
                "index"
            )
        return unit_length(checked) if self.config.metric == "cosine" else checked


def _manifest_of(config: DenseConfig, dim: int) -> dict[str, Any]:
    """The entries of manifest.json for a dense index, without documents and files."""
    return {"format_version": FORMAT_VERSION, "kind": KIND, "config": asdict(config), "dim": dim}


def write_dense(
    folder: Path,
    parts: Iterable[tuple[Sequence[str], Vectors]],
    documents: int,
    dim: int,
    config: DenseConfig,
    threads: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Write the files of an index except its manifest, which is returned. A flat index has one part in memory.

    parts: (ids, vectors), with `documents` rows in total.
    Raises VectorsError for vectors with NaN or infinite values, StorageError.
    """
    graph = None if config.kind == "flat" else _empty_graph(dim, config)
    path = folder / (f"{VECTORS}.npy" if graph is None else GRAPH)

    def ids() -> Iterator[str]:
        row = 0
        for names, vectors in parts:
            checked = checked_vectors(vectors, row)
            if config.metric == "cosine":
                checked = unit_length(checked)
            add(checked)
            yield from names
            row += len(checked)
            advance(len(checked))

    with (
        storage_errors(path),
        openmp_threads(checked_threads(threads)),
        progress_bar("building", documents, "documents", progress) as advance,
        growing_array(folder, VECTORS, np.float32, (dim,)) if graph is None else nullcontext(graph.add) as add,
    ):
        IdColumn.write(folder, IDS, ids())
    if graph is not None:
        with storage_errors(path):
            _write_graph(graph, path)
    return {**_manifest_of(config, dim), "documents": documents, "has_ids": True}


def checked_vectors(vectors: Vectors, first: int = 0) -> Vectors:
    """`vectors` as a contiguous float32[n, dim]. Raises VectorsError for another shape or type, or NaN or infinity.

    first: the number of the first row, for the error.
    """
    given: npt.NDArray[Any]
    try:
        given = np.asarray(vectors.detach().cpu().float() if library_of(vectors) == "torch" else vectors)  # type: ignore[attr-defined]
    except (ValueError, TypeError) as error:  # rows of different lengths, or sparse rows
        kind = type(vectors).__name__
        raise VectorsError(f"dense vectors are of type {kind}; give float32[rows, components]") from error
    if given.ndim != 2 or not given.shape[1] or given.dtype.kind != "f":
        raise VectorsError(
            f"dense vectors have type {given.dtype} and shape {list(given.shape)}; give float32[rows, components]"
        )
    checked = np.ascontiguousarray(given, np.float32)
    for start in range(
        0, len(checked), ROWS_AT_ONCE
    ):  # in steps: a mask of all rows would take another quarter of the memory
        finite = (np.abs(checked[start : start + ROWS_AT_ONCE]) <= LARGEST).all(1)
        if not finite.all():
            raise VectorsError(
                f"row {first + start + int(finite.argmin())}: has NaN, infinity, or a value above {LARGEST:g}; encode "
                "it again"
            )
    return checked


def unit_length(vectors: Vectors) -> Vectors:
    """Each row divided by its Euclidean length. Rows of zeros do not change."""
    scaled = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), ROWS_AT_ONCE):  # in steps: lengths and quotients are float64
        some = vectors[start : start + ROWS_AT_ONCE]
        lengths = np.linalg.norm(some.astype(np.float64), axis=1, keepdims=True)
        scaled[start : start + ROWS_AT_ONCE] = some / np.where(lengths > 0, lengths, 1)
    return scaled


@contextmanager
def openmp_threads(threads: int) -> Iterator[None]:
    """In the block, faiss uses this number of threads; one in a forked process. Restores the old number afterwards."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(openmp_team(threads))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _best(
    queries: Vectors, vectors: Vectors, k: int, selector: faiss.IDSelector | None
) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """Scores float32[queries, k] and rows int64[queries, k] of the best vectors, or of the best selected ones."""
    if selector is None:
        found: tuple[Vectors, npt.NDArray[np.int64]]
        found = faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
        return found
    scores, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    sizes = vectors.shape[1], len(queries), len(vectors), k
    faiss.knn_inner_product(
        *map(faiss.swig_ptr, (queries, vectors)), *sizes, *map(faiss.swig_ptr, (scores, rows)), selector
    )
    return scores, rows


def _in_order(scores: Vectors, rows: npt.NDArray[np.int64]) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """The results of faiss with equal scores, which are rare, ordered by row."""
    for query in np.flatnonzero((scores[:, 1:] == scores[:, :-1]).any(1)):
        order = np.lexsort((rows[query], -scores[query]))
        scores[query], rows[query] = scores[query, order], rows[query, order]
    return scores, rows


def _build_graph(vectors: Vectors, config: DenseConfig, threads: int, progress: bool) -> Any:
    graph = _empty_graph(vectors.shape[1], config)
    with openmp_threads(threads), progress_bar("building", len(vectors), "documents", progress) as advance:
        for start in range(0, len(vectors), ROWS_AT_ONCE):
            graph.add(vectors[start : start + ROWS_AT_ONCE])
            advance(len(vectors[start : start + ROWS_AT_ONCE]))
    return graph


def _empty_graph(dim: int, config: DenseConfig) -> Any:
    graph = faiss.IndexHNSWFlat(dim, config.neighbors, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = config.ef_construction
    return graph


def _write_graph(graph: Any, path: Path) -> None:
    with faiss_errors(OSError):
        faiss.write_index(graph, str(path))


def _open_graph(path: Path) -> Any:
    try:
        open_regular(path).close()  # faiss does not distinguish missing and damaged files
    except OSError as error:
        raise damaged(path, error) from error
    with faiss_errors(IndexFormatError, f"{path}: damaged; build the index again"):
        graph: Any = read_within(path, path.stat().st_size, faiss.IO_FLAG_MMAP_IFC)
    if not isinstance(graph, faiss.IndexHNSWFlat) or graph.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise IndexFormatError(f"{path}: is not a graph written by lsr; build the index again")
    return graph


def read_within(path: Path, limit: int, flags: int) -> Any:
    """The index in a file. `limit` bounds the bytes of a vector, because faiss allocates before it reads."""
    if not hasattr(faiss, "set_deserialization_vector_byte_limit"):  # before version 1.14
        return faiss.read_index(str(path), flags)
    with _reading:
        before = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(limit)
        try:
            return faiss.read_index(str(path), flags)
        finally:
            faiss.set_deserialization_vector_byte_limit(before)


def _vectors_of(graph: Any) -> Vectors:
    """A view of the vectors of a graph."""
    storage: Any = faiss.downcast_index(graph.storage)
    if not graph.ntotal:
        return np.zeros((0, graph.d), np.float32)
    view = faiss.rev_swig_ptr(storage.get_xb(), graph.ntotal * graph.d).reshape(graph.ntotal, graph.d)
    return read_only(view)


@contextmanager
def faiss_errors(kind: type[Exception], message: str = "") -> Iterator[None]:
    """Turn the RuntimeError that faiss raises for any error with a file into an error of `kind`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        raise kind(message or " ".join(str(error).split()) or type(error).__name__) from error
