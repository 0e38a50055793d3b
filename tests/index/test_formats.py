"""Indexes that older versions wrote open, and find what they found; what has blocks is to be upgraded first.

fixtures/format3.zip was written at c6be4e3, format4.zip at 6841fc3.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from shutil import unpack_archive
from types import SimpleNamespace

import numpy as np
import pytest

from lsr import DenseIndex, ExactIndex, Searcher, SeismicIndex, SparseVectors
from lsr.errors import IndexFormatError
from lsr.index.index_folder import opened
from lsr.index.open_index import open_index
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.segments.upgrade import upgrade_index
from tests.index.samples import same

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    unpack_archive(FIXTURES / "format3.zip", tmp_path / "old")
    return tmp_path / "old"


@pytest.fixture
def fourth(tmp_path: Path) -> Path:
    """Indexes of format 4, in a folder and in segments, with all that an index may have, and their vectors."""
    unpack_archive(FIXTURES / "format4.zip", tmp_path / "fourth")
    return tmp_path / "fourth"


def test_inverted_lists_of_format_3(old: Path, tmp_path: Path) -> None:
    vectors = SparseVectors.read(old / "vectors.npz")
    expected = ExactIndex.build(vectors)
    queries = vectors[:9].top_k(4)
    for name, kind in (("flat", SeismicIndex), ("exact", ExactIndex)):
        index = open_index(old / name)
        assert isinstance(index, kind)
        assert same(index.search(queries), expected.search(queries))
        assert index.search(queries).ids.tolist() == expected.search(queries).ids.tolist()
        assert SparseVectors.concatenate(list(index.iter_vectors())) == vectors
        # Saved again, its arrays are those of an index that is built now.
        index.save(tmp_path / "saved")
        expected.save(tmp_path / "built")
        for path in (tmp_path / "built").glob("*.npy"):
            assert path.read_bytes() == (tmp_path / "saved" / path.name).read_bytes()
        assert same(kind.open(tmp_path / "saved").search(queries), expected.search(queries))


@pytest.mark.parametrize("name", ["flat", "exact"])
def test_rows_beyond_the_documents_are_damage(old: Path, name: str) -> None:
    """Older inverted lists have no array beside them that is as long as the documents are many."""
    manifest = json.loads((old / name / "manifest.json").read_text())
    for documents in (-1, 0, manifest["documents"] - 1):
        (old / name / "manifest.json").write_text(json.dumps({**manifest, "documents": documents}))
        with pytest.raises(IndexFormatError, match="documents and posting lists do not match"):
            open_index(old / name)


@pytest.mark.parametrize(("name", "value"), [("rows", 2**32 - 1), ("lists", 2**16 - 1)])
def test_postings_that_lead_nowhere_are_damage(old: Path, tmp_path: Path, name: str, value: int) -> None:
    ExactIndex.build(SparseVectors.read(old / "vectors.npz")).save(tmp_path / "index")
    array = np.load(tmp_path / "index" / f"{name}.npy")
    array[len(array) // 2] = value
    np.save(tmp_path / "index" / f"{name}.npy", array)
    index = open_index(tmp_path / "index")  # postings are not read before they are needed
    with pytest.raises(IndexFormatError, match="posting lists have invalid row numbers; lsr check INDEX"):
        list(index.iter_vectors())


@pytest.mark.parametrize("name", ["rows", "positions"])
def test_documents_of_blocks_that_are_nowhere_are_damage(old: Path, name: str) -> None:
    array = np.load(old / "blocks" / f"{name}.npy")
    array[1] = 2**32 - 1
    np.save(old / "blocks" / f"{name}.npy", array)
    before = {path.name: path.read_bytes() for path in (old / "blocks").iterdir()}
    with pytest.raises(IndexFormatError, match="do not match"):
        upgrade_index(old / "blocks")
    assert {path.name: path.read_bytes() for path in (old / "blocks").iterdir()} == before


def test_blocks_of_earlier_versions_are_to_be_upgraded(old: Path, fourth: Path) -> None:
    for folder in (old / "blocks", fourth / "folder", fourth / "compact", fourth / "segments"):
        advice = re.escape(f"{folder}: has blocks of an earlier version; convert it with lsr upgrade {folder}")
        for opening in (open_index, SeismicIndex.open, Searcher.open, IndexWriter.open):
            with pytest.raises(IndexFormatError, match=f"^{advice}$"):
                opening(folder)


def test_dense_vectors_and_texts_of_that_time(old: Path) -> None:
    dense = open_index(old / "dense")
    assert isinstance(dense, DenseIndex)
    assert (len(dense), dense.dim, dense.config.neighbors) == (30, 8, 32)
    own = dense.search(dense.gather(np.arange(30)), 30).rows
    assert sorted(own[3].tolist()) == list(range(30))
    (names, vectors), *more = dense.iter_vectors()
    assert more == [] and names == [f"d{row}" for row in range(30)]
    assert np.array_equal(vectors, dense.gather(np.arange(30)))
    (hit, *_) = Searcher.open(old / "text").search("cat sleeps")
    assert (hit.doc_id, hit.text) == ("d1", "a cat sleeps in the sun")
    assert sum(hit.explain().values()) == pytest.approx(hit.score, rel=1e-6)


def test_all_opened_files_are_of_one_index(old: Path) -> None:
    """Another index takes the place of the folder while it is read: it is read again."""
    seen = []

    def read() -> SimpleNamespace:
        first = (old / "flat" / "manifest.json").read_text()
        if not seen:
            (old / "flat").rename(old / "aside")
            (old / "blocks").rename(old / "flat")
        seen.append(first)
        return SimpleNamespace(opened_with=None, content=first + (old / "flat" / "manifest.json").read_text())

    both = opened(old / "flat", read)
    assert len(seen) == 2 and seen[0] != seen[1]
    assert both.content == 2 * seen[1]
