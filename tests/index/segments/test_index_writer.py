"""IndexWriter against a dict of id -> vector: what was committed is found, and nothing else."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest

from lsr.errors import IndexFormatError, ParameterError, StorageError
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.open_index import open_index
from lsr.index.parameters import SearchParams
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.index.tools.stored_presets import store_presets
from lsr.storage.manifest import read_manifest
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import EXACT, always_blocks, zipf_vectors
from tests.processes import run_python

DIM = 40
QUERIES = zipf_vectors(5, 8, DIM, 5, 4)

Documents = dict[str, SparseVectors]


def documents(seed: int, names: Iterable[str]) -> Documents:
    named = list(names)
    vectors = zipf_vectors(seed, len(named), DIM, 5, 4)
    return {name: vectors[row : row + 1] for row, name in enumerate(named)}


def stacked(held: Mapping[str, SparseVectors]) -> SparseVectors:
    return SparseVectors.concatenate([SparseVectors.empty(DIM), *held.values()]).with_ids(list(held))


def add(writer: IndexWriter, held: Mapping[str, SparseVectors]) -> int:
    path = writer.new_segment()
    SeismicIndex.build(stacked(held)).save(path)
    return writer.add_segment(path)


def found(index: SeismicIndex | ExactIndex) -> list[dict[str, float]]:
    """Id -> score of each query, of all documents."""
    result = index.search(QUERIES, max(len(index), 1), EXACT)
    assert index.ids is not None
    return [
        {index.ids[row]: score for row, score in zip(rows, scores, strict=True) if row >= 0}
        for rows, scores in zip(result.rows.tolist(), result.scores.tolist(), strict=True)
    ]


def assert_holds(index: SeismicIndex, held: Mapping[str, SparseVectors]) -> None:
    assert index.ids is not None
    assert sorted(index.ids) == sorted(held)
    rows = index.ids.rows(list(held))
    assert [index.ids[row] for row in rows.tolist()] == list(held)
    expected = found(ExactIndex.build(stacked(held)))
    for ours, theirs in zip(found(index), expected, strict=True):
        assert ours == pytest.approx(theirs)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture
def held() -> Documents:
    return documents(1, (f"d{i}" for i in range(30)))


@pytest.fixture
def folder(tmp_path: Path, held: Documents) -> Path:
    with IndexWriter.create(tmp_path / "index") as writer:
        add(writer, held)
        assert writer.commit(source="here") == 1
    return tmp_path / "index"


def test_the_first_commit_is_one_plain_segment(folder: Path, held: Documents) -> None:
    index = open_index(folder)
    assert isinstance(index, SeismicIndex)
    assert index.generation is not None and index.generation.commit.source == "here"
    assert index.engine is index.generation.segments[0].engine
    assert_holds(index, held)
    assert names(folder) == ["generation-000001.json", "manifest.json", "segment-000001"]
    assert (folder / "manifest.json").read_bytes() == (folder / "generation-000001.json").read_bytes()


def test_changes_are_visible_after_the_commit(folder: Path, held: Documents) -> None:
    before = SeismicIndex.open(folder)
    new = documents(2, ["d3", "e1", "e2", "e3"])
    with IndexWriter.open(folder) as writer:
        assert writer.delete(["d1", "d1", "no such document", "d2"]) == 2
        assert add(writer, new) == 1  # d3
        assert writer.delete(["e2", "d1"]) == 1
        assert writer.contains(["d1", "d3", "d4", "e1", "e2"]).tolist() == [False, True, True, True, False]
        assert_holds(SeismicIndex.open(folder), held)
        assert writer.commit() == 2
        assert writer.commit() == 2  # nothing has changed
    expected = {**held, **new}
    for name in ("d1", "d2", "e2"):
        del expected[name]
    after = SeismicIndex.open(folder)
    assert_holds(after, expected)
    assert_holds(before, held)
    assert_holds(pickle.loads(pickle.dumps(before)), held)
    assert_holds(SeismicIndex.open(folder, generation=1), held)


def test_uncommitted_changes_are_dropped(folder: Path, held: Documents) -> None:
    with IndexWriter.open(folder) as writer:
        add(writer, documents(2, ["e1"]))
        writer.delete(["d1"])
    assert_holds(SeismicIndex.open(folder), held)
    assert names(folder) == ["generation-000001.json", "manifest.json", "segment-000001"]


def test_a_generation_stays_as_long_as_it_is_read(folder: Path, held: Documents) -> None:
    reader = SeismicIndex.open(folder)
    with IndexWriter.open(folder) as writer:
        writer.delete(["d1"])
        writer.commit()
        add(writer, documents(2, held))  # all of them anew
        writer.commit()
        assert "generation-000001.json" in names(folder) and "segment-000001" in names(folder)
        assert "generation-000002.json" not in names(folder)
        assert_holds(reader, held)
        del reader
        writer.delete(["d2"])
        writer.commit()
    assert names(folder) == [
        "deleted-000004-segment-000003.npy",
        "generation-000004.json",
        "manifest.json",
        "segment-000003",
    ]
    with pytest.raises(StorageError, match="generation 1 no longer exists"):
        SeismicIndex.open(folder, generation=1)


def test_a_reader_in_another_process_holds_its_generation(folder: Path, held: Documents) -> None:
    code = """
