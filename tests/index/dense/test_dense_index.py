"""The dense index against NumPy, in both kinds, both metrics, in memory and mapped."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lsr.errors import IndexFormatError, LsrError, ParameterError, StorageError, VectorsError
from lsr.index.dense.dense_index import DenseIndex, write_dense
from lsr.index.dense_config import DenseConfig
from lsr.index.parameters import SearchParams
from lsr.storage.manifest import verify
from lsr.vectors.sparse_vectors import SparseVectors
from tests.processes import KILLED_IN_WRITE, run_python

KINDS = ("flat", "hnsw")
METRICS = ("inner-product", "cosine")


@pytest.fixture(scope="module")
def documents() -> np.ndarray:
    """Clustered, as embeddings are, of different lengths."""
    random = np.random.default_rng(1)
    centers = random.standard_normal((20, 32))
    points = centers[random.integers(0, 20, 1500)] + 0.4 * random.standard_normal((1500, 32))
    return (points * random.uniform(0.5, 2, (1500, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def queries(documents: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(2)
    return documents[::50] + 0.1 * random.standard_normal((30, 32)).astype(np.float32)


def exact(documents: np.ndarray, queries: np.ndarray, metric: str) -> np.ndarray:
    if metric == "cosine":
        documents = documents / np.linalg.norm(documents, axis=1, keepdims=True)
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return queries.astype(np.float64) @ documents.T.astype(np.float64)


def test_a_manifest_in_british_spelling_is_read(documents: np.ndarray, tmp_path: Path) -> None:
    DenseIndex.build(documents, DenseConfig(neighbors=7)).save(tmp_path / "index")
    path = tmp_path / "index" / "manifest.json"
    path.write_text(path.read_text().replace('"neighbors"', '"neighbours"'))
    assert DenseIndex.open(tmp_path / "index").config == DenseConfig(neighbors=7)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("mapped", [False, True])
def test_flat_search_is_exact(
    documents: np.ndarray, queries: np.ndarray, metric: str, mapped: bool, tmp_path: Path
) -> None:
    index = DenseIndex.build(documents, DenseConfig(metric=metric))
    if mapped:
        index.save(tmp_path / "index")
        index = DenseIndex.open(tmp_path / "index")
    found = index.search(queries, k=20, threads=2)
    scores = exact(documents, queries, metric)
    assert np.array_equal(found.rows, np.argsort(-scores, axis=1, kind="stable")[:, :20])
    assert found.scores == pytest.approx(-np.sort(-scores, axis=1)[:, :20], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("mapped", [False, True])
def test_graphs_find_nearly_all_and_exact_all(
    documents: np.ndarray, queries: np.ndarray, metric: str, mapped: bool, tmp_path: Path
) -> None:
    index = DenseIndex.build(documents, DenseConfig("hnsw", metric), threads=1)
    if mapped:
        index.save(tmp_path / "index")
        index = DenseIndex.open(tmp_path / "index")
    best = np.argsort(-exact(documents, queries, metric), axis=1, kind="stable")[:, :10]
    found = index.search(queries, k=10).rows
    assert np.mean([len({*a} & {*b}) / 10 for a, b in zip(found.tolist(), best.tolist(), strict=True)]) > 0.95
    assert np.array_equal(index.search(queries, k=10, params=SearchParams(exact=True)).rows, best)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("share", [0.003, 0.1, 0.5, 0.9])
def test_filters_find_what_the_allowed_alone_would(
    documents: np.ndarray, queries: np.ndarray, metric: str, share: float, tmp_path: Path
) -> None:
    mask = np.random.default_rng(3).random(len(documents)) < share
    rows = np.flatnonzero(mask)
    expected = DenseIndex.build(documents[rows], DenseConfig(metric=metric)).search(queries, 10)
    best = np.where(expected.rows < 0, -1, rows[expected.rows])
    DenseIndex.build(documents, DenseConfig(metric=metric)).save(tmp_path / "flat")
    # So small that only few documents are as many as a walk through the graph compares.
    narrow = DenseConfig("hnsw", metric, neighbors=8, ef_search=32)
    DenseIndex.build(documents, narrow, threads=1).save(tmp_path / "hnsw")
    flat, graph = (DenseIndex.open(tmp_path / kind) for kind in KINDS)
    for index, params in ((flat, None), (graph, SearchParams(exact=True))):
        found = index.search(queries, 10, params, threads=2, allowed=mask)
        assert np.array_equal(found.rows, best)
        assert found.scores == pytest.approx(expected.scores, rel=1e-5)
    found = graph.search(queries, 10, allowed=rows)
    assert mask[found.rows[found.rows >= 0]].all()
    assert np.array_equal((found.rows >= 0).sum(1), (best >= 0).sum(1))
    assert (
        np.mean([len({*a} & {*b}) / len({*b}) for a, b in zip(found.rows.tolist(), best.tolist(), strict=True)]) > 0.9
    )


def test_a_graph_of_one_thread_is_always_the_same(documents: np.ndarray, tmp_path: Path) -> None:
    for name in "ab":
        DenseIndex.build(documents, DenseConfig("hnsw"), threads=1).save(tmp_path / name)
    assert (tmp_path / "a" / "graph.faiss").read_bytes() == (tmp_path / "b" / "graph.faiss").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_scores_are_ordered_by_row_and_places_are_padded(kind: str) -> None:
    index = DenseIndex.build(np.ones((5, 3), np.float32), DenseConfig(kind), ids=list("edcba"))
    found = index.search(np.ones((2, 3), np.float32), k=7)
    assert found.rows.tolist() == [[0, 1, 2, 3, 4, -1, -1]] * 2
    assert found.scores.tolist() == [[3.0] * 5 + [-np.inf] * 2] * 2
    assert found.ids[0].tolist() == [*"edcba", None, None]


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_index_finds_nothing(kind: str, tmp_path: Path) -> None:
    DenseIndex.build(np.zeros((0, 4), np.float32), DenseConfig(kind)).save(tmp_path / "index")
    index = DenseIndex.open(tmp_path / "index")
    assert (len(index), index.dim) == (0, 4)
    assert index.search(np.ones((1, 4), np.float32), k=3).rows.tolist() == [[-1, -1, -1]]


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_that_are_compared(documents: np.ndarray, kind: str, tmp_path: Path) -> None:
    DenseIndex.build(documents, DenseConfig(kind, "cosine")).save(tmp_path / "index")
    index = DenseIndex.open(tmp_path / "index")
    found = index.gather(np.array([7, 0, 7]))
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert found[0] == pytest.approx(documents[7] / np.linalg.norm(documents[7]), abs=1e-6)
    with pytest.raises(ParameterError, match="1500 documents"):
        index.gather(np.array([1500]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", METRICS)
def test_written_part_by_part_equals_built_at_once(
    documents: np.ndarray, queries: np.ndarray, kind: str, metric: str, tmp_path: Path
) -> None:
    from lsr.storage.manifest import replacing_folder, write_manifest

    config = DenseConfig(kind, metric)
    ids = [f"d{row}" for row in range(1500)]
    parts = [(ids[start : start + 400], documents[start : start + 400]) for start in range(0, 1500, 400)]
    with replacing_folder(tmp_path / "index") as folder:
        write_manifest(folder, write_dense(folder, parts, 1500, 32, config, threads=1))
    written = DenseIndex.open(tmp_path / "index").search(queries, params=SearchParams(exact=True))
    built = DenseIndex.build(documents, config, ids, threads=1).search(queries, params=SearchParams(exact=True))
    assert np.array_equal(written.rows, built.rows)
    assert written.ids.tolist() == built.ids.tolist()


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.full((2, 2), 1e30, np.float32), "row 0: has NaN, infinity, or a value above"),
        (np.full((2, 2), np.nan, np.float32), "row 0: has NaN, infinity, or a value above"),
        (np.ones(3, np.float32), r"type float32 and shape \[3\]"),
        (np.ones((2, 2), np.int64), "int64"),
        (np.ones((2, 0), np.float32), r"type float32 and shape \[2, 0\]"),
        (np.array([[1e300]]), "row 0"),
    ],
)
def test_vectors_that_are_none_are_refused(vectors: np.ndarray, said: str) -> None:
    with pytest.raises(VectorsError, match=said), np.errstate(over="ignore"):
        DenseIndex.build(vectors)


def test_bad_searches_and_configurations_are_refused(documents: np.ndarray) -> None:
    index = DenseIndex.build(documents)
    for k, threads, dim, said in ((0, 1, 32, "k is 0"), (1, 0, 32, "threads is 0"), (1, 1, 31, "31 components")):
        with pytest.raises(ParameterError, match=said):
            index.search(np.ones((1, dim), np.float32), k=k, threads=threads)
    with pytest.raises(ParameterError, match="settings are of type int; give SearchParams"):
        index.search(documents[:1], params=5)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="settings are of type dict; give DenseConfig"):
        DenseIndex.build(documents, {"kind": "flat"})  # type: ignore[arg-type]
    for wrong in ({"kind": "ivf"}, {"metric": "l2"}, {"neighbors": 1}, {"ef_search": 0}, {"ef_construction": 1.5}):
        with pytest.raises(ParameterError):
            DenseConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(VectorsError, match="unique"):
        DenseIndex.build(documents[:2], ids=["a", "a"])


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_an_error(documents: np.ndarray, kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    DenseIndex.build(documents, DenseConfig(kind), [str(row) for row in range(1500)]).save(folder)
    verify(folder)
    for path in sorted(folder.iterdir()):
        damaged = tmp_path / "damaged"
        shutil.copytree(folder, damaged)
        (damaged / path.name).write_bytes(path.read_bytes()[:-9])
        with pytest.raises(IndexFormatError):
            DenseIndex.open(damaged)
        (damaged / path.name).unlink()
        with pytest.raises(IndexFormatError):
            DenseIndex.open(damaged)
        shutil.rmtree(damaged)


def test_a_sparse_index_is_no_dense_one(tmp_path: Path) -> None:
    from lsr.index.inverted.exact_index import ExactIndex

    ExactIndex.build(SparseVectors([0, 1], [0], [1.0], 2)).save(tmp_path / "sparse")
    with pytest.raises(IndexFormatError, match="kind 'exact', not 'dense'"):
        DenseIndex.open(tmp_path / "sparse")


@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_it_is_saved_the_old_index_stays(documents: np.ndarray, kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    DenseIndex.build(documents[:10]).save(folder)
    code = f"""
