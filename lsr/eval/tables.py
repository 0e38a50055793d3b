"""One table in three notations: Markdown, CSV, and LaTeX with booktabs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence, Set
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
    "µ": r"\textmu{}",
    "–": "--",
}
LATEX_NEEDS = r"% needs \usepackage{booktabs,graphicx,amssymb,textcomp}; as table* it takes both columns of a page"
_LATEX_MARKS = {BETTER: r"$^{\blacktriangle}$", WORSE: r"$^{\blacktriangledown}$"}

Value = str | float | None


class Column(NamedTuple):
    """digits: after the point, of its numbers; None for text."""

    name: str
    digits: int | None = None


class Table(NamedTuple):
    """columns and rows; marks and bold: of cells (row, column).

    A mark, BETTER or WORSE, stands after a number. CSV has neither marks nor bold, and its numbers are not rounded.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    marks: Mapping[tuple[int, int], str] = {}
    bold: Set[tuple[int, int]] = frozenset()


def to_markdown(table: Table) -> str:
    """A table as GitHub's Markdown has them."""
    header, *rows = cells(table, bold="**")
    rule = ["---" if column.digits is None else "---:" for column in table.columns]
    return "".join(f"| {' | '.join(map(_markdown_text, row))} |\n" for row in (header, rule, *rows))


def cells(table: Table, bold: str = "") -> list[list[str]]:
    """The header and the rows as text, with marks; bold: what stands around a cell in bold type."""
    shown = [[column.name for column in table.columns]]
    for row, values in enumerate(table.rows):
        shown.append([])
        for at, (column, value) in enumerate(zip(table.columns, values, strict=True)):
            around = bold if (row, at) in table.bold else ""
            shown[-1].append(around + _shown(value, column.digits) + around + table.marks.get((row, at), ""))
    return shown


def to_csv(table: Table) -> str:
    """Comma-separated values with a header; numbers in full, nothing for None."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    for values in table.rows:
        writer.writerow(values)
    return text.getvalue()


def to_latex(table: Table, caption: str = "", label: str = "") -> str:
    """A table environment, made narrower where it is wider than its column; a comment names the packages it needs."""
    alignment = "".join("l" if column.digits is None else "r" for column in table.columns)
    lines = [LATEX_NEEDS, r"\begin{table}", r"\centering"]
    if caption:
        lines.append(rf"\caption{{{_latex_text(caption)}}}")
    if label:
        lines.append(rf"\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', label)}}}")
    lines.append(r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%")
    lines += [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule"]
    lines.append(_latex_row([_latex_text(column.name) for column in table.columns]))
    lines.append(r"\midrule")
    for row, values in enumerate(table.rows):
        cells = []
        for at, (column, value) in enumerate(zip(table.columns, values, strict=True)):
            cell = _latex_text(_shown(value, column.digits))
            cell = rf"\textbf{{{cell}}}" if (row, at) in table.bold else cell
            mark = table.marks.get((row, at), "")
            cells.append(cell + _LATEX_MARKS.get(mark, ""))
        lines.append(_latex_row(cells))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}"]) + "\n"


def _shown(value: Value, digits: int | None) -> str:
    if value is None:
        return MISSING_VALUE
    return value if isinstance(value, str) else f"{value:,.{digits or 0}f}"


def _markdown_text(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
