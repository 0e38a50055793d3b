"""Saving and opening a SeismicIndex, and what becomes of damaged ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsr.errors import IndexFormatError, StorageError
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.parameters import IndexConfig, SearchParams
from lsr.index.result import SearchResult
from lsr.index.seismic.block_checks import ARRAYS
from lsr.index.seismic.seismic_files import FORMAT_VERSION, FORMATS
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.storage.manifest import verify
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import EXACT, LAYOUTS, build, zipf_vectors
from tests.index.superblocks import always_superblocks
from tests.processes import run_python, start_python
from tests.strategies import from_pairs

DIM = 1 << 20

# Every array of an index without ids; its kNN graph is there only if it has one.
ALL_ARRAYS = (*ARRAYS, "tails", "graph")
ID_ARRAYS = ("ids.text", "ids.offsets", "ids.digests", "ids.rows")


def sample(seed: int = 1, layout: str = "fast", with_ids: bool = True, superblocks: bool = True) -> SeismicIndex:
    """Three hundred documents with ids and neighbors; some have tails, some components are frequent."""
    vectors = zipf_vectors(seed, 300, DIM, 12, 1000)
    if with_ids:
        vectors = vectors.with_ids([f"document {row} of {seed}" for row in range(len(vectors))])
    with always_superblocks() if superblocks else nullcontext():
        return build(vectors, IndexConfig(seed=seed, layout=layout, knn=3), rare=20)


QUERIES = zipf_vectors(9, 40, DIM, 5, 4)


def same(first: SearchResult, second: SearchResult) -> bool:
    return (
        np.array_equal(first.scores, second.scores)
        and np.array_equal(first.rows, second.rows)
        and np.array_equal(first.ids, second.ids)
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index, not to be written to."""
    path = tmp_path_factory.mktemp("saved") / "index"
    sample().save(path)
    return path


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "index"))


# Saved and opened


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("superblocks", [True, False])
def test_opened_index_is_the_saved_one(tmp_path: Path, with_ids: bool, layout: str, superblocks: bool) -> None:
    index = sample(layout=layout, with_ids=with_ids, superblocks=superblocks)
    index.save(tmp_path / "index")
    opened = SeismicIndex.open(tmp_path / "index")
    assert (len(opened), opened.dim, opened.config) == (len(index), index.dim, index.config)
    assert (opened.postings, opened.inverted, opened.knn) == (index.postings, False, 3)
    assert (opened.sample_recall, opened.presets) == (index.sample_recall, {})
    assert opened.nbytes == index.nbytes
    assert (opened.ids is None) != with_ids
    assert np.array_equal(opened.neighbors, index.neighbors)
    for params in (SearchParams(), SearchParams(knn=2), EXACT):
        assert same(opened.search(QUERIES, 10, params), index.search(QUERIES, 10, params))
    for row in range(len(index)):
        for found, wanted in zip(opened.vector(row), index.vector(row), strict=True):
            assert np.array_equal(found, wanted)


def test_opened_index_of_real_vectors(
    tmp_path: Path, packages_index: SeismicIndex, package_queries: SparseVectors
) -> None:
    packages_index.save(tmp_path / "index")
    opened = SeismicIndex.open(tmp_path / "index")
    for params, threads in ((SearchParams(), 1), (SearchParams(), 2), (EXACT, 1)):
        assert same(
            opened.search(package_queries, 10, params, threads), packages_index.search(package_queries, 10, params)
        )


def test_arrays_are_mapped_and_start_cache_lines(saved: Path) -> None:
    opened = SeismicIndex.open(saved)
    for array in (
        *opened.engine.forward[:6],
        *opened.engine.blocks[:7],
        opened.engine.components.external,
        opened.engine.graph,
    ):
        assert isinstance(_root(array), np.memmap)
        assert not array.flags.writeable
    assert opened.engine.forward.heads.ctypes.data % 64 == 0


def _root(array: np.ndarray) -> Any:
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    return root


@pytest.mark.parametrize("vectors", [SparseVectors.empty(5), from_pairs([[], []], 5)], ids=["none", "empty"])
def test_empty_index(tmp_path: Path, vectors: SparseVectors) -> None:
    SeismicIndex.build(vectors).save(tmp_path / "index")
    opened = SeismicIndex.open(tmp_path / "index")
    assert (len(opened), opened.dim) == (len(vectors), 5)
    for params in (SearchParams(), EXACT):
        assert opened.search(from_pairs([[(0, 1.0)]], 5), 2, params).rows.tolist() == [[-1, -1]]


