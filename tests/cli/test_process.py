"""What only a process of its own shows: what start-up imports, Ctrl-C, closed pipes, terminals."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lsr.encoders.bm25 import BM25Encoder
from tests.cli.commands import Lsr, Outcome
from tests.processes import REPOSITORY, lines_on_terminal, run_python

MAIN = "import sys\nfrom lsr.cli.main import main\nsys.exit(main())\n"
COMMANDS = (
    *("encoders", "build", "inspect", "encode", "index", "search", "run", "evaluate", "compare", "experiment"),
    *("mine", "train", "info", "demo"),
)


@pytest.mark.parametrize("words", [(), ("--help",), ("search", "--help"), ("serch",)])
def test_starting_up_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    heavy = ("torch", "transformers", "numba", "scipy", "pyarrow", "faiss", "matplotlib", "ir_datasets", "ir_measures")
    code = f"""
import sys
from lsr.cli.main import main
main({list(words)!r})
print([name for name in {heavy!r} if name in sys.modules])
"""
    assert run_python(code).stdout.splitlines()[-1] == "[]"


def test_a_search_imports_only_what_it_needs(bm25_index: Path) -> None:
    idle = ("lsr.retrieval.feedback_kernels", "tokenizers", "rich", "shlex", "pyarrow", "scipy.sparse", "torch")
    code = f"""
import sys
from lsr.cli.main import main
assert main(["search", {str(bm25_index)!r}, "information"]) == 0
print([name for name in {idle!r} if name in sys.modules])
"""
    assert run_python(code).stdout.splitlines()[-1] == "[]"


def test_help_names_every_command() -> None:
    ended = run_python(MAIN, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(command in ended.stdout for command in COMMANDS)
    assert run_python(MAIN).stdout == ended.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    ended = run_python(MAIN, command, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Usage: lsr " + command in ended.stdout


def test_ctrl_c_prints_one_line() -> None:
    code = (
        """
import signal
import lsr.collections.collection
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
lsr.collections.collection.load_collection = lambda *_: signal.raise_signal(signal.SIGINT)
"""
        + MAIN
    )
    ended = run_python(code, "index", "c", "i", "--encoder", "bm25")
    said = "lsr: interrupted\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", said)


@pytest.mark.parametrize(
    ("line", "resumes"),
    [
        ("index c i --encoder=bm25", False),  # nothing is kept yet
        ("index v.npz i", False),
        ("evaluate a.run c", False),
        ("experiment e.toml", True),
    ],
)
def test_the_message_after_ctrl_c_says_whether_the_command_resumes(
    lsr: Lsr, monkeypatch: pytest.MonkeyPatch, line: str, resumes: bool
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for name in (
        "lsr.collections.documents.as_documents",
        "lsr.collections.collection.load_collection",
        "lsr.experiment.experiment_file.read_experiment",
    ):
        monkeypatch.setattr(name, interrupt)
    monkeypatch.setattr("lsr.vectors.io.is_vectors", lambda path: str(path) == "v.npz" and interrupt())
    said = "lsr: interrupted; run the same command again to resume\n" if resumes else "lsr: interrupted\n"
    assert lsr(*line.split()) == Outcome(130, "", said)


@pytest.mark.parametrize(
    ("command", "during", "kept"),
    [
        ("index", "lsr.encoders.bm25.BM25Encoder.encode_documents", "64 documents are kept in out.encoding"),
        ("index", "lsr.retrieval.segment_maker.SegmentMaker.from_vectors", "100 documents are kept in out.encoding"),
        ("encode", "lsr.encoders.bm25.BM25Encoder.encode_documents", "64 documents are kept in out"),
    ],
)
def test_the_message_after_ctrl_c_names_kept_work(
    lsr: Lsr, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, during: str, kept: str
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"_id": str(i), "text": f"word{i} words"}) + "\n" for i in range(100)))
    called, real = itertools.count(), BM25Encoder.encode_documents

    def interrupt(*given: Any) -> Any:
        if next(called) or "segment_maker" in during:
            raise KeyboardInterrupt
        return real(*given)

    with monkeypatch.context() as patched:
        patched.setattr(during, interrupt)
        stopped = lsr(command, str(texts), "out", "--encoder", "bm25")
    assert (stopped.status, stopped.err.splitlines()[-1]) == (
        130,
        f"lsr: interrupted; {kept}; run the same command again to resume",
    )
    assert lsr(command, str(texts), "out", "--encoder", "bm25").status == 0


@pytest.mark.parametrize("copies", [1, 2000])
def test_a_reader_that_goes_away_is_no_error(bm25_index: Path, copies: int) -> None:
    """`lsr search ... | head`, with output that is written at the end and with more than a pipe takes."""
    code = f"""
import lsr.cli.output
show = lsr.cli.output.print_json
lsr.cli.output.print_json = lambda value: show([value] * {copies})
{MAIN}"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, "search", bm25_index, "information", "--json"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as errors:
        assert errors.read() == ""
    assert process.wait(120) == 1


def test_a_terminal_that_cannot_show_every_letter(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "corpus.jsonl").write_text('{"_id": "1", "text": "na\\u00efve \\u03bb"}\n')
    assert run_python(MAIN, "index", tmp_path / "c", tmp_path / "i", "--encoder", "bm25").returncode == 0
    code = "import sys\nsys.stdout.reconfigure(encoding='ascii')\n" + MAIN
    ended = run_python(code, "search", tmp_path / "i", "na\u00efve")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert r"na\xefve \u03bb" in ended.stdout


def test_progress_is_shown_on_a_terminal(library: Path, tmp_path: Path) -> None:
    lines = lines_on_terminal(MAIN, "index", library, tmp_path / "i", "--encoder", "bm25")
    last = [line for line in lines if line.startswith("encoding")][-1]
    assert re.fullmatch(r"encoding +\S+ 82 of 82, [\d,.]+ documents/s, took \d+:\d\d", last.rstrip())
    assert max(len(line) for line in lines if "━" in line) <= 80


@pytest.mark.parametrize(("closed", "word", "status", "lines"), [("012", "info", 2, 0), ("1", "serch", 2, 1)])
def test_closed_standard_streams(closed: str, word: str, status: int, lines: int) -> None:
    code = (
        f"import os, sys\nfor stream in {closed!r}: os.close(int(stream))\n"
        f"os.execv(sys.executable, [sys.executable, '-c', {MAIN!r}, {word!r}])"
    )
    ended = run_python(code)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (status, "", lines)
