"""Documents dealt out to segments of every kind, and what a search of them must find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.inverted.inverted_engine import InvertedEngine
from lsr.index.parameters import IndexConfig
from lsr.index.result import SearchResult
from lsr.index.segments.segmented_engine import Segment, SegmentedEngine
from lsr.index.seismic.engine import BlockEngine
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import build, vectors_and_queries

Rows = npt.NDArray[np.int64]


@dataclass
class Made:
    """A segmented engine, its live rows as vectors, their documents (the number of each row's), and queries."""

    engine: SegmentedEngine
    live: SparseVectors
    documents: Rows
    queries: SparseVectors

    def expected(self, k: int, mask: npt.NDArray[np.bool_] | None = None) -> SearchResult:
        """What brute force finds: the best passages of k documents."""
        rows = np.arange(len(self.live)) if mask is None else np.flatnonzero(mask)
        every = ExactIndex.build(self.live[rows]).search(self.queries, max(1, len(rows)))
        scores = np.full((len(self.queries), k), -np.inf, np.float32)
        found = np.full((len(self.queries), k), -1)
        for query in range(len(self.queries)):
            hits = {}
            for score, row in zip(every.scores[query].tolist(), every.rows[query].tolist(), strict=True):
                if row >= 0:
                    hits.setdefault(int(self.documents[rows[row]]), (score, int(rows[row])))
            for place, (score, row) in enumerate(list(hits.values())[:k]):
                scores[query, place], found[query, place] = score, row
        return SearchResult(scores, found)


def make(
    vectors: SparseVectors,
    queries: SparseVectors,
    cuts: list[int],
    blocks: list[bool],
    deleted: npt.NDArray[np.bool_],
    passages: list[bool] | None = None,
    config: IndexConfig | None = None,
) -> Made:
    """cuts: where segments end. blocks: of each segment whether it has blocks. passages: of each row whether it belongs
    to the document of the row before; None for rows that are documents.
    """
    segments, documents = [], np.empty(0, np.int64)
    begins = np.ones(len(vectors), bool) if passages is None else ~np.array(passages, bool)
    for begin, end, as_blocks in zip([0, *cuts], [*cuts, len(vectors)], [*blocks, False], strict=True):
        part = vectors[np.arange(begin, end)]
        engine = build(part, config).engine if as_blocks and len(part) else InvertedEngine.build(part)
        assert isinstance(engine, BlockEngine) == bool(as_blocks and len(part))
        gone = np.flatnonzero(deleted[begin:end]).astype(np.uint32)
        first = begins[begin:end].copy()
        first[:1] = True
        starts = None if passages is None else np.append(np.flatnonzero(first), end - begin)
        documents = np.append(documents, np.cumsum(first) + documents.max(initial=-1))
        segments.append(Segment(engine, gone, starts))
    live = np.flatnonzero(~deleted)
    return Made(SegmentedEngine(segments, vectors.dim), vectors[live], documents[live], queries)


@st.composite
def segmentations(draw: st.DrawFn, vectors: SparseVectors, queries: SparseVectors) -> Made:
    """The vectors in up to five segments, some of them of blocks, some empty, rows deleted or not, passages or not."""
    n = len(vectors)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cuts = sorted(rng.integers(0, n + 1, draw(st.integers(0, 4))).tolist())
    deleted = rng.random(n) < draw(st.sampled_from([0.0, 0.2, 0.9, 1.0]))
    share = draw(st.sampled_from([None, 0.5, 0.95]))
    passages = None if share is None else (rng.random(n) < share).tolist()
    config = IndexConfig(layout=draw(st.sampled_from(["fast", "compact"])))
    return make(vectors, queries, cuts, (rng.random(len(cuts)) < 0.6).tolist(), deleted, passages, config)


@st.composite
def drawn_segmentations(draw: st.DrawFn) -> Made:
    return draw(segmentations(*draw(vectors_and_queries(max_rows=120))))
