"""Tables as wide as the terminal, and as wide as they are in a pipe."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from lsr.cli.output import print_columns, print_markdown, print_next

HEADER = ("name", "what it is about", "R@10", "note")
ROWS = [
    HEADER,
    ("bm25", "counts words of texts and adds them up", "0.5", "-"),
    ("日本語", "other words", "12.25", "odd"),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, columns: int, *least: str) -> list[str]:
    screen = Terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stdout", screen)
    print_columns(ROWS, least)
    return screen.getvalue().splitlines()


def test_a_pipe_has_every_column_and_a_line_for_each_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    print_columns(ROWS, ["note"])
    assert capsys.readouterr().out.splitlines() == [
        "name    what it is about                         R@10  note",
        "bm25    counts words of texts and adds them up    0.5  -",
        "日本語  other words                             12.25  odd",
    ]


def test_a_wide_terminal_shows_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 60, "note")[1] == "bm25    counts words of texts and adds them up    0.5  -"


def test_a_narrow_terminal_goes_without_the_least_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 58, "note", "R@10") == [
        "name    what it is about                         R@10",
        "bm25    counts words of texts and adds them up    0.5",
        "日本語  other words                             12.25",
        "(no room for note; a wider terminal shows them, and so",
        "does a pipe)",
    ]


def test_what_is_still_too_long_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 40, "note")
    assert lines[1:4] == [
        "bm25    counts words of texts and    0.5",
        "        adds them up",
        "日本語  other words                12.25",
    ]
    assert max(map(len, lines[:4])) <= 40


def test_tables_of_markdown_are_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_markdown("# Found\n\n| a | b \\| c |\n| --- | ---: |\n| x | **0.5**▲ |\n| long | 12.25 |\n\nThe end.\n")
    assert capsys.readouterr().out.splitlines() == [
        *("# Found", "", "a     b | c", "x      0.5▲", "long  12.25", "", "The end."),
    ]


def test_what_to_type_next_is_for_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    print_next(["search", "my index", "a word"])
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    monkeypatch.setattr(sys, "argv", ["bin/lsr"])
    monkeypatch.setenv("PATH", "")  # a program that is not on the path is named as it can be typed
    print_next(["search", Path("my index"), "a word"], ["info", "my index"])
    program = Path.cwd() / "bin" / "lsr"
    assert screen.getvalue() == f"next: {program} search 'my index' 'a word'\n      {program} info 'my index'\n"
