"""Which column of a table holds the ids, which the texts and which the titles; all others are metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lsr.checks import check_text, shown
from lsr.errors import CollectionError

# What columns are called that hold one of these, in any case; the first that is there decides.
ID_NAMES = ("_id", "id", "docno", "doc_id", "docid")
TEXT_NAMES = ("text", "body", "content", "contents", "passage", "abstract")
TITLE_NAMES = ("title", "headline")
_LISTED = 20  # columns, in a message


class AskedColumns(NamedTuple):
    """The columns that the user names; None is to be found by its name.

    prefix: of the numbers of rows that stand in for ids, where several files would have the same.
    """

    id: str | None = None
    text: str | None = None
    title: str | None = None
    prefix: str = ""


class ColumnRoles(NamedTuple):
    """id: None where documents are numbered by their rows, from 0. title: None where they have none."""

    id: str | None
    text: str
    title: str | None

    @classmethod
    def among(cls, columns: Iterable[str], asked: AskedColumns, where: str) -> ColumnRoles:
        """Raises CollectionError, which lists the columns, where one that is asked for, or the text, is not there."""
        known = list(columns)
        for role, name in zip(("id", "text", "title"), asked[:3], strict=True):
            if name is not None and name not in known:
                raise CollectionError(f"{where}: there is no column {name!r} for --{role}; {_columns(known)}")
        chosen = {
            "id": asked.id or _by_name(known, ID_NAMES, asked),
            "text": asked.text or _by_name(known, TEXT_NAMES, asked),
            "title": asked.title or _by_name(known, TITLE_NAMES, asked),
        }
        if chosen["text"] is None:
            raise CollectionError(
                f"{where}: no column has a name that texts have ({', '.join(TEXT_NAMES)}); say which one it is by "
                f'--text NAME, or text="NAME" in Python; {_columns(known)}'
            )
        return cls(chosen["id"], chosen["text"], chosen["title"])


def id_of(place: object, column: str, value: Any) -> str:
    """An id, text or a whole number, as text. Raises CollectionError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or value == "":
        raise CollectionError(
            f'{place}: the "{column}" is {"missing" if value is None else "empty"}; every row needs one'
        )
    return text_of(place, column, value, "text or a whole number")


def text_of(place: object, column: str, value: Any, wanted: str = "a string") -> str:
    """A text; an empty one where the value is missing. Raises CollectionError for what is not text."""
    if value is None or (isinstance(value, float) and value != value) or str(value) == "<NA>":  # as data frames have it
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
