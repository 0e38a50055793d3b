"""ExactIndex: exhaustive search, the oracle for everything that approximates it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.errors import IndexFormatError
from lsr.index.checks import check_search, empty_result
from lsr.index.document_ids import Ids, document_ids
from lsr.index.filters import Allowed, allowed_rows
from lsr.index.inverted.inverted_kernels import Inverted, find_lists, scatter_postings, search_queries
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.result import SearchResult
from lsr.index.rows import GatheredRows, checked_rows, copy_rows
from lsr.storage.arrays import read_only
from lsr.storage.manifest import Extra, StringColumn, load_array, read_manifest, write_folder
from lsr.threads import thread_pool
from lsr.vectors.sparse_vectors import SparseVectors

FORMAT_VERSION = 1
KIND = "exact"
QUERIES_PER_TASK = 32


class ExactIndex:
    """Finds the documents with the largest inner products by adding up whole posting lists, term at a time.

    Make one with `build` or `open`. Scores are float32: products and partial sums are rounded one by one, in the order
    of rising components, so that they are the same for any number of threads. Only documents with a score above zero
    are hits; of equal scores the lower row comes first.
    """

    def __init__(self, vectors: SparseVectors, inverted: Inverted, ids: Ids | None) -> None:
        self._vectors = vectors
        self._inverted = Inverted(*(read_only(array) for array in inverted))
        self.ids = ids

    @classmethod
    def build(
        cls,
        vectors: SparseVectors,
        config: IndexConfig | None = None,
        ids: Sequence[str] | None = None,
        threads: int | None = None,
        progress: bool = False,
    ) -> ExactIndex:
        """Build an index of all rows of `vectors`, which it keeps.

        ids: of the documents; those of `vectors`, if None. config, threads and progress are there because
        SeismicIndex.build has them; nothing here depends on them. Raises VectorsError for ids that do not fit.
        """
        names = document_ids(vectors, ids)
        return cls(vectors, invert(vectors), names)

    def save(self, folder: str | os.PathLike[str], extra: Extra | None = None) -> None:
        """Write the index to `folder`, in the place of one that is there, in one step.

        extra: see lsr.storage.manifest.write_folder. Raises StorageError.
        """

        def add(temporary: Path) -> dict[str, Any]:
            if self.ids is not None:
                StringColumn.write(temporary, "ids", self.ids)
            return dict(extra(temporary)) if extra else {}

        manifest = {
            "format_version": FORMAT_VERSION,
            "kind": KIND,
            "documents": len(self),
            "dim": self.dim,
            "postings": self._vectors.nnz,
            "has_ids": self.ids is not None,
        }
        write_folder(folder, manifest, self._arrays(), add)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, mmap: bool = True) -> ExactIndex:
        """Open what `save` wrote; its arrays are mapped into memory, not read. Raises IndexFormatError."""
        manifest = read_manifest(folder, FORMAT_VERSION, KIND)
        arrays = {name: load_array(folder, name, mmap=mmap) for name in _TYPES}
        for name, array in arrays.items():
            if array.dtype.name not in _TYPES[name] or array.ndim != 1:
                raise IndexFormatError(f"{folder}: {name} is {array.dtype}, {array.ndim}-d; build the index again")
        postings = {len(arrays[name]) for name in ("indices", "values", "rows", "weights")}
        ends = {int(arrays[name][-1]) if len(arrays[name]) else -1 for name in ("indptr", "starts")}
        if len(arrays["starts"]) != len(arrays["components"]) + 1 or len(postings | ends) != 1:
            raise IndexFormatError(f"{folder}: its arrays do not fit together; build the index again")
        try:
            dim, has_ids = int(manifest["dim"]), bool(manifest["has_ids"])
        except (KeyError, TypeError, ValueError) as error:
            raise IndexFormatError(f"{folder}: damaged manifest ({error!r} is amiss); build the index again") from error
        vectors = SparseVectors.from_normalized(arrays["indptr"], arrays["indices"], arrays["values"], dim)
        ids = StringColumn.open(folder, "ids", mmap=mmap) if has_ids else None
        return cls(vectors, Inverted(*(arrays[name] for name in Inverted._fields)), ids)

    @property
    def dim(self) -> int:
        """Number of components that documents and queries have."""
        return self._vectors.dim

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes of each part: forward (the vectors) and inverted (the posting lists)."""
        arrays = self._arrays()
        inverted = sum(arrays[name].nbytes for name in Inverted._fields)
        return {"forward": sum(array.nbytes for array in arrays.values()) - inverted, "inverted": inverted}

    def __len__(self) -> int:
        return len(self._vectors)

    def __repr__(self) -> str:
        return f"ExactIndex({len(self)} documents, {self.dim} components, {self._vectors.nnz} postings)"

    def vector(self, row: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
        """(components uint32[m], rising, weights float32[m]) of a document. Raises ParameterError for no such row."""
        components, weights = self._vectors.row(row)
        return components.astype(np.uint32), weights

    def gather(self, rows: npt.NDArray[np.int64]) -> GatheredRows:
        """The vectors of many documents (int64[n]); see SeismicIndex.gather. Raises ParameterError for no such row."""
        vectors, checked = self._vectors, checked_rows(rows, len(self))
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.diff(vectors.indptr)[checked])])
        gathered = GatheredRows(indptr, np.empty(indptr[-1], np.uint32), np.empty(indptr[-1], np.float32))
        copy_rows(vectors.indptr, vectors.indices, vectors.values, checked, gathered)
        return gathered

    def search(
        self,
        queries: SparseVectors,
        k: int = 10,
        params: SearchParams | None = None,
        threads: int = 1,
        allowed: Allowed | None = None,
    ) -> SearchResult:
        """The k documents with the largest inner product with each query, in the order of the queries.

        params: there because SeismicIndex.search has it; an exact search leaves nothing to choose.
        threads: queries searched at once; the result does not depend on it. Each takes 4 bytes a document.
        allowed: the documents that may be found; see SeismicIndex.search.
        Raises ParameterError for k or threads below 1, queries of another dim, or an `allowed` that does not fit.
        """
        check_search(queries, self.dim, k, threads)
        mask = allowed_rows(allowed, len(self), self.ids)
        scores, rows = search_inverted(self._inverted, len(self), queries, k, threads, mask)
        return SearchResult(scores, rows, self.ids)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        vectors = self._vectors
        forward = {"indptr": vectors.indptr, "indices": vectors.indices, "values": vectors.values}
        return {**forward, **self._inverted._asdict()}


