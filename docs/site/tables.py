"""Writes the rows of tables in docs/ from result files: `python docs/site/tables.py`. A test compares both.

A comment before a table names the file and has a row with fields:

    <!-- rows of results.csv by contrast
    | {contrast} | {zero-shot/difference:+.3f} | {p:p} |
    -->

The file is in benchmarks/results/; `golden cards` are the cards of lsr's models. With `by COLUMN`, the lines that are
equal in this column make one row; a field `VALUE/COLUMN` is of the line that has VALUE in any of its cells. A format is
one of Python's for numbers, with ~ at its end for no zero before the point; `p` for a p-value; `x` for a ratio; `once`
for a text that is left out where it is that of the row above. A cell that is no number stays as it is.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from lsr.encoders.golden_card import known_cards

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results"
NOTHING = "–"
_TABLE = re.compile(r"(<!-- rows of (.+?)(?: by (.+))?\n(.+)\n-->\n\n?\|.*\n\|[-:| ]+\n)((?:\|.*\n)*)")
_FIELD = re.compile(r"\{(?:([^{}/]+)/)?([^{}:]+)(?::([^{}]+))?\}")

Line = Mapping[str, str]


def with_rows(text: str) -> str:
    """A page with the rows that its tables should have. Raises KeyError for an unknown column or value."""

    def written(found: re.Match[str]) -> str:
        above, source, key, template, _ = found.groups()
        return above + "".join(f"{row}\n" for row in rows(lines_of(source), key, template))

    return _TABLE.sub(written, text)


def lines_of(source: str) -> list[Line]:
    if source == "golden cards":
        cards = sorted(known_cards().values(), key=lambda card: card.model.lower())
        return [{name: str(value or "") for name, value in asdict(card).items()} for card in cards]
    with (RESULTS / source).open(newline="") as file:
        return list(csv.DictReader(file))


def rows(lines: list[Line], key: str | None, template: str) -> Iterator[str]:
    groups = dict[str, list[Line]]()
    for at, line in enumerate(lines):
        groups.setdefault(line[key] if key else str(at), []).append(line)
    before = dict[str, str]()
    for group in groups.values():

        def filled(found: re.Match[str], group: list[Line] = group) -> str:
            value, column, style = found.groups()
            of_value = [line for line in group if value is None or value in line.values()]
            if not of_value:
                raise KeyError(f"no line has the value {value}")
            cell = of_value[0][column]
            if style == "once":
                cell, before[column] = "" if before.get(column) == cell else cell, cell
                return cell
            return shown(cell, style)

        yield re.sub(r" +\|", " |", _FIELD.sub(filled, template))


def shown(cell: str, style: str | None) -> str:
    """A cell as it is printed."""
    try:
        number = float(cell)
    except ValueError:
        return cell or ("" if style == "x" else NOTHING)
    if style is None:
        return cell
    if style == "p":
        return "< .001" if number < 0.001 else "1" if number == 1 else f"{number:.3f}".removeprefix("0")
    if style == "x":
        return f"{number:.0f} x" if number >= 9.95 else f"{number:.1f} x".removeprefix("0")
    text = format(number, style.removesuffix("~"))
    return re.sub(r"^([+-]?)0(?=\.)", r"\1", text) if style.endswith("~") else text


if __name__ == "__main__":
    for page in sorted((REPOSITORY / "docs").glob("*.md")):
        page.write_text(with_rows(page.read_text()))
