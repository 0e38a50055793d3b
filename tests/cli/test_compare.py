"""lsr compare."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from scipy import stats

from lsr.collections.runs import read_qrels, read_run
from lsr.eval.measures import evaluate_queries
from tests.cli.commands import Lsr, rejected

QRELS = "1 0 a 1\n2 0 b 2\n3 0 c 1\n4 0 d 1\n"
FIRST = "1 Q0 a 1 2.0 x\n1 Q0 b 2 1.0 x\n2 Q0 c 1 1.0 x\n2 Q0 b 2 0.5 x\n3 Q0 d 1 1 x\n"
SECOND = "1 Q0 b 1 2.0 y\n1 Q0 a 2 1.0 y\n2 Q0 b 1 1.0 y\n3 Q0 c 1 1 y\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    paths = tmp_path / "first.run", tmp_path / "second.run", tmp_path / "qrels.txt"
    for path, text in zip(paths, (FIRST, SECOND, QRELS), strict=True):
        path.write_text(text)
    return paths


def test_means_tests_and_counts(lsr: Lsr, files: tuple[Path, Path, Path]) -> None:
    first, second, qrels = files
    outcome = lsr("compare", first, second, "--qrels", qrels, "--measures", "RR@10,AP", "--json", "--per-query")
    found = outcome.json
    assert found["queries"] == 4
    values = [evaluate_queries(read_qrels(qrels), read_run(path), ["RR@10"])["RR@10"] for path in (first, second)]
    assert found["per_query"]["first"]["RR@10"] == values[0] == {"1": 1.0, "2": 0.5, "3": 0.0, "4": 0.0}
    assert values[1] == {"1": 0.5, "2": 1.0, "3": 1.0, "4": 0.0}
    rr = found["measures"][0]
    assert (rr["measure"], rr["first"], rr["second"]) == ("RR@10", 0.375, 0.625)
    assert (rr["wins"], rr["ties"], rr["losses"]) == (2, 1, 1)
    expected = stats.ttest_rel(list(values[0].values()), list(values[1].values())).pvalue
    assert rr["p_value"] == pytest.approx(expected)
    assert rr["corrected"] == pytest.approx(min(1.0, 2 * expected))


def test_the_table_and_the_queries_that_changed_most_first(lsr: Lsr, files: tuple[Path, Path, Path]) -> None:
    first, second, qrels = files
    outcome = lsr("compare", first, second, "--qrels", qrels, "--measures", "RR@10", "--per-query")
    lines = outcome.out.splitlines()
    assert [line.split()[1] for line in lines[1:5]] == ["3", "1", "2", "4"]
    assert lines[6].split()[:4] == ["measure", "first", "second", "difference"]
    assert lines[-1].split()[:4] == ["RR@10", "0.3750", "0.6250", "+0.2500"]
    assert lines[-1].split()[-1] == "2/1/1"


@pytest.mark.parametrize(
    ("names", "heads"),
    [
        (("bm25.run.gz", "tiny.run"), ["bm25", "tiny"]),
        (("bm25.run", "bm25.txt"), ["bm25.run", "bm25.txt"]),
        (("a/bm25.run", "b/bm25.run"), ["{}/a/bm25.run", "{}/b/bm25.run"]),
    ],
)
def test_columns_have_the_names_of_the_runs(
    lsr: Lsr, files: tuple[Path, Path, Path], tmp_path: Path, names: tuple[str, str], heads: list[str]
) -> None:
    paths = [tmp_path / name for name in names]
    for path, text in zip(paths, (FIRST, SECOND), strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    header = lsr("compare", *paths, "--qrels", files[2]).out.splitlines()[0]
    assert header.split()[1:3] == [head.format(tmp_path) for head in heads]


def test_a_plot_of_the_first_measure(lsr: Lsr, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    first, second, qrels = files
    assert lsr("compare", first, second, "--qrels", qrels, "--plot", tmp_path / "d.svg").status == 0
    words = re.sub("<[^>]*>", " ", (tmp_path / "d.svg").read_text()).split()  # a title may have two lines
    assert "2 better, 1 equal, 1 worse" in " ".join(words)


def test_errors_are_one_line(lsr: Lsr, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    first, second, qrels = files
    assert "wilcoxon" in rejected(lsr("compare", first, second, "--qrels", qrels, "--test", "wilcoxon"))
    assert "nDCG" in rejected(lsr("compare", first, second, "--qrels", qrels, "--measures", "nDCG@x"))
    assert "no such file" in rejected(lsr("compare", first, tmp_path / "none", "--qrels", qrels))
    assert "unknown plot format" in rejected(
        lsr("compare", first, second, "--qrels", qrels, "--plot", tmp_path / "a.b")
    )
    assert "--qrels" in rejected(lsr("compare", first, second))
    other = tmp_path / "other.run"
    other.write_text("9 Q0 a 1 1 x\n")
    assert "no query in common" in rejected(lsr("compare", first, other, "--qrels", qrels))
