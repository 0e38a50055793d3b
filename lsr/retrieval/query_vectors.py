"""QueryVectors: queries with precomputed dense vectors."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lsr.checks import check_text, checked_texts, named_texts
from lsr.errors import ParameterError
from lsr.vectors.conversions import is_matrix
from lsr.vectors.sparse_vectors import SparseVectors


@dataclass(frozen=True, eq=False)
class QueryVectors:
    """Queries with precomputed dense vectors, and texts or sparse vectors for the sparse side, in the same order.

    dense: float32[queries, dim].
    sparse: texts, or SparseVectors. None for searches of the dense side alone.
    ids: the ids of the queries, for runs. Default: those of the sparse vectors, else the row numbers.

    Raises ParameterError if the numbers of dense vectors, sparse queries and ids differ. A search
    raises VectorsError for vectors with NaN or infinite values.
    """

    dense: npt.NDArray[np.floating]
    sparse: Sequence[str] | SparseVectors | None = None
    ids: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.sparse is not None and not isinstance(self.sparse, SparseVectors):
            object.__setattr__(self, "sparse", checked_texts(self.sparse, "query"))
        for name, each in (("sparse queries", self.sparse), ("ids", self.ids)):
            if each is not None and len(each) != len(self.dense):
                raise ParameterError(
                    f"there are {len(each)} {name} for {len(self.dense)} dense vectors; give one per vector"
                )

    def __len__(self) -> int:
        return len(self.dense)

    def __getitem__(self, some: slice) -> QueryVectors:
        sparse = None if self.sparse is None else self.sparse[some]
        return QueryVectors(self.dense[some], sparse, None if self.ids is None else self.ids[some])

    @property
    def names(self) -> list[str]:
        """The ids of the queries."""
        of_sparse = self.sparse.ids if isinstance(self.sparse, SparseVectors) else None
        return list(self.ids or of_sparse or map(str, range(len(self))))

    @property
    def texts(self) -> list[str] | None:
        """The texts of the queries; None if they have none."""
        return None if self.sparse is None or isinstance(self.sparse, SparseVectors) else list(self.sparse)


def many_queries(given: Any) -> Any:
    """Matrices, such as the tensors of sentence-transformers' SparseEncoder, as SparseVectors; else `given`."""
    return SparseVectors.of(given, what="queries") if is_matrix(given) else given


def named_queries(
    queries: Mapping[str, str] | SparseVectors | QueryVectors,
) -> tuple[list[str], list[str] | SparseVectors | QueryVectors]:
    """The ids of the queries of a run, and the queries without them. Raises ParameterError for texts without ids."""
    if isinstance(queries, QueryVectors):
        return queries.names, queries
    if isinstance(queries, SparseVectors):
        return queries.ids or [str(row) for row in range(len(queries))], queries
    texts = named_texts(queries)
    return list(texts), list(texts.values())


def one_query(given: Any) -> Any:
    """One query as many: a list with its text, SparseVectors or QueryVectors. Raises ParameterError."""
    query = many_queries(given)
    queries = query if isinstance(query, SparseVectors | QueryVectors) else [query]
    if len(queries) != 1:
        raise ParameterError(f"there are {len(queries)} queries; give one, or use search_batch")
    if queries is not query:
        check_text("the query", query, many="search_batch")
    return queries


def read_query_vectors(path: str, ids: Sequence[str]) -> npt.NDArray[np.float32]:
    """float32[queries, dim]: the dense vectors of these queries, matched by id or by order. Raises VectorsError."""
    from lsr.index.dense_vectors import open_dense_vectors

    with tempfile.TemporaryDirectory() as scratch, open_dense_vectors(path, Path(scratch)) as vectors:
        if vectors.ids is None:
            vectors.check_documents(ids, "query")
        return np.array(vectors.of_documents(ids, what="query"))
