"""The folder of an index: written in one step, and read only when it is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.errors import IndexFormatError, ParameterError, StorageError
from lsr.index.index_folder import write_index
from lsr.storage import files
from lsr.storage.arrays import growing_array, load_array, save_arrays
from lsr.storage.manifest import CHUNK, Verify, read_manifest, replacing_folder, verify

ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "numbers": np.arange(1000, dtype=np.uint16),
    "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
    "nothing": np.zeros(0, np.int64),
}
MANIFEST = {"format_version": 3, "kind": "test", "config": {"n": 1}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def extra(temporary: Path) -> dict[str, str]:
        (temporary / "encoder").mkdir()
        (temporary / "encoder" / "manifest.json").write_text("not ours")
        return {"more": "entries"}

    write_index(tmp_path / "index", MANIFEST, ARRAYS, 0, None, extra)
    return tmp_path / "index"


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_written_is_read(folder: Path) -> None:
    manifest = read_manifest(folder, (3,), "test")
    assert {**MANIFEST, "more": "entries"}.items() <= manifest.items()
    assert set(manifest["files"]) == {"numbers.npy", "matrix.npy", "nothing.npy", "encoder/manifest.json"}
    verify(folder)
    for name, array in ARRAYS.items():
        found = load_array(folder, name)
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype
        assert not found.flags.writeable


def test_mapped_arrays_start_on_a_cache_line(folder: Path) -> None:
    assert load_array(folder, "numbers").ctypes.data % 64 == 0


def test_no_index_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IndexFormatError, match=r"none: is not an index .*give the folder of an index"):
        read_manifest(tmp_path / "none", (3,))
    with pytest.raises(IndexFormatError, match=r"is not an index \(there is no manifest\.json\)"):
        read_manifest(tmp_path, (3,))
    with pytest.raises(IndexFormatError, match="file: is a file, not an index; give the folder of an index"):
        read_manifest(tmp_path / "file", (3,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format_version=4), "format version 4, but this lsr reads 3; upgrade lsr"),
        (lambda m: m.update(format_version=2), "format version 2, but this lsr reads 3; build the index again"),
        (lambda m: m.update(format_version="3"), "format version 3, but this lsr reads 3; build the index again"),
        (lambda m: m.update(kind="other"), "an index of kind 'other', not 'test'"),
        (lambda m: m.pop("product"), "not the manifest of an index"),
        (lambda m: m.pop("files"), "damaged .invalid value: KeyError"),
        (lambda m: m.update(files=[1]), "damaged .invalid value: AttributeError"),
        (lambda m: m.update(files={"numbers.npy": 1}), "damaged .invalid value: TypeError"),
        (
            lambda m: m["files"].update({"lost.npy": {"bytes": 1, "sha256": ""}}),
            r"lost\.npy: No such file or directory",
        ),
        (lambda m: m["files"].update({"\0": {"bytes": 1, "sha256": ""}}), "embedded null byte; build the index again"),
        (
            lambda m: m["files"].update({"\ud800": {"bytes": 1, "sha256": ""}}),
            "surrogates not allowed; build the index",
        ),
    ],
)
def test_bad_manifests_are_named(folder: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    change_manifest(folder, change)
    with pytest.raises(IndexFormatError, match=message):
        read_manifest(folder, (3,), "test")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"null", b"[" * 100_000, b'{"name": "package.json"}'])
def test_foreign_manifests_are_named(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(
        IndexFormatError, match=r"manifest\.json: (truncated or not JSON|is not the manifest of an index)"
    ):
        read_manifest(folder, (3,))


@pytest.mark.parametrize("name", ["numbers.npy", "nothing.npy", "encoder/manifest.json"])
def test_every_file_is_looked_at(folder: Path, name: str) -> None:
    path = folder / name
    content = path.read_bytes()
    for changed in (content[:-1], content + b"\0"):
        path.write_bytes(changed)
        with pytest.raises(IndexFormatError, match=f"{name}: {len(changed)} bytes instead of {len(content)}"):
            read_manifest(folder, (3,))
    path.unlink()
    with pytest.raises(IndexFormatError, match=f"{name}: No such file or directory; build the index again"):
        read_manifest(folder, (3,))
    with pytest.raises(IndexFormatError, match="cannot be read"):
        verify(folder)


@pytest.mark.parametrize("name", ["numbers.npy", "matrix.npy", "encoder/manifest.json"])
def test_verify_finds_any_changed_byte(folder: Path, name: str) -> None:
    path = folder / name
    content = bytearray(path.read_bytes())
    for at in (0, len(content) // 2, len(content) - 1):
        content[at] ^= 1
        path.write_bytes(content)
        read_manifest(folder, (3,))
        with pytest.raises(IndexFormatError, match=f"{name}: its checksum differs from the manifest"):
            verify(folder)
        content[at] ^= 1
    path.write_bytes(content)
    verify(folder)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array at all, but long enough to be looked at" * 9])
def test_damaged_arrays_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "array.npy").write_bytes(content)
    with pytest.raises(IndexFormatError, match=r"array\.npy: missing or damaged"):
        load_array(tmp_path, "array")


def test_truncated_arrays_are_named(tmp_path: Path) -> None:
    save_arrays(tmp_path, ARRAYS)
    path = tmp_path / "numbers.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IndexFormatError, match=r"numbers\.npy: missing or damaged"):
        load_array(tmp_path, "numbers")


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_grows_is_written_as_a_whole_one(tmp_path: Path, name: str) -> None:
    array = ARRAYS[name]
    save_arrays(tmp_path, {"whole": array})
    with growing_array(tmp_path, "grown", array.dtype, array.shape[1:]) as append:
        for begin in range(0, len(array), 7):
            append(array[begin : begin + 7])
    assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_nothing_is_pickled(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="array of references"):
        save_arrays(tmp_path, {"objects": np.array([{}], object)})
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(IndexFormatError, match=r"objects\.npy: missing or damaged"):
        load_array(tmp_path, "objects")


def test_an_index_replaces_an_index_only(folder: Path, tmp_path: Path) -> None:
    write_index(folder, {**MANIFEST, "config": 2}, {}, 0, None)
    assert read_manifest(folder, (3,))["config"] == 2
    assert set(read_manifest(folder, (3,))["files"]) == set()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(StorageError, match="cannot be replaced"), replacing_folder(tmp_path / "other"):
        pass


def test_an_index_left_aside_is_pointed_out(folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / ".index.old-0123456789abcdef")
    assert files.left_aside(folder) is not None
    with pytest.raises(
        IndexFormatError, match=r"an interrupted save left it at .*\.index\.old-0123456789abcdef: rename"
    ):
        read_manifest(folder, (3,))


@pytest.mark.parametrize("how", ["sample", "full"])
def test_large_files_have_checksums_of_their_parts(tmp_path: Path, how: Verify) -> None:
    size = 3 * CHUNK // 4 + 5
    write_index(tmp_path / "index", MANIFEST, {"large": np.arange(size, dtype=np.float32), **ARRAYS}, 0, None)
    path = tmp_path / "index" / "large.npy"
    assert len(read_manifest(tmp_path / "index")["files"]["large.npy"]["chunks"]) == 4
    verify(tmp_path / "index", how)
    for at in (0, CHUNK, path.stat().st_size - 1):
        whole = path.read_bytes()
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        verify(tmp_path / "index", "none")
        with pytest.raises(
            IndexFormatError, match=rf"{path}: .*checksum.* differs from the manifest; build the index again"
        ):
            verify(tmp_path / "index", how)
        path.write_bytes(whole)
    with pytest.raises(ParameterError, match="verify"):
        verify(tmp_path / "index", "some")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["/etc/passwd", "../other", "encoder/../../other"])
def test_no_file_outside_is_looked_at(folder: Path, name: str) -> None:
    change_manifest(folder, lambda m: m["files"].update({name: {"bytes": 0, "sha256": ""}}))
    for read in (read_manifest, verify):
        with pytest.raises(IndexFormatError, match="damaged"):
            read(folder)
