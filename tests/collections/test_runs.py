"""TREC runs and qrels: written, read back, and what is said about broken ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.collections.runs import read_qrels, read_run, write_run
from lsr.errors import RunError, StorageError

ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda text: text.split() == [text])
scores = st.floats(allow_nan=False, allow_infinity=False)
runs = st.dictionaries(ids, st.dictionaries(ids, scores, min_size=1, max_size=6), min_size=1, max_size=4)


@settings(max_examples=60)
@given(run=runs, packed=st.booleans())
def test_a_run_reads_back_exactly(
    run: dict[str, dict[str, float]], packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("run") / ("run.trec.gz" if packed else "run.trec")
    write_run(path, run, tag="t")
    assert read_run(path) == run


def test_lines_are_by_falling_score_with_ties_in_the_order_given(tmp_path: Path) -> None:
    score = float(np.float32(0.1))
    write_run(tmp_path / "r", {"q": {"low": -1.0, "b": 2.5, "a": 2.5, "x": score}, "none": {}}, tag="mine")
    assert (tmp_path / "r").read_text() == (
        f"q Q0 b 1 2.5 mine\nq Q0 a 2 2.5 mine\nq Q0 x 3 {score} mine\nq Q0 low 4 -1.0 mine\n"
    )


def test_ir_measures_reads_the_same_scores(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    run = {f"q{i}": {f"d{j}": float(s) for j, s in enumerate(random.random(50, np.float32))} for i in range(5)}
    write_run(tmp_path / "run.gz", run)
    theirs: dict[str, dict[str, float]] = {}
    for item in ir_measures.read_trec_run(str(tmp_path / "run.gz")):
        theirs.setdefault(item.query_id, {})[item.doc_id] = item.score
    assert theirs == run


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"q 1": {"d": 1.0}}, "query id 'q 1' is empty or contains white space"),
        ({"q": {"": 1.0}}, "document id '' is empty"),
        ({"q": {"d\u2003d": 1.0}}, "contains white space"),
        ({"q": {"d": float("nan")}}, "'q' has 'd': nan"),
        ({"q": {"d": float("inf")}}, "the score is inf"),
    ],
)
def test_a_failed_write_leaves_the_old_run(tmp_path: Path, run: dict, message: str) -> None:
    (tmp_path / "r").write_text("old")
    with pytest.raises(RunError, match=message):
        write_run(tmp_path / "r", {"before": {"d": 1.0}, **run})
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
    assert (tmp_path / "r").read_text() == "old"
    with pytest.raises(RunError, match="tag is 'my run'"):
        write_run(tmp_path / "r", {"q": {"d": 1.0}}, tag="my run")


def test_a_run_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/run\.trec"):
        write_run(tmp_path / "file" / "run.trec", {"q": {"d": 1.0}})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q Q0 d 1 1.0\n", r"r:2: 5 columns"),
        ("q Q0 d d 1 1.0 t\n", r"r:2: 7 columns"),
        ("q Q0 d 1 high t\n", r"r:2: the score is 'high'"),
        ("q Q0 d 1 nan t\n", r"r:2: the score is nan"),
        ("q Q0 d0 2 0.5 t\n", r"r:2: query 'q' lists document 'd0' twice"),
    ],
)
def test_a_broken_run_names_the_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "r").write_text(f"q Q0 d0 1 1.0 t\n{line}")
    with pytest.raises(RunError, match=message):
        read_run(tmp_path / "r")


@pytest.mark.parametrize("read", [read_run, read_qrels])
def test_empty_missing_and_foreign_files(tmp_path: Path, read) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(RunError, match="empty: has no"):
        read(tmp_path / "empty")
    with pytest.raises(RunError, match="gone: there is no such file"):
        read(tmp_path / "gone")
    with pytest.raises(RunError, match="is a folder, not a file"):
        read(tmp_path)
    (tmp_path / "latin").write_bytes("q Q0 d 1 1.0 caf\xe9\n".encode("latin-1"))
    with pytest.raises(RunError, match=r"latin:1: .*not UTF-8"):
        read(tmp_path / "latin")
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"q Q0 d 1 1.0 t\n")[:15])
    with pytest.raises(RunError, match=r"x\.gz:\d+: the \.gz file is damaged"):
        read(tmp_path / "x.gz")


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\nq1\td 1\t2\nq1\td2\t0\nq2\td1\t-1\n",
        "q1\td 1\t2\nq1\td2\t0\nq2\td1\t-1\n",
    ],
)
def test_beir_qrels(tmp_path: Path, text: str) -> None:
    (tmp_path / "test.tsv").write_text(text)
    assert read_qrels(tmp_path / "test.tsv") == {"q1": {"d 1": 2, "d2": 0}, "q2": {"d1": -1}}


@pytest.mark.parametrize("gap", [" ", "\t", "   "])
def test_trec_qrels(tmp_path: Path, gap: str) -> None:
    (tmp_path / "qrels").write_text("".join(gap.join(cells) + "\n" for cells in (["q1", "0", "d", "1"],) * 2))
    assert read_qrels(tmp_path / "qrels") == {"q1": {"d": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 0 d1\n", r"qrels:1: 3 columns"),
        ("q1\td1\t1\nq1\td1\n", r"qrels:2: 2 columns"),
        ("q1 0 d1 1\nq1 0 d2 1.5\n", r"qrels:2: the grade is '1\.5'; it must be an integer"),
        ("a\tb\tc\n", r"qrels:1: the grade is 'c'"),
        ("q1 0 d1 1\nq1 0 d2 3000000000\n", r"qrels:2: the grade is 3000000000; grades are from"),
        ("q1 0 d1 99999999999999999999\n", r"qrels:1: the grade is"),
        ("a\tb\t1\n\tb\t1\n", r"qrels:2: an id is empty"),
        ("a\tb\t1\na\t\t1\n", r"qrels:2: an id is empty"),
        ("q1 0 d1 1\nq1 0 d1 2\n", r"qrels:2: document 'd1' is judged 2 for query 'q1', but 1 on an earlier line"),
        ("query-id\tcorpus-id\tscore\n", "has no judgments"),
    ],
)
def test_broken_qrels_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "qrels").write_text(text)
    with pytest.raises(RunError, match=message):
        read_qrels(tmp_path / "qrels")
