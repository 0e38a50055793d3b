"""Damage is found by name, and leaves the rest of an index."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lsr.errors import IndexFormatError, StorageError
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.parameters import IndexConfig
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.index.tools.check import check_index
from lsr.index.tools.repair import repair_index
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.whole_use import save_segments, use
from tests.processes import outcome_of

FIRST, SECOND = "segment-000001", "segment-000001-1"
DELETED = set(range(3, 200, 7))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "index"
    save_segments(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "index"))


def flip(path: Path, at: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def rows_of(folder: Path) -> set[int]:
    """The numbers of the documents that an index has."""
    ids = SeismicIndex.open(folder).ids
    assert ids is not None
    return {int(each.split()[1]) for each in ids}


LIVE = set(range(210)) - DELETED


def test_intact(folder: Path) -> None:
    report = check_index(folder)
    assert report.intact
    assert (report.generation, report.documents, report.segments, report.remarks) == (2, len(LIVE), 2, [])
    assert report.bytes > 10_000
    (folder / "segment-000009").mkdir()
    assert check_index(folder).remarks == ["segment-000009: is not of generation 2; the next writer removes it"]
    shutil.rmtree(folder / "segment-000009")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    repaired = repair_index(folder)
    assert (repaired.lost, repaired.restored, repaired.unrepaired, repaired.generation) == ([], [], [], 2)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_is_named(folder: Path) -> None:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        flip(path)
        named = [each.file for each in check_index(folder).findings]
        # Of the two copies of a commit the other one is damaged as well where it says something else.
        assert name in named or (name.startswith("manifest") and named), name
        flip(path)
    assert check_index(folder).intact


@pytest.mark.parametrize("file", ["heads.npy", "manifest.json", "texts.text.npy", "dense/vectors.npy", "ids.rows.npy"])
def test_a_damaged_segment_is_left_out(folder: Path, file: str) -> None:
    flip(folder / FIRST / file)
    planned = repair_index(folder, dry_run=True)
    assert rows_are_as_before(folder)
    report = repair_index(folder)
    assert report == planned
    (lost,) = report.lost
    assert (lost.name, lost.aside, lost.documents) == (FIRST, f"damaged-{FIRST}", 150 - 21)
    if file != "ids.rows.npy":
        assert lost.ids == [f"document {row}" for row in range(150) if row not in DELETED]
    assert (folder / f"damaged-{FIRST}" / "heads.npy").exists()
    assert rows_of(folder) == {row for row in LIVE if row >= 150}
    assert check_index(folder).intact
    use(folder)
    with IndexWriter.open(folder) as writer:  # which removes what it has written itself, and nothing else
        writer.delete(["document 150"])
        writer.commit()
    assert (folder / f"damaged-{FIRST}" / "heads.npy").exists()


def rows_are_as_before(folder: Path) -> bool:
    return json.loads((folder / "manifest.json").read_text())["generation"] == 2


def test_a_segment_that_is_gone(folder: Path) -> None:
    shutil.rmtree(folder / SECOND)
    (lost,) = repair_index(folder).lost
    assert (lost.name, lost.aside, lost.ids) == (SECOND, None, None)
    assert rows_of(folder) == {row for row in LIVE if row < 150}


def test_a_damaged_bitmap(folder: Path, tmp_path: Path) -> None:
    flip(folder / f"deleted-000002-{FIRST}.npy")
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    (lost,) = repair_index(folder).lost
    assert (lost.name, lost.ids) == (FIRST, None)
    assert rows_of(folder) == {row for row in LIVE if row >= 150}
    report = repair_index(other, forget_deletions=True)
    assert (report.resurrected, report.lost) == ([FIRST], [])
    assert rows_of(other) == LIVE | set(range(150))
    assert check_index(other).intact


@pytest.mark.parametrize("name", ["manifest.json", "generation-000002.json"])
@pytest.mark.parametrize("change", [flip, Path.unlink, lambda path: os.truncate(path, 100)])
def test_one_of_two_commits(folder: Path, name: str, change: Callable[[Path], object]) -> None:
    before = (folder / name).read_bytes()
    change(folder / name)
    assert [each.file for each in check_index(folder).findings] == [name]
    assert repair_index(folder).restored == [name]
    assert (folder / name).read_bytes() == before
    assert rows_of(folder) == LIVE


def test_damage_that_cannot_be_repaired(folder: Path, tmp_path: Path) -> None:
    with IndexWriter.open(folder), pytest.raises(StorageError, match="another writer has the lock"):
        repair_index(folder)
    flip(folder / "manifest.json")
    flip(folder / "generation-000002.json")
    with pytest.raises(IndexFormatError, match="no commit can be read"):
        repair_index(folder)
    assert {each.file for each in check_index(folder).findings} == {"manifest.json", "generation-000002.json"}
    with pytest.raises(IndexFormatError, match="is not an index"):
        check_index(tmp_path)
    with pytest.raises(IndexFormatError, match="is not an index"):
        repair_index(tmp_path)


@pytest.mark.parametrize("tool", [check_index, repair_index, SeismicIndex.open])
def test_too_few_descriptors_are_no_damage(folder: Path, tool: Callable[[Path], object]) -> None:
    def run(free: int) -> None:
        most = max(int(each) for each in os.listdir("/proc/self/fd"))
        while (used := os.open(os.devnull, os.O_RDONLY)) <= most:  # until there are no gaps
            pass
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1 + free, used + 1 + free))
        tool(folder)

    for free in (1, 2, 3, 5):
        assert outcome_of(lambda free=free: run(free)) in ("IndexFormatError", "StorageError")
    assert check_index(folder).intact
    assert rows_of(folder) == LIVE


def test_an_index_of_one_folder(tmp_path: Path) -> None:
    vectors = SparseVectors.of([{1: 1.0}, {2: 2.0}], dim=3).with_ids(["a", "b"])
    ExactIndex.build(vectors).save(tmp_path / "index")
    assert check_index(tmp_path / "index").intact
    flip(tmp_path / "index" / "ids.digests.npy")
    assert [each.file for each in check_index(tmp_path / "index").findings] == ["ids.digests.npy"]
    SeismicIndex.build(vectors, IndexConfig()).save(tmp_path / "other")
    (tmp_path / "other" / "manifest.json").write_text("{")
    assert [each.file for each in check_index(tmp_path / "other").findings] == ["manifest.json"]


def test_ids_that_are_not_theirs(tmp_path: Path) -> None:
    vectors = SparseVectors.of([{1: 1.0}, {2: 2.0}], dim=3).with_ids(["a", "b"])
    ExactIndex.build(vectors).save(tmp_path / "index", lambda folder: np.save(folder / "ids.rows.npy", [1, 1]) or {})
    (found,) = check_index(tmp_path / "index").findings
    assert (found.file, found.problem) == ("ids.text.npy", "the digests do not match the ids")
