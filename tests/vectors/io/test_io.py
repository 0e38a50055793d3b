"""What all formats of vectors have in common: what is written comes back, as a stream, or not at all."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.errors import ParameterError, StorageError, VectorsError
from lsr.vectors.io import VectorsInfo, iter_vectors, read_info, read_vocabulary
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary
from tests import made_vectors
from tests.data import data_path, load_vectors
from tests.processes import FULL_DISK, KILLED_IN_WRITE, run_python
from tests.strategies import from_pairs, sparse_vectors
from tests.vectors.io.peak import PEAK_OF_READING

NAMES = ("v.npz", "v.jsonl", "v.jsonl.gz", "v")
WORDS = Vocabulary(["a", "##b", "", "ü", '"', "\n", "日本"])

WRITE = """
import sys
import numpy as np
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary
rows = 20_000
vectors = SparseVectors(np.arange(rows + 1), np.arange(rows) % 7, np.random.default_rng(1).random(rows), 7)
vocabulary = Vocabulary(list("abcdefg"))
"""


def numbered(vectors: SparseVectors) -> SparseVectors:
    ids = [f"d{i}" for i in range(len(vectors))]
    return SparseVectors(vectors.indptr, vectors.indices, vectors.values, vectors.dim, ids)


@pytest.fixture(params=NAMES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@settings(max_examples=30)
@given(name=st.sampled_from(NAMES), vectors=sparse_vectors(dim=7, min_rows=1, with_ids=True), rows=st.integers(1, 13))
def test_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, name: str, vectors: SparseVectors, rows: int
) -> None:
    path = tmp_path_factory.mktemp("vectors") / name
    vectors.write(path, WORDS)
    assert SparseVectors.read(path, WORDS) == vectors
    batches = list(iter_vectors(path, rows, WORDS))
    assert all(len(batch) <= rows for batch in batches)
    assert SparseVectors.concatenate(batches) == vectors


@settings(max_examples=20)
@given(name=st.sampled_from(["v.npz", "v"]), vectors=sparse_vectors(min_rows=1, with_ids=True))
def test_any_number_of_components(tmp_path_factory: pytest.TempPathFactory, name: str, vectors: SparseVectors) -> None:
    path = tmp_path_factory.mktemp("vectors") / name
    vectors.write(path)
    assert SparseVectors.read(path) == vectors
    assert read_vocabulary(path) is None


def test_many_vectors_come_back(path: Path) -> None:
    vectors = numbered(made_vectors.short_documents(2_000))
    vocabulary = Vocabulary([f"t{i}" for i in range(vectors.dim)])
    vectors.write(path, vocabulary)
    assert SparseVectors.read(path, vocabulary) == vectors
    batches = list(iter_vectors(path, 300, vocabulary))
    assert [len(batch) for batch in batches] == [300] * 6 + [200]
    assert SparseVectors.concatenate(batches) == vectors


def test_info_and_vocabulary(path: Path) -> None:
    vectors = from_pairs([[(2, 1.0), (0, 2.0)], [], [(1, 1.0)]], 3, ["x", "y", "z"])
    vocabulary = Vocabulary(["a", "b", "c"])
    encoder = {"kind": "splade", "max_length": 256, "layers": [1, None, 2.5]}
    vectors.write(path, vocabulary, encoder)
    if ".jsonl" in path.name:  # holds the tokens that occur, and no encoder
        found = Vocabulary(["a", "c", "b"])
        assert read_info(path) == VectorsInfo(3, 3, 3, None, found.hash)
        assert read_vocabulary(path) == found
    else:
        assert read_info(path) == VectorsInfo(3, 3, 3, encoder, vocabulary.hash)
        assert read_vocabulary(path) == vocabulary


def test_no_rows(path: Path) -> None:
    SparseVectors.empty(7).write(path, WORDS)
    assert SparseVectors.read(path, WORDS).dim == 7
    assert len(SparseVectors.read(path, WORDS)) == 0
    assert list(iter_vectors(path, 10, WORDS)) == []
    assert read_info(path).rows == 0


def test_rows_without_ids(path: Path) -> None:
    from_pairs([[(0, 1.0)], [], [(1, 1.0)]], 7).write(path, WORDS)
    # JSONL and Parquet rows have an id always; theirs are the rows' numbers.
    assert SparseVectors.read(path, WORDS).ids == (None if path.suffix == ".npz" else ["0", "1", "2"])


def test_writing_again_replaces(path: Path) -> None:
    for weight in (1.0, 2.0):
        vectors = from_pairs([[(0, weight)]], 7, ["x"])
        vectors.write(path, WORDS)
        assert SparseVectors.read(path, WORDS) == vectors
    assert len(list(path.parent.iterdir())) == 1


def test_equal_vectors_make_equal_files(path: Path) -> None:
    vectors = numbered(made_vectors.short_queries(100))
    vocabulary = Vocabulary([f"t{i}" for i in range(vectors.dim)])
    contents = []
    for _ in range(2):
        vectors.write(path, vocabulary, {"kind": "test"})
        contents.append([each.read_bytes() for each in sorted(path.rglob("*")) or [path]])
    assert contents[0] == contents[1]


def test_full_disk(path: Path) -> None:
    from_pairs([[(0, 1.0)]], 7, ["old"]).write(path, WORDS)
    ended = run_python(WRITE + FULL_DISK.format(limit=30_000) + "vectors.write(sys.argv[1], vocabulary)", path)
    assert ended.stderr.splitlines()[-1].startswith("lsr.errors.StorageError: ")
    assert "cannot be written: File too large; free some space" in ended.stderr
    assert str(path.parent) in ended.stderr.splitlines()[-1]
    assert SparseVectors.read(path, WORDS).ids == ["old"]
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_killed_while_writing(path: Path) -> None:
    from_pairs([[(0, 1.0)]], 7, ["old"]).write(path, WORDS)
    ended = run_python(WRITE + KILLED_IN_WRITE.format(limit=30_000) + "vectors.write(sys.argv[1], vocabulary)", path)
    assert ended.returncode < 0
    assert SparseVectors.read(path, WORDS).ids == ["old"]


def test_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in NAMES:
        with pytest.raises(StorageError, match="cannot be written: Not a directory"):
            SparseVectors.empty(7).write(tmp_path / "file" / name, WORDS)


def test_memory_does_not_grow_with_the_file(path: Path) -> None:
    # 6 million weights, 36 MB in .npz; fewer as JSONL, which is slow to make.
    source = made_vectors.short_documents(10_000 if ".jsonl" in path.name else 130_000)
    numbered(source).write(path, Vocabulary([f"token-{i}" for i in range(source.dim)]))
    ended = run_python(PEAK_OF_READING, path)
    assert ended.stderr == ""
    rows, grown_mebibytes = map(int, ended.stdout.split())
    assert rows == len(source)
    assert grown_mebibytes <= 8


@pytest.mark.parametrize("name", ["v.npz", "v.jsonl", "v.jsonl.gz", "v", "v.csv"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    for read in (SparseVectors.read, iter_vectors, read_info, read_vocabulary):
        with pytest.raises(VectorsError, match=rf"{name}: no such file or folder; give an \.npz"):
            read(tmp_path / name)


def test_something_else_there(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("1,2,3")
    with pytest.raises(VectorsError, match=r"v\.csv: is a file, not a file of vectors; give an \.npz"):
        SparseVectors.read(tmp_path / "v.csv")
    for name in ("v.npz", "v.jsonl"):
        (tmp_path / name).mkdir()
        with pytest.raises(VectorsError, match=f"{name}: has no vectors.json"):
            SparseVectors.read(tmp_path / name)


def test_rows_of_a_batch(path: Path) -> None:
    SparseVectors.empty(7).write(path, WORDS)
    with pytest.raises(ParameterError, match="rows is 0"):
        iter_vectors(path, 0)


@pytest.mark.parametrize("name", ["v.npz", "v"])
def test_another_vocabulary_is_refused(tmp_path: Path, name: str) -> None:
    from_pairs([[(0, 1.0)]], 2).write(tmp_path / name, Vocabulary(["a", "b"]))
    for other in (Vocabulary(["b", "a"]), Vocabulary(["a", "b", "c"])):
        for read in (SparseVectors.read, lambda path, other: iter_vectors(path, 1, other)):
            with pytest.raises(VectorsError, match=f"{name}: has 2 components, but the given vocabulary has"):
                read(tmp_path / name, other)


def test_vocabulary_must_fit_the_vectors(path: Path) -> None:
    with pytest.raises(VectorsError, match="the vocabulary has 7 tokens, but the vectors have 8 components"):
        SparseVectors.empty(8).write(path, WORDS)


@pytest.mark.parametrize("metadata", [{"x": object()}, {"x": float("nan")}, {"x": {1, 2}}])
def test_metadata_must_be_json(path: Path, metadata: dict[str, Any]) -> None:
    with pytest.raises(VectorsError, match="description of the encoder is not JSON"):
        SparseVectors.empty(7).write(path, WORDS, metadata)
    assert not path.exists()


@pytest.mark.parametrize("name", ["v.jsonl", "v.jsonl.gz", "v"])
def test_duplicate_ids_are_not_written(tmp_path: Path, name: str) -> None:
    vectors = from_pairs([[], [], []], 7, ["x", "y", "x"])
    with pytest.raises(VectorsError, match="row 2: id 'x' is also that of row 0"):
        vectors.write(tmp_path / name, WORDS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data
@pytest.mark.parametrize("name", ["packages-500k", "packages-queries", "wiki-passages", "wiki-queries"])
def test_real_archives(name: str) -> None:
    path = data_path("vectors", f"{name}.npz")
    vectors = load_vectors(name)
    with np.load(path) as arrays:
        assert read_info(path) == VectorsInfo(len(arrays["indptr"]) - 1, len(arrays["indices"]), 30_522, None, None)
        np.testing.assert_array_equal(vectors.indptr, arrays["indptr"])
        np.testing.assert_array_equal(vectors.indices, arrays["indices"])
        np.testing.assert_array_equal(vectors.values, arrays["values"].astype(np.float32))
    first = list(itertools.islice(iter_vectors(path, 1000), 3))
    assert SparseVectors.concatenate(first) == vectors[:3000]
