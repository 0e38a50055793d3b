"""Merges: what a search finds stays the same, whatever is merged, and when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.dense.dense_index import DenseIndex
from lsr.index.parameters import IndexConfig
from lsr.index.segments import merging
from lsr.index.segments.commit import DeletedRows, SegmentEntry
from lsr.index.segments.generation import Generation, open_generation
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.segments.merging import choose
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.storage.arrays import save_arrays
from lsr.storage.columns import Columns, write_columns
from lsr.storage.id_column import IdColumn
from lsr.storage.strings import StringColumn
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import always_blocks, zipf_vectors
from tests.index.segments.test_index_writer import DIM, Documents, add, assert_holds, documents, names


def entry(rows: int, deleted: int = 0, name: str = "segment-000001") -> SegmentEntry:
    return SegmentEntry(name, rows, rows - deleted, "0" * 64, DeletedRows("x", deleted) if deleted else None)


def numbered(sizes: list[int]) -> list[SegmentEntry]:
    return [entry(size, name=f"segment-{number:06}") for number, size in enumerate(sizes, start=1)]


def test_choice_of_segments_to_merge() -> None:
    assert choose([]) == choose([entry(10)]) == choose([entry(10)], every=True) == []
    assert choose([entry(10, 1)], every=True) == ["segment-000001"]
    assert choose([entry(100, 11)]) == []
    assert choose([entry(100, 12)]) == ["segment-000001"]  # as many as an eighth of what is left
    large_and_small = numbered([100_000, *[10] * 7])
    assert choose(large_and_small) == []
    assert choose(large_and_small, every=True) == [each.name for each in large_and_small]
    assert choose(numbered([100_000, *[10] * 8])) == [f"segment-{number:06}" for number in range(2, 10)]
    assert len(choose(numbered([1000, 200]))) == 2


@given(st.lists(st.integers(1, 10_000), max_size=40), st.randoms(use_true_random=False))
def test_merges_come_to_an_end(sizes: list[int], random: object) -> None:
    segments = numbered(sizes)
    written = sum(sizes)
    for number in range(len(sizes) + 1):
        chosen = choose(segments)
        if not chosen:
            break
        merged = entry(sum(each.live for each in segments if each.name in chosen), name=f"segment-9{number:05}")
        segments = [merged, *(each for each in segments if each.name not in chosen)]
    assert choose(segments) == []
    assert sum(each.rows for each in segments) == written
    largest = max((each.rows for each in segments), default=0)
    assert written - largest <= written / 8 and len(segments) < 8 * 6


class Steps:
    """Ways to change an index, and a dict that changes with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: Documents = {}
        self.writer = IndexWriter.create(folder)
        self.seed = 0
        self.add([0, 1])  # which says that there are ids

    def add(self, some: list[int]) -> None:
        self.seed += 1
        new = documents(self.seed, (f"d{each}" for each in some))
        assert add(self.writer, new) == len(self.held.keys() & new.keys())
        self.held |= new

    def delete(self, some: list[int]) -> None:
        gone = [f"d{each}" for each in some]
        assert self.writer.delete(gone) == len(self.held.keys() & {*gone})
        for name in gone:
            self.held.pop(name, None)

    def commit(self, _: list[int]) -> None:
        self.writer.commit()
        assert_holds(SeismicIndex.open(self.folder), self.held)

    def merge(self, some: list[int]) -> None:
        self.writer.merge(all=len(some) > 3)
        assert_holds(SeismicIndex.open(self.folder), self.held)
        assert not choose([each.entry for each in open_generation(self.folder).segments], every=len(some) > 3)

    def merge_in_background(self, _: list[int]) -> None:
        self.writer.merge_in_background()

    def reopen(self, _: list[int]) -> None:
        self.writer.commit()
        self.writer.close()
        assert_holds(SeismicIndex.open(self.folder), self.held)
        self.writer = IndexWriter.open(self.folder)


STEPS = ("add", "add", "delete", "delete", "commit", "merge", "merge_in_background", "reopen")


