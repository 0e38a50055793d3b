"""The output of commands: results on stdout, progress on stderr."""

from __future__ import annotations

import codecs
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsr.eval.tables import Table

_NARROWEST = 12  # characters of a folded column
_NUMBER = re.compile(r"[-+]?[\d,.]+[▲▼]?|[-–]?")

JOINERS = "\u200c\u200d"  # invisible parts of words in Persian and Indic scripts, and of emoji


def watched() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr.isatty()


def bold() -> tuple[str, str]:
    """The codes that begin and end bold text. Empty if stdout is not a terminal."""
    return ("\x1b[1m", "\x1b[22m") if sys.stdout.isatty() else ("", "")


def while_loading(what: object) -> AbstractContextManager[None]:
    """Print on a terminal that `what` is being loaded, if loading takes a while."""
    from lsr.progress import waiting

    return waiting(printable(f"loading {what}"), shown=True)


def say(line: str) -> None:
    """Print a line on stdout. It may contain any names."""
    print(printable(line))


def remark(note: str) -> None:
    """Print a line on stderr, unless it is empty."""
    if note:
        from lsr.storage.reading import as_given

        print(printable(as_given(note), keep="\n"), file=sys.stderr)


def print_json(value: object) -> None:
    """Print JSON: with escapes if stdout is not UTF-8."""
    print(json.dumps(value, ensure_ascii=codecs.lookup(sys.stdout.encoding).name != "utf-8", indent=2))


def print_columns(rows: Iterable[Sequence[str]], least: Sequence[str] = ()) -> None:
    """Print rows of equal length as columns: numbers to the right, texts to the left.

    On a narrow terminal, the columns named in `least` are dropped, the first of them first. Then long cells are folded.
    A pipe gets all columns, and one line per row.
    """
    import textwrap

    table = [tuple(map(printable, row)) for row in rows]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    left_out: list[str] = []
    while _width(_widths(table)) > room and len(left_out) < len(least):
        left_out.append(least[len(left_out)])
        table = [tuple(cell for cell, name in zip(row, table[0], strict=True) if name != left_out[-1]) for row in table]
    widths = _widths(table)
    while _width(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    right = [all(map(_NUMBER.fullmatch, column[1:])) for column in zip(*table, strict=True)]
    for row in table:
        folded = [
            textwrap.wrap(cell, width) if _cells(cell) > width else [cell]
            for cell, width in zip(row, widths, strict=True)
        ]
        for line in zip_longest(*folded, fillvalue=""):
            cells = zip(line, widths, right, strict=True)
            print("  ".join(_padded(*each) for each in cells).rstrip())
    if left_out:
        note = f"(columns not shown: {', '.join(reversed(left_out))}; use a wider terminal, or redirect the output)"
        print(textwrap.fill(note, room))


def print_table(table: Table) -> None:
    """Print a table as columns. A narrow terminal does not show the last columns."""
    from lsr.eval.tables import cells

    header, *rows = cells(table)
    print_columns([header, *rows], header[:2:-1])


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(_cells, column)) for column in zip(*table, strict=True)]


def _cells(text: str) -> int:
    """The width of a text on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _padded(cell: str, width: int, right: bool) -> str:
    blanks = " " * (width - _cells(cell))
    return blanks + cell if right else cell + blanks


WORDS_TO_SEARCH = "words to search for"


def print_next(*commands: Sequence[object]) -> None:
    """Print the next commands to try, given without `lsr`. Prints only on a terminal."""
    if sys.stdout.isatty():
        print("next:", "\n      ".join(typed("lsr", *words) for words in commands))


def typed(program: str, *words: object) -> str:
    """A command in the syntax of a shell. If `lsr` is not on the PATH, the path of the program replaces it."""
    if program == "lsr" and not shutil.which("lsr"):
        program = os.path.abspath(sys.argv[0])
    import shlex

    return printable(shlex.join([program, *map(str, words)]))


def printable(text: str, keep: str = "") -> str:
    """A text with control and invisible characters as escapes, except for the characters in `keep`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else ascii(each)[1:-1] for each in text)
