"""BigANN's .csr files: those that its own code writes are read, and what is said about damaged and foreign ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.cli.main import main
from lsr.errors import VectorsError
from lsr.index.open_index import open_index
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.retrieval.indexing import build_index
from lsr.storage.recognize import VECTORS, kind_of_file
from lsr.vectors.io import VectorsInfo, is_vectors, iter_vectors, read_info, read_vocabulary
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary
from tests import made_vectors
from tests.data import LIBRARY
from tests.processes import run_python
from tests.strategies import from_pairs, sparse_vectors
from tests.vectors.io.peak import PEAK_OF_READING

ROWS = from_pairs([[(0, 1.0), (5, 2.0)], [], [(3, 3.0)]], 7)


def layout(indptr: list[int], indices: list[int], values: list[float], dim: int = 7, **counts: int) -> bytes:
    """A file, written from the description of the format; counts: of its header, where they are to differ."""
    header = {"rows": len(indptr) - 1, "dim": dim, "nnz": len(indices), **counts}
    return b"".join(
        np.array(part, dtype).tobytes()
        for part, dtype in ((list(header.values()), "<i8"), (indptr, "<i8"), (indices, "<i4"), (values, "<f4"))
    )


def read_both_ways(path: Path) -> SparseVectors:
    """The rows, or the one error, that both ways of reading agree on."""
    found: list[Any] = []
    for read in (SparseVectors.read, lambda path: SparseVectors.concatenate(list(iter_vectors(path, 2)))):
        try:
            found.append(read(path))
        except VectorsError as error:
            found.append(error)
    if isinstance(found[0], VectorsError):
        assert str(found[0]) == str(found[1])
        raise found[0]
    assert found[0] == found[1]
    return found[0]


def test_the_layout(tmp_path: Path) -> None:
    path = tmp_path / "v.csr"
    content = layout([0, 2, 2, 3], [0, 5, 3], [1, 2, 3])
    path.write_bytes(content)
    assert read_both_ways(path) == ROWS
    assert read_info(path) == VectorsInfo(3, 3, 7, None, None)
    assert read_vocabulary(path) is None
    ROWS.write(tmp_path / "again.csr", Vocabulary(list("abcdefg")), {"kind": "test"})
    assert (tmp_path / "again.csr").read_bytes() == content


@settings(max_examples=30)
@given(vectors=sparse_vectors(dim=7, min_rows=1), rows=st.integers(1, 13))
def test_written_is_read(tmp_path_factory: pytest.TempPathFactory, vectors: SparseVectors, rows: int) -> None:
    path = tmp_path_factory.mktemp("vectors") / "v.csr"
    vectors.with_ids(None).write(path)
    assert SparseVectors.read(path) == vectors.with_ids(None)
    batches = list(iter_vectors(path, rows))
    assert all(len(batch) <= rows for batch in batches)
    assert SparseVectors.concatenate(batches) == vectors.with_ids(None)


def test_rows_are_brought_into_normal_form(tmp_path: Path) -> None:
    """SciPy's matrices, which BigANN writes as they are, may have rows out of order."""
    path = tmp_path / "v.csr"
    path.write_bytes(layout([0, 4, 5], [5, 0, 5, 2, 1], [1, 2, 0.5, 0, 4]))
    assert read_both_ways(path) == from_pairs([[(0, 2.0), (5, 1.5)], [(1, 4.0)]], 7)


def test_many_parts(tmp_path: Path) -> None:
    vectors = made_vectors.short_documents(5_000)  # 230,000 weights, written in four parts
    vectors.write(tmp_path / "v.csr")
    assert SparseVectors.read(tmp_path / "v.csr") == vectors
    fields = (tmp_path / "v.csr").read_bytes()
    counts = np.frombuffer(fields, "<i8", 3)
    indptr = np.frombuffer(fields, "<i8", counts[0] + 1, 24)
    indices = np.frombuffer(fields, "<i4", counts[2], 24 + indptr.nbytes)
    values = np.frombuffer(fields, "<f4", offset=24 + indptr.nbytes + indices.nbytes)
    matrix = scipy.sparse.csr_matrix((values, indices, indptr), shape=tuple(counts[:2]))
    assert (matrix != vectors.to_scipy()).nnz == 0


