"""Commits that are damaged are refused, with what repairs them, and nothing is removed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsr.errors import IndexFormatError, LsrError
from lsr.index.open_index import open_index
from lsr.index.segments.commit import Commit, read_commit
from lsr.index.segments.generation import open_generation
from lsr.index.segments.index_writer import IndexWriter
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.storage.manifest import check_replaceable, read_manifest, sealed, verify
from lsr.vectors.vocabulary import Vocabulary
from tests.index.segments.test_index_writer import DIM, Documents, add, documents, names


@pytest.fixture(scope="module")
def held() -> Documents:
    return documents(1, (f"d{i}" for i in range(1, 20)))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, held: Documents) -> Path:
    """Two segments, one with deletions, an encoder and a vocabulary."""
    folder = tmp_path_factory.mktemp("built") / "index"
    with IndexWriter.create(folder) as writer:
        add(writer, documents(2, ["d0", *(f"a{i}" for i in range(9))]))
        writer.set_encoder(lambda new: (new / "encoder.json").write_text("{}"), {"name": "own"})
        writer.set_vocabulary(Vocabulary(f"token {component}" for component in range(DIM)))
        writer.commit(source="here", statistics={"documents": 10})
        writer.delete(["d0"])
        add(writer, held)
        writer.delete(["d1"])
        writer.commit(presets={})
    return folder


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "index"))


def refused(folder: Path) -> str:
    """What opening says; nothing in the folder may change."""
    before = names(folder)
    said = set()
    for opening in (open_index, open_generation, IndexWriter.open, read_commit, verify):
        with pytest.raises(LsrError) as raised:
            opening(folder)
        said.add(str(raised.value))
    assert names(folder) == before
    return said.pop()


def test_a_commit_is_read_as_it_was_written(folder: Path) -> None:
    commit = read_commit(folder)
    assert (commit.generation, commit.dim, commit.documents, commit.rows) == (2, DIM, 27, 27)
    assert commit.more == {"statistics": {"documents": 10}} and commit.source == "here"
    assert Commit.of({"product": "lsr index", **commit.as_json()}, folder) == commit
    assert read_commit(folder, 2) == commit
    verify(folder)


def test_a_manifest_that_was_cut_off(folder: Path) -> None:
    content = (folder / "manifest.json").read_bytes()
    for length in [*range(0, len(content), 97), *range(len(content) - 3, len(content))]:
        (folder / "manifest.json").write_bytes(content[:length])
        before = names(folder)
        for opening in (open_index, IndexWriter.open):
            with pytest.raises(IndexFormatError, match=f"lsr repair {folder}"):
                opening(folder)
        assert names(folder) == before
        assert read_commit(folder, 2).documents == 27  # from which it can be repaired


def test_a_manifest_that_is_gone(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert "there is no manifest.json" in refused(folder)


@pytest.mark.parametrize("name", ["manifest.json", "generation-000002.json"])
def test_flipped_bits(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    for at in range(0, len(content), 13):
        damaged = bytearray(content)
        damaged[at] ^= 1 << (at % 8)
        (folder / name).write_bytes(damaged)
        try:
            commit = open_generation(folder).commit
        except LsrError as error:
            assert isinstance(error, IndexFormatError)
        else:  # white space
            assert commit == read_commit(folder, 2)
    (folder / name).write_bytes(content)


def changed(**entries: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda manifest: {**manifest, **entries}


def first_segment(**entries: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(manifest: dict[str, Any]) -> dict[str, Any]:
        first, *rest = manifest["segments"]
        return {**manifest, "segments": [{**first, **entries}, *rest]}

    return change


def renamed(old: str, new: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda manifest: json.loads(json.dumps(manifest).replace(json.dumps(old), json.dumps(new)))  # type: ignore[no-any-return]


CHANGES = {
    "no segments": changed(segments=None),
    "segments are text": changed(segments="segment-000001"),
    "twice": lambda manifest: {**manifest, "segments": manifest["segments"] * 2},
    "above": renamed("segment-000001", "../segment-000001"),
    "elsewhere": renamed("segment-000001", "/tmp/segment-000001"),
    "another name": renamed("segment-000001", "segment-1"),
    "a name with a line": renamed("segment-000001", "segment-000001\n"),
    "a foreign file": changed(files={"../secret": {"bytes": 1, "sha256": "0" * 64}}),
    "a file of nothing": lambda manifest: {
        **manifest,
        "files": {**manifest["files"], "notes.txt": {"bytes": 1, "sha256": "0" * 64}},
    },
    "no files": changed(files={}),
    "a negative size": lambda manifest: {
        **manifest,
        "files": {name: {**each, "bytes": -1} for name, each in manifest["files"].items()},
    },
    "an encoder above": changed(encoder_folder=".."),
    "a vocabulary elsewhere": changed(vocabulary_file="/etc/passwd"),
    "generation 0": changed(generation=0),
    "generation true": changed(generation=True),
    "a generation of text": changed(generation="2"),
    "another generation": changed(generation=7),
    "a dim of text": changed(dim="many"),
    "a negative dim": changed(dim=-1),
    "a smaller dim": changed(dim=3),
    "flags": changed(has_ids=1),
    "no ids": changed(has_ids=False),
    "texts": changed(has_texts=True),
    "config": changed(config={"block_size": 0}),
    "unknown config": changed(config={"colour": 1}),
    "presets": changed(presets=[{"asked": 2}]),
    "recall": changed(sample_recall="high"),
    "documents": changed(documents=26),
    "more rows": first_segment(rows=1 << 40),
    "fewer rows": first_segment(rows=0, documents=0, deleted=None),
    "more documents": first_segment(documents=1 << 61),
    "nothing deleted": first_segment(deleted=None),
    "another deletion": first_segment(deleted={"file": "deleted-000009-segment-000001.npy", "rows": 1}),
    "less deleted": lambda manifest: first_segment(
        documents=manifest["segments"][0]["documents"] + 1,
        deleted={**manifest["segments"][0]["deleted"], "rows": manifest["segments"][0]["deleted"]["rows"] - 1},
    )({**manifest, "documents": manifest["documents"] + 1, "rows": manifest["rows"] + 1}),
    "another segment's manifest": first_segment(manifest_sha256="0" * 64),
    "a source": changed(source=3),
    "an encoder": changed(encoder="own"),
    "entries are gone": lambda _: {"kind": "seismic", "format_version": 5},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_entries_that_make_no_sense(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Even with a checksum that is right."""
    content = sealed(change(read_manifest(folder)))
    for name in ("manifest.json", "generation-000002.json"):
        (folder / name).write_bytes(content)
    before = names(folder)
    with pytest.raises(IndexFormatError, match=r"lsr repair|damaged"):
        open_generation(folder)
    assert names(folder) == before