import sys, numpy as np
from lsr.index.dense_config import DenseConfig
from lsr.index.dense.dense_index import DenseIndex
index = DenseIndex.build(np.ones((5000, 64), np.float32), DenseConfig({kind!r}))
{KILLED_IN_WRITE.format(limit=200_000)}
index.save(sys.argv[1])
"""
    assert run_python(code, folder).returncode < 0
    assert len(DenseIndex.open(folder)) == 10
    DenseIndex.build(documents[:20]).save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_a_storage_error(kind: str, tmp_path: Path) -> None:
    from tests.processes import FULL_DISK

    code = f"""
import signal, sys, numpy as np
from lsr.errors import StorageError
from lsr.index.dense_config import DenseConfig
from lsr.index.dense.dense_index import DenseIndex
index = DenseIndex.build(np.ones((5000, 64), np.float32), DenseConfig({kind!r}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
{FULL_DISK.format(limit=200_000)}
try:
    index.save(sys.argv[1])
except StorageError:
    print("told")
"""
    outcome = run_python(code, tmp_path / "index")
    assert outcome.stdout == "told\n", outcome.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_parts_are_written(tmp_path: Path) -> None:
    from tests.processes import FULL_DISK

    code = f"""
import sys, numpy as np
from pathlib import Path
from lsr.errors import StorageError
from lsr.index.dense_config import DenseConfig
from lsr.index.dense.dense_index import write_dense
{FULL_DISK.format(limit=200_000)}
parts = (([f"{{at}}-{{row}}" for row in range(100)], np.ones((100, 64), np.float32)) for at in range(50))
try:
    write_dense(Path(sys.argv[1]), parts, 5000, 64, DenseConfig(), 1)
except StorageError:
    print("told")
"""
    outcome = run_python(code, tmp_path)
    assert outcome.stdout == "told\n", outcome.stderr


def test_nothing_else_is_replaced(documents: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(StorageError):
        DenseIndex.build(documents).save(tmp_path)
    assert isinstance(StorageError("x"), LsrError)
    assert (tmp_path / "mine.txt").read_text() == "kept"
