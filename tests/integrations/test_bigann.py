"""BigANN's runner, called as its harness calls it, on a data set of that format made here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import yaml

from lsr.errors import VectorsError
from lsr.index.inverted.exact_index import ExactIndex
from lsr.index.parameters import SearchParams
from lsr.index.seismic.seismic_index import SeismicIndex
from tests import made_vectors, stand_ins
from tests.data import REPOSITORY
from tests.index.samples import always_blocks

K = 10


class BaseANN:
    """benchmark/algorithms/base.py, as far as lsr leaves it as it is."""

    def done(self) -> None: ...

    def get_additional(self) -> dict[str, float]:
        return {}

    def get_memory_usage(self) -> float:
        return 0.0


class SmallDataset:
    """benchmark/datasets.py's SparseDataset, of files in the working directory."""

    def get_dataset_fn(self) -> str:
        return "data/sparse/base_small.csr"

    def get_queries(self) -> Any:
        return read_sparse_matrix("data/sparse/queries.dev.csr")


def read_sparse_matrix(path: str) -> Any:
    """What benchmark/dataset_io.py makes of a file: indices and indptr in their own types."""
    content = Path(path).read_bytes()
    n, dim, nnz = np.frombuffer(content, "int64", 3)
    indptr = np.frombuffer(content, "int64", n + 1, 24)
    indices = np.frombuffer(content, "int32", nnz, 24 + indptr.nbytes)
    data = np.frombuffer(content, "float32", nnz, 24 + indptr.nbytes + indices.nbytes)
    return scipy.sparse.csr_matrix((data, indices, indptr), shape=(n, dim))


@pytest.fixture
def bigann(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, beside a data set of 3,000 documents and 60 queries, whose indexes have blocks as large ones do."""
    (tmp_path / "data" / "sparse").mkdir(parents=True)
    made_vectors.short_documents(3_000).write(tmp_path / "data" / "sparse" / "base_small.csr")
    made_vectors.short_queries(60).write(tmp_path / "data" / "sparse" / "queries.dev.csr")
    monkeypatch.chdir(tmp_path)
    stand_ins.put(monkeypatch, "benchmark.algorithms.base", BaseANN=BaseANN)
    stand_ins.put(monkeypatch, "benchmark.datasets", DATASETS={"sparse-small": SmallDataset})
    with always_blocks():
        yield stand_ins.load("bigann", "lsr_engine.py")


def run(module: Any, dataset: str, rebuild: bool) -> dict[str, Any]:
    """What benchmark/runner.py and base_runner.py do with the definitions of config.yaml: results by their names."""
    config = yaml.safe_load((REPOSITORY / "integrations" / "bigann" / "config.yaml").read_text())[dataset]["lsr"]
    [group] = config["run-groups"].values()
    [arguments] = json.loads(group["args"])
    assert config["base-args"] == ["@metric"]
    algo = getattr(module, config["constructor"])("ip", arguments)
    assert config["module"] == f"neurips23.sparse.lsr.{module.__name__}"
    algo.get_memory_usage()
    if rebuild or not algo.load_index(dataset):
        algo.fit(dataset)
    results = {}
    for searched in json.loads(group["query-args"]):
        if searched:
            algo.set_query_arguments(searched)
        queries = SmallDataset().get_queries()
        algo.query(queries, K)
        results[str(algo)] = algo.get_results()
        assert results[str(algo)].shape[0] == queries.shape[0]
        assert algo.get_additional() == {}
    algo.done()
    return results


def test_the_harness_gets_what_lsr_finds(bigann: Any) -> None:
    results = run(bigann, "sparse-small", rebuild=True)
    assert len(results) == 10  # points of operation, each with a name of its own
    index = SeismicIndex.build(made_vectors.short_documents(3_000))
    expected = index.search(made_vectors.short_queries(60), K, SearchParams(query_cut=8, max_blocks=80)).rows
    found = results["lsr(defaults,query_cut=8,max_blocks=80)"]
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)
    few, many = results["lsr(defaults,query_cut=6,max_blocks=40)"], results["lsr(defaults,query_cut=32,max_blocks=800)"]
    assert (few != many).any()
    truth = stand_ins.load("bigann", "ground_truth.py")
    rows, _ = truth.true_neighbors("data/sparse/base_small.csr", made_vectors.short_queries(60), K)
    assert truth.recall(found, rows) > 0.9


def test_an_index_is_opened_again(bigann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(bigann, "sparse-small", rebuild=False)
    monkeypatch.setattr(bigann.Lsr, "fit", None)
    again = run(bigann, "sparse-small", rebuild=False)
    assert first.keys() == again.keys()
    assert all((first[name] == again[name]).all() for name in first)


def test_built_again_in_place(bigann: Any) -> None:
    run(bigann, "sparse-small", rebuild=True)
    made_vectors.short_documents(500).write("data/sparse/base_small.csr")
    assert max(rows.max() for rows in run(bigann, "sparse-small", rebuild=True).values()) < 500


def test_invalid_arguments_are_reported(bigann: Any) -> None:
    with pytest.raises(ValueError, match="the metric is euclidean"):
        bigann.Lsr("euclidean", {})
    with pytest.raises(RuntimeError, match="there is no index"):
        bigann.Lsr("ip", {}).query(SmallDataset().get_queries(), K)


def test_ground_truth(tmp_path: Path) -> None:
    truth = stand_ins.load("bigann", "ground_truth.py")
    truth.BATCH = 700
    documents, queries = made_vectors.short_documents(3_000), made_vectors.short_queries(60)
    documents.write(tmp_path / "base.csr")
    exact = ExactIndex.build(documents).search(queries, K)
    rows, scores = truth.true_neighbors(tmp_path / "base.csr", queries, K)
    np.testing.assert_array_equal(rows, exact.rows)
    np.testing.assert_array_equal(scores, exact.scores)
    truth.write_ground_truth(tmp_path / "base.gt", rows, scores)
    content = (tmp_path / "base.gt").read_bytes()
    assert np.frombuffer(content, "uint32", 2).tolist() == [60, K]
    read_rows, read_scores = truth.read_ground_truth(tmp_path / "base.gt")
    np.testing.assert_array_equal(read_rows, rows)
    np.testing.assert_array_equal(read_scores, scores)
    (tmp_path / "base.gt").write_bytes(content[:-1])
    with pytest.raises(VectorsError, match=r"base\.gt: has 4807 bytes instead of 4808 for 60 queries and 10 neighbors"):
        truth.read_ground_truth(tmp_path / "base.gt")


def test_recall_is_that_of_the_track() -> None:
    truth = stand_ins.load("bigann", "ground_truth.py")
    assert truth.recall(np.array([[1, 2], [3, -1]]), np.array([[2, 1], [3, 4]])) == 0.75
