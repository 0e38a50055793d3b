"""Queries as commands take them: texts, or vectors, in whatever file or collection, with the searcher for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast

from lsr.checks import expanded
from lsr.errors import ParameterError
from lsr.progress import progress_bar
from lsr.retrieval.query_vectors import QueryVectors, read_query_vectors
from lsr.retrieval.request import SPARSE
from lsr.retrieval.searcher import Searcher
from lsr.retrieval.snapshot import QUERIES_AT_ONCE
from lsr.storage.reading import rereadable
from lsr.vectors.sparse_vectors import SparseVectors


class Asked(NamedTuple):
    """queries: id -> text, or vectors over the components of the searcher's index, or either with dense ones beside.
    note: on what was dropped of them.

    drop_same_id: see Collection.
    """

    searcher: Searcher
    queries: Mapping[str, str] | SparseVectors | QueryVectors
    drop_same_id: bool = False
    note: str = ""

    @property
    def ids(self) -> list[str]:
        """Of vectors without ids, their rows."""
        if isinstance(self.queries, QueryVectors):
            return self.queries.names
        if isinstance(self.queries, SparseVectors):
            return self.queries.ids or [str(row) for row in range(len(self.queries))]
        return list(self.queries)

    @property
    def rows(self) -> list[str] | SparseVectors | QueryVectors:
        """Texts or vectors, without the ids of texts."""
        return self.queries if isinstance(self.queries, SparseVectors | QueryVectors) else list(self.queries.values())

    def encoded(self, progress: bool = False) -> SparseVectors:
        """The queries as vectors, with their ids. Raises as the encoder does."""
        if isinstance(self.queries, SparseVectors):
            return self.queries
        if isinstance(self.queries, QueryVectors):
            return cast(SparseVectors, self.searcher.snapshot.encode(self.queries)[SPARSE])  # which raises
        texts, parts = list(self.queries.values()), []
        with progress_bar("encoding", len(texts), "queries", progress) as advance:
            for start in range(0, len(texts), QUERIES_AT_ONCE):
                some = texts[start : start + QUERIES_AT_ONCE]
                parts.append(self.searcher.snapshot.encode(some)[SPARSE])
                advance(len(some))
        return SparseVectors.concatenate(parts).with_ids(self.ids)

    def with_dense(self, path: str | None) -> Asked:
        """With the dense vectors of a file, by the ids of the queries or in their order. Raises VectorsError."""
        if path is None:
            return self
        sparse = self.rows
        assert not isinstance(sparse, QueryVectors)
        return self._replace(queries=QueryVectors(read_query_vectors(path, self.ids), sparse, self.ids))

    def chosen(self, ids: list[str]) -> Asked:
        """Of some queries alone, in this order. Raises ParameterError for one that is not there."""
        rows = {query_id: row for row, query_id in enumerate(self.ids)}
        for query_id in ids:
            if query_id not in rows:
                raise ParameterError(f"there is no query {query_id!r} among the {len(rows)} given; check its id")
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
    """The queries at `spec`, and a searcher of the index for them: without an encoder, where they are vectors.

    Raises as load_queries, read_matched and Searcher.open do, and ParameterError for what vectors have no use for.
    """
    # No query of text needs these, and pyarrow with them.
    from lsr.collections.collection import load_queries
    from lsr.vectors.io import is_vectors, read_matched

    path = rereadable(expanded(spec))
    spec = str(path) if path.exists() else spec
    if not is_vectors(spec):
        topics = load_queries(spec, split, drop_same_id=drop_same_id)
        return Asked(Searcher.open(index, device, encoder=encoder), topics.texts, topics.drop_same_id)
    for name, value in (("split", split), ("encoder", encoder)):
        if value is not None:
            raise ParameterError(f"{spec}: holds vectors and has no {name} {value!r}; leave the {name} out")
    searcher = Searcher.open_for_vectors(index)
    vectors, unknown = read_matched(spec, searcher.vocabulary, searcher.index.dim)
    note = ""
    if unknown:
        first = ", ".join(map(repr, sorted(unknown)[:3]))
        note = f"{spec}: {len(unknown)} tokens are not in the index and were dropped, {first} among them"
    return Asked(searcher, vectors, bool(drop_same_id), note)


def open_with_query(
    index: Path,
    query: str,
    queries: str | None,
    encoder: str | None,
    device: str | None = None,
    dense: str | None = None,
) -> Asked:
    """One query, a text or the id of one among the `queries` of a file. Raises as open_with_queries does.

    dense: a file of dense vectors of the queries, of the one text where there is no file of queries.
    """
    if queries is None:
        return Asked(Searcher.open(index, device, encoder=encoder), {query: query}).with_dense(dense)
    asked = open_with_queries(index, queries, encoder=encoder, device=device).with_dense(dense)
    return asked.chosen([query])._replace(note="")
