"""Dense vectors of several segments against brute force over their live rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsr.errors import IndexFormatError, ParameterError
from lsr.index.dense.dense_index import DenseIndex
from lsr.index.dense_config import DenseConfig
from lsr.index.parameters import SearchParams
from lsr.index.segments.generation_passages import GenerationPassages
from lsr.index.segments.row_map import RowMap
from lsr.index.segments.segmented_dense import DenseSegment, SegmentedDense
from lsr.storage.id_column import IdColumn

DIM = 4


class Made:
    """Segments of random vectors, some of whose documents are deleted.

    vectors: those of live rows. documents: the first live row of each live row's document.
    """

    def __init__(self, seed: int, sizes: list[int], split: list[bool], kind: str = "flat", whole: bool = False) -> None:
        random = np.random.default_rng(seed)
        segments, live, documents, self.spans = [], [np.zeros((0, DIM), np.float32)], [], []
        for size, passages in zip(sizes, split, strict=True):
            # Few different values, so that scores tie.
            vectors = random.integers(-2, 3, (size, DIM)).astype(np.float32)
            cuts = np.flatnonzero(random.random(size - 1) < 0.4) + 1 if passages else np.arange(1, size)
            starts = np.concatenate([[0], cuts, [size]]).astype(np.int64)
            gone = np.zeros(len(starts) - 1, bool) if whole else random.random(len(starts) - 1) < 0.3
            deleted = np.flatnonzero(np.repeat(gone, np.diff(starts))).astype(np.uint32)
            index = DenseIndex.build(vectors, DenseConfig(kind=kind, neighbors=4))  # type: ignore[arg-type]
            segments.append(DenseSegment(index, deleted, starts if passages else None))
            kept = np.delete(vectors, deleted, axis=0)
            lengths = np.diff(starts)[~gone]
            documents.append(sum(map(len, live)) + np.repeat(np.cumsum(lengths) - lengths, lengths))
            live.append(kept)
        self.vectors, self.documents = np.concatenate(live), np.concatenate(documents)
        self.rows = RowMap([len(each.index) for each in segments], [each.deleted for each in segments])
        self.ids = IdColumn.of([f"d{row}" for row in range(len(self.vectors))])
        self.index = SegmentedDense(segments, self.rows, self.ids)
        self.segments = segments
        self.queries = random.integers(-2, 3, (3, DIM)).astype(np.float32)

    def expected(self, k: int, mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        scores, rows = np.full((len(self.queries), k), -np.inf, np.float32), np.full((len(self.queries), k), -1)
        for query, vector in enumerate(self.queries):
            every = self.vectors @ vector
            best: dict[int, int] = {}
            for row in np.lexsort((np.arange(len(every)), -every)).tolist():
                if mask[row]:
                    best.setdefault(int(self.documents[row]), row)
            for place, row in enumerate(list(best.values())[:k]):
                scores[query, place], rows[query, place] = every[row], row
        return scores, rows


SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=4)


@given(st.integers(0, 1 << 16), SIZES, st.data(), st.integers(1, 12), st.booleans())
def test_k_documents_by_their_best_passages(
    seed: int, sizes: list[int], data: st.DataObject, k: int, filtered: bool
) -> None:
    split = data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)))
    made = Made(seed, sizes, split)
    mask = np.random.default_rng(seed).random(len(made.vectors)) < (0.5 if filtered else 2)
    found = made.index.search(made.queries, k, allowed=mask if filtered else None)
    scores, rows = made.expected(k, mask)
    np.testing.assert_array_equal(found.scores, scores)
    # Which of several rows of one score are the last of the k is faiss's choice.
    certain = (scores > scores[:, -1:]) | (rows < 0)
    firsts = GenerationPassages(made.rows, [each.starts for each in made.segments], [None] * len(sizes)).firsts
    np.testing.assert_array_equal(firsts(found.rows)[certain], firsts(rows)[certain])
    for query in range(len(made.queries)):
        hits = found.rows[query][found.rows[query] >= 0]
        assert len(set(made.documents[hits].tolist())) == len(hits) and mask[hits].all()
        np.testing.assert_array_equal(made.vectors[hits] @ made.queries[query], found.scores[query, : len(hits)])


@given(st.integers(0, 1 << 16), SIZES)
def test_rows_lead_to_vectors_and_documents(seed: int, sizes: list[int]) -> None:
    made = Made(seed, sizes, [True] * len(sizes))
    every = np.arange(len(made.vectors))
    np.testing.assert_array_equal(made.index.gather(every[::-1].copy()), made.vectors[::-1])
    passages = GenerationPassages(made.rows, [each.starts for each in made.segments], [None] * len(sizes))
    np.testing.assert_array_equal(passages.firsts(every), made.documents)
    np.testing.assert_array_equal(passages.firsts(np.append(every, -1).reshape(1, -1))[0, -1], -1)
    assert len(made.index) == len(every) and made.index.dim == DIM
    names, vectors = zip(*made.index.iter_vectors(), strict=True) if len(every) else ((), ())
    assert [name for some in names for name in some] == list(made.ids)
    if len(every):
        np.testing.assert_array_equal(np.concatenate(vectors), made.vectors)
        np.testing.assert_array_equal(made.index.vector(0), made.vectors[0])
    with pytest.raises(ParameterError):
        made.index.vector(len(every))


def test_graphs_find_k_documents_too() -> None:
    made = Made(3, [400, 300], [True, False], kind="hnsw", whole=True)
    assert made.index.nbytes["graph"] > 0 and made.index.config.kind == "hnsw"
    exact = made.index.search(made.queries, 10, SearchParams(exact=True))
    np.testing.assert_array_equal(exact.scores, made.expected(10, np.ones(len(made.vectors), bool))[0])
    found = made.index.search(made.queries, 10)
    assert (found.rows >= 0).all()
    assert all(len(set(made.documents[rows].tolist())) == 10 for rows in found.rows)


def test_spans_are_those_of_rows() -> None:
    spans = np.array([[0, 5], [3, 9], [0, 2], [7, 1]])
    starts = np.array([0, 2, 3, 4])
    deleted = np.array([2], np.uint32)
    passages = GenerationPassages(RowMap([4, 2], [deleted, deleted[:0]]), [starts, None], [spans, None])
    assert [passages.span(row) for row in (0, 1, 3, 4)] == [(0, 5), (3, 9), None, None]
    with pytest.raises(IndexFormatError, match="from 7 to 1"):
        passages.span(2)


def test_a_generation_has_dense_vectors_in_all_segments(tmp_path: Path) -> None:
    made = Made(1, [5, 4], [True, False])
    segments = []
    for number, each in enumerate(made.segments):
        each.index.save(tmp_path / str(number))
        segments.append(OfSegment(tmp_path / str(number), "a segment", each.deleted, each.starts, len(each.index)))
    generation: Any = SimpleNamespace(segments=segments, folder="index", rows=made.rows, ids=made.ids)
    found = SegmentedDense.of_generation(generation).search(made.queries, 5)
    np.testing.assert_array_equal(found.scores, made.index.search(made.queries, 5).scores)
    generation.segments = [segments[0], replace(segments[1], dense=None)]
    with pytest.raises(IndexFormatError, match="a segment: dense vectors are missing"):
        SegmentedDense.of_generation(generation)
    generation.segments = [segments[0], replace(segments[1], rows=3)]
    with pytest.raises(IndexFormatError, match="4 dense vectors for 3"):
        SegmentedDense.of_generation(generation)
    DenseIndex.build(np.ones((4, DIM + 1), np.float32)).save(tmp_path / "1")
    generation.segments = segments
    with pytest.raises(IndexFormatError, match="different kinds"):
        SegmentedDense.of_generation(generation)


@dataclass
class OfSegment:
    dense: Path | None
    folder: str
    deleted: Any
    starts: Any
    rows: int

    def __len__(self) -> int:
        return self.rows
