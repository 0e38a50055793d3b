"""lsr evaluate where judgments and documents do not belong together."""

from __future__ import annotations

from pathlib import Path

from tests.cli.commands import Lsr, rejected


def test_judgments_of_other_documents(lsr: Lsr, bm25_index: Path, library: Path, tmp_path: Path) -> None:
    (tmp_path / "c" / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl"):
        (tmp_path / "c" / name).write_bytes((library / name).read_bytes())
    qrels, run = tmp_path / "c" / "qrels" / "test.tsv", tmp_path / "a.run"
    qrels.write_text("query-id\tcorpus-id\tscore\n1\td55.0\t1\n2\td18.0\t1\n")
    message = rejected(lsr("evaluate", bm25_index, tmp_path / "c"))
    assert "none of the 2 judged documents is in" in message
    assert "the judgments have 'd55.0', the index '1'" in message
    assert lsr("run", bm25_index, library, run, "-k", 3).status == 0
    ended = lsr("evaluate", run, qrels, "--measures", "RR")
    assert (ended.status, ended.out.split()) == (0, ["RR", "0.0000"])
    assert ended.err.startswith("lsr: no document of the run is judged: the judgments have 'd55.0', the run '1'")
    assert ended.err.count("\n") == 1

    qrels.write_text("query-id\tcorpus-id\tscore\n1\t55.0\t1\n")
    assert "'55.0' in the judgments is '55' in the run; use one form" in rejected(lsr("evaluate", run, qrels))
    qrels.write_text("query-id\tcorpus-id\tscore\n1\t55\t1\n1\t900\t1\n")
    ended = lsr("evaluate", bm25_index, tmp_path / "c", "--measures", "RR")
    assert ended.err == f"lsr: 1 of 2 judged documents are not in {bm25_index}, such as '900'\n"
    assert lsr("evaluate", bm25_index, tmp_path / "c", "--measures", "RR").err == ended.err  # in every process
