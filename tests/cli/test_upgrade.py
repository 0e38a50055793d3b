"""lsr upgrade, lsr merge, and what lsr info says of segments."""

from __future__ import annotations

from pathlib import Path
from shutil import unpack_archive

import pytest

from lsr.index.segments.index_writer import IndexWriter
from lsr.index.seismic.seismic_index import SeismicIndex
from tests.cli.commands import Lsr, rejected
from tests.index.samples import zipf_vectors
from tests.index.test_formats import FIXTURES

DIM = 30


@pytest.fixture
def index(tmp_path: Path) -> Path:
    vectors = zipf_vectors(1, 20, DIM, 5, 4).with_ids([f"d{row}" for row in range(20)])
    SeismicIndex.build(vectors).save(tmp_path / "index")
    return tmp_path / "index"


def test_an_index_is_upgraded_and_merged(lsr: Lsr, index: Path) -> None:
    assert lsr("upgrade", index).out == f"{index}: upgraded\n"
    assert lsr("upgrade", index, "--json").json == {"index": str(index), "upgraded": False}
    assert lsr("merge", index).out == f"{index}: nothing to merge; 20 documents in 1 segment\n"
    with IndexWriter.open(index) as writer:
        path = writer.new_segment()
        SeismicIndex.build(zipf_vectors(2, 2, DIM, 5, 4).with_ids(["d3", "e1"])).save(path)
        writer.add_segment(path)
        writer.commit(source="here")
    shown = lsr("info", index, "--json").json
    assert [(each["documents"], each["rows"], each["deleted"]) for each in shown["segments"]] == [
        (19, 20, 1),
        (2, 2, 0),
    ]
    assert shown["documents"] == 21 and shown["postings"] > 0 and "segment-000002/ids.text.npy" in shown["files"]
    lines = lsr("info", index, "--verify").out.splitlines()
    assert any(line.split() == ["segment-000001", "19", "1", "inverted"] for line in lines)
    assert lines[-1].endswith("all intact")
    merged = lsr("merge", index, "--all", "--memory", "2GB", "--json").json
    assert merged == {"index": str(index), "merged": 2, "segments": 1, "documents": 21, "generation": 3}
    assert len(lsr("info", index, "--json").json["segments"]) == 1


def test_indexes_that_cannot_be_merged_are_refused(lsr: Lsr, index: Path, tmp_path: Path) -> None:
    assert "nowhere: is not an index" in rejected(lsr("merge", tmp_path / "nowhere"))
    assert "nowhere: is not an index" in rejected(lsr("upgrade", tmp_path / "nowhere"))
    assert "'much' is not an amount of memory" in rejected(lsr("merge", index, "--memory", "much"))
    lsr("upgrade", index)
    with IndexWriter.open(index):
        assert "another writer has the lock" in rejected(lsr("merge", index))
    content = (index / "manifest.json").read_bytes()
    (index / "manifest.json").write_bytes(content[:100])
    assert f"lsr repair {index}" in rejected(lsr("merge", index))


def test_blocks_of_an_earlier_version(lsr: Lsr, tmp_path: Path) -> None:
    unpack_archive(FIXTURES / "format4.zip", tmp_path)
    for name in ("folder", "segments"):
        index = tmp_path / name
        advice = f"{index}: has blocks of an earlier version; convert it with lsr upgrade {index}"
        for words in (("info", index), ("merge", index), ("search", index, "token"), ("delete", index, "d1")):
            assert rejected(lsr(*words)) == advice
        checked = lsr("check", index)
        assert (checked.status, advice in checked.out, "intact" in checked.out) == (0, True, True)
        upgraded = lsr("upgrade", index)
        assert upgraded.out == f"{index}: upgraded\n"
        assert f"tuned on other blocks and are removed; run lsr tune {index} again" in upgraded.err
        assert lsr("info", index, "--verify").out.endswith("all intact\n")
        assert lsr("upgrade", index, "--json").json == {"index": str(index), "upgraded": False}