@settings(max_examples=12)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.lists(st.integers(0, 25), max_size=12, unique=True)), max_size=14))
def test_a_writer_does_as_a_dict_does(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, list[int]]]
) -> None:
    steps = Steps(tmp_path_factory.mktemp("steps") / "index")
    try:
        for name, some in changes:
            getattr(steps, name)(some)
        steps.merge([])
        steps.reopen([])
    finally:
        steps.writer.close()
    generation = open_generation(steps.folder)
    needed = {each.folder.name for each in generation.segments} | generation.commit.files.keys()
    assert set(names(steps.folder)) == needed | {"manifest.json", f"generation-{generation.number:06}.json"}


def with_everything(writer: IndexWriter, seed: int, lengths: list[int], dense: str = "rows") -> None:
    """A segment of documents with so many passages each, with texts, metadata and dense vectors."""
    rows, first = sum(lengths), 100 * seed
    ids = [f"d{first + number}" for number in range(len(lengths))]
    starts = np.cumsum([0, *lengths])

    def extra(new: Path) -> dict[str, object]:
        IdColumn.write(new, "ids", ids)
        StringColumn.write(new, "texts", (f"text of {name}" for name in ids))
        spans = np.stack([np.arange(rows) + seed, np.arange(rows) + 10], 1).astype(np.int64)
        save_arrays(new, {"passages.starts": starts.astype(np.int64), "passages.spans": spans})
        write_columns(new, "metadata", ({"number": first + number} for number in range(len(lengths))))
        vectors = dense_vectors(seed, rows)
        DenseIndex.build(vectors if dense == "rows" else vectors[starts[:-1]]).save(new / "dense")
        return {"has_ids": True}

    path = writer.new_segment()
    SeismicIndex.build(zipf_vectors(seed, rows, DIM, 5, 4)).save(path, extra)
    writer.add_segment(path)


def dense_vectors(seed: int, rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).random((rows, 8), np.float32)


def seen(generation: Generation) -> list[tuple[object, ...]]:
    """Of each live document, all that the index has of it."""
    records: list[tuple[object, ...]] = []
    for segment in generation.segments:
        assert segment.ids is not None and segment.texts is not None and segment.starts is not None
        assert segment.spans is not None and segment.dense is not None and segment.metadata is not None
        dense = DenseIndex.open(segment.dense)
        metadata = Columns.open(segment.folder, "metadata")
        for document in range(segment.documents):
            rows = np.arange(segment.starts[document], segment.starts[document + 1])
            if np.isin(rows, segment.deleted).any():
                assert np.isin(rows, segment.deleted).all()
                continue
            vectors = segment.engine.gather(rows).as_vectors(DIM)
            kept = rows if len(dense) == len(segment) else np.array([document])
            records.append(
                (
                    segment.ids[document],
                    segment.texts[document],
                    metadata.row(document),
                    segment.spans[rows].tolist(),
                    vectors.to_dense().round(4).tolist(),  # of blocks, weights are rounded
                    dense.gather(kept).tolist(),
                )
            )
    return records


@pytest.mark.parametrize("dense", ["rows", "documents"])
@pytest.mark.parametrize("memory", [None, 1 << 26])
def test_all_that_belongs_to_documents_is_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int | None, dense: str
) -> None:
    if memory is not None:
        monkeypatch.setattr(merging, "BUILD_BYTES", 1 << 40)  # by way of the disk
    with IndexWriter.create(tmp_path / "index") as writer:
        with_everything(writer, 1, [1, 3, 2, 5], dense)
        with_everything(writer, 2, [2, 2, 1], dense)
        writer.delete(["d102", "d200"])
        writer.commit()
        with_everything(writer, 3, [4], dense)
        writer.commit()
        before = seen(open_generation(tmp_path / "index"))
        assert [record[0] for record in before] == ["d100", "d101", "d103", "d201", "d202", "d300"]
        assert writer.merge(all=True, memory=memory) == 3
    generation = open_generation(tmp_path / "index")
    assert seen(generation) == before
    assert len(generation.segments) == 1 and not len(generation.segments[0].deleted)
    assert generation.commit.documents == 6 and generation.commit.rows == 1 + 3 + 5 + 2 + 1 + 4
    assert generation.ids is not None and generation.texts is not None
    assert [generation.ids[row] for row in range(3)] == ["d100", "d101", "d101"]
    assert generation.ids.rows(["d103", "d102"]).tolist() == [4, -1]
    assert generation.texts[4] == "text of d103"
    assert not [name for name in names(tmp_path / "index") if name.startswith(".")]


