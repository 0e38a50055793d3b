"""lsr where little is as usual: nothing can be written, there is no home, a process was forked or moved."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsr import IndexConfig, SeismicIndex, SparseVectors, Vocabulary, iter_vectors, load_collection, load_encoder
from lsr.storage.reading import as_given
from lsr.training.data.records import IdRecords
from lsr.training.data.store import DocumentStore
from tests.encoders.models import write_model
from tests.processes import REPOSITORY
from tests.processes import run_python as run_code
from tests.unprivileged import run_python

TEXTS = ["alpha beta", "the sea", "gamma of the sea", "delta"]
# What a search may want to write to.
PLACES = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "PYTHONPATH")


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Path]:
    """A folder that cannot be written, with the package in it, and an index."""
    shutil.copytree(REPOSITORY / "lsr", tmp_path / "lsr", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "texts").mkdir()
    lines = [f'{{"_id": "{row}", "text": "{text}"}}' for row, text in enumerate(TEXTS)]
    (tmp_path / "texts" / "corpus.jsonl").write_text("\n".join(lines))
    assert run_python(["-m", "lsr", "index", "texts", "index", "--encoder", "bm25"], tmp_path).returncode == 0
    shutil.rmtree(tmp_path / "lsr")
    shutil.copytree(REPOSITORY / "lsr", tmp_path / "lsr", ignore=shutil.ignore_patterns("__pycache__"))
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield tmp_path
    for folder in folders:
        folder.chmod(0o755)


@pytest.mark.parametrize("home", ["", "nowhere"])
def test_nothing_can_be_written(installation: Path, home: str) -> None:
    """With HOME unset the home is that of the user's entry, which may be writable; then nothing is told."""
    places = {"TMPDIR": str(installation / "nowhere")} | ({"HOME": str(installation / home)} if home else {})
    ended = run_python(["-m", "lsr", "search", "index", "sea"], installation, PLACES, **places)
    assert (ended.returncode, "the sea" in ended.stdout) == (0, True), ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("\n") == int(bool(home))
    assert ("NUMBA_CACHE_DIR" in ended.stderr) == bool(home)


FORK = """
import multiprocessing, os, sys
from lsr import Searcher
searcher = Searcher.open(sys.argv[1])
queries = ["alpha sea", "the"] * int(sys.argv[2])
def found(_=0):
    return [[hit.doc_id for hit in hits] for hits in searcher.search_batch(queries, threads=2)]
expected = found()
pid = os.fork()
if pid == 0:
    os._exit(0 if found() == expected else 1)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), pool.map(found, range(4)) == [expected] * 4)
"""


@pytest.mark.parametrize("times", [1, 40], ids=["numpy", "torch"])
def test_a_fork_after_a_query(tmp_path: Path, times: int) -> None:
    encoder = load_encoder(write_model(tmp_path / "model"), device="cpu")
    index = SeismicIndex.build(encoder.encode_documents(TEXTS), IndexConfig())
    index.save(tmp_path / "index")
    encoder.save(tmp_path / "index" / "encoder")
    assert run_code(FORK, tmp_path / "index", times).stdout == "0 True\n"


FORK_DENSE = """
import os, signal
import numpy as np
from lsr import DenseConfig, DenseIndex
vectors = np.random.default_rng(0).standard_normal((3000, 8), np.float32)
for kind in "flat", "hnsw":
    index = DenseIndex.build(vectors, DenseConfig(kind), threads=2)
    def found():
        return index.search(vectors[:40], k=3, threads=2).rows.tolist()
    expected = found()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        os._exit(0 if found() == expected else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_fork_after_a_dense_search() -> None:
    """A child would wait for the threads of OpenMP, which its parent alone has."""
    assert run_code(FORK_DENSE).stdout == "0\n0\n"


def test_an_opened_index_is_read_after_a_change_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("c", "m"):
        Path(name).mkdir()
    Path("c/corpus.jsonl").write_text('{"_id": "d", "text": "sea"}\n')
    Path("m/collection.tsv").write_text("d\tsea\n")
    Path("queries.jsonl").write_text('{"_id": "q", "text": "sea"}\n')
    Path("m/queries.tsv").write_text("q\tsea\n")
    shutil.copy("queries.jsonl", "c")
    Path("qrels").write_text("q 0 d 1\n")
    shutil.copy("qrels", "m/qrels.tsv")
    Path("c/qrels").mkdir()
    Path("c/qrels/test.tsv").write_text("q\td\t1\n")
    Path("r.jsonl").write_text('{"query_id": "q", "positives": ["d"], "negatives": []}\n')
    specs = ("c", "m", "c/corpus.jsonl,queries.jsonl,qrels")
    collections = [load_collection(spec) for spec in specs]
    collections += pickle.loads(pickle.dumps([load_collection(spec) for spec in specs]))
    vectors, tokens = SparseVectors.from_dicts([{"sea": 1.0}], ["sea"]), Vocabulary(["sea"])
    paths = ("v", "v.npz", "v.jsonl")
    for path in paths:
        vectors.write(path, tokens)
    SeismicIndex.build(vectors, IndexConfig(), vocabulary=tokens).save("i")
    batches, index = [iter_vectors(path) for path in paths], SeismicIndex.open("i")
    store = DocumentStore.of(collections[0], "cache")
    records, store = IdRecords("r.jsonl", collections[0], store), pickle.dumps(store)

    monkeypatch.chdir("/")
    for collection in collections:
        assert [document.text for document in collection.documents()] == ["sea"]
        assert (collection.queries(), collection.qrels()) == ({"q": "sea"}, {"q": {"d": 1}})
    assert [len(next(each)) for each in batches] == [1, 1, 1]
    assert index.vocabulary == tokens
    assert [example.query for example in records.examples()] == ["sea"]
    assert pickle.loads(store)[0].text == "sea"
    shown = f"{tmp_path}/c/corpus.jsonl:1: text; {tmp_path}/c.tsv, {tmp_path}/c"
    assert as_given(shown) == f"c/corpus.jsonl:1: text; {tmp_path}/c.tsv, c"
