"""The engines of benchmarks/search.py and scale.py behind one interface: lsr, pyseismic-lsr, kannolo, bmp and SINDI.

Only `build`, `search` and `search_one` are timed. Other work, such as converting queries, documents and results, is
done before or after.
"""

from __future__ import annotations

import contextlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lsr import IndexConfig, SearchParams, SeismicIndex, SparseVectors

K = 10
Parameters = dict[str, Any]


class Engine(ABC):
    """An opened index of one engine.

    threads: "argument" of a search; "environment", RAYON_NUM_THREADS at the start of the process; or "one".
    """

    name: ClassVar[str]
    module: ClassVar[str]
    threads: ClassVar[str] = "argument"

    def __init__(self, index: Any) -> None:
        self.index = index

    @staticmethod
    def ingest(documents: SparseVectors) -> Any:
        """Documents for `build`."""
        return documents

    @staticmethod
    @abstractmethod
    def build(documents: Any, parameters: Parameters, threads: int, folder: Path) -> Any:
        """An index of documents from `ingest`, for `save`; `folder` is empty."""

    @staticmethod
    @abstractmethod
    def save(index: Any, folder: Path) -> None: ...

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Engine: ...

    @abstractmethod
    def prepare(self, queries: SparseVectors) -> Any:
        """Queries for `search`."""

    @abstractmethod
    def search(self, prepared: Any, parameters: Parameters, threads: int = 1) -> Any:
        """The top K of all queries, in the format of the engine."""

    @abstractmethod
    def rows(self, found: Any, n_queries: int) -> np.ndarray:
        """The result of `search` as rows of documents, int64[n_queries, K], padded with -1."""

    @abstractmethod
    def prepare_each(self, queries: SparseVectors) -> list[Any]:
        """Queries for `search_one`."""

    @abstractmethod
    def search_one(self, prepared: Any, parameters: Parameters) -> Any:
        """The top K of one query."""


class Lsr(Engine):
    name, module = "lsr", "lsr"

    @staticmethod
    def build(documents: SparseVectors, parameters: Parameters, threads: int, folder: Path) -> SeismicIndex:
        return SeismicIndex.build(documents, IndexConfig(**parameters), threads=threads)

    @staticmethod
    def save(index: SeismicIndex, folder: Path) -> None:
        index.save(folder / "index")

    @classmethod
    def load(cls, folder: Path) -> Lsr:
        return cls(SeismicIndex.open(folder / "index"))

    def prepare(self, queries: SparseVectors) -> SparseVectors:
        return queries

    def search(self, prepared: SparseVectors, parameters: Parameters, threads: int = 1) -> np.ndarray:
        return self.index.search(prepared, K, SearchParams(**parameters), threads=threads).rows

    def rows(self, found: np.ndarray, n_queries: int) -> np.ndarray:
        return found

    def prepare_each(self, queries: SparseVectors) -> list[SparseVectors]:
        return list(queries)

    def search_one(self, prepared: SparseVectors, parameters: Parameters) -> np.ndarray:
        return self.search(prepared, parameters)


class Pyseismic(Engine):
    """pyseismic-lsr. Its `num_threads` has no effect, and its components and query ids are texts."""

    name, module, threads = "pyseismic-lsr", "seismic", "environment"

    @staticmethod
    def ingest(documents: SparseVectors) -> Any:
        from seismic import SeismicDataset

        dataset = SeismicDataset()
        names = [str(row) for row in range(len(documents))]
        dataset.add_documents_by_id(names, documents.indices.astype(np.int64), documents.values, documents.indptr)
        return dataset

    @staticmethod
    def build(documents: Any, parameters: Parameters, threads: int, folder: Path) -> Any:
        from seismic import SeismicIndex

        with silence():
            return SeismicIndex.build_from_dataset(documents, **parameters)

    @staticmethod
    def save(index: Any, folder: Path) -> None:
        with silence():
            index.save(f"{folder}/index")

    @classmethod
    def load(cls, folder: Path) -> Pyseismic:
        from seismic import SeismicIndex

        with silence():
            return cls(SeismicIndex.load(f"{folder}/index.index.seismic"))

    def prepare(self, queries: SparseVectors) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
        from seismic import get_seismic_string

        text = get_seismic_string()
        rows = [queries.row(row) for row in range(len(queries))]
        names = np.arange(len(queries)).astype(str).astype(text)
        return names, [components.astype(str).astype(text) for components, _ in rows], [values for _, values in rows]

    def search(self, prepared: Any, parameters: Parameters, threads: int = 1) -> list[Any]:
        return self.index.batch_search(*prepared, K, **parameters)

    def rows(self, found: list[Any], n_queries: int) -> np.ndarray:
        rows = np.full((n_queries, K), -1)
        for hits in filter(None, found):  # in any order
            rows[int(hits[0][0]), : len(hits)] = [int(row) for _, _, row in hits]
        return rows

    def prepare_each(self, queries: SparseVectors) -> list[Any]:
        return list(zip(*self.prepare(queries), strict=True))

    def search_one(self, prepared: Any, parameters: Parameters) -> Any:
        return self.index.search(*prepared, K, **parameters)


