"""Queries for commands: texts or vectors, from any file or collection, with a searcher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from lsr.checks import expanded
from lsr.distributed.sharded_folder import is_sharded
from lsr.errors import ParameterError
from lsr.progress import progress_bar
from lsr.retrieval.query_vectors import QueryVectors, named_queries, read_query_vectors
from lsr.retrieval.request import SPARSE
from lsr.retrieval.searcher import Searcher
from lsr.retrieval.snapshot import QUERIES_AT_ONCE
from lsr.storage.reading import rereadable
from lsr.vectors.sparse_vectors import SparseVectors

if TYPE_CHECKING:
    from lsr.distributed.sharded_searcher import ShardedSearcher


class Asked(NamedTuple):
    """The queries of a command.

    queries: id -> text, or vectors over the components of the searcher's index, or either with dense vectors. note: a
        remark on dropped tokens, or "". drop_same_id: see Collection.
    """

    searcher: Searcher | ShardedSearcher
    queries: Mapping[str, str] | SparseVectors | QueryVectors
    drop_same_id: bool = False
    note: str = ""

    @property
    def one(self) -> Searcher:
        """The searcher. Raises ParameterError for shards."""
        if not isinstance(self.searcher, Searcher):
            raise ParameterError("the index is in shards; give one index, or use lsr search, run, why and tune")
        return self.searcher

    @property
    def ids(self) -> list[str]:
        """The ids of the queries. Vectors without ids have their row numbers as ids."""
        return named_queries(self.queries)[0]

    @property
    def rows(self) -> list[str] | SparseVectors | QueryVectors:
        """The queries without ids: texts, or vectors."""
        return named_queries(self.queries)[1]

    def encoded(self, progress: bool = False) -> SparseVectors:
        """The queries as vectors, with their ids. Raises the errors of the encoder."""
        if isinstance(self.queries, SparseVectors):
            return self.queries
        snapshot = self.one.snapshot
        if isinstance(self.queries, QueryVectors):
            return cast(SparseVectors, snapshot.encode(self.queries)[SPARSE])  # raises an error
        texts, parts = list(self.queries.values()), []
        with progress_bar("encoding", len(texts), "queries", progress) as advance:
            for start in range(0, len(texts), QUERIES_AT_ONCE):
                some = texts[start : start + QUERIES_AT_ONCE]
                parts.append(snapshot.encode(some)[SPARSE])
                advance(len(some))
        return SparseVectors.concatenate(parts).with_ids(self.ids)

    def with_dense(self, path: str | None) -> Asked:
        """These queries with the dense vectors in a file, matched by id or by order. Raises VectorsError."""
        if path is None:
            return self
        sparse = self.rows
        assert not isinstance(sparse, QueryVectors)
        return self._replace(queries=QueryVectors(read_query_vectors(path, self.ids), sparse, self.ids))

    def chosen(self, ids: list[str]) -> Asked:
        """Some of these queries, in the order of `ids`. Raises ParameterError for an unknown id."""
        rows = {query_id: row for row, query_id in enumerate(self.ids)}
        for query_id in ids:
            if query_id not in rows:
                raise ParameterError(f"there is no query {query_id!r} among the {len(rows)} queries; check the id")
        if isinstance(self.queries, QueryVectors):
            places = [rows[query_id] for query_id in ids]
            sparse = self.queries.sparse
            some = sparse[places] if isinstance(sparse, SparseVectors) else sparse and [sparse[at] for at in places]
            return self._replace(queries=QueryVectors(self.queries.dense[places], some, ids))
        if isinstance(self.queries, SparseVectors):
            vectors = self.queries[[rows[query_id] for query_id in ids]].with_ids(ids)
            return self._replace(queries=vectors)
        return self._replace(queries={query_id: self.queries[query_id] for query_id in ids})


def open_with_queries(
    index: Path,
    spec: str,
    split: str | None = None,
    *,
    drop_same_id: bool | None = None,
    encoder: str | None = None,
    device: str | None = None,
) -> Asked:
    """The queries at `spec`, and a searcher for them. If the queries are vectors, the searcher needs no encoder.

    Raises the errors of load_queries, read_matched and Searcher.open, and ParameterError for arguments that do not
    apply to vectors.
    """
    # Text queries need neither these modules nor pyarrow.
    from lsr.collections.collection import load_queries
    from lsr.vectors.io import is_vectors, read_matched

    path = rereadable(expanded(spec))
    spec = str(path) if path.exists() else spec
    if not is_vectors(spec):
        topics = load_queries(spec, split, drop_same_id=drop_same_id)
        return Asked(_opened(index, device, encoder), topics.texts, topics.drop_same_id)
    for name, value in (("split", split), ("encoder", encoder)):
        if value is not None:
            raise ParameterError(f"{spec}: is a file of vectors and has no {name} {value!r}; remove the {name}")
    searcher = _opened(index) if is_sharded(index) else Searcher.open_for_vectors(index)
    vectors, unknown = read_matched(spec, searcher.snapshot.vocabulary, searcher.snapshot.index.dim)
    note = ""
    if unknown:
        first = ", ".join(map(repr, sorted(unknown)[:3]))
        note = f"{spec}: {len(unknown)} tokens are not in the index and were dropped, such as {first}"
    return Asked(searcher, vectors, bool(drop_same_id), note)


def open_with_query(
    index: Path,
    query: str,
    queries: str | None,
    encoder: str | None,
    device: str | None = None,
    dense: str | None = None,
) -> Asked:
    """One query: a text, or an id in the file `queries`. Raises the errors of open_with_queries.

    dense: a file of dense vectors of the queries in the file, or of the one text.
    """
    if queries is None:
        return Asked(_opened(index, device, encoder), {query: query}).with_dense(dense)
    asked = open_with_queries(index, queries, encoder=encoder, device=device).with_dense(dense)
    return asked.chosen([query])._replace(note="")


def _opened(index: Path, device: str | None = None, encoder: str | None = None) -> Searcher | ShardedSearcher:
    if not is_sharded(index):
        return Searcher.open(index, device, encoder=encoder)
    from lsr.distributed.sharded_searcher import ShardedSearcher

    return ShardedSearcher.open(index, device, encoder=encoder)
