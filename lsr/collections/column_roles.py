"""The columns of a table that hold ids, texts and titles. All others are metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lsr.checks import check_text, shown
from lsr.errors import CollectionError

# Names of these columns, in any case. The first existing one is used.
ID_NAMES = ("_id", "id", "docno", "doc_id", "docid")
TEXT_NAMES = ("text", "body", "content", "contents", "passage", "abstract")
TITLE_NAMES = ("title", "headline")
_LISTED = 20  # columns, in a message


class AskedColumns(NamedTuple):
    """The columns that the user names; None for those that are found by name.

    prefix: written before row numbers that are used as ids, so that several files have different ids.
    """

    id: str | None = None
    text: str | None = None
    title: str | None = None
    prefix: str = ""


class ColumnRoles(NamedTuple):
    """The columns of ids, texts and titles. id: None if row numbers are the ids. title: None without titles."""

    id: str | None
    text: str
    title: str | None

    @classmethod
    def among(cls, columns: Iterable[str], asked: AskedColumns, where: str) -> ColumnRoles:
        """The roles of the columns. Raises CollectionError, with all columns, if a named one or the text is missing."""
        known = list(columns)
        for role, name in zip(("id", "text", "title"), asked[:3], strict=True):
            if name is not None and name not in known:
                raise CollectionError(f"{where}: the column {name!r} of --{role} does not exist; {_columns(known)}")
        chosen = {
            "id": asked.id or _by_name(known, ID_NAMES, asked),
            "text": asked.text or _by_name(known, TEXT_NAMES, asked),
            "title": asked.title or _by_name(known, TITLE_NAMES, asked),
        }
        if chosen["text"] is None:
            raise CollectionError(
                f"{where}: no column has a usual name of texts ({', '.join(TEXT_NAMES)}); name the column with --text "
                f'NAME, or text="NAME" in Python; {_columns(known)}'
            )
        return cls(chosen["id"], chosen["text"], chosen["title"])


def id_of(place: object, column: str, value: Any) -> str:
    """An id, a text or whole number, as text. Raises CollectionError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or value == "":
        raise CollectionError(
            f'{place}: the "{column}" is {"missing" if value is None else "empty"}; every row needs one'
        )
    return text_of(place, column, value, "text or a whole number")


def text_of(place: object, column: str, value: Any, wanted: str = "a string") -> str:
    """A text; "" for a missing value. Raises CollectionError for a value that is not text."""
    if (
        value is None or (isinstance(value, float) and value != value) or str(value) == "<NA>"
    ):  # missing values of data frames
        return ""
    if not isinstance(value, str):
        raise CollectionError(f'{place}: "{column}" is {_as_json(value)}; it must be {wanted}')
    if not value.isascii():
        check_text(f'{place}: "{column}"', value, CollectionError)
    return value


def _by_name(columns: list[str], names: Sequence[str], asked: AskedColumns) -> str | None:
    free = {column.lower(): column for column in reversed(columns) if column not in asked[:3]}
    return next((free[name] for name in names if name in free), None)


def _columns(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"its columns are {', '.join(shown(name) for name in names[:_LISTED]) or 'none'}{more}"


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value)[:40]
    except (TypeError, ValueError, RecursionError):
        return shown(value)