class Kannolo(Engine):
    """kannolo: HNSW over sparse vectors, with nodes renumbered so that neighbors are close to each other."""

    name, module = "kannolo", "kannolo"
    GRAPH = "permuted"

    @staticmethod
    def build(documents: SparseVectors, parameters: Parameters, threads: int, folder: Path) -> Any:
        from kannolo import SparsePlainHNSW

        with silence():
            return SparsePlainHNSW.build_from_arrays(
                *flat_arrays(documents), documents.indptr, graph_type=Kannolo.GRAPH, **parameters
            )

    @staticmethod
    def save(index: Any, folder: Path) -> None:
        index.save(f"{folder}/index")

    @classmethod
    def load(cls, folder: Path) -> Kannolo:
        from kannolo import SparsePlainHNSW

        return cls(SparsePlainHNSW.load(f"{folder}/index", graph_type=cls.GRAPH))

    def prepare(self, queries: SparseVectors) -> Any:
        return *flat_arrays(queries), queries.indptr

    def search(self, prepared: Any, parameters: Parameters, threads: int = 1) -> Any:
        return self.index.batch_search(*prepared, K, **parameters, num_threads=threads)

    def rows(self, found: Any, n_queries: int) -> np.ndarray:
        return np.asarray(found[1]).reshape(n_queries, K)

    def prepare_each(self, queries: SparseVectors) -> list[Any]:
        return [flat_arrays(query) for query in queries]

    def search_one(self, prepared: Any, parameters: Parameters) -> Any:
        return self.index.search(*prepared, K, **parameters)


class Bmp(Engine):
    """bmp: whole weights up to 255 in documents and 32 in queries; one query per call, which holds the GIL."""

    name, module, threads = "bmp", "bmp", "one"

    @staticmethod
    def build(documents: SparseVectors, parameters: Parameters, threads: int, folder: Path) -> None:
        from bmp import Indexer

        indexer = Indexer(f"{folder}/index", **parameters)
        scale = 255 / documents.values.max()
        for row in range(len(documents)):
            components, values = documents.row(row)
            weights = np.maximum(1, np.rint(values * scale)).astype(int)
            indexer.add_document(str(row), dict(zip(map(str, components.tolist()), weights.tolist(), strict=True)))
        with silence():
            indexer.finish()

    @staticmethod
    def save(index: None, folder: Path) -> None:
        """Do nothing, because `build` has written the index."""

    @classmethod
    def load(cls, folder: Path) -> Bmp:
        from bmp import Searcher

        return cls(Searcher(f"{folder}/index"))

    def prepare(self, queries: SparseVectors) -> list[dict[str, float]]:
        rows = [queries.row(row) for row in range(len(queries))]
        return [dict(zip(map(str, c.tolist()), v.tolist(), strict=True)) for c, v in rows]

    def search(self, prepared: list[dict[str, float]], parameters: Parameters, threads: int = 1) -> list[Any]:
        return [self.search_one(query, parameters) for query in prepared]

    def rows(self, found: list[Any], n_queries: int) -> np.ndarray:
        rows = np.full((n_queries, K), -1)
        for query, (names, _) in enumerate(found):
            rows[query, : len(names)] = list(map(int, names))
        return rows

    def prepare_each(self, queries: SparseVectors) -> list[dict[str, float]]:
        return self.prepare(queries)

    def search_one(self, prepared: dict[str, float], parameters: Parameters) -> Any:
        try:
            return self.index.search(prepared, K, **parameters)
        except BaseException as error:  # errors of Rust are not Exceptions; it panics if no block can have a hit
            if type(error).__name__ != "PanicException":
                raise
            return [], []


