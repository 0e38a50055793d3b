"""Indexes of formats 3 and 4 become indexes of segments, with all that they hold."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.errors import IndexFormatError, StorageError
from lsr.index.dense.dense_index import DenseIndex
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.open_index import open_index
from lsr.index.parameters import IndexConfig
from lsr.index.segments.generation import open_generation
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.segments.upgrade import upgrade_index
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.storage.files import lock_folder
from lsr.storage.manifest import verify
from lsr.storage.strings import StringColumn
from lsr.vectors.vocabulary import Vocabulary
from tests.index.samples import EXACT, always_blocks, same, zipf_vectors
from tests.index.segments.test_index_writer import DIM, QUERIES, names
from tests.index.test_formats import old as old  # the fixture

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


@pytest.mark.parametrize("name", ["flat", "blocks"])
def test_format_3(old: Path, name: str) -> None:
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


def test_what_cannot_be_upgraded(tmp_path: Path) -> None:
    ExactIndex.build(zipf_vectors(1, 3, DIM, 5, 4)).save(tmp_path / "exact")
    with pytest.raises(IndexFormatError, match="an index of kind 'exact', not 'seismic'"):
        IndexWriter.open(tmp_path / "exact")
    with pytest.raises(IndexFormatError, match="nowhere: no index"):
        upgrade_index(tmp_path / "nowhere")
    save_everything(tmp_path / "index")
    manifest = json.loads((tmp_path / "index" / "manifest.json").read_text())
    (tmp_path / "index" / "manifest.json").write_text(json.dumps({**manifest, "format_version": 9}))
    with pytest.raises(IndexFormatError, match="format version 9, this lsr reads 3 and 4 and 5; upgrade lsr"):
        upgrade_index(tmp_path / "index")


def test_an_index_is_upgraded_by_one_process(tmp_path: Path) -> None:
    save_everything(tmp_path / "index")
    lock = lock_folder(tmp_path / "index")
    with pytest.raises(StorageError, match="another process is writing here"):
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
