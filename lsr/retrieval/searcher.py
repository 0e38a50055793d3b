"""Searcher: text in, ranked and explained documents out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from lsr.errors import EncoderError, ParameterError
from lsr.ids import is_utf8
from lsr.index.config import SearchParams

if TYPE_CHECKING:
    from lsr.encoders.base import Encoder
    from lsr.index.result import SearchResult
    from lsr.vectors import SparseVectors

TEXTS_NAME = "texts"
_QUERIES_AT_ONCE = 1024


class Index(Protocol):
    """What a Searcher needs of an index: SeismicIndex and ExactIndex both have it."""

    @property
    def dim(self) -> int: ...
    def __len__(self) -> int: ...
    def search(self, queries: SparseVectors, k: int, params: SearchParams, threads: int) -> SearchResult: ...
    def vector(self, row: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]: ...


class Texts(Protocol):
    """Texts by row: a list, or a StringColumn that decodes one at a time."""

    def __getitem__(self, row: int, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Hit:
    """One document found for one query.

    doc_id: its id; its row as a string if the index has no ids.
    score: inner product of query and document, as the index returned it.
    row: its position in the index.
    """

    doc_id: str
    score: float
    row: int
    _searcher: Searcher = field(repr=False, compare=False)
    _query: tuple[npt.NDArray[np.integer], npt.NDArray[np.float32]] = field(repr=False, compare=False)

    @property
    def text(self) -> str | None:
        """Title and text, read from the index when asked for; None if the index keeps no texts."""
        texts = self._searcher.texts
        return None if texts is None else texts[self.row]

    def explain(self) -> dict[str, float]:
        """Term -> query weight x document weight, largest first; the contributions add up to the score.

        Document weights are those the index stores, so for a quantised index the sum is the score that it returns, up
        to the rounding of float32 sums.
        """
        components, weights = self._searcher.index.vector(self.row)
        shared, in_query, in_document = np.intersect1d(self._query[0], components, return_indices=True)
        products = self._query[1][in_query] * weights[in_document]
        token = self._searcher.encoder.vocabulary.token
        return {token(int(shared[at])): float(products[at]) for at in np.argsort(-products, kind="stable")}


class Searcher:
    """An index, the encoder whose vectors it holds, and the texts it was built from, if it keeps them.

    Raises EncoderError if the encoder's vectors have another number of components than the index.
    """

    def __init__(self, index: Index, encoder: Encoder, texts: Texts | None = None) -> None:
        if encoder.dim != index.dim:
            raise EncoderError(
                f"encoder {encoder.name!r} makes vectors of {encoder.dim} components, the index holds {index.dim}; "
                f"search with the encoder that the index was built with"
            )
        self.index = index
        self.encoder = encoder
        self.texts = texts

    @classmethod
    def open(cls, folder: str | Path, device: str | None = None) -> Searcher:
        """Open what `lsr index` or `build_searchable` wrote. Arrays and texts are memory-mapped.

        device: where queries are encoded, such as "cpu" or "cuda"; None lets the encoder choose.

        Raises IndexFormatError if the folder is no index or is damaged, EncoderError if the index has no encoder.
        """
        from lsr.encoders import load_encoder
        from lsr.encoders.base import ENCODER_FOLDER
        from lsr.index.seismic import FORMAT_VERSION, KIND, SeismicIndex
        from lsr.index.storage import StringColumn, read_manifest

        folder = Path(folder)
        index = SeismicIndex.open(folder)
        if not (folder / ENCODER_FOLDER).is_dir():
            raise EncoderError(
                f"{folder}: was built from vectors and has no encoder, so it cannot be searched with text; "
                f"build it again with --encoder, or search vectors with SeismicIndex.open"
            )
        encoder = load_encoder(folder / ENCODER_FOLDER, device=device)
        has_texts = read_manifest(folder, FORMAT_VERSION, KIND).get("has_texts")
        return cls(index, encoder, StringColumn.open(folder, TEXTS_NAME) if has_texts else None)

    def search(self, text: str, k: int = 10, params: SearchParams | None = None) -> list[Hit]:
        """At most k hits for one query, best first; none for a query without any known token."""
        return self.search_batch([text], k, params)[0]

    def search_batch(
        self, texts: Sequence[str], k: int = 10, params: SearchParams | None = None, threads: int = 1
    ) -> list[list[Hit]]:
        """The hits of each text, in the order of the texts. Raises ParameterError for k < 1."""
        queries, result = self._search(texts, k, params, threads)
        columns = zip(result.ids.tolist(), result.scores.tolist(), result.rows.tolist(), strict=True)
        hits = []
        for query, (ids, scores, rows) in enumerate(columns):
            vector = queries.row(query)
            found = zip(ids, scores, rows, strict=True)
            hits.append([Hit(i, score, row, self, vector) for i, score, row in found if i is not None])
        return hits

    def run(
        self,
        queries: Mapping[str, str],
        k: int = 1000,
        params: SearchParams | None = None,
        threads: int = 1,
        drop_same_id: bool = False,
    ) -> dict[str, dict[str, float]]:
        """Query id -> document id -> score, best first, for queries given as id -> text: what lsr.eval measures.

        drop_same_id: leave out a document whose id is the query's; k others are still returned.
        """
        run: dict[str, dict[str, float]] = {}
        pairs = iter(queries.items())
        while batch := list(islice(pairs, _QUERIES_AT_ONCE)):
            _, result = self._search([text for _, text in batch], k, params, threads, extra=int(drop_same_id))
            for (query_id, _), ids, scores in zip(batch, result.ids.tolist(), result.scores.tolist(), strict=True):
                dropped = (None, query_id) if drop_same_id else (None,)
                found = ((i, score) for i, score in zip(ids, scores, strict=True) if i not in dropped)
                run[query_id] = dict(islice(found, k))
        return run

    def _search(
        self, texts: Sequence[str], k: int, params: SearchParams | None, threads: int, extra: int = 0
    ) -> tuple[SparseVectors, SearchResult]:
        """The queries' vectors and the `k + extra` best documents of each."""
        if k < 1:
            raise ParameterError(f"k is {k}; it must be at least 1")
        for number, text in enumerate(texts, start=1):
            if not is_utf8(text):
                raise ParameterError(
                    f"query {number}, {text[:40]!r}, is no valid UTF-8; check how it was typed or read"
                )
        queries = self.encoder.encode_queries(list(texts))
        return queries, self.index.search(queries, k=k + extra, params=params or SearchParams(), threads=threads)
