"""ExactIndex against scipy, and what it promises about ties, padding, threads and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lsr import memory
from lsr.errors import IndexFormatError, ParameterError, StorageError, VectorsError
from lsr.index.index_checks import empty_result
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.result import SearchResult
from lsr.index.seismic.seismic_index import SeismicIndex
from lsr.storage.manifest import verify
from lsr.vectors.sparse_vectors import SparseVectors
from tests import made_vectors
from tests.processes import FULL_DISK, KILLED_IN_WRITE, run_python
from tests.strategies import DIMS, from_pairs, sparse_vectors

DOCUMENTS = from_pairs([[(0, 1.0)], [], [(0, 2.0), (2, 1.0)], [(2, 3.0)], [(0, 2.0)]], 4, ["a", "b", "c", "d", "e"])
QUERIES = from_pairs([[(0, 1.0)], [(3, 1.0)], [], [(0, 0.5), (2, 1.0)]], 4)

MAKE = """
import sys
from tests import made_vectors
from lsr.index.inverted.exact_index import ExactIndex
index = ExactIndex.build(made_vectors.short_queries(2000))
"""


def assert_same(found: SearchResult, expected: SearchResult) -> None:
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.ids, expected.ids)


def test_example() -> None:
    result = ExactIndex.build(DOCUMENTS).search(QUERIES, k=3)
    assert result.rows.tolist() == [[2, 4, 0], [-1, -1, -1], [-1, -1, -1], [3, 2, 4]]
    inf = float("inf")
    assert result.scores.tolist() == [[2, 2, 1], [-inf] * 3, [-inf] * 3, [3, 2, 1]]
    assert result.ids.tolist() == [["c", "e", "a"], [None] * 3, [None] * 3, ["d", "c", "e"]]
    assert [array.dtype.name for array in (result.scores, result.rows, result.ids)] == ["float32", "int64", "object"]
    assert len(result) == 4


@given(
    # Without 2**32 components, of which scipy's transposed matrix would make a list.
    st.sampled_from(DIMS[:-1]).flatmap(lambda dim: st.tuples(sparse_vectors(dim), sparse_vectors(dim))),
    st.integers(1, 15),
)
def test_equals_the_scipy_product(drawn: tuple[SparseVectors, SparseVectors], k: int) -> None:
    documents, queries = drawn
    products = (queries.to_scipy().astype(np.float64) @ documents.to_scipy().astype(np.float64).T).toarray()
    result = ExactIndex.build(documents).search(queries, k)
    assert result.rows.shape == result.scores.shape == (len(queries), k)
    for query, row_products in enumerate(products):
        n_hits = min(k, int((row_products > 0).sum()))
        rows, scores = result.rows[query], result.scores[query]
        assert (rows[n_hits:] == -1).all()
        assert (scores[n_hits:] == -np.inf).all()
        rows, scores = rows[:n_hits], scores[:n_hits]
        assert len(set(rows.tolist())) == n_hits
        np.testing.assert_allclose(scores, row_products[rows], rtol=1e-6)
        np.testing.assert_allclose(scores, -np.sort(-row_products)[:n_hits], rtol=1e-6)
        ranks = list(zip((-scores).tolist(), rows.tolist(), strict=True))
        assert ranks == sorted(ranks)  # of equal scores the lower row first


@pytest.mark.parametrize(
    ("indexed", "asked"),
    [
        (made_vectors.short_documents(20_000), made_vectors.short_queries(100)),
        (made_vectors.long_documents(5000), made_vectors.long_queries(100)),
    ],
    ids=["short", "long"],
)
def test_scores_are_those_of_scipy(indexed: SparseVectors, asked: SparseVectors) -> None:
    result = ExactIndex.build(indexed).search(asked, k=100)
    products = (asked.to_scipy().astype(np.float64) @ indexed.to_scipy().astype(np.float64).T).toarray()
    expected = -np.sort(-products, axis=1)[:, :100]
    np.testing.assert_allclose(np.where(result.rows < 0, 0, result.scores), expected, rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(products, result.rows, axis=1), expected, rtol=1e-5)


def test_ties_go_to_the_lower_row() -> None:
    documents = from_pairs([[(0, float(weight))] for weight in [1, 2, 1, 2, 1, 2, 1]], 1)
    index = ExactIndex.build(documents)
    for k in range(1, 9):
        rows = index.search(from_pairs([[(0, 1.0)]], 1), k).rows[0]
        assert rows[rows >= 0].tolist() == [1, 3, 5, 0, 2, 4, 6][:k]


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_threads_change_nothing(threads: int) -> None:
    index = ExactIndex.build(made_vectors.short_documents(5_000))
    queries = made_vectors.short_queries(333)
    assert_same(index.search(queries, 20, threads=threads), index.search(queries, 20))


def test_queries_do_not_depend_on_their_neighbors() -> None:
    index = ExactIndex.build(made_vectors.short_documents(5_000))
    queries = made_vectors.short_queries(70)
    together = index.search(queries, 20)
    order = np.random.default_rng(1).permutation(70)
    np.testing.assert_array_equal(index.search(queries[order], 20).scores, together.scores[order])
    for i in (0, 31, 32, 69):
        np.testing.assert_array_equal(index.search(queries[i], 20).rows[0], together.rows[i])


def test_k_may_exceed_the_documents() -> None:
    result = ExactIndex.build(DOCUMENTS).search(QUERIES, k=1000)
    assert result.rows.shape == (4, 1000)
    assert (result.rows >= 0).sum(axis=1).tolist() == [3, 0, 0, 4]
    assert (result.rows[:, 4:] == -1).all()


@pytest.mark.parametrize("documents", [SparseVectors.empty(4), SparseVectors([0, 0, 0], [], [], 4)])
def test_nothing_to_find(documents: SparseVectors, tmp_path: Path) -> None:
    index = ExactIndex.build(documents)
    index.save(tmp_path / "index")
    for each in (index, ExactIndex.open(tmp_path / "index")):
        assert len(each) == len(documents)
        assert (each.search(QUERIES, 3).rows == -1).all()
        assert each.search(SparseVectors.empty(4)).rows.shape == (0, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k is 0; it must be a whole number of at least 1"),
        ({"k": -1}, "k is -1"),
        ({"k": 2.5}, "k is 2.5"),
        ({"k": True}, "k is True"),
        ({"k": 10**15}, "do not fit in memory"),
        ({"threads": 0}, "threads is 0; it must be a whole number of at least 1"),
        ({"queries": SparseVectors.empty(5)}, "queries have 5 components, but the index has 4"),
        ({"queries": "heart"}, "queries are texts, 'heart'; encode them first"),
        ({"queries": None}, "queries are of type NoneType; give SparseVectors"),
    ],
)
def test_bad_searches_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ExactIndex.build(DOCUMENTS).search(**{"queries": QUERIES, **arguments})


def test_vectors_of_other_libraries() -> None:
    expected = ExactIndex.build(DOCUMENTS).search(QUERIES, 2)
    for other, queries in (
        (DOCUMENTS.to_dense(), QUERIES.to_dense()),
        (DOCUMENTS.to_scipy(), QUERIES.to_scipy().tocoo()),
        (torch.tensor(DOCUMENTS.to_dense()).to_sparse(), torch.tensor(QUERIES.to_dense()).to_sparse_csr()),
        (list(DOCUMENTS), [dict(zip(*map(np.ndarray.tolist, row.row(0)), strict=True)) for row in QUERIES]),
    ):
        for kind in (ExactIndex, SeismicIndex):
            found = kind.build(other).search(queries, 2)
            np.testing.assert_array_equal(found.rows, expected.rows)
            np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-6)
    with pytest.raises(ParameterError, match="vectors are texts, 'heart'"):
        ExactIndex.build(["heart"])


def test_ids() -> None:
    assert list(ExactIndex.build(DOCUMENTS).ids or ()) == ["a", "b", "c", "d", "e"]
    given_ids = ExactIndex.build(DOCUMENTS, ids=["v", "w", "x", "y", "z"])
    assert given_ids.search(QUERIES, 1).ids.tolist() == [["x"], [None], [None], ["y"]]
    without = ExactIndex.build(SparseVectors(DOCUMENTS.indptr, DOCUMENTS.indices, DOCUMENTS.values, 4))
    assert without.ids is None
    assert without.search(QUERIES, 1).ids.tolist() == [["2"], [None], [None], ["3"]]
    with pytest.raises(VectorsError, match="4 ids for 5 rows"):
        ExactIndex.build(DOCUMENTS, ids=["v", "w", "x", "y"])
    with pytest.raises(VectorsError, match="row 4: id 'v' is also that of row 0"):
        ExactIndex.build(DOCUMENTS, ids=["v", "w", "x", "y", "v"])


def test_vector() -> None:
    documents = made_vectors.short_documents(100)
    index = ExactIndex.build(documents)
    for row in range(100):
        components, weights = index.vector(row)
        assert (components.dtype.name, weights.dtype.name) == ("uint32", "float32")
        np.testing.assert_array_equal(components, documents.row(row)[0])
        np.testing.assert_array_equal(weights, documents.row(row)[1])
    with pytest.raises(ParameterError, match="row 100 does not exist; the index has 100 documents"):
        index.vector(100)


# On disk


def test_saved_is_opened(tmp_path: Path) -> None:
    documents = made_vectors.short_documents(5_000)
    index = ExactIndex.build(documents, ids=[f"ü{i}" for i in range(5_000)])
    index.save(tmp_path / "deep" / "index")
    opened = ExactIndex.open(tmp_path / "deep" / "index")
    queries = made_vectors.short_queries(100)
    assert_same(opened.search(queries, 20, threads=2), index.search(queries, 20))
    assert (len(opened), opened.dim, opened.nbytes) == (len(index), index.dim, index.nbytes)
    assert opened.ids is not None
    assert list(opened.ids) == list(index.ids or ())
    np.testing.assert_array_equal(opened.vector(77)[0], documents.row(77)[0])
    verify(tmp_path / "deep" / "index")


def test_an_index_can_be_saved_over_itself(tmp_path: Path) -> None:
    ExactIndex.build(DOCUMENTS).save(tmp_path / "index")
    opened = ExactIndex.open(tmp_path / "index")
    opened.save(tmp_path / "index")
    expected = ExactIndex.build(DOCUMENTS).search(QUERIES)
    assert_same(opened.search(QUERIES), expected)
    assert_same(ExactIndex.open(tmp_path / "index").search(QUERIES), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_extra_files_and_entries(tmp_path: Path) -> None:
    def extra(folder: Path) -> dict[str, Any]:
        (folder / "encoder").mkdir()
        (folder / "encoder" / "encoder.json").write_text("{}")
        return {"encoder": {"kind": "test"}}

    ExactIndex.build(DOCUMENTS).save(tmp_path / "index", extra)
    manifest = json.loads((tmp_path / "index" / "manifest.json").read_text())
    assert manifest["encoder"] == {"kind": "test"}
    assert manifest["files"]["encoder/encoder.json"]["bytes"] == 2
    assert len(ExactIndex.open(tmp_path / "index")) == 5


def test_full_disk(tmp_path: Path) -> None:
    ExactIndex.build(DOCUMENTS).save(tmp_path / "index")
    ended = run_python(MAKE + FULL_DISK.format(limit=50_000) + "index.save(sys.argv[1])", tmp_path / "index")
    assert "StorageError: " in ended.stderr
    assert "cannot be written" in ended.stderr
    assert ExactIndex.open(tmp_path / "index").ids is not None
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_killed_while_saving(tmp_path: Path) -> None:
    ExactIndex.build(DOCUMENTS).save(tmp_path / "index")
    ended = run_python(MAKE + KILLED_IN_WRITE.format(limit=50_000) + "index.save(sys.argv[1])", tmp_path / "index")
    assert ended.returncode < 0
    verify(tmp_path / "index")
    assert len(ExactIndex.open(tmp_path / "index")) == 5


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").touch()
    with pytest.raises(StorageError, match=r"cannot be replaced: .*there is no manifest\.json"):
        ExactIndex.build(DOCUMENTS).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def save_array(folder: Path, name: str, array: np.ndarray[Any, Any]) -> None:
    """Replace an array and make the manifest agree."""
    path = folder / f"{name}.npy"
    np.save(path, array)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][path.name]["bytes"] = path.stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("rows", np.zeros(5, np.int64), "its posting lists do not match"),
        ("weights", np.zeros((5, 1), np.float32), "its posting lists do not match"),
        ("weights", np.zeros(4, np.float32), "its posting lists do not match"),
        ("starts", np.array([0, 3, 9]), "its posting lists do not match"),
        ("starts", np.array([0, 1, 2, 5]), "its posting lists do not match"),
        ("components", np.zeros(1, np.uint32), "its posting lists do not match"),
        ("indptr", np.array([0, 1, 1, 3, 4, 6]), "its arrays do not match"),
        ("indptr", np.array([0, 1, 0, 3, 4, 5]), "its arrays do not match"),
        ("indptr", np.array([], np.int64), "its arrays do not match"),
        ("lists", np.zeros(5, np.int16), "its arrays do not match"),
        ("lists", np.array([{}], object), "missing or damaged"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, name: str, array: np.ndarray[Any, Any], message: str) -> None:
    ExactIndex.build(DOCUMENTS).save(tmp_path / "index")
    save_array(tmp_path / "index", name, array)
    with pytest.raises(IndexFormatError, match=message):
        ExactIndex.open(tmp_path / "index")


@pytest.mark.parametrize("entry", ["dim", "has_ids"])
def test_manifest_that_lacks_an_entry(tmp_path: Path, entry: str) -> None:
    ExactIndex.build(DOCUMENTS).save(tmp_path / "index")
    path = tmp_path / "index" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest[entry]
    path.write_text(json.dumps(manifest))
    with pytest.raises(IndexFormatError, match=f"damaged manifest .*KeyError.'{entry}'"):
        ExactIndex.open(tmp_path / "index")


def test_more_hits_than_the_machine_has_memory_for_are_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 1 << 28)
    with pytest.raises(ParameterError, match="do not fit in memory"):
        empty_result(1, 1 << 25)
    scores, rows = empty_result(2, 1 << 10)
    assert scores.shape == rows.shape == (2, 1 << 10)
