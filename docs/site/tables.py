"""Writes the rows of tables in docs/ from result files: `python docs/site/tables.py`. A test compares both.

A comment before a table names the file and has a row with fields:

    <!-- rows of results.csv by contrast
    | {contrast} | {zero-shot/difference:+.3f} | {p:p} |
    -->

The file is in benchmarks/results/; `golden cards` are the cards of lsr's models. With `by COLUMN, ...`, the lines that
are equal in these columns make one row; a field `VALUE/COLUMN` is of the line that has VALUE in any of its cells, and
empty if there is none. A format is one of Python's for numbers, with ~ at its end for no zero before the point; `p` for
a p-value; `x` for a ratio. ` once` at its end leaves out a cell that is equal to the one above. A cell that is not a
number stays as it is.
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
    groups = dict[tuple[str, ...], list[Line]]()
    for at, line in enumerate(lines):
        groups.setdefault(tuple(line[name] for name in key.split(", ")) if key else (str(at),), []).append(line)
    values = {value for line in lines for value in line.values()}
    before = dict[str, str]()
    for group in groups.values():

        def filled(found: re.Match[str], group: list[Line] = group) -> str:
            value, column, style = found.groups()
            if value is not None and value not in values:
                raise KeyError(f"no line has {value}")
            line = next((each for each in group if value is None or value in each.values()), None)
            cell = "" if line is None else shown(line[column], (style or "").removesuffix(" once"))
            if (style or "").endswith(" once"):
                cell, before[column] = "" if before.get(column) == cell else cell, cell
            return cell

        yield re.sub(r" +\|", " |", _FIELD.sub(filled, template))


def shown(cell: str, style: str) -> str:
    """A cell as it is printed."""
    try:
        number = int(cell) if cell.isdigit() else float(cell)
    except ValueError:
        return cell or ("" if style == "x" else NOTHING)
    if not style:
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
