"""What commands print: results on stdout, progress on stderr and only for somebody who watches."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence


def watched() -> bool:
    """Whether progress bars have a reader: stderr is a terminal."""
    return sys.stderr.isatty()


def print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_columns(rows: Iterable[Sequence[str]]) -> None:
    """Rows of equal length with their columns aligned to the left."""
    table = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def printable(token: str) -> str:
    """Without what a terminal would obey: control and invisible characters as escapes."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in token)