def invert(vectors: SparseVectors) -> Inverted:
    """The posting lists of all components that occur."""
    components = np.unique(vectors.indices).astype(np.uint32)
    lists = np.empty(vectors.nnz, np.uint32)
    find_lists(vectors.indices, components, lists)
    starts = np.zeros(len(components) + 1, np.int64)
    np.cumsum(np.bincount(lists, minlength=len(components)), out=starts[1:])
    rows = np.empty(vectors.nnz, np.uint32)
    weights = np.empty(vectors.nnz, np.float32)
    scatter_postings(vectors.indptr, lists, vectors.values, starts[:-1].copy(), rows, weights)
    return Inverted(components, starts, rows, weights)


def search_inverted(
    inverted: Inverted,
    n_documents: int,
    queries: SparseVectors,
    k: int,
    threads: int,
    mask: npt.NDArray[np.bool_] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Scores float32[queries, k] and rows int64[queries, k] of the best documents; see ExactIndex.search.

    mask: bool[n_documents], of those that may be found.
    """
    scores, rows = empty_result(len(queries), k)
    starts, lists, weights = find_terms(inverted, queries)
    may_be_found = np.empty(0, np.float32) if mask is None else mask.astype(np.float32)
    filled = min(k, n_documents)  # so that the kernel's heap never exceeds the documents

    def search_some(first: int) -> None:
        last = min(first + QUERIES_PER_TASK, len(queries))
        sums = np.zeros(n_documents, np.float32)
        search_queries(
            starts[first : last + 1],
            lists,
            weights,
            inverted,
            may_be_found,
            sums,
            sums.view(np.int32),
            scores[first:last, :filled],
            rows[first:last, :filled],
        )

    if filled:
        tasks = range(0, len(queries), QUERIES_PER_TASK)
        if threads == 1 or len(tasks) == 1:  # starting a thread takes longer than a search
            for first in tasks:
                search_some(first)
        else:
            with thread_pool(threads) as pool:
                list(pool.map(search_some, tasks))  # to the end, or to the first error
    return scores, rows


def find_terms(
    inverted: Inverted, queries: SparseVectors
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The queries' rows with lists instead of components, without those that occur in no document."""
    components = inverted.components
    lists = np.searchsorted(components, queries.indices)
    known = np.zeros(queries.nnz, bool)
    inside = lists < len(components)
    known[inside] = components[lists[inside]] == queries.indices[inside]
    starts = np.concatenate([[0], np.cumsum(known)])[queries.indptr]
    return starts, lists[known], queries.values[known]


_TYPES = {
    "indptr": ("int64",),
    "indices": ("uint16", "uint32"),
    "values": ("float32",),
    "components": ("uint32",),
    "starts": ("int64",),
    "rows": ("uint32",),
    "weights": ("float32",),
}
