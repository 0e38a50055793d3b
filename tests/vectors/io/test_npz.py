"""NumPy archives: half precision, and what is said about damaged and foreign ones."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from lsr.errors import VectorsError
from lsr.vectors.io import iter_vectors, read_info
from lsr.vectors.sparse_vectors import SparseVectors
from tests import made_vectors
from tests.strategies import from_pairs

GOOD: dict[str, Any] = {
    "indptr": np.array([0, 2, 2, 3]),
    "indices": np.array([0, 5, 3], np.uint16),
    "values": np.array([1, 2, 3], np.float16),
    "dim": np.array(7),
}


def save(path: Path, **changes: Any) -> Path:
    arrays = {name: array for name, array in {**GOOD, **changes}.items() if array is not None}
    np.savez(path, **arrays)
    return path


def read_whole_and_as_stream(path: Path) -> SparseVectors:
    """The rows, or the one error, that both ways of reading agree on."""
    errors, found = [], []
    for read in (SparseVectors.read, lambda path: SparseVectors.concatenate(list(iter_vectors(path, 2)))):
        try:
            found.append(read(path))
        except VectorsError as error:
            errors.append(error)
    if errors:
        assert not found
        assert str(errors[0]) == str(errors[1])
        raise errors[0]
    assert found[0] == found[1]
    return found[0]


def test_half_precision(tmp_path: Path) -> None:
    vectors = read_whole_and_as_stream(save(tmp_path / "v.npz"))
    assert vectors == from_pairs([[(0, 1.0), (5, 2.0)], [], [(3, 3.0)]], 7)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("order", ["indptr indices values dim", "dim values indices indptr"])
def test_any_order_and_compression(tmp_path: Path, compressed: bool, order: str) -> None:
    arrays = {name: GOOD[name] for name in order.split()}
    (np.savez_compressed if compressed else np.savez)(tmp_path / "v.npz", **arrays)
    assert read_whole_and_as_stream(tmp_path / "v.npz").nnz == 3


def test_untidy_rows_are_normalized(tmp_path: Path) -> None:
    path = save(tmp_path / "v.npz", indices=np.array([5, 5, 0]), values=np.array([1.0, 2.0, 0.0]))
    assert read_whole_and_as_stream(path) == from_pairs([[(5, 3.0)], [], []], 7)
    assert read_info(path).nnz == 3  # as stored


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": np.array([1, 2, np.nan])}, "row 2: weight of component 3 is nan; weights must be finite"),
        ({"values": np.array([1, -2.0, 3])}, "row 0: weight of component 5 is -2.0; weights must be finite"),
        ({"indices": np.array([0, 5, 7])}, "row 2: component 7 is outside 0 to 6"),
        ({"indices": np.array([0, -5, 3])}, "row 0: component -5 is outside 0 to 6"),
        ({"indptr": np.array([0, 2, 1, 3])}, "row 1: indptr continues with 1; it must not decrease"),
        ({"indptr": np.array([0, 2, 3, 2])}, "row 2: indptr continues with 2"),
        ({"indptr": np.array([1, 2, 2, 3])}, "indptr starts at 1"),
        (
            {"indptr": np.array([0, 2, 2, 4])},
            "row 2: indptr continues with 4; it must not decrease, nor exceed the 3 components",
        ),
        ({"indptr": np.array([0, 2, 2, 2])}, "array indices is longer than indptr says"),
        ({"indptr": np.array([], int)}, "indptr has 0 entries"),
        ({"values": np.array([1, 2.0])}, "indices 3 and values 2"),
        ({"indptr": None}, "the array indptr is missing; there is dim.npy, indices.npy, values.npy"),
        ({"dim": None}, "the array dim is missing"),
        ({"dim": np.array(-1)}, "dim is -1; it must be from 0 to 2**32"),
        ({"dim": np.array(2.0)}, "array dim has type float64"),
        ({"indices": np.array([0, 5, 3.0])}, "array indices has type float64"),
        ({"values": np.array([1, 2, 3])}, "array values has type int64"),
        ({"values": np.array([[1, 2, 3.0]])}, "array values has type float64 and shape (1, 3)"),
        ({"values": np.array([1, 2, {}])}, "array values has type object"),
        (
            {"ids": np.array(["a", "b", "c"], object)},
            "array ids has type object and shape (3,); expected text: save np.",
        ),
        ({"ids": np.array([1.0, 2.0, 3.0])}, "array ids has type float64"),
        ({"ids": np.array(["a", "b"])}, "array ids is truncated"),
        ({"ids": np.array(["a", "b", "c", "d"])}, "4 ids for 3 rows"),
        ({"ids": np.zeros(3, np.uint8)}, "ids_offsets"),
        ({"ids": np.zeros(3, np.uint8), "ids_offsets": np.array([0, 1, 2])}, "ids"),
        ({"ids": np.zeros(3, np.uint8), "ids_offsets": np.array([0, 1, 2, 3, 3])}, "4 ids for 3 rows"),
        ({"ids": np.zeros(3, np.uint8), "ids_offsets": np.array([0, 2, 1, 3])}, "ids_offsets decreases"),
        ({"ids": np.zeros(3, np.uint8), "ids_offsets": np.array([0, 1, 2, 9])}, "array ids is truncated"),
        ({"ids": np.full(3, 0xFF, np.uint8), "ids_offsets": np.array([0, 1, 2, 3])}, "codec can't decode byte 0xff"),
    ],
)
def test_bad_arrays_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = save(tmp_path / "v.npz", **changes)
    with pytest.raises(VectorsError) as error:
        read_whole_and_as_stream(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, content) for name in ("encoder", "vocabulary") for content in (b"", b"{", b"\xff", b"7")),
        ("encoder", b'["a"]'),
        ("vocabulary", b'["a", "a"]'),
        ("vocabulary", b"[1]"),
        ("vocabulary", b'"abc"'),
    ],
)
def test_bad_metadata_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = save(tmp_path / "v.npz", **{name: np.frombuffer(content, np.uint8)})
    with pytest.raises(VectorsError, match=rf"v\.npz: .*({name}|expected an \.npz archive)"):
        read_info(path)


def test_row_is_named_in_any_batch(tmp_path: Path) -> None:
    good = made_vectors.short_documents(20_000)
    values = good.values.copy()
    values[good.indptr[17_123]] = -1
    np.savez(tmp_path / "v.npz", indptr=good.indptr, indices=good.indices, values=values, dim=good.dim)
    with pytest.raises(VectorsError, match=r"v\.npz: row 17123: weight of component"):
        list(iter_vectors(tmp_path / "v.npz", 1000))


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    from_pairs([[(0, 1.0)], [(2, 2.0)]], 3, ["a", "b"]).write(tmp_path / "good.npz")
    content = (tmp_path / "good.npz").read_bytes()
    path = tmp_path / "v.npz"
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(VectorsError, match=r"v\.npz: truncated, damaged or foreign .* expected an \.npz archive"):
            SparseVectors.read(path)


def test_every_changed_weight_is_noticed(tmp_path: Path) -> None:
    vectors = made_vectors.short_queries(50)
    vectors.write(tmp_path / "good.npz")
    content = bytearray((tmp_path / "good.npz").read_bytes())
    start = content.index(vectors.values.tobytes())
    path = tmp_path / "v.npz"
    for at in range(start, start + vectors.values.nbytes, 101):
        content[at] ^= 0x40
        path.write_bytes(content)
        content[at] ^= 0x40
        with pytest.raises(VectorsError):
            SparseVectors.read(path)


@pytest.mark.parametrize("name", ["indptr", "indices", "values"])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"], ids=["early", "late"])
def test_members_that_end_early_or_late(tmp_path: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    good, path = save(tmp_path / "good.npz"), tmp_path / "v.npz"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        for member in source.namelist():
            data = source.read(member)
            target.writestr(member, change(data) if member == f"{name}.npy" else data)
    with pytest.raises(VectorsError, match=f"array {name} has another length than its header says"):
        SparseVectors.read(path)


def test_a_header_that_promises_too_much(tmp_path: Path) -> None:
    # Nothing of that size may be allocated on the word of a header.
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**15,)})
    good, path = save(tmp_path / "good.npz"), tmp_path / "v.npz"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        for member in source.namelist():
            target.writestr(member, header.getvalue() if member == "values.npy" else source.read(member))
    with pytest.raises(VectorsError, match="array values has another length than its header says"):
        read_whole_and_as_stream(path)


def test_foreign_archives(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    scipy.sparse.save_npz(path, scipy.sparse.csc_array(np.eye(3)))
    with pytest.raises(VectorsError, match=r"a SciPy matrix of format 'csc'.*matrix\.tocsr"):
        SparseVectors.read(path)
    np.savez(path, data=np.ones(3), indptr=np.arange(4))
    with pytest.raises(VectorsError, match=r"the array indices is missing; there is data\.npy, indptr\.npy"):
        SparseVectors.read(path)
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(VectorsError, match="the array indptr is missing; there is nothing"):
        SparseVectors.read(path)
    path.write_text("indptr, indices, values, dim")
    with pytest.raises(VectorsError, match="truncated, damaged or foreign"):
        SparseVectors.read(path)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.bool_])
@pytest.mark.parametrize("compressed", [True, False])
def test_matrices_of_scipy_are_read_as_scipy_reads_them(tmp_path: Path, kind: Any, compressed: bool) -> None:
    matrix = scipy.sparse.random_array((70, 30), density=0.2, format="csr", rng=np.random.default_rng(1))
    matrix.data = np.ceil(matrix.data * 9)
    matrix = matrix.astype(kind)
    path = tmp_path / "v.npz"
    scipy.sparse.save_npz(path, matrix, compressed=compressed)
    wanted = SparseVectors.of(scipy.sparse.load_npz(path))
    assert (np.asarray(read_whole_and_as_stream(path).toarray()) == wanted.toarray()).all()
    assert (read_info(path).rows, read_info(path).dim, read_info(path).nnz) == (70, 30, matrix.nnz)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "sprung").touch, ())

    for name in ("indptr", "values", "dim", "ids", "vocabulary"):
        trap = np.empty(1, object)
        trap[0] = Trap()
        with pytest.raises(VectorsError):
            SparseVectors.read(save(tmp_path / "v.npz", **{name: trap}))
        for other in ("data", "shape", "format"):
            arrays = {"data": np.ones(1), "shape": np.ones(2, int), "format": np.array(b"csr"), other: trap}
            np.savez(tmp_path / "v.npz", indptr=np.arange(2), indices=np.zeros(1, int), **arrays)
            with pytest.raises(VectorsError):
                SparseVectors.read(tmp_path / "v.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (np.array(["d1", "é日", ""]), ["d1", "é日", ""]),
        (np.array(["d1", "d2", "d3"], ">U4"), ["d1", "d2", "d3"]),
        (np.array([7, 41, -3]), ["7", "41", "-3"]),
    ],
)
def test_ids_as_numpy_has_them(tmp_path: Path, save: Any, ids: Any, expected: list[str]) -> None:
    arrays = {"indptr": [0, 1, 1, 2], "indices": [0, 4], "values": np.ones(2, np.float32), "dim": 5}
    save(tmp_path / "v.npz", ids=ids, **arrays)
    assert SparseVectors.read(tmp_path / "v.npz").ids == expected
    assert [each for batch in iter_vectors(tmp_path / "v.npz", 2) for each in batch.ids or ()] == expected
