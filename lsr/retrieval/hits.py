"""Hit: one document of a result, with its text and its score per term."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from lsr.display import ScoredList, beginning
from lsr.errors import ParameterError
from lsr.retrieval.snippets import Snippet, make_snippet

if TYPE_CHECKING:
    from lsr.encoders.base import Encoder
    from lsr.retrieval.snapshot import Snapshot
    from lsr.vectors.sparse_vectors import SparseVectors

TEXT_OF_REPR = 60  # characters


def _doc_id_of(hit: Hit) -> str:
    return hit._snapshot.doc_id(hit.row)


def _text_of(hit: Hit) -> str | None:
    texts = hit._snapshot.texts
    return None if texts is None else texts[hit.row]


def _metadata_of(hit: Hit) -> dict[str, Any]:
    return hit._snapshot.metadata.row(hit.row)


@dataclass(frozen=True, repr=False, init=False)
class Hit:
    """One hit: a document that a search returned for a query.

    doc_id: the id of the document. If the index has no ids, the row as a string.
    score: the score of the ranking: the inner product of query and document, or the fused score of a hybrid search.
    row: the row of the document. If documents are split, the row of the best passage.
    scores: {"sparse": ..., "dense": ...}, the inner product on each side, before normalization. A side is missing if it
        was not searched, or did not find the document.
    text: title and text; None if the index stores no texts.
    metadata: {column: value}; None for a missing value.

    Id, text, metadata and terms are read from the index on first use, or when the hit is pickled. A pickle holds them,
    but not the index.
    """

    if TYPE_CHECKING:  # not fields, so that only plain data is shown and copied
        _snapshot: Snapshot
        _query: SearchedQuery

    doc_id: str = field(init=False, default=cached_property(_doc_id_of))  # type: ignore[assignment]
    score: float
    row: int
    scores: Mapping[str, float] = field(compare=False)
    text: str | None = field(compare=False, default=cached_property(_text_of))  # type: ignore[assignment]
    metadata: Mapping[str, Any] = field(compare=False, default=cached_property(_metadata_of))  # type: ignore[arg-type]

    def __init__(
        self, score: float, row: int, scores: Mapping[str, float], snapshot: Snapshot, query: SearchedQuery
    ) -> None:
        self.__dict__.update(score=score, row=row, scores=scores, _snapshot=snapshot, _query=query)

    def __repr__(self) -> str:
        text = "" if self.text is None else f", {beginning(self.text, TEXT_OF_REPR)!r}"
        return f"Hit({self.doc_id!r}, {self.score:.6g}{text})"

    @cached_property
    def passage(self) -> tuple[int, int] | None:
        """Begin and end of the document's best passage, in characters of the text; None if documents are not split."""
        passages = self._snapshot.passages
        return None if passages is None else passages.span(self.row)

    def explain(self) -> dict[str, float]:
        """{term: query weight x document weight}, largest first. Their sum is the sparse score, scores["sparse"].

        The query is that of the last sparse search: after feedback, the second query. For a document that only the
        dense side found, and after a dense search, the terms are those that a sparse search for the text would use.
        Document weights are those that the index stores, rounded to 16 or 8 bits. The sum can differ from the returned
        score by the rounding errors of float32.
        """
        return dict(self._terms)

    def snippet(self, length: int = 300) -> Snippet:
        """The part of the text, or of the best passage, with the terms that contribute most, highlighted.

        length: the maximum number of characters, at least 20. If no term occurs in the text, the snippet is its
            beginning.

        Raises ParameterError for a smaller length, and if the index stores no texts.
        """
        if self.text is None:
            raise ParameterError(
                "the index stores no texts; build it from documents, or add texts with lsr attach --texts"
            )
        if "_snapshot" not in self.__dict__:  # a pickled hit has no tokenizer: terms are matched as words
            names = list(self._terms)
            weights = dict(enumerate(self._terms.values()))
            return make_snippet(self.text, weights, names.__getitem__, None, length, self.passage)
        snapshot = self._snapshot
        spans = getattr(snapshot.query_encoder, "spans", None)
        return make_snippet(self.text, self._contributions, snapshot.token, spans, length, self.passage)

    def as_dict(self, explain: bool = False, snippet: int | None = None, text: bool = True) -> dict[str, Any]:
        """The hit as a dict for JSON.

        explain: include the terms.
        snippet: include a snippet of at most this number of characters, if there is a text.
        text: include the text.
        """
        shown = {name: getattr(self, name) for name in Hits.columns if text or name != "text"}
        shown["scores"] = dict(self.scores)
        if self.passage is not None:
            shown["passage"] = list(self.passage)
        if self.metadata:
            shown["metadata"] = as_json(self.metadata)
        if snippet is not None and self.text is not None:
            shown["snippet"] = self.snippet(snippet).as_dict()
        return {**shown, **({"terms": self.explain()} if explain else {})}

    @cached_property
    def _terms(self) -> dict[str, float]:
        token = self._snapshot.token
        return {token(component): product for component, product in self._contributions.items()}

    @cached_property
    def _contributions(self) -> dict[int, float]:
        """Component -> its contribution to the score, largest first."""
        components, weights = self._snapshot.index.vector(self.row)
        in_query_components, query_weights = self._query.sparse
        shared, in_query, in_document = np.intersect1d(in_query_components, components, return_indices=True)
        products = query_weights[in_query] * weights[in_document]
        return {int(shared[at]): float(products[at]) for at in np.argsort(-products, kind="stable")}

    def __getstate__(self) -> dict[str, Any]:
        plain = {
            **self.__dict__,
            "doc_id": self.doc_id,
            "text": self.text,
            "passage": self.passage,
            "metadata": self.metadata,
            "_terms": self._terms,
        }
        return {name: value for name, value in plain.items() if name not in ("_snapshot", "_query", "_contributions")}


