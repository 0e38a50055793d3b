"""Standard input and output, pipes and process substitution in place of files."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lsr import recipes
from lsr.collections.runs import read_qrels, read_run
from lsr.encoders.collection_idf import idf_from
from lsr.encoders.folders.find import find_checkpoint
from lsr.vectors.sparse_vectors import SparseVectors
from tests.cli.commands import Lsr, rejected


@contextmanager
def substituted(content: bytes) -> Iterator[str]:
    """What a shell puts in place of <(command)."""
    reading, writing = os.pipe()
    os.write(writing, content)  # less than a pipe holds
    os.close(writing)
    yield f"/dev/fd/{reading}"
    os.close(reading)


@contextmanager
def standard_input(content: bytes) -> Iterator[str]:
    kept = os.dup(0)
    with substituted(content) as path:
        os.dup2(int(path.rpartition("/")[2]), 0)
        yield "-"
    os.dup2(kept, 0)
    os.close(kept)


@pytest.fixture
def run_file(lsr: Lsr, bm25_index: Path, library: Path, tmp_path: Path) -> Path:
    assert lsr("run", bm25_index, library, tmp_path / "a.run", "-k", 5).status == 0
    return tmp_path / "a.run"


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_run_to_standard_output(lsr: Lsr, bm25_index: Path, library: Path, run_file: Path, name: str) -> None:
    ended = lsr("run", bm25_index, library, name, "-k", 5)
    assert (ended.status, ended.out) == (0, run_file.read_text())
    assert ended.err == f"{name}: 171 documents for 35 queries\n"
    assert not Path("-").exists()
    evaluated = lsr("evaluate", bm25_index, library, "-k", 5, "--run", name, "--measures", "RR")
    assert (evaluated.out, evaluated.err[:2]) == (ended.out, "RR")


def test_output_is_appended_to_a_shared_file(lsr: Lsr, bm25_index: Path, run_file: Path, library: Path) -> None:
    with run_file.with_name("all.txt").open("w") as file:
        print("before", file=file, flush=True)
        assert lsr("run", bm25_index, library, f"/dev/fd/{file.fileno()}", "-k", 5).status == 0
        print("after", file=file, flush=True)
    assert run_file.with_name("all.txt").read_text() == f"before\n{run_file.read_text()}after\n"


def test_encoding_mining_and_drawing_to_standard_output(
    lsr: Lsr, bm25_index: Path, library: Path, run_file: Path, tmp_path: Path
) -> None:
    vectors = tmp_path / "v.jsonl"
    for words in ((), ("--queries",)):
        assert lsr("encode", library, vectors, "--encoder", "bm25", *words).status == 0
        ended = lsr("encode", library, "-", "--encoder", "bm25", *words)
        assert (ended.status, ended.out) == (0, vectors.read_text())
        assert ended.err.startswith("-: ")
    mined = lsr("mine", bm25_index, library, "-", "--split", "test")
    assert [json.loads(line)["positive_ids"] for line in mined.out.splitlines()]
    drawn = lsr("compare", run_file, run_file, "--qrels", library, "--plot", "-")
    assert drawn.out.startswith("<?xml")
    assert drawn.err.startswith("measure")


@pytest.mark.parametrize("given", [substituted, standard_input])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_every_input_may_be_a_pipe(
    lsr: Lsr, bm25_index: Path, library: Path, run_file: Path, tmp_path: Path, given, pack
) -> None:
    qrels, queries = library / "qrels" / "test.tsv", library / "queries.jsonl"
    expected = lsr("evaluate", run_file, library).out
    with given(pack(qrels.read_bytes())) as path:
        assert lsr("evaluate", run_file, path).out == expected
    with given(pack(run_file.read_bytes())) as path:
        assert lsr("evaluate", path, qrels).out == expected
    with given(pack(run_file.read_bytes())) as path:
        assert lsr("compare", run_file, path, "--qrels", library, "--json").json["queries"] == len(read_qrels(qrels))
    with given(pack(queries.read_bytes())) as path:
        assert lsr("run", bm25_index, path, tmp_path / "b.run", "-k", 5).status == 0
    assert read_run(tmp_path / "b.run") == read_run(run_file)
    with given(pack(b"\xef\xbb\xbf7\r\n9\r\n")) as path:
        hits = lsr("search", bm25_index, "information", "--only", path, "--json").json["hits"]
    assert {hit["doc_id"] for hit in hits} <= {"7", "9"}


@pytest.mark.parametrize("given", [substituted, standard_input])
def test_a_table_of_weights_may_be_a_pipe(lsr: Lsr, tmp_path: Path, given) -> None:
    table = {f"t{i}": 1.0 for i in range(9000)} | {"text": 0.5, "vector": 0.75, "the": 0.25}
    model = find_checkpoint("tiny").folder
    for indent in (None, 1):
        content = json.dumps(table, indent=indent)
        (tmp_path / "idf.json").write_text(content)
        expected = idf_from(str(tmp_path / "idf.json"), model)
        assert sorted(expected[expected > 0].tolist()) == [0.25, 0.5, 0.75]
        with given(content[:60_000].rpartition(",")[0].encode() + b', "the": 0.25}') as path:
            weights = idf_from(path, model)
        assert weights[weights > 0].tolist() == [0.25]


@pytest.mark.parametrize("given", [substituted, standard_input])
def test_experiments_and_trainings_may_be_pipes(lsr: Lsr, tmp_path: Path, given) -> None:
    with given(b'baseline = "b"\nsystems.b = {encoder = "bm25"}\ncollections = [{path = "beir/nfcorpus"}]\n') as path:
        assert "beir/nfcorpus" in lsr("experiment", path, "--plan", "--output", tmp_path / "e").out
    with given(b"method = 1") as path:
        message = rejected(lsr("train", path, tmp_path / "t"))
        assert message.startswith(f"{path}: ")
    with given((Path(recipes.__file__).parent / "small" / "splade-max.toml").read_bytes()) as path:
        assert rejected(lsr("train", path)).endswith("the output folder cannot be named after it; give OUT")


@pytest.mark.parametrize("given", [substituted, standard_input])
def test_errors_name_the_pipe(lsr: Lsr, bm25_index: Path, tmp_path: Path, given) -> None:
    with given(b'{"_id": "1", "text": "a"}\n{') as path:
        assert rejected(lsr("run", bm25_index, path, tmp_path / "r")).startswith(f"{path}:2: not valid JSON")


@pytest.mark.parametrize("given", [substituted, standard_input])
def test_a_collection_or_vectors_may_be_a_pipe(lsr: Lsr, library: Path, tmp_path: Path, given) -> None:
    corpus = library / "corpus.jsonl"
    with given(corpus.read_bytes()[:60_000].rpartition(b"\n")[0]) as path:  # which bm25 reads twice
        assert lsr("index", path, tmp_path / "i", "--encoder", "bm25").status == 0
    assert lsr("search", tmp_path / "i", "information").status == 0
    with given(b'{"id": 41, "vector": {"a": 1}}\n') as path:
        assert lsr("index", path, tmp_path / "j").status == 0
    SparseVectors.empty(3).write(tmp_path / "v.npz")
    with given((tmp_path / "v.npz").read_bytes()) as path:
        assert lsr("index", path, tmp_path / "j").status == 0
    assert lsr("info", tmp_path / "j", "--json").json["documents"] == 0
