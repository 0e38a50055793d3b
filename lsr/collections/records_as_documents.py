"""Documents from records: JSON lines, dicts, texts and Documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from os import PathLike
from pathlib import Path
from typing import Any

from lsr.checks import check_text, shown
from lsr.collections.column_roles import AskedColumns, ColumnRoles, id_of, text_of
from lsr.collections.lines import count_lines
from lsr.collections.sources import Document, Place, jsonl_records
from lsr.errors import CollectionError

_SHAPES = 1000  # sets of keys whose roles are cached


class RowPlace(Place):
    """A row of a source without lines, counted from 0."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{self.where}: row {self.number}"


class RecordReader:
    """Turns records into documents.

    The first record decides whether there are ids: if it has one, every other record needs one; if not, row numbers
    from 0 are the ids. Missing keys and empty objects are not in the metadata.
    """

    def __init__(self, where: str, asked: AskedColumns) -> None:
        self._where = where
        self._asked = asked
        self._roles: dict[tuple[str, ...], ColumnRoles] = {}
        self._row = -1
        self._numbered: bool | None = None

    def document(self, place: Place, record: Mapping[str, Any]) -> Document:
        """The document of a record. Raises CollectionError, which names the place."""
        self._row += 1
        roles = self._roles_of(place, record)
        if self._numbered is None:
            self._numbered = roles.id is None
        if self._numbered:
            roles, doc_id = roles._replace(id=None), f"{self._asked.prefix}{self._row}"
        elif roles.id is None:
            raise CollectionError(f'{place}: the "_id" is missing; every line needs one')
        else:
            doc_id = id_of(place, roles.id, record[roles.id])
        text = text_of(place, roles.text, record[roles.text])
        title = "" if roles.title is None else text_of(place, roles.title, record[roles.title])
        rest = {key: value for key, value in record.items() if key not in roles and not _is_empty(value)}
        for key, value in rest.items():
            if isinstance(value, str) and not value.isascii():
                check_text(f'{place}: "{key}"', value, CollectionError)
        return Document(doc_id, title, text, rest) if rest else Document(doc_id, title, text)

    def _roles_of(self, place: Place, record: Mapping[str, Any]) -> ColumnRoles:
        keys = tuple(record)
        roles = self._roles.get(keys)
        if roles is None:
            for key in keys:
                check_text(f"{place}: the name of a column", key, CollectionError)
            roles = ColumnRoles.among(keys, self._asked, str(place))
            if len(self._roles) >= _SHAPES:
                self._roles.clear()
            self._roles[keys] = roles
        return roles


class JsonLines:
    """A file of JSON objects, one per line."""

    schema = None

    def __init__(self, path: Path, asked: AskedColumns) -> None:
        self.name = path.name
        self._path = path
        self._asked = asked

    def count(self) -> int | None:
        return count_lines(self._path)

    def documents(self) -> Iterator[tuple[Place, Document]]:
        reader = RecordReader(str(self._path), self._asked)
        for place, record in jsonl_records(self._path):
            if record.get("_id", record.get("id")) == record.get("text") == "" and not record.get("title"):
                continue  # like a blank line; BEIR's files have such lines
            yield place, reader.document(place, record)


class PythonDocuments:
    """Texts, dicts and Documents of an iterable that can be iterated several times."""

    schema = None

    def __init__(self, items: Iterable[Any], asked: AskedColumns) -> None:
        self.name = f"the {type(items).__name__}"
        self._items = items
        self._asked = asked

    def count(self) -> int | None:
        return len(self._items) if isinstance(self._items, Sized) else None

    def documents(self) -> Iterator[tuple[Place, Document]]:
        reader = RecordReader(self.name, self._asked)
        for row, item in enumerate(self._items):
            place = RowPlace(self.name, row)
            if isinstance(item, str):
                yield place, Document(str(row), "", text_of(place, "text", item))
            elif isinstance(item, Document):
                yield place, _checked(place, item)
            elif isinstance(item, Mapping):
                yield place, reader.document(place, item)
            else:
                advice = "; give only paths, or no paths" if isinstance(item, PathLike) else ""
                raise CollectionError(
                    f"{place} is {shown(item)}, of type {type(item).__name__}; documents must be texts, dicts with a "
                    f"text, or lsr.Document{advice}"
                )


def _checked(place: Place, document: Document) -> Document:
    if not isinstance(document.metadata, Mapping):
        raise CollectionError(f"{place}: the metadata is {shown(document.metadata)}; give a dict of name -> value")
    for name, value in (("doc_id", document.doc_id), ("title", document.title), ("text", document.text)):
        check_text(f"{place}: the {name}", value, CollectionError)
    if not document.doc_id:
        raise CollectionError(f"{place}: the doc_id is empty; every document needs one")
    return document


def _is_empty(value: Any) -> bool:
    return isinstance(value, dict) and not value