def test_saved_again(tmp_path: Path, saved: Path) -> None:
    SeismicIndex.open(saved).save(tmp_path / "copy")
    assert names(tmp_path / "copy") == names(saved)
    for name in names(saved):
        assert (tmp_path / "copy" / name).read_bytes() == (saved / name).read_bytes()


def test_equal_indexes_make_equal_files(tmp_path: Path, saved: Path) -> None:
    sample().save(tmp_path / "again")
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (saved / "manifest.json").read_bytes()


# In place of another


def test_saved_over_another_and_over_itself(folder: Path) -> None:
    old = SeismicIndex.open(folder)
    before = old.search(QUERIES)
    new = sample(seed=2)
    new.save(folder)
    assert same(SeismicIndex.open(folder).search(QUERIES), new.search(QUERIES))
    assert same(old.search(QUERIES), before)  # it still has the old files mapped
    reopened = SeismicIndex.open(folder)
    reopened.save(folder)
    assert same(SeismicIndex.open(folder).search(QUERIES), new.search(QUERIES))
    assert names(folder.parent) == ["index"]


def test_extra_files_land_with_the_index(tmp_path: Path) -> None:
    def extra(temporary: Path) -> dict[str, str]:
        assert not (temporary / "manifest.json").exists()
        (temporary / "encoder").mkdir()
        (temporary / "encoder" / "encoder.json").write_text("{}")
        return {"encoder": "tiny"}

    sample().save(tmp_path / "index", extra)
    assert json.loads((tmp_path / "index" / "manifest.json").read_text())["encoder"] == "tiny"
    assert len(SeismicIndex.open(tmp_path / "index")) == 300
    (tmp_path / "index" / "encoder" / "encoder.json").unlink()
    with pytest.raises(IndexFormatError, match=r"encoder\.json"):
        SeismicIndex.open(tmp_path / "index")


def test_a_save_that_fails_leaves_the_old_index(folder: Path) -> None:
    def fail(temporary: Path) -> dict[str, str]:
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        sample(seed=2).save(folder, fail)
    assert same(SeismicIndex.open(folder).search(QUERIES), sample().search(QUERIES))
    assert names(folder.parent) == ["index"]


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    with pytest.raises(StorageError, match="cannot be replaced"):
        sample().save(tmp_path / "thesis")
    assert names(tmp_path / "thesis") == ["chapter.tex"]


def test_two_processes_save_at_once(tmp_path: Path) -> None:
    code = """
import sys
from lsr.index.seismic.seismic_index import SeismicIndex
index = SeismicIndex.open(sys.argv[1])
for _ in range(20):
    index.save(sys.argv[2])
"""
    indexes = [sample(seed) for seed in (1, 2)]
    for seed, index in enumerate(indexes):
        index.save(tmp_path / str(seed))
    writers = [start_python(code, tmp_path / str(seed), tmp_path / "index") for seed in (0, 1)]
    for writer in writers:
        _, errors = writer.communicate()
        assert errors == ""
        assert writer.returncode == 0
    assert names(tmp_path) == ["0", "1", "index"]
    verify(tmp_path / "index")
    found = SeismicIndex.open(tmp_path / "index").search(QUERIES)
    assert any(same(found, index.search(QUERIES)) for index in indexes)


# What is not an index


