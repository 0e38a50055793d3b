"""Types of values in text: cells of CSV files, and front matter."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from datetime import date, datetime
from typing import Any

_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
_TRUTH = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}


def _integer(cell: str) -> int | None:
    value = int(cell) if _INTEGER.fullmatch(cell) else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


def _float(cell: str) -> float | None:
    # Integers with more digits than a float holds are identifiers rather than numbers.
    if not _FLOAT.fullmatch(cell) or (cell.lstrip("+-").isdigit() and len(cell) > 16):
        return None
    value = float(cell)
    return value if abs(value) != float("inf") else None


def _date(cell: str) -> date | None:
    try:
        return date.fromisoformat(cell) if _DATE.fullmatch(cell) else None
    except ValueError:
        return None


def _time(cell: str) -> datetime | None:
    try:
        if _DATE.fullmatch(cell):
            return datetime.fromisoformat(cell)
        return datetime.fromisoformat(cell) if _TIME.fullmatch(cell) else None
    except ValueError:
        return None


# In the order of preference.
_READERS: tuple[tuple[str, Callable[[str], Any]], ...] = (
    ("int64", _integer),
    ("double", _float),
    ("bool", _TRUTH.get),
    ("date32", _date),
    ("timestamp[us]", _time),
    ("string", str),
)


def typed(cell: str) -> Any:
    """The value of a single cell."""
    return next(value for _, read in _READERS if (value := read(cell)) is not None)


class TypesOfText:
    """Finds, for each column of texts, the first type that all its cells have. Empty cells are missing values.

    texts: the numbers of the columns that are always strings.
    """

    def __init__(self, columns: int, texts: Container[int] = ()) -> None:
        text, every = [len(_READERS) - 1], list(range(len(_READERS)))
        self._fit = [list(text if at in texts else every) for at in range(columns)]
        self._seen = [False] * columns

    def see(self, columns: Sequence[Sequence[str]]) -> None:
        """Add cells of each column."""
        for at, cells in enumerate(columns):
            filled = set(filter(None, cells))
            self._seen[at] |= bool(filled)
            self._fit[at] = [
                kind for kind in self._fit[at] if all(_READERS[kind][1](cell) is not None for cell in filled)
            ]

    def found(self) -> list[str]:
        """Arrow's name of each column's type. Columns without any value are strings."""
        return [_READERS[fit[0] if seen else -1][0] for fit, seen in zip(self._fit, self._seen, strict=True)]


def values_of(cells: Sequence[str], kind: str) -> list[Any]:
    """The values of cells of this type; None for empty cells."""
    read = dict(_READERS)[kind]
    return [read(cell) if cell else None for cell in cells]
