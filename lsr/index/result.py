"""SearchResult: the result of a search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from lsr.display import HasFacts, ScoredList, Tabular
from lsr.errors import ParameterError
from lsr.storage.id_column import Ids


class ScoredDocument(NamedTuple):
    """A document of a result. doc_id: its id, or its row as text if the index has no ids. row: in the index."""

    doc_id: str
    score: float
    row: int


class ScoredDocuments(ScoredList[ScoredDocument]):
    """The documents of one query, best first: a list with `ids` and `scores`."""

    columns: ClassVar[tuple[str, ...]] = ScoredDocument._fields

    def _records(self) -> Iterator[dict[str, Any]]:
        return (each._asdict() for each in self)


@dataclass(frozen=True, eq=False, repr=False)
class SearchResult(Tabular, HasFacts):
    """The best documents of each query, best first; equal scores in ascending order of rows.

    scores: float32[queries, k]; -inf if a query has fewer than k hits.
    rows: int64[queries, k], the rows of the documents in the index; -1 for no hit.

    `result[0]` is the list of documents of the first query, without padding. `for documents in result` iterates over
    all queries. A slice is a SearchResult. to_pandas, to_polars and to_dicts return one record per document: the number
    of the query, from 0, the rank, from 1, and doc_id, score and row. A pickle has only the ids of hits.
    """

    scores: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]
    _ids: Ids | None = None
    _recall: npt.NDArray[np.float32] | None = None

    columns: ClassVar[tuple[str, ...]] = ("query", "rank", *ScoredDocument._fields)

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.rows)

    @overload
    def __getitem__(self, query: int) -> ScoredDocuments: ...
    @overload
    def __getitem__(self, query: slice) -> SearchResult: ...
    def __getitem__(self, query: int | slice) -> ScoredDocuments | SearchResult:
        if isinstance(query, slice):
            recall = None if self._recall is None else self._recall[query]
            part = SearchResult(self.scores[query], self.rows[query], self._ids, recall)
            if "ids" in self.__dict__:
                part.__dict__["ids"] = self.ids[query]
            return part
        if isinstance(query, bool) or not isinstance(query, int | np.integer):
            raise ParameterError(f"a result is indexed by the number of a query or a slice, not by {query!r}")
        if not -len(self) <= query < len(self):
            raise IndexError(f"query {query} does not exist; the result has {len(self)} queries")
        part = self[query : query + 1 or None]  # without the ids of the other queries
        columns = (array[0].tolist() for array in (part.ids, part.scores, part.rows))
        return ScoredDocuments(ScoredDocument(*each) for each in zip(*columns, strict=True) if each[2] >= 0)

    def __iter__(self) -> Iterator[ScoredDocuments]:
        return (self[query] for query in range(len(self)))

    @property
    def estimated_recall(self) -> npt.NDArray[np.float32]:
        """float32[queries]: the estimated share of the hits of an unlimited search that were found.

        1 for searches that did not reach `budget_us`, and only for these.
        """
        return np.ones(len(self), np.float32) if self._recall is None else self._recall

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """bool[queries]: whether the search ended before it reached `budget_us`."""
        complete: npt.NDArray[np.bool_] = self.estimated_recall == 1
        return complete

    @cached_property
    def ids(self) -> npt.NDArray[np.object_]:
        """object[queries, k]: the ids of the documents, or their rows as text without ids; None for no hit."""
        name = str if self._ids is None else self._ids.__getitem__
        names = np.empty(self.rows.size, object)
        names[:] = [name(row) if row >= 0 else None for row in self.rows.ravel().tolist()]
        return names.reshape(self.rows.shape)

    def _records(self) -> Iterator[dict[str, Any]]:
        for query, documents in enumerate(self):
            for rank, each in enumerate(documents, start=1):
                yield {"query": query, "rank": rank, **each._asdict()}

    def _count(self) -> int:
        return int((self.rows >= 0).sum())

    def _facts(self) -> dict[str, object]:
        return {"queries": len(self), "hits": self._count(), "k": str(self.rows.shape[1])}

    def __getstate__(self) -> dict[str, Any]:
        return {"scores": self.scores, "rows": self.rows, "ids": self.ids, "_ids": None, "_recall": self._recall}