class Hits(ScoredList[Hit]):
    """The hits of one query, best first: a list with `ids`, `scores`, to_pandas, to_polars and to_dicts.

    estimated_recall: the estimated share of the hits of an unlimited search that were found; 1 if and only if the
        search did not reach `budget_us`.
    missing_shards: the shards of a sharded index that did not answer, if the search was allowed to skip them.
    """

    estimated_recall: float = 1.0
    missing_shards: tuple[str, ...] = ()

    columns: ClassVar[tuple[str, ...]] = ("doc_id", "score", "row", "scores", "text")

    @property
    def complete(self) -> bool:
        """Whether the search ended before it reached `budget_us`."""
        return self.estimated_recall == 1

    def _to_arrow(self) -> Any:
        """The hits as an Arrow table, with the metadata columns; "metadata." precedes names that are also fields."""
        import pyarrow as pa

        table = super()._to_arrow()
        for name in self[0].metadata if self else ():
            column = pa.array([hit.metadata[name] for hit in self])
            table = table.append_column(f"metadata.{name}" if name in self.columns else name, column)
        return table

    def _records(self) -> Iterator[dict[str, Any]]:
        return (hit.as_dict() for hit in self)

    def to_dicts(self, explain: bool = False, snippet: int | None = None) -> list[dict[str, Any]]:
        """The hits as dicts for JSON. explain: include the terms. snippet: see Hit.as_dict."""
        return [hit.as_dict(explain, snippet) for hit in self]


def as_json(value: Any) -> Any:
    """A value for JSON: dates in ISO 8601, bytes in hexadecimal, and all values that JSON does not have as text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if isfinite(value) else str(value)
        case Mapping():
            return {str(name): as_json(each) for name, each in value.items()}
        case list() | tuple():
            return [as_json(each) for each in value]
        case bytes():
            return value.hex()
        case date() | time():
            return value.isoformat()
    return str(value)


class SearchedQuery:
    """The sparse vector of a query. If a dense search needed none, the text is encoded on first use.

    sparse: vectors whose row `place` is the query; None to encode the text.
    """

    def __init__(self, text: str, encoder: Encoder | None, sparse: SparseVectors | None, place: int = 0) -> None:
        self._text, self._encoder, self._sparse, self._place = text, encoder, sparse, place

    @cached_property
    def sparse(self) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.float32]]:
        if self._sparse is not None:
            return self._sparse.row(self._place)
        assert self._encoder is not None
        return self._encoder.encode_queries([self._text]).row(0)
