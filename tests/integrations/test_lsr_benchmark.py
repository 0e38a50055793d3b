"""lsr as an engine of lsr-benchmark, on embeddings of its format made here: with stand-ins, and with itself."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from lsr.index.inverted.exact_index import ExactIndex
from lsr.vectors.sparse_vectors import SparseVectors
from tests import made_vectors, stand_ins
from tests.data import REPOSITORY

SCRIPT = "build-and-search-lsr-index.py"
K = 10


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """`data`, a data set of 400 documents and 20 queries without texts, and `embeddings` of these."""
    (tmp_path / "data").mkdir()
    documents = [json.dumps({"doc_id": f"d{i}", "default_text": "", "segments": []}) for i in range(400)]
    with gzip.open(tmp_path / "data" / "corpus.jsonl.gz", "wt") as corpus:
        corpus.write("\n".join(documents))
    queries = [json.dumps({"qid": f"q{i}", "query": "query"}) for i in range(20)]
    (tmp_path / "data" / "queries.jsonl").write_text("\n".join(queries))
    for kind, vectors in (("doc", made_vectors.short_documents(400)), ("query", made_vectors.short_queries(20))):
        folder = tmp_path / "embeddings" / kind
        folder.mkdir(parents=True)
        arrays = {"indptr": vectors.indptr, "indices": vectors.indices, "data": vectors.values}
        np.savez(folder / f"{kind}-embeddings.npz", **arrays)
        (folder / f"{kind}-ids.txt").write_text("\n".join(f"{kind[0]}{i}" for i in range(len(vectors))))
    return tmp_path


class EmbeddedDataset:
    """lsr_benchmark/irds.py's data set, as far as embeddings go: rows of (id, components as text, weights)."""

    def doc_embeddings(self, model_name: str) -> list[tuple[str, Any, Any]]:
        return self._embeddings(model_name, "doc")

    def query_embeddings(self, model_name: str) -> list[tuple[str, Any, Any]]:
        return self._embeddings(model_name, "query")

    def _embeddings(self, model_name: str, kind: str) -> list[tuple[str, Any, Any]]:
        folder = Path(model_name) / kind
        ids = (folder / f"{kind}-ids.txt").read_text().strip().split("\n")
        with np.load(folder / f"{kind}-embeddings.npz") as arrays:
            indptr, indices, data = arrays["indptr"], arrays["indices"].astype("U30"), arrays["data"]
        spans = zip(ids, indptr, indptr[1:], strict=False)
        return [(row_id, indices[begin:end], data[begin:end]) for row_id, begin, end in spans]


def retrieve_command() -> Any:
    """lsr_benchmark/click.py's, without the names of data sets and embeddings."""

    def decorate(function: Any) -> Any:
        function = click.option("--dataset", required=True)(function)
        function = click.option("--output", required=True, type=Path)(function)
        function = click.option("--embedding", default="naver/splade-v3")(function)
        return click.command()(click.option("--k", type=int, default=10)(function))

    return decorate


def check_run(output: Path) -> None:
    with gzip.open(output / "run.txt.gz", "rt") as lines:
        run = [line.split() for line in lines]
    documents, queries = made_vectors.short_documents(400), made_vectors.short_queries(20)
    exact = ExactIndex.build(documents).search(queries, K)
    expected = [
        [f"q{query}", "Q0", f"d{row}", str(rank), "lsr"]
        for query in range(20)
        for rank, row in enumerate(exact.rows[query].tolist(), 1)
        if row >= 0
    ]
    assert [[*line[:4], line[5]] for line in run] == expected
    scores = [float(line[4]) for line in run]
    np.testing.assert_allclose(scores, exact.scores[exact.rows >= 0], rtol=1e-3)


def test_with_stand_ins(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[Any] = []
    tracked: list[Path] = []

    @contextmanager
    def tracking(export_file_path: Path, export_format: str) -> Any:
        assert export_format == "ir-metadata"
        (export_file_path.parent / ".tirex-tracker").mkdir()  # fails if the last one is still there
        yield
        tracked.append(export_file_path)

    stand_ins.put(monkeypatch, "lsr_benchmark.click", retrieve_command=retrieve_command)
    stand_ins.put(monkeypatch, "lsr_benchmark", register_to_ir_datasets=registered.append)
    stand_ins.put(monkeypatch, "ir_datasets", load={f"lsr-benchmark/{folders}": EmbeddedDataset()}.__getitem__)
    formats = SimpleNamespace(IR_METADATA="ir-metadata")
    told: list[Any] = []
    stand_ins.put(monkeypatch, "tirex_tracker", tracking=tracking, register_metadata=told.append, ExportFormat=formats)
    module = stand_ins.load("lsr-benchmark", SCRIPT)
    output = folders / "out"
    arguments = ["--dataset", str(folders), "--embedding", str(folders / "embeddings"), "--output", str(output)]
    done = CliRunner().invoke(module.main, [*arguments, "--k", str(K)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    check_run(output)
    assert registered == [str(folders)]
    assert tracked == [output / "index-metadata.yml", output / "retrieval-metadata.yml"]
    assert told[0]["tag"].startswith("lsr-") and told[0]["tag"].endswith("-16-default-10")


def test_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lsr_benchmark.click", "lsr_benchmark", "ir_datasets", "tirex_tracker"):
        stand_ins.put(
            monkeypatch, name, retrieve_command=retrieve_command, tracking=0, register_metadata=0, ExportFormat=0
        )
    module = stand_ins.load("lsr-benchmark", SCRIPT)
    rows = [("a", np.array([], "U30"), np.array([], np.float32)), ("b", np.array(["7"]), np.array([2.0], np.float32))]
    assert module.components_of(rows) == 8
    assert module.components_of([]) == 0
    assert module.vectors_of(rows, 8) == SparseVectors([0, 0, 1], [7], [2.0], 8)


@pytest.mark.slow
def test_with_lsr_benchmark_itself(folders: Path) -> None:
    pytest.importorskip("lsr_benchmark")
    script = REPOSITORY / "integrations" / "lsr-benchmark" / SCRIPT
    output = folders / "out"
    given = {"--dataset": folders / "data", "--embedding": folders / "embeddings", "--output": output, "--k": K}
    arguments = [str(part) for pair in given.items() for part in pair]
    ended = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    check_run(output)
    for name in ("index-metadata.yml", "retrieval-metadata.yml"):
        assert "lsr-" in (output / name).read_text()