class Sindi(Engine):
    """SINDI of VSAG, by its Python package, which ignores unknown parameters."""

    name, module, threads = "pyvsag", "pyvsag", "one"
    documents: int
    WINDOW = 50_000  # documents; VSAG's default, of 10,000 to 60,000

    @staticmethod
    def ingest(documents: SparseVectors) -> tuple[dict[str, Any], dict[str, int]]:
        arrays = dict(zip(("index_pointers", "indices", "values"), unsigned(documents), strict=True))
        longest = int(np.diff(documents.indptr).max(initial=1))
        return {**arrays, "ids": np.arange(len(documents))}, {"dim": longest, "term_id_limit": documents.dim}

    @staticmethod
    def build(documents: Any, parameters: Parameters, threads: int, folder: Path) -> Any:
        arrays, sizes = documents
        described = Sindi.described({**parameters, "term_id_limit": sizes["term_id_limit"]}, sizes["dim"])
        (folder / "parameters.json").write_text(described)  # needed for loading
        (folder / "documents.json").write_text(json.dumps(len(arrays["ids"])))
        index = Sindi.new(described)
        index.build(**arrays)
        return index

    @staticmethod
    def described(parameters: Parameters, longest: int) -> str:
        """The parameters for VSAG. dim: the largest number of components of a document, not the vocabulary's size."""
        of_index = {"window_size": Sindi.WINDOW, **parameters}
        return json.dumps({"dtype": "sparse", "metric_type": "ip", "dim": longest, "index_param": of_index})

    @staticmethod
    def new(described: str) -> Any:
        import pyvsag

        pyvsag.set_logger_off()
        return pyvsag.Index("sindi", described)

    @staticmethod
    def save(index: Any, folder: Path) -> None:
        with silence():
            index.save(f"{folder}/index")

    @classmethod
    def load(cls, folder: Path) -> Sindi:
        index = cls.new((folder / "parameters.json").read_text())
        with silence():
            index.load(f"{folder}/index")
        opened = cls(index)
        opened.documents = json.loads((folder / "documents.json").read_text())
        return opened

    def prepare(self, queries: SparseVectors) -> Any:
        return unsigned(queries)

    def search(self, prepared: Any, parameters: Parameters, threads: int = 1) -> Any:
        return self.index.knn_search(*prepared, K, json.dumps({"sindi": parameters}))

    def rows(self, found: Any, n_queries: int) -> np.ndarray:
        rows = np.asarray(found[0]).reshape(n_queries, K)
        # With fewer than K results, the others are uninitialized memory.
        return np.where((rows >= 0) & (rows < self.documents), rows, -1)

    def prepare_each(self, queries: SparseVectors) -> list[Any]:
        return [unsigned(query) for query in queries]

    def search_one(self, prepared: Any, parameters: Parameters) -> Any:
        return self.search(prepared, parameters)


ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (Lsr, Pyseismic, Kannolo, Bmp, Sindi)}


def installed(name: str) -> bool:
    return find_spec(ENGINES[name].module) is not None


def engine_version(name: str) -> str:
    try:
        return version("lsr-engine" if name == "lsr" else name)
    except PackageNotFoundError:
        return "none"


def flat_arrays(vectors: SparseVectors) -> tuple[np.ndarray, np.ndarray]:
    """Components and weights of all rows, concatenated, in kannolo's types."""
    return vectors.indices.astype(np.int32), vectors.values


def unsigned(vectors: SparseVectors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """indptr, components and weights in VSAG's types."""
    return vectors.indptr.astype(np.uint32), vectors.indices.astype(np.uint32), vectors.values


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Engines print from Rust, past sys.stdout."""
    saved = os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        yield
    finally:
        for descriptor, number in zip(saved, (1, 2), strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(null)
