"""Files of a commit that are cut short: refused, with what repairs them, and nothing is removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lsr.errors import IndexFormatError, LsrError
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.seismic.seismic_index import SeismicIndex
from tests.index.segments.test_index_writer import add, assert_holds, documents

HELD = documents(1, (f"d{number}" for number in range(30)))
NEW = documents(2, ("d1", "e1"))
BITMAP, MANIFEST, GENERATION = "deleted-000002-segment-000001.npy", "manifest.json", "generation-000002.json"
SEGMENTS = "segment-000001/manifest.json", "segment-000002/manifest.json"
CUTS: dict[str, Callable[[int], int]] = {
    "nothing": lambda size: 0,
    "half": lambda size: size // 2,
    "all but a byte": lambda size: size - 1,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "index"
    with IndexWriter.create(folder) as writer:
        add(writer, HELD)
        writer.commit()
        add(writer, NEW)
        writer.delete(["d2"])
        writer.commit()
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file()}


def change(folder: Path) -> None:
    with IndexWriter.open(folder) as writer:
        writer.delete(["d3"])
        writer.commit()


def merge(folder: Path) -> None:
    with IndexWriter.open(folder) as writer:
        writer.merge(all=True)


def replace(folder: Path) -> None:
    with IndexWriter.create(folder):
        pass


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", [MANIFEST, GENERATION, BITMAP, *SEGMENTS])
def test_truncated_files_are_refused_and_nothing_is_removed(tmp_path: Path, whole: Path, name: str, cut: str) -> None:
    folder = tmp_path / "index"
    shutil.copytree(whole, folder)
    reader = SeismicIndex.open(folder)
    # What is mapped must not become shorter: another file takes its place.
    content = (folder / name).read_bytes()
    (folder / "cut").write_bytes(content[: CUTS[cut](len(content))])
    os.replace(folder / "cut", folder / name)
    before = files(folder)
    with pytest.raises(IndexFormatError, match="lsr repair"):
        SeismicIndex.open(folder)
    assert files(folder) == before
    for write in (change, merge, replace):
        try:
            write(folder)
        except LsrError:
            assert files(folder).keys() >= before.keys() - {GENERATION}
        else:
            break
    left = files(folder)
    # A writer does not need the generation's own file, and writes a new one.
    if name == GENERATION:
        index = SeismicIndex.open(folder)
        assert index.ids is not None and sorted(index.ids) == sorted({*HELD, *NEW} - {"d2", "d3"})
    else:
        with pytest.raises(IndexFormatError, match="lsr repair"):
            SeismicIndex.open(folder)
        assert {each for each in before if each.startswith("segment-")} <= left.keys()
    expected = {**HELD, **NEW}
    del expected["d2"]
    assert_holds(reader, expected)