def test_no_index(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    for fault in ("missing: is not an index", "empty: is not an index", "file: is a file, not an index"):
        with pytest.raises(IndexFormatError, match=fault):
            SeismicIndex.open(tmp_path / fault.split(":")[0])


def test_an_index_of_another_kind(tmp_path: Path) -> None:
    ExactIndex.build(from_pairs([[(0, 1.0)]], 1)).save(tmp_path / "index")
    with pytest.raises(IndexFormatError, match="an index of kind 'exact', not 'seismic'"):
        SeismicIndex.open(tmp_path / "index")


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_newer_and_older_formats(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest.update(format_version=FORMAT_VERSION + 2))
    with pytest.raises(IndexFormatError, match="upgrade lsr"):
        SeismicIndex.open(folder)
    for older in range(min(FORMATS)):
        change_manifest(folder, lambda manifest, older=older: manifest.update(format_version=older))
        with pytest.raises(IndexFormatError, match=f"format version {older}, .*; build the index again"):
            SeismicIndex.open(folder)


MANIFEST_ENTRIES = (
    "config", "dim", "documents", "postings", "head_size", "frequent_components", "knn", "has_ids", "storage",
    "sample_recall", "files", "product", "kind", "format_version",
)  # fmt: skip


@pytest.mark.parametrize("name", MANIFEST_ENTRIES)
def test_missing_entry_of_the_manifest(folder: Path, name: str) -> None:
    change_manifest(folder, lambda manifest: manifest.pop(name))
    with pytest.raises(IndexFormatError):
        SeismicIndex.open(folder)


@pytest.mark.parametrize("value", [None, "x", [], {}, -1, 0, 2.5, 1e400, 1 << 80, {"block_size": "many"}, {"color": 1}])
@pytest.mark.parametrize("name", ["config", "documents", "head_size", "knn", "files", "format_version"])
def test_wrong_entry_of_the_manifest(folder: Path, name: str, value: Any) -> None:
    change_manifest(folder, lambda manifest: manifest.update({name: value}))
    if (name, value) in (("config", {}), ("files", {}), ("knn", 0)):  # all defaults; nothing to check; no graph
        SeismicIndex.open(folder)
        return
    with pytest.raises(IndexFormatError):
        SeismicIndex.open(folder)


@pytest.mark.parametrize("value", [None, "x", [], {}, -1, 1 << 20, 1e400, 1 << 80])
def test_wrong_number_of_frequent_components(folder: Path, value: Any) -> None:
    change_manifest(folder, lambda manifest: manifest.update(frequent_components=value))
    with pytest.raises(IndexFormatError):
        SeismicIndex.open(folder)


# Damaged files


@pytest.mark.parametrize("name", [*ALL_ARRAYS, *ID_ARRAYS])
def test_truncated_or_missing_array(folder: Path, name: str) -> None:
    path = folder / f"{name}.npy"
    whole = path.read_bytes()
    for kept in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(IndexFormatError, match=rf"{path}: {kept} bytes instead of {len(whole)}; build"):
            SeismicIndex.open(folder)
    path.unlink()
    with pytest.raises(IndexFormatError, match=rf"{path}: No such file"):
        SeismicIndex.open(folder)
    path.write_bytes(whole)
    SeismicIndex.open(folder)


def test_truncated_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    whole = path.read_bytes()
    for kept in range(0, len(whole), 97):
        path.write_bytes(whole[:kept])
        with pytest.raises(IndexFormatError, match=r"manifest\.json: "):
            SeismicIndex.open(folder)


# Two of one type and one size are as good as each other, to who does not read them.
ALIKE = ({"rows", "positions"},)


@pytest.mark.parametrize("pair", list(combinations(ALL_ARRAYS, 2)), ids=" and ".join)
def test_swapped_arrays(folder: Path, pair: tuple[str, str]) -> None:
    first, second = (folder / f"{name}.npy" for name in pair)
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)
    if set(pair) not in ALIKE:
        with pytest.raises(IndexFormatError, match="build the index again"):
            SeismicIndex.open(folder)
        # Even if the sizes in the manifest are those of the files.
        for path in (first, second):
            tell_size(folder, path)
        with pytest.raises(IndexFormatError, match="build the index again"):
            SeismicIndex.open(folder)
    with pytest.raises(IndexFormatError):
        verify(folder)


# Only who reads all heads could tell how long this must be.
OF_ANY_LENGTH = ("tails",)