def test_columns_that_some_segments_lack_are_null(tmp_path: Path) -> None:
    def columns(**entries: object) -> object:
        def extra(new: Path) -> dict[str, object]:
            write_columns(new, "metadata", [entries] if entries else [])
            return {}

        return extra

    with IndexWriter.create(tmp_path / "index") as writer:
        for number, entries in enumerate(({"year": 1999}, {}, {"language": "yo"})):
            path = writer.new_segment()
            vectors = zipf_vectors(number, 1, DIM, 5, 4).with_ids([f"d{number}"])
            SeismicIndex.build(vectors).save(path, columns(**entries))  # type: ignore[arg-type]
            writer.add_segment(path)
        writer.merge(all=True)
    merged = Columns.open(open_generation(tmp_path / "index").segments[0].folder, "metadata")
    assert merged.schema == pa.schema([("year", pa.int64()), ("language", pa.string())])
    assert [merged.row(row) for row in range(3)] == [
        {"year": 1999, "language": None},
        {"year": None, "language": None},
        {"year": None, "language": "yo"},
    ]


def test_deletions_while_a_merge_runs_hold(tmp_path: Path) -> None:
    held = documents(1, (f"d{number}" for number in range(40)))
    with IndexWriter.create(tmp_path / "index") as writer:
        for first in range(0, 40, 10):
            add(writer, dict(list(held.items())[first : first + 10]))
        assert writer.merge_in_background()
        assert writer.merge_in_background()  # the same
        gone = ["d3", *(f"d{number}" for number in range(10, 20)), "d39"]
        assert writer.delete(gone) == len(gone)
        new = documents(2, ["d5", "e1"])
        assert add(writer, new) == 1
        writer.commit()  # perhaps before the merge has ended
        assert writer.delete(["d7"]) == 1
        assert writer._merging is not None or len(open_generation(tmp_path / "index").segments) == 2
        if writer._merging is not None:
            writer._merging[1].join()
        writer.commit()
        held = {**{name: each for name, each in held.items() if name not in {*gone, "d7"}}, **new}
        assert_holds(SeismicIndex.open(tmp_path / "index"), held)
        assert [len(each) for each in open_generation(tmp_path / "index").segments] == [40, 2]


def test_weights_move_little_where_blocks_are_merged(tmp_path: Path) -> None:
    """And not at all where nothing is left out: the scale of each component stays, and codes are kept."""
    vectors = zipf_vectors(3, 200, DIM, 8, 1000)
    maxima = vectors.to_dense().max(0)
    with always_blocks(), IndexWriter.create(tmp_path / "index", IndexConfig(knn=2)) as writer:
        for first in range(0, 200, 50):
            path = writer.new_segment()
            some = vectors[first : first + 50].with_ids([f"d{row}" for row in range(first, first + 50)])
            SeismicIndex.build(some, IndexConfig(knn=2)).save(path)
            writer.add_segment(path)
        writer.commit()
        several = SeismicIndex.open(tmp_path / "index")
        neighbors = several.neighbors
        assert neighbors.shape == (200, 2) and (neighbors // 50 == np.arange(200)[:, None] // 50)[neighbors >= 0].all()
        writer.merge(all=True)
    merged = SeismicIndex.open(tmp_path / "index")
    assert not merged.inverted and merged.knn == 2 and merged.config == IndexConfig(knn=2)

    def dense(index: SeismicIndex) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return SparseVectors.concatenate([each.with_ids(None) for each in index.iter_vectors()]).to_dense()

    bound = maxima / 130_560 * (1 + 1e-4)
    assert (np.abs(dense(several) - vectors.to_dense()) <= bound).all()
    assert (np.abs(dense(merged) - dense(several)) <= bound).all()
