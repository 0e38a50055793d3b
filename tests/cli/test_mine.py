"""lsr mine"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lsr.collections.collection import load_collection
from tests.cli.commands import Lsr, rejected
from tests.processes import KILLED_IN_WRITE, run_python

MAIN = "import sys\nfrom lsr.cli.main import main\nsys.exit(main())\n"


def read(path: Path) -> dict[str, list[str]]:
    records = map(json.loads, path.read_text().splitlines())
    return {record["query_id"]: record["negative_ids"] for record in records}


def test_mine(lsr: Lsr, library: Path, library_index: Path, tmp_path: Path) -> None:
    outcome = lsr(
        "mine", library_index, library, tmp_path / "m.jsonl", "--split", "test", "--depth", 30, "--negatives", 7
    )
    assert (outcome.status, outcome.err) == (0, "")
    negatives = read(tmp_path / "m.jsonl")
    count = sum(map(len, negatives.values()))
    assert outcome.out == f"{tmp_path / 'm.jsonl'}: {count} negatives for 35 queries\n"
    qrels = load_collection(library).qrels()
    assert set(negatives) == set(qrels)
    assert not any(set(qrels[query_id]).intersection(found) for query_id, found in negatives.items())
    assert max(map(len, negatives.values())) == 7


def test_a_terminal_shows_the_next_command(
    lsr: Lsr, library: Path, bm25_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    outcome = lsr("mine", bm25_index, library, tmp_path / "m.jsonl", "--split", "test", "--depth", 3)
    assert shlex.split(outcome.out.splitlines()[-1])[2:] == ["train", "CONFIG"]


def test_options_reach_the_search(
    lsr: Lsr, library: Path, library_indexes: Callable[[str], Path], bm25_index: Path, tmp_path: Path
) -> None:
    words = ("mine", bm25_index, library, tmp_path / "m.jsonl", "--split", "test", "--negatives", 100, "--depth", 20)

    def mined(*options: object) -> dict[str, list[str]]:
        assert lsr(*words, *options).status == 0
        return read(tmp_path / "m.jsonl")

    plain = mined()
    assert {query_id: found[-1:] for query_id, found in mined("--skip-top", 19).items() if found}.items() <= {
        query_id: found[-1:] for query_id, found in plain.items()
    }.items()
    below = mined("--max-score-ratio", 0.5)
    assert sum(map(len, below.values())) < sum(map(len, plain.values()))
    assert all(set(below[query_id]) <= set(plain[query_id]) for query_id in plain)
    both = mined("--also", library_indexes("tiny"))
    assert all(both[query_id][: len(plain[query_id])] == plain[query_id] for query_id in plain)
    assert sum(map(len, both.values())) > sum(map(len, plain.values()))
    assert mined("--negatives", 3, "--seed", 1) != mined("--negatives", 3, "--seed", 2)
    assert mined("--exact", "--threads", 1) == plain  # a small collection is searched exactly anyway


def test_skipped_queries_are_reported(lsr: Lsr, library: Path, bm25_index: Path, tmp_path: Path) -> None:
    (tmp_path / "c" / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl"):
        (tmp_path / "c" / name).symlink_to(library / name)
    queries = list(load_collection(library).queries())
    rows = [(queries[0], "1", 1), (queries[1], "gone", 1), (queries[2], "2", 0)]
    (tmp_path / "c" / "qrels" / "train.tsv").write_text("".join(f"{q}\t{d}\t{grade}\n" for q, d, grade in rows))
    outcome = lsr("mine", bm25_index, tmp_path / "c", tmp_path / "m.jsonl")
    assert outcome.out.endswith(" for 1 query; skipped 1 without a relevant document in the index\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "library: there is no split 'train'; splits with judgments: test"),
        (("--split", "test", "--depth", 0), "depth is 0"),
        (("--split", "test", "--skip-top", 300), "skip_top is 300; it must be below depth (200)"),
        (("--split", "test", "--max-score-ratio", 2), "max_score_ratio is 2.0"),
        (("--split", "test", "--side", "dense"), "the index has no dense vectors"),
        (("--split", "test", "--side", "left"), "'left' is not one of 'sparse', 'dense'"),
        (("--split", "test", "--also", "gone"), "gone: is not an index"),
    ],
)
def test_bad_input(
    lsr: Lsr, library: Path, bm25_index: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    assert message in rejected(lsr("mine", bm25_index, library, tmp_path / "m.jsonl", *options))
    assert list(tmp_path.iterdir()) == []


def test_scores_of_teachers_are_attached(lsr: Lsr, library: Path, bm25_index: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.jsonl"
    words = ("--split", "test", "--negatives", 4, "--dense-teacher", "minilm", "--sparse-teacher", "tiny", "--scale", 7)
    assert lsr("mine", bm25_index, library, out, *words).status == 0
    records = [json.loads(line) for line in out.read_text().splitlines()]
    for record in records:
        assert len(record["scores"]) == len(record["positive_ids"]) + len(record["negative_ids"])
        assert 0 <= min(record["scores"]) < max(record["scores"]) <= 7
    best = sum(record["scores"][0] > min(record["scores"][1:]) for record in records)
    assert best > len(records) / 2
    assert "--normalize and --scale need a teacher" in rejected(
        lsr("mine", bm25_index, library, out, "--split", "test", "--scale", 3)
    )


def test_another_kind_of_file(lsr: Lsr, library: Path, bm25_index: Path, tmp_path: Path) -> None:
    message = rejected(lsr("mine", bm25_index, library, tmp_path / "m.tsv", "--split", "test"))
    assert (
        message == f"{tmp_path / 'm.tsv'}: unknown kind of file; its name must end with .jsonl, .jsonl.gz or .parquet"
    )


def test_killed_in_mid_write(lsr: Lsr, library: Path, bm25_index: Path, tmp_path: Path) -> None:
    words = ("mine", bm25_index, library, tmp_path / "m.jsonl", "--split", "test")
    ended = run_python(KILLED_IN_WRITE.format(limit=2000) + MAIN, *words)
    assert ended.returncode < 0, ended.stderr
    assert not (tmp_path / "m.jsonl").exists()
    assert lsr(*words).status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["m.jsonl"]
