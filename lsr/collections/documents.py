"""Documents from files and folders, tables and data frames, and Python objects."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lsr.checks import check_text, expanded, shown
from lsr.collections.arrow_tables import ArrowFiles, ArrowObject, dataset_on_disk, is_table, table_of
from lsr.collections.collection import load_collection
from lsr.collections.column_roles import AskedColumns
from lsr.collections.delimited_tables import DelimitedTable, names_columns
from lsr.collections.document_set import Documented, DocumentReading, DocumentSet, Joined, Known
from lsr.collections.left_out import patterns_of, warn_of_left_out, warn_of_passed_over
from lsr.collections.page_folders import Pages, files_below
from lsr.collections.pages import READERS
from lsr.collections.records_as_documents import JsonLines, PythonDocuments
from lsr.collections.sources import packed_or_plain
from lsr.collections.spooled_documents import SpooledDocuments
from lsr.collections.tables_as_documents import TableDocuments
from lsr.errors import CollectionError
from lsr.storage.reading import anchored, rereadable
from lsr.storage.recognize import (
    A_COLLECTION,
    AN_ENCODER,
    JUDGMENTS,
    RUN,
    VECTORS,
    beginning,
    is_output,
    what_is,
)

_ARROW = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
_DELIMITED = (".csv", ".tsv", ".tab")
_JSON_LINES = (".jsonl", ".ndjson")
_READ = "lsr reads .md, .html, .txt, .pdf, .csv, .tsv, .jsonl and .parquet"
_MAGIC = frozenset("*?[")


def as_documents(
    source: Any, *, id: str | None = None, text: str | None = None, title: str | None = None
) -> Documented:
    """The documents of `source`, which can be:

    - a path: a folder of .md, .html, .txt or .pdf files (with subfolders; hidden files, files whose names begin with _
    and .json files are skipped), else of Parquet files, else of .csv, .tsv and .jsonl files; one such file, also with
    .gz; a folder written by save_to_disk of datasets; or any path that load_collection takes, such as a BEIR folder;
    "-" is standard input;
    - a pattern with *, ** or ?, or a list of Path: all of these files, in the order of the paths;
    - a data frame of pandas or polars, an Arrow table or reader, a Hugging Face dataset;
    - texts, dicts or Documents: a list or another iterable. An iterator, such as a generator, is written to a temporary
    folder by the first pass;
    - a Collection, or another object with name, count and documents(), which is returned unchanged.

    id, text, title: columns of a table, or keys of JSON lines or dicts. By default the first of _id, id, docno, doc_id
        and docid; of text, body, content, contents, passage and abstract; of title and headline, in upper or lower
        case. An id is a text or a whole number. Without such a column, row numbers from 0 are the ids; with several
        files, they follow the name of the file and a colon. Files of text among tables ignore these arguments.

    The id of a file of text is its path below the folder, or below the fixed beginning of the pattern; for a single
    file, its name. If the file is in a folder from which the index was built, its id is its path below that folder. Its
    title is its own title, else its first heading, else its name.

    All other columns are metadata, with the types of the table. The types of .csv and .tsv files are found in one pass
    (see DelimitedTable). In JSON lines and dicts, each value has its own type; a column of different types becomes
    float, if all are numbers, or text.

    Reads no documents yet. Raises CollectionError if `source` is not a source of documents, and MissingExtraError for
    PDFs without pypdf.
    """
    asked = AskedColumns(id, text, title)
    for role, column in zip(("id", "text", "title"), asked[:3], strict=True):
        if column is not None:
            check_text(f"the column of the {role}", column, CollectionError)
    if isinstance(source, str | os.PathLike):
        return _choosable(_of_path(os.fspath(source), asked), asked)
    if hasattr(source, "documents") and hasattr(source, "name"):
        _refuse_columns(asked, f"{source.name}")
        return source  # type: ignore[no-any-return]
    if hasattr(source, "read_next_batch"):  # an Arrow reader, which can be read only once
        return DocumentSet(_spooled_reader(source, asked))
    if is_table(source):
        return DocumentSet(TableDocuments(table_of(source), asked))
    if isinstance(source, Mapping):
        splits = f": source[{next(iter(source))!r}]" if source else ""
        raise CollectionError(
            f"the documents are a {type(source).__name__}; give one of its values{splits}, or a list of dicts with "
            "texts"
        )
    if isinstance(source, bytes) or not isinstance(source, Iterable):
        raise CollectionError(
            f"the documents are {shown(source)}, of type {type(source).__name__}; give a path, a table, texts or dicts"
        )
    if isinstance(source, list | tuple) and source and all(isinstance(each, os.PathLike) for each in source):
        return _choosable(_of_paths([os.fspath(each) for each in source], asked), asked)
    documents = PythonDocuments(source, asked)
    if isinstance(source, Iterator):
        return DocumentSet(SpooledDocuments(documents.name, documents.documents()))
    return DocumentSet(documents)


def _of_path(given: str, asked: AskedColumns) -> Documented:
    check_text("the source", given, CollectionError)
    path = rereadable(expanded(given))
    if path.is_dir():
        reading = _of_folder(path, asked)
    elif path.exists():
        reading = _of_file(path, asked)
    elif _MAGIC.isdisjoint(given):
        reading = None
    else:
        reading = _of_pattern(path, asked)
    if reading is not None:
        return DocumentSet(reading)
    if not path.exists() and "," not in given and _suffix(path) in (*READERS, *_ARROW, *_DELIMITED, *_JSON_LINES):
        raise CollectionError(f"{given}: there is no such file or folder; check the path")
    try:
        return load_collection(given)
    except CollectionError as error:
        if path.exists() or "," in given:
            raise
        raise CollectionError(f"{error}; or a folder or file of documents: {_READ}") from error.__cause__


def _of_paths(given: Sequence[str], asked: AskedColumns) -> Documented:
    """The documents of several paths, such as those of a shell pattern."""
    if len(given) == 1:
        return _of_path(given[0], asked)
    paths = [rereadable(expanded(each)) for each in given]
    if not all(path.is_file() for path in paths):
        documented = [_of_path(each, asked._replace(prefix=f"{each}:")) for each in given]
        return DocumentSet(Joined(f"{len(given)} sources", [Known(each) for each in documented]))
    if any(path.is_absolute() or ".." in path.parts for path in paths):
        paths = [Path(os.path.abspath(path)) for path in paths]
    below = Path(os.path.commonpath([path.parent for path in paths]) or ".")
    return DocumentSet(_of_files(f"{len(given)} files", below, sorted(set(paths)), asked))


def _of_pattern(pattern: Path, asked: AskedColumns) -> DocumentReading:
    matched = [Path(each) for each in glob.iglob(str(pattern), recursive=True) if not os.path.isdir(each)]
    # The shortest of the paths to a file. Links to folders can make several.
    real = {(os.path.realpath(each.parent), each.name): each for each in sorted(matched, key=_longest_first)}
    found = list(real.values())
    if not found:
        raise CollectionError(f"{pattern}: no file matches this pattern; check it")
    plain = next(at for at, part in enumerate(pattern.parts) if not _MAGIC.isdisjoint(part))
    return _of_files(str(pattern), Path(*pattern.parts[:plain]), sorted(found), asked)


def _of_folder(path: Path, asked: AskedColumns) -> DocumentReading | None:
    """The documents of a folder; None if load_collection must read or refuse it."""
    folder = anchored(path)
    if corpus := packed_or_plain(folder / "corpus.jsonl"):
        return JsonLines(corpus, asked) if asked != AskedColumns() else None
    if what_is(folder) in (A_COLLECTION, AN_ENCODER) or is_output(folder):
        return None
    if dataset := dataset_on_disk(folder):
        return TableDocuments(dataset, asked)
    found = files_below(path)
    files = [file for file in found if not file.name.startswith("_")]
    readable = (*READERS, *_ARROW, *_DELIMITED, *_JSON_LINES)
    passed = [file for file in found if _suffix(file) == ".json" or (file.name[0] == "_" and _suffix(file) in readable)]
    tables = [file for file in files if _suffix(file) in (*_ARROW, *_DELIMITED, *_JSON_LINES)]
    for kinds in (tuple(READERS), _ARROW, (*_DELIMITED, *_JSON_LINES)):
        some = [file for file in files if _suffix(file) in kinds]
        if some:
            reading = _of_files(folder.name, path, some, asked)
            if passed:
                warn_of_passed_over(path, passed)
            left = [file for file in tables if _suffix(file) not in kinds]
            if left:
                warn_of_left_out(path, "Parquet or Arrow files" if kinds == _ARROW else "pages", left)
                return Joined(folder.name, [reading], patterns_of(path, [*some, *left]))
            return reading
    raise CollectionError(f"{path}: has no documents (it is {what_is(path)}, not a collection); {_READ}")


def _of_files(name: str, below: Path, files: Sequence[Path], asked: AskedColumns) -> DocumentReading:
    """The documents of files of any kinds below a folder, in this order."""
    start = anchored(below)
    files = [start / file.relative_to(below) for file in files]
    kinds = {_suffix(file) for file in files}
    if kinds <= READERS.keys():
        return Pages(name, start, files, below)
    if kinds <= set(_ARROW):
        return TableDocuments(ArrowFiles(name, name, files), asked)
    readings: list[DocumentReading] = []
    for file in files:
        own = asked._replace(prefix=f"{file.relative_to(start).as_posix()}:" if len(files) > 1 else "")
        reading = Pages(file.name, start, [file], below) if _suffix(file) in READERS else _of_file(file, own)
        if reading is None:
            raise CollectionError(f"{file}: is {what_is(file)}, not a file of documents; {_READ}")
        readings.append(reading)
    return readings[0] if len(readings) == 1 else Joined(name, readings)


def _of_file(given: Path, asked: AskedColumns) -> DocumentReading | None:
    """The documents of a file; None if load_collection must read or refuse it."""
    file = anchored(given)
    if not file.is_file():  # opening a pipe would wait for its writer
        raise CollectionError(f"{file}: is a pipe, a device, or a broken link; remove it, or give it by itself")
    suffix, head = _suffix(file), beginning(file).lstrip(b"\xef\xbb\xbf \t\r\n")
    if suffix in _ARROW or head.startswith((b"PAR1", b"ARROW1")):
        return _checked(TableDocuments(ArrowFiles(file.name, str(file), [file]), asked))
    kind = what_is(file)
    if suffix in READERS and not (suffix == ".txt" and kind != "a file"):
        return Pages(file.name, file.parent, [file], given.parent, alone=True)
    if head.startswith(b"[") and suffix in (*_JSON_LINES, ".json"):
        raise CollectionError(f"{file}: is a list in JSON; write one object per line: jq -c '.[]' FILE > FILE.jsonl")
    if suffix in _JSON_LINES or head.startswith(b"{"):
        refused = kind in (VECTORS, JUDGMENTS, RUN) and asked == AskedColumns()
        return None if refused else _checked(JsonLines(file, asked))
    first = head.split(b"\n", 1)[0].decode("utf-8", "replace")
    if suffix == ".csv" or (suffix in _DELIMITED and (asked.text is not None or names_columns(first))):
        return _checked(TableDocuments(DelimitedTable(file, asked), asked))
    return None


def _checked(reading: JsonLines | TableDocuments) -> DocumentReading:
    """The reading, after checks that need no long work. Raises CollectionError."""
    if isinstance(reading, TableDocuments):
        reading.check()
    else:
        next(reading.documents(), None)
    return reading


def _spooled_reader(reader: Any, asked: AskedColumns) -> DocumentReading:
    """The documents of an Arrow reader, which can be read only once."""
    rows = TableDocuments(ArrowObject("the reader", reader.schema, None, lambda: iter(reader)), asked)
    return SpooledDocuments("the reader", rows.documents(), rows.schema)


def _longest_first(path: Path) -> tuple[int, Path]:
    return -len(path.parts), path


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _choosable(documented: Documented, asked: AskedColumns) -> Documented:
    """`documented`. Raises CollectionError if `asked` names columns and no source has columns."""
    if not getattr(documented, "has_columns", False):
        _refuse_columns(asked, documented.name)
    return documented


def _refuse_columns(asked: AskedColumns, where: str) -> None:
    if asked != AskedColumns():
        raise CollectionError(f"{where}: there are no columns to choose from; remove --id, --text and --title")