import sys
from lsr.index.segments.index_writer import IndexWriter
with IndexWriter.open(sys.argv[1]) as writer:
    writer.delete([f"d{i}" for i in range(30)])
    writer.commit()
"""
    reader = SeismicIndex.open(folder)
    ended = run_python(code, folder)
    assert ended.returncode == 0, ended.stderr
    assert "generation-000001.json" in names(folder)
    assert_holds(reader, held)
    assert len(SeismicIndex.open(folder)) == 0


def test_there_is_one_writer(folder: Path) -> None:
    code = """
import sys
from lsr.errors import IndexFormatError, ParameterError, StorageError
from lsr.index.segments.index_writer import IndexWriter
for open_writer in (IndexWriter.open, IndexWriter.create):
    try:
        open_writer(sys.argv[1])
    except StorageError as error:
        print(error)
"""
    with IndexWriter.open(folder) as writer:
        ended = run_python(code, folder)
        writer.delete(["d1"])
        assert writer.commit() == 2
    assert ended.stdout.count(f"{folder}: another writer has the lock") == 2, ended.stderr


def test_an_index_can_be_replaced_in_one_commit(folder: Path, held: Documents) -> None:
    reader = SeismicIndex.open(folder)
    new = documents(3, ["d1", "x"])
    with IndexWriter.create(folder) as writer:
        assert add(writer, new) == 0
        assert_holds(SeismicIndex.open(folder), held)
        assert writer.commit(source="there") == 2
    index = SeismicIndex.open(folder)
    assert_holds(index, new)
    assert_holds(reader, held)


def test_a_replacement_that_is_dropped_leaves_the_index(folder: Path, held: Documents) -> None:
    with IndexWriter.create(folder) as writer:
        add(writer, documents(3, ["x"]))
    assert_holds(SeismicIndex.open(folder), held)
    assert names(folder) == ["generation-000001.json", "manifest.json", "segment-000001"]


def test_all_may_be_deleted_and_others_added(folder: Path, held: Documents) -> None:
    with IndexWriter.open(folder) as writer:
        assert writer.delete(list(held)) == len(held)
        writer.commit()
    empty = SeismicIndex.open(folder)
    assert len(empty) == 0 and empty.dim == DIM and not (empty.search(QUERIES, 3).rows >= 0).any()
    with IndexWriter.open(folder) as writer:
        add(writer, held)
        writer.commit()
    assert_holds(SeismicIndex.open(folder), held)


def test_an_index_of_the_former_format_is_upgraded(tmp_path: Path, held: Documents) -> None:
    SeismicIndex.build(stacked(held)).save(tmp_path / "index")
    reader = SeismicIndex.open(tmp_path / "index")
    with IndexWriter.open(tmp_path / "index") as writer:
        writer.delete(["d7"])
        assert writer.commit() == 2
    assert_holds(reader, held)
    del held["d7"]
    assert_holds(SeismicIndex.open(tmp_path / "index"), held)
    assert names(tmp_path) == ["index"]
    assert np.all(SeismicIndex.open(tmp_path / "index").vector(0)[1] > 0)


def test_an_index_that_others_write_is_not_replaced(folder: Path, held: Documents) -> None:
    with IndexWriter.open(folder) as writer:
        with pytest.raises(StorageError, match="another writer has the lock"):
            SeismicIndex.build(stacked(held)).save(folder)
        writer.delete(["d1"])
        assert writer.commit() == 2
    SeismicIndex.build(stacked(held)).save(folder)
    assert_holds(SeismicIndex.open(folder), held)


def test_a_folder_that_was_exchanged_is_not_written_to(folder: Path, tmp_path: Path, held: Documents) -> None:
    with IndexWriter.open(folder) as writer:
        writer.delete(["d1"])
        folder.rename(tmp_path / "aside")
        SeismicIndex.build(stacked(held)).save(folder)
        with pytest.raises(StorageError, match="another folder has replaced it"):
            writer.commit()
    assert names(folder).count("generation-000002.json") == 0
    assert_holds(SeismicIndex.open(folder), held)


def test_only_segments_that_were_asked_for_are_added(folder: Path, tmp_path: Path, held: Documents) -> None:
    SeismicIndex.build(stacked(held)).save(tmp_path / "segment-000002")
    with IndexWriter.open(folder) as writer:
        for path in (tmp_path / "segment-000002", folder / "segment-000001", folder / "segment-000009"):
            with pytest.raises(ParameterError, match="is not a new folder from new_segment"):
                writer.add_segment(path)
        path = writer.new_segment()
        assert writer.new_segment() != path
        with pytest.raises(IndexFormatError, match="is not an index"):
            writer.add_segment(path)
        SeismicIndex.build(stacked(held).with_ids(None)).save(path)
        with pytest.raises(ParameterError, match="has no ids, but the rest of the index has ids"):
            writer.add_segment(path)
    with pytest.raises(StorageError, match="this writer is closed"):
        writer.commit()


def test_presets_are_a_commit(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = read_manifest(folder)
    index = SeismicIndex.open(folder)
    queries = zipf_vectors(6, 60, DIM, 5, 4)
    store_presets(folder, index.tune(queries, [0.9]), opened)
    with IndexWriter.open(folder) as writer:
        add(writer, documents(7, ["e"]))
        writer.commit()
    tuned = SeismicIndex.open(folder)
    assert tuned.generation is not None and tuned.generation.commit.tuned == 1 and tuned.generation.number == 3
    assert set(tuned.presets) == {0.9}
    assert (tuned.search(queries, 3, SearchParams.at_recall(0.9)).rows >= 0).any()
    with IndexWriter.create(folder) as writer:
        add(writer, documents(7, ["e"]))
        writer.commit()
    with pytest.raises(StorageError, match="was replaced while it was tuned"):
        store_presets(folder, index.tune(queries, [0.9]), opened)


def test_why_looks_into_the_segment_of_the_document(folder: Path, held: Documents) -> None:
    with always_blocks(), IndexWriter.open(folder) as writer:
        add(writer, documents(9, (f"e{i}" for i in range(50))))
        writer.delete(["d0", "e1"])
        writer.commit()
    index = SeismicIndex.open(folder)
    result = index.search(QUERIES, 5)
    reasons = set()
    for query in range(len(QUERIES)):
        returned = result.rows[query].tolist()
        for row in range(len(index)):
            why = index.why(QUERIES[query : query + 1], row, 5)
            reasons.add(why.verdict)
            assert (why.rank is not None) == (row in returned)
            if why.rank is not None:
                assert returned[why.rank - 1] == row
                assert why.score == pytest.approx(result.scores[query][why.rank - 1])
    assert {"returned", "score too low", "no shared term"} <= reasons


def test_saved_again_several_segments_are_one(folder: Path, tmp_path: Path, held: Documents) -> None:
    new = documents(2, ["d3", "e1"])
    with IndexWriter.open(folder) as writer:
        add(writer, new)
        writer.commit()
    SeismicIndex.open(folder).save(tmp_path / "saved")
    saved = SeismicIndex.open(tmp_path / "saved")
    assert saved.generation is None
    assert_holds(saved, {**held, **new})