def replace_array(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write a changed array in place of one, and its size into the manifest."""
    path = folder / f"{name}.npy"
    np.save(path, change(np.load(path)))
    tell_size(folder, path)


@pytest.mark.parametrize("name", [name for name in ALL_ARRAYS if name not in OF_ANY_LENGTH])
def test_array_of_a_smaller_index(folder: Path, tmp_path: Path, name: str) -> None:
    smaller = zipf_vectors(5, 100, DIM, 8, 1000)
    with always_superblocks():
        build(smaller, IndexConfig(knn=3), rare=20).save(tmp_path / "other")
    path = folder / f"{name}.npy"
    shutil.copy(tmp_path / "other" / path.name, path)
    tell_size(folder, path)
    with pytest.raises(IndexFormatError, match=r"not match.*; build the index again"):
        SeismicIndex.open(folder)


SIZES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "one less": lambda array: array[:-1],
    "one more": lambda array: np.concatenate([array, array[:1]]),
    "none": lambda array: array[:0],
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [name for name in ALL_ARRAYS if name not in OF_ANY_LENGTH])
def test_array_of_another_size(folder: Path, name: str, size: str) -> None:
    replace_array(folder, name, SIZES[size])
    if (name, size) == ("pages", "none"):  # as if summaries were those of blocks: searches find less
        SeismicIndex.open(folder).search(QUERIES, 10)
        return
    with pytest.raises(IndexFormatError, match=r"not match.*; build the index again"):
        SeismicIndex.open(folder)


@pytest.mark.parametrize("dtype", ["int8", "<u2", "<u4", ">u4", "<i8", "<f4", "<f8"])
@pytest.mark.parametrize("name", ALL_ARRAYS)
def test_array_of_another_type(folder: Path, name: str, dtype: str) -> None:
    if np.load(folder / f"{name}.npy").dtype == np.dtype(dtype):
        SeismicIndex.open(folder)
        return
    replace_array(folder, name, lambda array: array.astype(dtype))
    with pytest.raises(IndexFormatError, match=r"not match.*; build the index again"):
        SeismicIndex.open(folder)


@pytest.mark.parametrize("name", ALL_ARRAYS)
def test_array_of_more_dimensions(folder: Path, name: str) -> None:
    replace_array(folder, name, lambda array: array[..., None])
    with pytest.raises(IndexFormatError, match=r"not match.*; build the index again"):
        SeismicIndex.open(folder)


@pytest.mark.parametrize("name", ALL_ARRAYS)
def test_array_of_no_dimension(folder: Path, name: str) -> None:
    replace_array(folder, name, lambda array: array.reshape(-1)[0])
    with pytest.raises(IndexFormatError, match=r"not match.*; build the index again"):
        SeismicIndex.open(folder)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda heads: heads[:, :20], id="too narrow"),
        pytest.param(np.asfortranarray, id="by columns"),
        pytest.param(lambda heads: heads[:, :29], id="no whole 64 bits"),
    ],
)
def test_heads_that_cannot_be_read(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    replace_array(folder, "heads", change)
    with pytest.raises(IndexFormatError, match=r"not match.*; build the index again"):
        SeismicIndex.open(folder)


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("summary_windows", 0, 1),
        ("summary_windows", -1, 7),
        ("summary_starts", -1, 1 << 31),
    ],
)
def test_ends_that_do_not_fit(folder: Path, name: str, at: int, value: int) -> None:
    def change(array: np.ndarray) -> np.ndarray:
        array[at] = value
        return array

    replace_array(folder, name, change)
    with pytest.raises(IndexFormatError, match="do not match; build the index again"):
        SeismicIndex.open(folder)


def tell_size(folder: Path, path: Path) -> None:
    """Write the size of a file into the manifest."""
    size = path.stat().st_size
    change_manifest(folder, lambda manifest: manifest["files"][path.name].update(bytes=size))


def damage(path: Path, seed: int) -> Iterator[bytes]:
    """The file's content with other bytes at some places; first in its header, then anywhere."""
    rng = np.random.default_rng(seed)
    whole = np.fromfile(path, np.uint8)
    for _ in range(60):
        damaged = whole.copy()
        at = rng.integers(0, 128, 1 + rng.integers(0, 3))
        damaged[at] = rng.integers(0, 256, len(at))
        yield damaged.tobytes()
    for share in (1, 0.5, 0.01):
        damaged = whole.copy()
        at = 128 + np.flatnonzero(rng.random(len(whole) - 128) < share)
        damaged[at] = rng.integers(0, 256, len(at))
        yield damaged.tobytes()


def test_no_damage_crashes_open(folder: Path) -> None:
    # In another process: a crash of the interpreter must not take the tests with it.
    code = """
import sys
from pathlib import Path
from lsr.errors import IndexFormatError
from lsr.index.seismic.seismic_index import SeismicIndex
from tests.index.seismic.test_seismic_files import ALL_ARRAYS, ID_ARRAYS, damage
folder = Path(sys.argv[1])
for seed, name in enumerate([*ALL_ARRAYS, *ID_ARRAYS]):
    path = folder / f"{name}.npy"
    whole = path.read_bytes()
    for damaged in damage(path, seed):
        path.write_bytes(damaged)
        try:
            SeismicIndex.open(folder)
        except IndexFormatError:
            pass
    path.write_bytes(whole)
    SeismicIndex.open(folder)
print("done")
"""
    ended = run_python(code, folder)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


def test_verify_finds_every_damage(folder: Path) -> None:
    verify(folder)
    for name in [*ALL_ARRAYS, *ID_ARRAYS]:
        path = folder / f"{name}.npy"
        whole = path.read_bytes()
        for at in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(IndexFormatError, match=rf"{name}\.npy: its checksum"):
                verify(folder)
        path.write_bytes(whole)
    verify(folder)
