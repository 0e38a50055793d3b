"""Progress as it is printed."""

from __future__ import annotations

import re
import time

import pytest

from lsr import progress
from lsr.progress import progress_bar
from tests.processes import lines_on_terminal, run_python


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_lines_come_at_intervals_where_nobody_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_PER_LINE", 0.1)
    with progress_bar("encoding", 5000, "documents", shown=True) as advance:
        time.sleep(0.15)
        advance(1000, "loss 2")
        time.sleep(0.1)
        advance(4000)
    lines = lines_of(capsys)
    assert lines[0] == "encoding: 0 of 5,000 documents, 0:00 so far"
    assert re.fullmatch(r"encoding: 1,000 of 5,000, [\d,]+ documents/s, 0:0\d left, loss 2", lines[1])
    assert re.fullmatch(r"encoding: 5,000 of 5,000, [\d,]+ documents/s, took 0:00, loss 2", lines[-1])
    assert len(lines) == 3


def test_short_work_prints_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("encoding", 1, "documents", shown=True) as advance:
        advance(1)
    assert lines_of(capsys) == []


def test_a_failure_still_tells_how_far_it_got(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_PER_LINE", 0.05)
    with pytest.raises(KeyboardInterrupt), progress_bar("encoding", None, "documents", shown=True) as advance:
        advance(7)
        time.sleep(0.1)
        raise KeyboardInterrupt
    assert re.fullmatch(r"encoding: 7, [\d.]+ documents/s", lines_of(capsys)[-1])


def test_steps_before_a_resume_do_not_count_for_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    figures = progress._Figures(1000, "documents")
    now[0] = 2.0
    figures.advance(500, resumed=True)
    assert str(figures) == "500 of 1,000 documents, 0:00 so far"
    now[0] = 12.0
    figures.advance(100)
    assert str(figures) == "600 of 1,000, 10 documents/s, 0:40 left"
    now[0] = 4012.0
    assert str(figures) == "600 of 1,000, 0.025 documents/s, 4:27:20 left"


NESTED = """
import sys, time
from lsr.progress import progress_bar, waiting
sys.argv = ["x"]
with waiting("loading tiny", shown=True):
    time.sleep(0.9)
with progress_bar("training", 2, "steps", shown=True) as advance:
    advance(1, "loss 3.5, nnz 20/90")
    with progress_bar("encoding", 10, "documents", shown=True) as inner:
        inner(10)
        time.sleep(0.3)
    advance(1)
"""


COMPILED = """
import time
from numba.core.compiler_lock import global_compiler_lock
from lsr import progress
progress.SECONDS_PER_LINE = 0.7
with progress.waiting("loading tiny", shown=True):
    time.sleep(0.9)
    with global_compiler_lock:  # as while Numba compiles
        time.sleep(0.9)
"""


def test_a_search_that_compiles_says_so() -> None:
    lines = lines_on_terminal(COMPILED)
    assert "loading tiny ... 1 s" in lines
    assert "compiling kernels, once (lsr warmup compiles all) ... 1 s" in lines
    assert run_python(COMPILED).stderr == "compiling kernels, once (lsr warmup compiles all): 1 s so far\n"


def test_a_terminal_of_80_columns_shows_bars_within_bars() -> None:
    lines = lines_on_terminal(NESTED)
    assert max(len(line) for line in lines if "━" in line) <= 80
    assert "loading tiny ... 1 s" in lines
    assert any(
        re.match(r"training \S+ 1 of 2, [\d,.]+ steps/s, 0:00 left, loss 3.5, nnz 20/90", line) for line in lines
    )
    assert any(re.match(r"encoding \S+ 10 of 10, [\d,.]+ documents/s, took 0:00", line) for line in lines)
    assert any(re.match(r"training \S+ 2 of 2, ", line) for line in lines)
