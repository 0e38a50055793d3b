"""Tables as Markdown, CSV, and LaTeX with booktabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence, Set
from itertools import takewhile
from typing import NamedTuple

MISSING_VALUE = "–"
BETTER, WORSE = "▲", "▼"

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # at the beginning of a row, LaTeX would read these two as arguments of \\
    "*": "{*}",
    '"': r"\textquotedbl{}",
    "µ": r"\textmu{}",
    "–": "--",
}
LATEX_NEEDS = r"% needs \usepackage[T1]{fontenc} and \usepackage{booktabs,graphicx,amssymb,textcomp}"
COLUMN, PAGE = 50, 105  # characters of about nine points in one column, and in both columns of a page
LONGEST = 40  # rows per page
_LATEX_MARKS = {BETTER: r"$^{\blacktriangle}$", WORSE: r"$^{\blacktriangledown}$"}

Value = str | float | None


class Column(NamedTuple):
    """A column. digits: after the decimal point of its numbers; None for text."""

    name: str
    digits: int | None = None


class Table(NamedTuple):
    """A table. marks, bold: the marked and the bold cells (row, column).

    A mark, BETTER or WORSE, follows a number. CSV has neither marks nor bold, and its numbers are not rounded.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    marks: Mapping[tuple[int, int], str] = {}
    bold: Set[tuple[int, int]] = frozenset()


def to_markdown(table: Table) -> str:
    """A table in GitHub's Markdown."""
    header, *rows = cells(table, bold="**")
    rule = ["---" if column.digits is None else "---:" for column in table.columns]
    return "".join(f"| {' | '.join(map(_markdown_text, row))} |\n" for row in (header, rule, *rows))


def cells(table: Table, bold: str = "") -> list[list[str]]:
    """The header and the rows as text, with marks. bold: written before and after a bold cell."""
    shown = [[column.name for column in table.columns]]
    for row, values in enumerate(table.rows):
        shown.append([])
        for at, (column, value) in enumerate(zip(table.columns, values, strict=True)):
            around = bold if (row, at) in table.bold else ""
            shown[-1].append(around + _shown(value, column.digits) + around + table.marks.get((row, at), ""))
    return shown


def to_csv(table: Table) -> str:
    """Comma-separated values with a header. Numbers are not rounded; None is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    for values in table.rows:
        writer.writerow(values)
    return text.getvalue()


def to_latex(table: Table, caption: str = "", label: str = "") -> str:
    """Table environments that fit a page. A comment names the packages that they need.

    A table wider than a column takes both columns of a page (table*). A still wider table is split into several
    tabulars, one below the other, which all begin with the leading text columns. A table longer than a page is split
    into several environments, where its first column changes; the first environment has the label.
    """
    text = _latex_rows(table)
    widths = [max(map(len, column)) + 2 for column in zip(*cells(table), strict=True)]
    groups = _column_groups(table, widths)
    environment = "table" if sum(widths) <= COLUMN else "table*"
    lines = [LATEX_NEEDS]
    for part, rows in enumerate(_row_groups(table, max(LONGEST // len(groups), 8))):
        lines += [rf"\begin{{{environment}}}", r"\centering"]
        if caption:
            lines.append(rf"\caption{{{latex_text(caption + ' (continued)' * (part > 0))}}}")
        if label and part == 0:
            lines.append(rf"\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', label)}}}")
        for at, group in enumerate(groups):
            lines += [r"\par\medskip"] * (at > 0) + _tabular(table, text, rows, group)
        lines.append(rf"\end{{{environment}}}")
    return "\n".join(lines) + "\n"


def _column_groups(table: Table, widths: Sequence[int]) -> list[list[int]]:
    """The columns of each tabular. Each begins with the leading text columns."""
    keys = [at for at, _ in takewhile(lambda each: each[1].digits is None, enumerate(table.columns))]
    groups = [keys[:]]
    for at in range(len(keys), len(widths)):
        if len(groups[-1]) > len(keys) and sum(widths[each] for each in groups[-1]) + widths[at] > PAGE:
            groups.append(keys[:])
        groups[-1].append(at)
    return groups


def _row_groups(table: Table, most: int) -> list[range]:
    """Ranges of at most `most` rows. They end where the first column changes, if possible."""
    changes = [at for at in range(1, len(table.rows)) if table.rows[at][0] != table.rows[at - 1][0]]
    groups = [range(min(most, len(table.rows)))]
    while groups[-1].stop < len(table.rows):
        begin, stop = groups[-1].start, groups[-1].stop
        stop = max((at for at in changes if begin < at <= stop), default=stop)
        groups[-1:] = [range(begin, stop), range(stop, min(stop + most, len(table.rows)))]
    return groups


def _tabular(table: Table, text: Sequence[Sequence[str]], rows: range, columns: Sequence[int]) -> list[str]:
    """Some rows and columns as a tabular, scaled down if it is too wide, with space where the first column changes."""
    alignment = "".join("l" if table.columns[at].digits is None else "r" for at in columns)
    header, *body = ([row[at] for at in columns] for row in text)
    several = len({row[0] for row in table.rows}) < len(table.rows)
    lines = [r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"]
    lines += [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", _latex_row(header), r"\midrule"]
    for at in rows:
        if several and at > rows.start and table.rows[at][0] != table.rows[at - 1][0]:
            lines.append(r"\addlinespace")
        lines.append(_latex_row(body[at]))
    return [*lines, r"\bottomrule", r"\end{tabular}}"]


def _latex_rows(table: Table) -> list[list[str]]:
    """The header and the rows, escaped."""
    text = [[latex_text(column.name) for column in table.columns]]
    for row, values in enumerate(table.rows):
        text.append([])
        for at, (column, value) in enumerate(zip(table.columns, values, strict=True)):
            cell = latex_text(_shown(value, column.digits))
            cell = rf"\textbf{{{cell}}}" if (row, at) in table.bold else cell
            text[-1].append(cell + _LATEX_MARKS.get(table.marks.get((row, at), ""), ""))
    return text


def _shown(value: Value, digits: int | None) -> str:
    if value is None:
        return MISSING_VALUE
    return value if isinstance(value, str) else f"{value:,.{digits or 0}f}"


def _markdown_text(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def latex_text(text: str) -> str:
    """A text, escaped, on one line."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