def test_no_rows(tmp_path: Path) -> None:
    SparseVectors.empty(7).write(tmp_path / "v.csr")
    assert SparseVectors.read(tmp_path / "v.csr") == SparseVectors.empty(7)


def test_recognized_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "base.bin"
    path.write_bytes(layout([0, 2, 2, 3], [0, 5, 3], [1, 2, 3]))
    assert kind_of_file(path) == VECTORS
    assert is_vectors(str(path))
    assert read_both_ways(path) == ROWS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its header is truncated; expected a .csr file"),
        (layout([0, 1], [0], [1])[:-1], r"has 47 bytes, not the 48 of 1 rows and 1 weights, as its header says"),
        (layout([0, 1], [0], [1]) + b"\0", "has 49 bytes, not the 48"),
        (layout([0, 1], [0], [1], nnz=2**60), "has 48 bytes, not the 9223372036854775848"),
        (layout([0, 1], [0], [1], rows=-1), "its header says -1 rows, 7 components, 1 weights"),
        (layout([0, 1], [0], [1], dim=2**40), f"its header says 1 rows, {2**40} components"),
        (layout([0, 1], [0], [1], nnz=-1), "its header says 1 rows, 7 components, -1 weights"),
        (layout([1, 1], [0], [1]), "indptr starts at 1; it must start at 0"),
        (layout([0, 2, 1, 3], [0, 5, 3], [1, 2, 3]), "row 1: indptr continues with 1; it must not decrease"),
        (
            layout([0, 2, 9], [0, 5, 3], [1, 2, 3]),
            "row 1: indptr continues with 9; it must not decrease, nor exceed the 3",
        ),
        (layout([0, 1, 2], [0, 5, 3], [1, 2, 3]), "indptr ends at 2, but there are 3 components; write the file again"),
        (layout([0, 1, 2, 3], [0, 5, 7], [1, 2, 3]), "row 2: component 7 is outside 0 to 6"),
        (layout([0, 1, 2, 3], [0, -1, 6], [1, 2, 3]), "row 1: component -1 is outside 0 to 6"),
        (
            layout([0, 1, 2, 3], [0, 1, 6], [1, 2, -3]),
            "row 2: weight of component 6 is -3.0; weights must be finite and",
        ),
        (layout([0, 1, 2, 3], [0, 1, 6], [1, float("nan"), 3]), "row 1: weight of component 1 is nan"),
    ],
)
def test_damage_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "v.csr"
    path.write_bytes(content)
    with pytest.raises(VectorsError) as error:
        read_both_ways(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_packed_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.csr.gz"
    path.touch()
    for call in (SparseVectors.read, read_info, ROWS.write):
        with pytest.raises(VectorsError, match="decompress it with gunzip"):
            call(path)


def test_ids_are_refused_before_anything_is_encoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "v.csr"
    with pytest.raises(VectorsError, match=r"v\.csr: a \.csr file cannot store ids"):
        ROWS.with_ids(["a", "b", "c"]).write(path)
    assert main(["encode", str(LIBRARY), str(path), "--encoder", "no-such-model"]) == 2
    assert "cannot store ids" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_too_many_components(tmp_path: Path) -> None:
    with pytest.raises(VectorsError, match="can have at most 2147483648 components, not 4294967296"):
        SparseVectors.empty(2**32).write(tmp_path / "v.csr")


def test_the_command_line_indexes_it(tmp_path: Path) -> None:
    vectors = made_vectors.short_documents(500)
    vectors.write(tmp_path / "base.csr")
    assert main(["index", str(tmp_path / "base.csr"), str(tmp_path / "index")]) in (0, None)
    index = open_index(tmp_path / "index")
    assert isinstance(index, SeismicIndex)
    found = index.search(vectors[:20], 5)
    np.testing.assert_array_equal(found.rows, SeismicIndex.build(vectors).search(vectors[:20], 5).rows)


def test_python_indexes_it(tmp_path: Path) -> None:
    ROWS.write(tmp_path / "base.csr")
    searcher = build_index(tmp_path / "base.csr", tmp_path / "index")
    assert len(searcher.index) == 3


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    made_vectors.short_documents(130_000).write(tmp_path / "v.csr")  # 48 MB
    ended = run_python(PEAK_OF_READING, tmp_path / "v.csr")
    assert ended.stderr == ""
    rows, grown_mebibytes = map(int, ended.stdout.split())
    assert rows == 130_000
    assert grown_mebibytes <= 8
