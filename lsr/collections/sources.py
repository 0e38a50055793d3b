"""Layouts of collections: BEIR folders, MS MARCO folders, and files of texts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from lsr.checks import check_text, is_utf8
from lsr.collections.lines import count_lines, file_digest, read_lines
from lsr.collections.runs import Qrels, read_qrels
from lsr.errors import CollectionError, RunError
from lsr.storage.recognize import JUDGMENTS, RUN, collection_around, what_is

_ID_KEYS, _TEXT_KEYS = ("_id", "id"), ("title", "text")
_SURROGATE = re.compile(r"\\u[dD]")  # an escaped surrogate, alone or half of a character


class _NoMetadata(Mapping[str, Any]):
    """A dict that is always empty, shared by all documents. Documents remain hashable and can be pickled."""

    def __getitem__(self, name: str) -> Any:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"

    def __reduce__(self) -> str:
        return "NO_METADATA"


NO_METADATA = _NoMetadata()


class Document(NamedTuple):
    """One document of a collection.

    doc_id: its id.
    title: its title; "" if there is none.
    text: its text.
    metadata: {name: value} of all other values of the document: text, numbers, bool, dates and times, None, and lists
        or dicts of these.
    """

    doc_id: str
    title: str
    text: str
    metadata: Mapping[str, Any] = NO_METADATA

    @property
    def full_text(self) -> str:
        """Title and text, separated by a space: the text that is encoded, searched and shown."""
        return f"{self.title} {self.text}".strip()


class Query(NamedTuple):
    """One query of a collection or of a file of queries."""

    query_id: str
    text: str


class CollectionSource(Protocol):
    """The interface of all layouts. A split is one of `splits`; None is for data without a named split.

    Documents and queries have places, which errors name.
    """

    @property
    def name(self) -> str: ...
    @property
    def splits(self) -> tuple[str, ...]: ...
    def count(self) -> int | None:
        """The number of documents; None if it is unknown without parsing them."""

    def corpus(self) -> str:
        """An identity of the documents, equal for all collections with the same corpus."""

    def documents(self) -> Iterator[tuple[Place, Document]]: ...
    def has_queries(self, split: str | None) -> bool: ...
    def queries(self, split: str | None) -> Iterator[tuple[Place, Query]]: ...
    def has_qrels(self, split: str | None) -> bool: ...
    def qrels(self, split: str | None) -> Qrels: ...


class Place(NamedTuple):
    """A place: line `number` of a file, or item `number` of another source."""

    where: str
    number: int

    def __str__(self) -> str:
        return f"{self.where}:{self.number}"


class BeirFolder:
    """A folder of corpus.jsonl[.gz], queries.jsonl[.gz] and qrels/SPLIT.tsv. Only the corpus is required.

    A document with empty id, title and text is skipped like a blank line.
    """

    def __init__(self, folder: Path, corpus: Path) -> None:
        self.name = Path(os.path.abspath(folder)).name
        self._folder = folder
        self._corpus = corpus
        self._qrels = {path.name.split(".tsv")[0]: path for path in _visible(folder / "qrels", "*.tsv", "*.tsv.gz")}

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self._qrels)

    def count(self) -> int | None:
        return count_lines(self._corpus)

    def corpus(self) -> str:
        return file_digest(self._corpus)

    def documents(self) -> Iterator[tuple[Place, Document]]:
        return jsonl_documents(self._corpus)

    def has_queries(self, split: str | None) -> bool:
        return packed_or_plain(self._folder / "queries.jsonl") is not None

    def queries(self, split: str | None) -> Iterator[tuple[Place, Query]]:
        path = packed_or_plain(self._folder / "queries.jsonl")
        if path is None:
            raise CollectionError(f"{self._folder}: has no queries.jsonl or queries.jsonl.gz; add one")
        yield from read_queries(path)

    def has_qrels(self, split: str | None) -> bool:
        return split in self._qrels

    def qrels(self, split: str | None) -> Qrels:
        if split not in self._qrels:
            raise CollectionError(f"{self._folder}: has no judgments (qrels/SPLIT.tsv); add them")
        return read_collection_qrels(self._qrels[split])


class TextFiles:
    """Files of documents and queries (JSON lines, or id, tab and text) and qrels per split, as in MS MARCO."""

    def __init__(self, collection: Path, queries: dict[str | None, Path], qrels: dict[str | None, Path]) -> None:
        self.name = collection.name
        around = collection_around(collection)
        self.where_judged = (
            "give COLLECTION,QUERIES,QRELS" if around is None else f"give the collection's folder, {around}"
        )
        self._collection = collection
        self._queries = queries
        self._qrels = qrels

    @classmethod
    def of_folder(cls, folder: Path, collection: Path) -> TextFiles:
        source = cls(collection, _by_split(folder, "queries"), _by_split(folder, "qrels"))
        source.name = Path(os.path.abspath(folder)).name
        source.where_judged = "add qrels.SPLIT.tsv to its folder, or give COLLECTION,QUERIES,QRELS"
        return source

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in (self._qrels or self._queries) if split is not None)

    def count(self) -> int | None:
        return count_lines(self._collection)

    def corpus(self) -> str:
        return file_digest(self._collection)

    def documents(self) -> Iterator[tuple[Place, Document]]:
        if is_jsonl(self._collection):
            yield from jsonl_documents(self._collection)
        else:
            for place, (identifier, text) in _pairs(self._collection):
                yield place, Document(identifier, "", text)

    def has_queries(self, split: str | None) -> bool:
        return split in self._queries or None in self._queries

    def queries(self, split: str | None) -> Iterator[tuple[Place, Query]]:
        path = self._queries.get(split) or self._queries.get(None)
        if path is None:
            found = ", ".join(path.name for path in self._queries.values()) or "none"
            raise CollectionError(
                f"{self.name}: has no file of queries for {split or 'no split'} (there is: {found}); add it"
            )
        yield from read_queries(path)

    def has_qrels(self, split: str | None) -> bool:
        return split in self._qrels

    def qrels(self, split: str | None) -> Qrels:
        if split not in self._qrels:
            raise CollectionError(f"{self.name}: has no judgments; {self.where_judged}")
        return read_collection_qrels(self._qrels[split])


def packed_or_plain(path: Path) -> Path | None:
    """`path`, or `path` with .gz, whichever exists; None if neither does."""
    return next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)


def read_collection_qrels(path: Path) -> Qrels:
    try:
        return read_qrels(path)
    except RunError as cause:
        raise CollectionError(str(cause)) from cause


def is_jsonl(path: Path) -> bool:
    """Whether the first line of a file is a JSON object. Raises CollectionError for a file that cannot be read."""
    _, line = next(read_lines(path, CollectionError), (0, ""))
    return line.lstrip().startswith("{")


def jsonl_documents(path: Path) -> Iterator[tuple[Place, Document]]:
    for place, record in jsonl_records(path):
        if record.get("_id", record.get("id")) == record.get("text") == "" and not record.get("title"):
            continue  # like a blank line: no text and no id
        identifier, text = _id(place, record), _string(place, record, "text")
        title = "" if record.get("title") is None else _string(place, record, "title")
        rest = {key: value for key, value in record.items() if key not in (*_ID_KEYS, *_TEXT_KEYS) and value != {}}
        yield place, Document(identifier, title, text, rest) if rest else Document(identifier, title, text)


def read_queries(path: Path) -> Iterator[tuple[Place, Query]]:
    """Queries of a file of {"_id", "text"} lines, or of `id<TAB>text` lines."""
    if is_jsonl(path):
        for place, record in jsonl_records(path):
            yield place, Query(_id(place, record), _string(place, record, "text"))
    else:
        for place, (identifier, text) in _pairs(path):
            yield place, Query(identifier, text)


def _visible(folder: Path, *patterns: str) -> list[Path]:
    """The files without hidden ones, which systems add (`._test.tsv` of macOS)."""
    found = {path for pattern in patterns for path in folder.glob(pattern) if not path.name.startswith(".")}
    return sorted(found)


def _by_split(folder: Path, kind: str) -> dict[str | None, Path]:
    """Split -> file: KIND.tsv (split None) and KIND.SPLIT.tsv of a folder, each also as .txt and .gz."""
    found: dict[str | None, Path] = {}
    for path in _visible(folder, *(f"{kind}*{suffix}" for suffix in (".tsv", ".tsv.gz", ".txt", ".txt.gz"))):
        split = path.name.removesuffix(".gz").removesuffix(".tsv").removesuffix(".txt")[len(kind) :].lstrip(".-_")
        found.setdefault(split or None, path)
    return found


def _pairs(path: Path) -> Iterator[tuple[Place, tuple[str, str]]]:
    for number, line in read_lines(path, CollectionError):
        place = Place(str(path), number)
        cells = line.split("\t")
        if len(cells) != 2:
            kind = what_is(path)
            other = f"{path}: is {kind}; " if kind in (JUDGMENTS, RUN) else f"{place}: {len(cells)} columns; "
            raise CollectionError(f"{other}expected lines of id, tab and text, or JSON lines")
        identifier = cells[0].strip()
        if not identifier:
            raise CollectionError(f"{place}: the id is missing; expected id, tab, text")
        yield place, (identifier, cells[1])


def jsonl_records(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """All lines of a file of JSON objects. Raises CollectionError, which names the line."""
    for number, line in read_lines(path, CollectionError):
        place = Place(str(path), number)
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as cause:
            raise CollectionError(f"{place}: not valid JSON ({cause}); each line must be one object") from cause
        if not isinstance(record, dict):
            raise CollectionError(f"{place}: {line[:40]!r} is not an object; each line must be one JSON object")
        if _SURROGATE.search(line):
            for key, value in record.items():
                shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                check_text(f'{place}: "{key}"', f"{key}{shown}" if not is_utf8(key) else shown, CollectionError)
        yield place, record


def _id(place: Place, record: dict[str, Any]) -> str:
    key = "id" if "_id" not in record and "id" in record else "_id"
    identifier = record.get(key)
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        return str(identifier)
    if key not in record:
        raise CollectionError(f'{place}: the "_id" is missing; every line needs one')
    text = _string(place, record, key)
    if not text:
        raise CollectionError(f'{place}: the "{key}" is empty; every line needs one')
    return text


def _string(place: Place, record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        what = f"is {json.dumps(value)[:40]}" if key in record else "is missing"
        raise CollectionError(f'{place}: "{key}" {what}; it must be a string')
    if not value.isascii():
        check_text(f'{place}: "{key}"', value, CollectionError)
    return value
