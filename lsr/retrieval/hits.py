"""Hit: one document found for one query, with its text and what its score is made of."""

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

TEXT_OF_REPR = 60  # characters


def _text_of(hit: Hit) -> str | None:
    texts = hit._snapshot.texts
    return None if texts is None else texts[hit.row]


def _metadata_of(hit: Hit) -> dict[str, Any]:
    return hit._snapshot.metadata.row(hit.row)


@dataclass(frozen=True, repr=False, init=False)
class Hit:
    """One document found for one query.

    doc_id: its id; its row as a string if the index has no ids.
    score: what the ranking is by: the inner product of query and document, or the interpolated score.
    row: its position in the index.
    scores: "sparse" and "dense" -> its inner product in the list of that side, before any normalization; without the
        sides that were not searched, and those whose list does not have it.
    text: title and text; None if the index keeps no texts.
    metadata: name -> value of each column that the index keeps of its documents, None for a missing value.

    Text, metadata and terms are read from the index when they are asked for, or when the hit is pickled: a pickle holds
    them, and no index.
    """

    if TYPE_CHECKING:  # not fields: what is shown and copied of a hit is plain data
        _snapshot: Snapshot
        _query: SearchedQuery

    doc_id: str
    score: float
    row: int
    scores: Mapping[str, float] = field(compare=False)
    text: str | None = field(compare=False, default=cached_property(_text_of))  # type: ignore[assignment]
    metadata: Mapping[str, Any] = field(compare=False, default=cached_property(_metadata_of))  # type: ignore[arg-type]

    def __init__(
        self,
        doc_id: str,
        score: float,
        row: int,
        scores: Mapping[str, float],
        snapshot: Snapshot,
        query: SearchedQuery,
    ) -> None:
        self.__dict__.update(doc_id=doc_id, score=score, row=row, scores=scores, _snapshot=snapshot, _query=query)

    def __repr__(self) -> str:
        text = "" if self.text is None else f", {beginning(self.text, TEXT_OF_REPR)!r}"
        return f"Hit({self.doc_id!r}, {self.score:.6g}{text})"

    @cached_property
    def passage(self) -> tuple[int, int] | None:
        """Begin and end of its best passage, in characters of the text; None where documents are not split."""
        passages = self._snapshot.passages
        return None if passages is None else passages.span(self.row)

    def explain(self) -> dict[str, float]:
        """Term -> query weight x document weight, largest first; they add up to the sparse score, scores["sparse"].

        The query is that of the last sparse search: with feedback, the one that the feedback made. Of a document that
        only the dense side found, or of a dense search, it tells what a sparse search would have seen in it.
        Document weights are those the index stores, so for a quantized index the sum is the score that it returns, up
        to the rounding of float32 sums.
        """
        return dict(self._terms)

    def snippet(self, length: int = 300) -> Snippet:
        """The part of its text, or of its passage, in which the terms are that contribute most, which are marked.

        length: characters, at most. Where no term is in the text, its beginning. Raises ParameterError for less than
        20, and where the index keeps no texts.
        """
        if self.text is None:
            raise ParameterError("the index keeps no texts to show; build it from a collection")
        if "_snapshot" not in self.__dict__:  # it was pickled: its tokens are looked for as words
            names = list(self._terms)
            weights = dict(enumerate(self._terms.values()))
            return make_snippet(self.text, weights, names.__getitem__, None, length, self.passage)
        snapshot = self._snapshot
        spans = getattr(snapshot.query_encoder, "spans", None)
        return make_snippet(self.text, self._contributions, snapshot.token, spans, length, self.passage)

    def as_dict(self, explain: bool = False, snippet: int | None = None, text: bool = True) -> dict[str, Any]:
        """What JSON shows of it.

        explain: with its terms. snippet: with one of so many characters, if it has a text. text: with its text.
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
        """Component -> what it adds to the score, the most first."""
        components, weights = self._snapshot.index.vector(self.row)
        in_query_components, query_weights = self._query.sparse
        shared, in_query, in_document = np.intersect1d(in_query_components, components, return_indices=True)
        products = query_weights[in_query] * weights[in_document]
        return {int(shared[at]): float(products[at]) for at in np.argsort(-products, kind="stable")}

    def __getstate__(self) -> dict[str, Any]:
        plain = {
            **self.__dict__,
            "text": self.text,
            "passage": self.passage,
            "metadata": self.metadata,
            "_terms": self._terms,
        }
        return {name: value for name, value in plain.items() if name not in ("_snapshot", "_query", "_contributions")}


class Hits(ScoredList[Hit]):
    """The hits of one query, best first: a list, with `ids` and `scores`.

    estimated_recall: which share of what a search without `budget_us` finds was found, as is to be expected; 1 for a
    search that did not stop, and only for such.
    missing_shards: those of a sharded index that did not answer, where the search was to name them.
    """

    estimated_recall: float = 1.0
    missing_shards: tuple[str, ...] = ()

    columns: ClassVar[tuple[str, ...]] = ("doc_id", "score", "row", "scores", "text")

    @property
    def complete(self) -> bool:
        """Whether the search came to its end before its time was used up."""
        return self.estimated_recall == 1

    def _to_arrow(self) -> Any:
        """With the metadata, a column for each of its names; those that are names of other columns follow a dot."""
        import pyarrow as pa

        table = super()._to_arrow()
        for name in self[0].metadata if self else ():
            column = pa.array([hit.metadata[name] for hit in self])
            table = table.append_column(f"metadata.{name}" if name in self.columns else name, column)
        return table

    def _records(self) -> Iterator[dict[str, Any]]:
        return (hit.as_dict() for hit in self)

    def to_dicts(self, explain: bool = False, snippet: int | None = None) -> list[dict[str, Any]]:
        """What JSON shows of each hit; explain: with its terms; snippet: see Hit.as_dict."""
        return [hit.as_dict(explain, snippet) for hit in self]


def as_json(value: Any) -> Any:
    """A value as JSON has it: dates in ISO 8601, bytes in hexadecimal, and what JSON has not as text."""
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
    """A query's sparse vector: the one that was searched with, or its text's, encoded when asked for."""

    def __init__(self, text: str, encoder: Encoder | None, sparse: Any) -> None:
        self._text, self._encoder, self._sparse = text, encoder, sparse

    @cached_property
    def sparse(self) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.float32]]:
        if self._sparse is None and self._encoder is not None:
            return self._encoder.encode_queries([self._text]).row(0)
        sparse: tuple[npt.NDArray[np.integer], npt.NDArray[np.float32]] = self._sparse
        return sparse
