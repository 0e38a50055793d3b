"""PyTerrier: an indexer and a retriever for its pipelines. Needs no Java."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lsr.extras import need

need("lsr.bridges.pyterrier", "pyterrier")
import pandas as pd
import pyterrier as pt

from lsr.encoders.load import EncoderLike
from lsr.retrieval.indexing import build_index
from lsr.retrieval.request import SearchRequest
from lsr.retrieval.searcher import Searcher

RANKED = ["docno", "score", "rank"]


class LsrIndexer(pt.Indexer):
    """An indexer of dicts with docno and text. All other values are metadata.

    folder, encoder, settings: as build_index takes them.
    """

    def __init__(self, folder: str | Path, encoder: EncoderLike, **settings: Any) -> None:
        self.folder, self.encoder, self.settings = folder, encoder, settings

    def index_inputs(self) -> list[list[str]]:
        return [["docno", "text"]]

    def index(self, iter: Iterable[Mapping[str, Any]], **kwargs: Any) -> LsrTransformer:
        """Build the index; returns its retriever. Raises the errors of build_index."""
        settings = {"id": "docno", "text": "text", **self.settings}
        return LsrTransformer(build_index(iter, self.folder, self.encoder, **settings))


class LsrTransformer(pt.Transformer):
    """A retriever: turns a frame with qid and query into one that also has docno, score and rank.

    num_results: documents per query; `%` reduces it. texts: also add the column text.
    request: further arguments of Searcher.search, such as where="year >= 2020".
    """

    def __init__(self, searcher: Searcher, num_results: int = 1000, texts: bool = False, **request: Any) -> None:
        self.searcher, self.num_results, self.texts, self.request = searcher, num_results, texts, request

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        pt.validate.query_frame(inp, extra_columns=["query"])
        request = SearchRequest.of(self.num_results, **self.request)
        queries = inp.drop(columns=[name for name in (*RANKED, "docid", "text") if name in inp])
        found = self.searcher.hits(queries["query"].tolist(), request) if len(queries) else []
        lengths = [len(hits) for hits in found]
        ranked = queries.loc[queries.index.repeat(lengths)].reset_index(drop=True)
        ranked["docno"] = pd.Series([hit.doc_id for hits in found for hit in hits], dtype=object)
        ranked["score"] = pd.Series([hit.score for hits in found for hit in hits], dtype=float)
        ranked["rank"] = pd.Series([rank for length in lengths for rank in range(length)], dtype=int)
        if self.texts:
            ranked["text"] = pd.Series([hit.text for hits in found for hit in hits], dtype=object)
        return ranked

    def fuse_rank_cutoff(self, k: int) -> LsrTransformer | None:
        """The retriever for `% k`, which searches for k documents only."""
        if k >= self.num_results:
            return None
        return LsrTransformer(self.searcher, k, self.texts, **self.request)
