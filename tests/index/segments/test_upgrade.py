"""Indexes of formats 3 and 4 become indexes of segments, with all that they hold, and their blocks are built anew."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.errors import IndexFormatError, LsrWarning, StorageError
from lsr.index.dense.dense_index import DenseIndex
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.open_index import open_index
from lsr.index.parameters import IndexConfig
from lsr.index.segments import merging
from lsr.index.segments.commit import read_commit
from lsr.index.segments.generation import open_generation
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.segments.upgrade import upgrade_index
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.index.tools.check import check_index
from lsr.index.tools.repair import repair_index
from lsr.storage.files import lock_folder
from lsr.storage.manifest import verify
from lsr.storage.strings import StringColumn
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary
from tests.index.samples import EXACT, always_blocks, same, zipf_vectors
from tests.index.segments.test_index_writer import DIM, QUERIES, names
from tests.index.test_formats import fourth as fourth  # fixtures
from tests.index.test_formats import old as old

IDS = [f"d{row}" for row in range(30)]


def save_everything(folder: Path) -> None:
    def extra(new: Path) -> dict[str, Any]:
        (new / "encoder" / "deeper").mkdir(parents=True)
        (new / "encoder" / "encoder.json").write_text('{"name": "own"}')
        (new / "encoder" / "deeper" / "weights").write_bytes(b"weights")
        StringColumn.write(new, "texts", (f"text of {name}" for name in IDS))
        (new / "dense").mkdir()
        DenseIndex.build(np.ones((30, 4), np.float32), ids=IDS).save(new / "dense")
        return {"source": "here", "encoder": {"name": "own"}, "has_texts": True}

    vocabulary = Vocabulary(f"token {component}" for component in range(DIM))
    vectors = zipf_vectors(1, 30, DIM, 5, 4)
    SeismicIndex.build(vectors, IndexConfig(block_size=3), IDS, vocabulary=vocabulary).save(folder, extra)


@pytest.mark.parametrize("linked", [True, False])
def test_all_of_an_index_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool) -> None:
    folder = tmp_path / "index"
    save_everything(folder)
    (folder / "notes.txt").write_text("of the user")
    before = SeismicIndex.open(folder)
    found, vocabulary = before.search(QUERIES, 5), before.vocabulary
    inode = (folder / "texts.text.npy").stat().st_ino
    if not linked:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "no links")))
    assert upgrade_index(folder)
    assert not upgrade_index(folder)
    assert names(folder) == [
        *("encoder-000001", "generation-000001.json", "manifest.json", "notes.txt", "segment-000001"),
        "vocabulary-000001.json",
    ]
    assert names(tmp_path) == ["index"]
    assert ((folder / "segment-000001" / "texts.text.npy").stat().st_ino == inode) is linked
    verify(folder)
    index = open_index(folder)
    assert isinstance(index, SeismicIndex) and index.generation is not None
    assert same(index.search(QUERIES, 5), found) and index.config == IndexConfig(block_size=3)
    assert same(before.search(QUERIES, 5), found)
    assert index.vocabulary == vocabulary is not None
    generation = index.generation
    assert generation.commit.source == "here" and generation.commit.encoder == {"name": "own"}
    assert generation.encoder_folder is not None
    assert (generation.encoder_folder / "deeper" / "weights").read_bytes() == b"weights"
    assert generation.texts is not None and generation.texts[29] == "text of d29"
    assert generation.segments[0].dense is not None and len(DenseIndex.open(generation.segments[0].dense)) == 30


def test_inverted_lists_of_format_3(old: Path) -> None:
    name = "flat"
    before = SeismicIndex.open(old / name)
    queries = before.gather(np.arange(9)).as_vectors(before.dim).top_k(4)
    with always_blocks():
        found = before.search(queries, 5, EXACT)
        with IndexWriter.open(old / name) as writer:
            assert writer.commit() == writer.generation == 1
        index = SeismicIndex.open(old / name)
        assert same(index.search(queries, 5, EXACT), found)
        assert index.presets == before.presets and index.sample_recall == before.sample_recall
        with IndexWriter.open(old / name) as writer:
            assert writer.merge(all=True) == 0
            assert index.ids is not None
            writer.delete([index.ids[0]])
            assert writer.merge(all=True) == 1
        assert len(SeismicIndex.open(old / name)) == len(before) - 1


def assert_finds(index: SeismicIndex, vectors: SparseVectors, rows: list[int]) -> None:
    """Exact searches find what those of some of the vectors find, but for rounding."""
    queries = vectors[:9].top_k(4)
    found, expected = index.search(queries, 5, EXACT), ExactIndex.build(vectors[rows]).search(queries, 5)
    assert np.allclose(found.scores, expected.scores, rtol=1e-3 if index.config.layout == "fast" else 1e-2)
    near = index.search(queries, 5)
    assert np.isin(near.rows, found.rows).mean() > 0.9
    assert SparseVectors.concatenate(list(index.iter_vectors())).nnz == vectors[rows].nnz


# Half of what the machine has, or so little that the disk is needed.
any_memory = pytest.mark.parametrize("memory", [None, 30_000_000])


@pytest.fixture
def _all_by_disk(monkeypatch: pytest.MonkeyPatch, memory: int | None) -> None:
    if memory is not None:
        monkeypatch.setattr(merging, "BUILD_BYTES", 1 << 30)


@any_memory
@pytest.mark.usefixtures("_all_by_disk")
def test_blocks_of_format_3(old: Path, memory: int | None) -> None:
    vectors = SparseVectors.read(old / "vectors.npz")
    assert upgrade_index(old / "blocks", memory)
    assert not upgrade_index(old / "blocks")
    index = SeismicIndex.open(old / "blocks")
    assert not index.inverted and index.knn == 2 and len(index) == len(vectors)
    assert_finds(index, vectors, list(range(len(vectors))))
    assert index.search(vectors[7], allowed=["document 7"]).rows[0, 0] == 7  # its ids had no digests
    verify(old / "blocks")


@any_memory
@pytest.mark.usefixtures("_all_by_disk")
def test_blocks_of_format_4_in_one_folder(fourth: Path, memory: int | None) -> None:
    vectors, folder = SparseVectors.read(fourth / "vectors.npz"), fourth / "folder"
    (folder / "notes.txt").write_text("of the user")
    dense_vectors = DenseIndex.open(folder / "dense").gather(np.arange(80))
    with pytest.warns(
        LsrWarning,
        match=f"^{re.escape(str(folder))}: the stored search parameters were tuned on other blocks .*; run lsr tune ",
    ):
        assert upgrade_index(folder, memory)
    assert names(folder) == [
        *("encoder-000001", "generation-000001.json", "manifest.json", "notes.txt", "segment-000001"),
        "vocabulary-000001.json",
    ]
    assert names(fourth) == ["compact", "folder", "segments", "vectors.npz"]
    index = SeismicIndex.open(folder)
    verify(folder)
    assert check_index(folder).intact
    assert_finds(index, vectors, list(range(80)))
    assert index.config == IndexConfig(block_size=3, knn=2, seed=7) and index.presets == {}
    assert list(index.ids or []) == [f"d{row}" for row in range(80)]
    assert index.vocabulary == Vocabulary(f"token {component}" for component in range(50))
    generation = index.generation
    assert generation is not None and generation.texts is not None
    assert generation.texts[79] == "text of d79"
    assert [generation.metadata.row(row) for row in (0, 79)] == [{"year": 1990}, {"year": 2069}]
    assert (generation.commit.source, generation.commit.encoder) == ("here", {"name": "own"})
    assert generation.encoder_folder is not None
    assert (generation.encoder_folder / "encoder.json").read_text() == '{"name": "own"}'
    (segment,) = generation.segments
    assert segment.dense is not None
    assert np.array_equal(DenseIndex.open(segment.dense).gather(np.arange(80)), dense_vectors)


@any_memory
@pytest.mark.usefixtures("_all_by_disk")
def test_compact_blocks_of_format_4(fourth: Path, memory: int | None) -> None:
    vectors = SparseVectors.read(fourth / "vectors.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was not tuned
        assert upgrade_index(fourth / "compact", memory)
    index = SeismicIndex.open(fourth / "compact")
    assert index.config == IndexConfig(layout="compact")
    assert_finds(index, vectors, list(range(80)))


@any_memory
@pytest.mark.usefixtures("_all_by_disk")
def test_segments_of_format_4(fourth: Path, memory: int | None) -> None:
    """One of blocks of passages, and one of inverted lists; documents are deleted in both."""
    vectors, folder = SparseVectors.read(fourth / "vectors.npz"), fourth / "segments"
    before = read_commit(folder)
    inverted = before.segments[1]
    with pytest.warns(LsrWarning, match="were tuned on other blocks"):
        assert upgrade_index(folder, memory)
    assert not upgrade_index(folder)
    verify(folder)
    assert check_index(folder).intact
    index = SeismicIndex.open(folder)
    generation = index.generation
    assert generation is not None and generation.number == before.generation + 1
    kept = [row for document in range(25) if document % 7 for row in (2 * document, 2 * document + 1)]
    rest = [document for document in range(50, 80) if document != 56]
    assert generation.commit.documents == before.documents == len(kept) // 2 + len(rest)
    renewed, other = generation.commit.segments
    assert other == inverted and renewed.deleted is None and renewed.rows == len(kept)
    assert not generation.segments[0].earlier and generation.commit.presets == {}
    assert SparseVectors.concatenate(list(index.iter_vectors())).nnz == vectors[kept + rest].nnz
    assert index.ids is not None and [index.ids[row] for row in range(len(kept + rest))] == [
        *(f"d{row // 2}" for row in kept),
        *(f"d{document}" for document in rest),
    ]
    assert generation.texts is not None and generation.texts[0] == "text of d1"
    assert [generation.metadata.row(row) for row in (0, len(kept))] == [{"year": 1991}, {"year": 2040}]
    assert generation.segments[0].spans is not None
    assert generation.segments[0].spans[:2].tolist() == [[0, 4], [5, 9]]
    dense = generation.segments[0].dense
    assert dense is not None
    expected = np.random.default_rng(5).standard_normal((50, 4), np.float32)[kept]
    assert np.allclose(DenseIndex.open(dense).gather(np.arange(len(kept))), expected, atol=1e-3)
    for name in ("config", "has_ids", "has_texts", "source", "encoder", "encoder_folder", "vocabulary_file"):
        assert getattr(generation.commit, name) == getattr(before, name)
    queries = vectors[:9].top_k(4)
    assert (index.search(queries, 5).rows[:, 0] >= 0).all()
    del index, generation
    with IndexWriter.open(folder) as writer:
        assert writer.merge(all=True) == 2


def test_an_upgrade_that_fails_leaves_segments_alone(fourth: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, before = fourth / "segments", read_commit(fourth / "segments")
    monkeypatch.setattr(SeismicIndex, "build", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("half way")))
    with pytest.raises(RuntimeError, match="half way"):
        upgrade_index(folder)
    assert read_commit(folder) == before
    assert [name for name in names(folder) if name.startswith("segment")] == ["segment-000001", "segment-000001-1"]


def test_blocks_of_earlier_versions_are_checked(fourth: Path) -> None:
    """They are not damaged: nothing is to be left out by a repair."""
    for name in ("folder", "segments"):
        report = check_index(fourth / name)
        assert report.intact and report.documents == {"folder": 80, "segments": 50}[name]
        (remark,) = report.remarks
        assert remark.endswith(f"has blocks of an earlier version; convert it with lsr upgrade {fourth / name}")
    repaired = repair_index(fourth / "segments")
    assert (repaired.lost, repaired.restored, repaired.unrepaired) == ([], [], [])
    heads = fourth / "segments" / "segment-000001" / "heads.npy"
    heads.write_bytes(heads.read_bytes()[:-1] + b"x")
    assert [each.file for each in check_index(fourth / "segments").findings] == ["segment-000001/heads.npy"]


def test_folders_that_cannot_be_upgraded_are_refused(tmp_path: Path) -> None:
    ExactIndex.build(zipf_vectors(1, 3, DIM, 5, 4)).save(tmp_path / "exact")
    with pytest.raises(IndexFormatError, match="an index of kind 'exact', not 'seismic'"):
        IndexWriter.open(tmp_path / "exact")
    with pytest.raises(IndexFormatError, match="nowhere: is not an index"):
        upgrade_index(tmp_path / "nowhere")
    save_everything(tmp_path / "index")
    manifest = json.loads((tmp_path / "index" / "manifest.json").read_text())
    (tmp_path / "index" / "manifest.json").write_text(json.dumps({**manifest, "format_version": 9}))
    with pytest.raises(IndexFormatError, match="format version 9, but this lsr reads 3 and 4 and 5 and 6; upgrade lsr"):
        upgrade_index(tmp_path / "index")


def test_an_index_is_upgraded_by_one_process(tmp_path: Path) -> None:
    save_everything(tmp_path / "index")
    lock = lock_folder(tmp_path / "index")
    with pytest.raises(StorageError, match="another writer has the lock"):
        IndexWriter.open(tmp_path / "index")
    os.close(lock)
    assert names(tmp_path) == ["index"]
    assert upgrade_index(tmp_path / "index")


def test_an_index_that_cannot_be_upgraded_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "index"
    save_everything(folder)
    before = names(folder)
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "no links")))
    monkeypatch.setattr(shutil, "copy2", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match="No space left on device; free some space"):
        upgrade_index(folder)
    assert names(folder) == before and names(tmp_path) == ["index"]


def test_an_index_of_nothing(tmp_path: Path) -> None:
    SeismicIndex.build(zipf_vectors(1, 0, DIM, 5, 4)).save(tmp_path / "index")
    assert upgrade_index(tmp_path / "index")
    assert len(SeismicIndex.open(tmp_path / "index")) == 0
    assert open_generation(tmp_path / "index").commit.dim == DIM