FILES = ("encoder-000001/encoder.json", "vocabulary-000001.json", "deleted-000002-segment-000001.npy")
INNER = ("segment-000001/manifest.json", "segment-000002/ids.text.npy", "segment-000002/ids.rows.npy")


@pytest.mark.parametrize("name", [*FILES, *INNER])
def test_files_that_are_missing_or_of_another_size(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    for damaged in (content[:-1], content + b"\0", None):
        (folder / name).unlink()
        if damaged is not None:
            (folder / name).write_bytes(damaged)
        with pytest.raises(
            IndexFormatError, match=f"{Path(name).name if damaged is None else ''}.*lsr repair {folder}"
        ):
            open_generation(folder)
        with pytest.raises(IndexFormatError):
            verify(folder)
        if damaged is None:
            (folder / name).write_bytes(content)


@pytest.mark.parametrize("name", ["manifest.json", "generation-000002.json", *FILES, *INNER])
def test_pipes_are_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(LsrError):
        open_generation(folder)
    if not name.startswith("generation"):  # which is a copy
        with pytest.raises(LsrError):
            verify(folder)


def test_a_bitmap_with_other_bits(folder: Path, held: Documents) -> None:
    path = folder / "deleted-000002-segment-000001.npy"
    content = path.read_bytes()
    for damaged in (content[:-1] + bytes([content[-1] ^ 1]), content[:-1] + bytes([content[-1] ^ 0x80])):
        path.write_bytes(damaged)
        with pytest.raises(IndexFormatError, match="deleted-000002-segment-000001.npy: damaged; run lsr repair"):
            open_generation(folder)


def test_a_damaged_index_is_not_written_to_but_replaced_as_a_whole(folder: Path, held: Documents) -> None:
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:200])
    before = names(folder)
    with pytest.raises(IndexFormatError, match="lsr repair"):
        IndexWriter.open(folder)
    with IndexWriter.create(folder) as writer:
        assert writer.generation == 0
    assert names(folder) == before
    check_replaceable(folder)
    SeismicIndex.build(next(iter(held.values()))).save(folder)
    assert len(SeismicIndex.open(folder)) == 1


def test_a_held_generation_that_is_damaged_stops_the_removal(folder: Path, held: Documents) -> None:
    reader = SeismicIndex.open(folder)
    (folder / "generation-000002.json").write_bytes(b"")  # in place: it stays locked
    before = {*names(folder)}
    with IndexWriter.open(folder) as writer:
        writer.delete(["d2"])
        writer.commit()
    assert before <= {*names(folder)}
    assert reader.ids is not None and len(list(reader.ids)) == len(reader) == 27
