"""Folders of numbered Parquet parts, which long work writes and from which it resumes after a kill.

part-00000.parquet ...   complete or missing; one row per item; the key-value metadata "lsr" is JSON, the settings that
                         all parts share, and "lsr.texts" a digest of the texts of the rows
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from lsr.checks import check_whole
from lsr.errors import CollectionError, LsrError, StorageError
from lsr.progress import Advance
from lsr.spelling import american
from lsr.storage.files import lock_folder, replacing_file, storage_errors
from lsr.storage.reading import anchored

SETTINGS_KEY = "lsr"
TEXTS_KEY = "lsr.texts"
ROWS_PER_GROUP = 8192
SECONDS_PER_PART = 30.0  # a part ends with the step that reaches this age, so a kill loses little more


_PART_NAME = re.compile(r"part-(\d{5,})\.parquet")

Kept = TypeVar("Kept")
Item = TypeVar("Item")
Result = TypeVar("Result")


def part_path(folder: Path, number: int) -> Path:
    """The path of part `number`, from 0."""
    return folder / f"part-{number:05d}.parquet"


def write_part(path: Path, table: pa.Table, metadata: Mapping[str, str], compression: str = "zstd") -> None:
    """Write one part with its metadata. Replaces an existing one. Raises StorageError."""
    with replacing_file(path) as file:
        pq.write_table(
            table.replace_schema_metadata(dict(metadata)),
            file,
            row_group_size=ROWS_PER_GROUP,
            compression=compression,
            use_dictionary=False,
            write_page_checksum=True,
        )


def rows_of_settings(
    path: Path, read: Callable[[Path], pa.Table], settings: Any, makers: str, error: type[LsrError]
) -> int | None:
    """The number of rows of a part; None if it is damaged, so that `read` raises `error`.

    Raises `error` if the part has other settings. makers: a name for the settings, for the message.
    """
    try:
        table = read(path)
    except error:
        return None
    found = american(json.loads(table.schema.metadata[SETTINGS_KEY.encode()]))
    if found != settings:
        raise error(
            f"{path}: was written by {makers}, {json.dumps(found)}, not {json.dumps(settings)}; delete the folder or "
            "choose another"
        )
    return len(table)


class OtherItemsError(CollectionError):
    """The items differ from those of an earlier writer."""


class PartWriter(Generic[Kept]):
    """Adds parts to a folder, after the intact parts of an earlier writer.

    folder: created if it does not exist.
    inspect: returns a summary of an existing part, or None for a damaged one, which is written again with all later
        parts.
    beside: names of other files that the folder can have.
    parts: the summaries of the intact parts.

    Only one writer can have a folder at a time. Raises StorageError if the folder cannot be written, has other files,
    or has a writer; and what `inspect` raises.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        inspect: Callable[[Path], Kept | None],
        beside: Sequence[str] = (),
    ) -> None:
        self.folder = anchored(Path(folder))
        self.parts: list[Kept] = []
        with storage_errors(folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.iterdir():
                if path.name not in beside and not path.name.startswith(".") and not _PART_NAME.fullmatch(path.name):
                    raise StorageError(
                        f"{folder}: has the file {path.name}, which lsr did not write; choose an empty folder"
                    )
            self._unlock = weakref.finalize(self, os.close, lock_folder(self.folder))
        try:
            while (path := self.next_path).exists() and (kept := inspect(path)) is not None:
                self.parts.append(kept)
        except BaseException:
            self.close()
            raise

    @property
    def complete_parts(self) -> int:
        return len(self.parts)

    @property
    def next_path(self) -> Path:
        """The path of the next part."""
        return part_path(self.folder, len(self.parts))

    def finish(self) -> None:
        """Remove damaged parts and all later ones, and release the folder. Raises StorageError."""
        self.remove_rest()
        self.close()

    def remove_rest(self) -> None:
        """Remove damaged parts and all later ones. Raises StorageError."""
        self.check_open()
        with storage_errors(self.folder):
            for path in self.folder.iterdir():
                match = _PART_NAME.fullmatch(path.name)
                if match and int(match[1]) >= self.complete_parts:
                    path.unlink()

    def check_open(self) -> None:
        """Raises StorageError after `finish` or `close`."""
        if not self._unlock.alive:
            raise StorageError(f"{self.folder}: this writer is closed; open another one")

    def close(self) -> None:
        """Release the folder without finishing it."""
        self._unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PartWork(NamedTuple, Generic[Item, Result]):
    """The work that turns items into rows of parts.

    items, done: names of the items and of the work, for messages: "documents", "encoded".
    columns: the columns that identify a row. name: the values of these columns for an item.
    texts: the texts of an item.
    compute: takes items and the number of the first of them; checks them and returns their results.
    write: writes the next part, from its items, the results of its steps, and metadata.
    """

    items: str
    done: str
    columns: tuple[str, ...]
    name: Callable[[Item], tuple[Any, ...]]
    texts: Callable[[Item], Iterable[str]]
    compute: Callable[[list[Item], int], Result]
    write: Callable[[list[Item], list[Result], dict[str, str]], None]


def write_parts(
    writer: PartWriter[Any],
    items: Iterable[Item],
    work: PartWork[Item, Result],
    rows_per_part: int,
    rows_per_step: int,
    advance: Advance,
) -> int:
    """Process the items that are in no part yet, part by part, and finish; returns the number of all items.

    A part has rows_per_part rows, or fewer whole steps of rows_per_step if these took SECONDS_PER_PART. Only one part
    is in memory.

    Raises OtherItemsError if `items` does not begin with those of the complete parts, ParameterError for a part without
    rows, and what `work` raises.
    """
    check_whole("rows of a part", rows_per_part)
    remaining = iter(items)
    count = _skip_complete(writer, remaining, work)
    advance(count, resumed=True)
    part: list[tuple[list[Item], Result]] = []  # finished steps

    def flush() -> None:
        steps, part[:] = part[:], []  # first, so that a Ctrl-C does not write them again
        rows = [item for step, _ in steps for item in step]
        if rows:
            texts = (text for item in rows for text in work.texts(item))
            work.write(rows, [result for _, result in steps], {TEXTS_KEY: _digest(texts)})

    began, room = monotonic(), rows_per_part
    try:
        while step := list(islice(remaining, min(rows_per_step, room))):
            part.append((step, work.compute(step, count)))
            count, room = count + len(step), room - len(step)
            advance(len(step))
            if not room or monotonic() - began >= SECONDS_PER_PART:
                flush()
                began, room = monotonic(), rows_per_part
    except KeyboardInterrupt as stop:
        flush()  # keeps finished steps
        note_kept(stop, writer.folder, work.items)
        raise
    flush()
    writer.finish()
    return count


def note_kept(stop: KeyboardInterrupt, folder: Path, items: str) -> None:
    """Add a note about the finished parts in a folder to the Ctrl-C that stopped the work.

    The command line prints notes and says that the same command resumes.
    """
    try:
        rows = sum(pq.read_metadata(path).num_rows for path in folder.iterdir() if _PART_NAME.fullmatch(path.name))
    except (OSError, pa.ArrowException):
        return  # no parts, or none that can be read
    note = f"{rows:,} {items} are kept in {os.path.relpath(folder)}"
    if rows and note not in getattr(stop, "__notes__", ()):
        stop.add_note(note)


@contextmanager
def noting_kept(folder: Path, items: str = "documents") -> Iterator[None]:
    """`note_kept` for a Ctrl-C in the body, whose work resumes from finished parts."""
    try:
        yield
    except KeyboardInterrupt as stop:
        note_kept(stop, folder, items)
        raise


def _skip_complete(writer: PartWriter[Any], items: Iterator[Item], work: PartWork[Item, Any]) -> int:
    """Read the items of the complete parts, compare their names and texts, and return their number."""
    count = 0
    for number in range(writer.complete_parts):
        table = pq.read_table(part_path(writer.folder, number), columns=list(work.columns))
        rows = [tuple(row.values()) for row in table.to_pylist()]
        again = list(islice(items, len(rows)))
        names = [work.name(item) for item in again]
        span = (
            f"{writer.folder}: {work.items} {count + 1} to {count + len(rows)} differ from those that were {work.done}"
        )
        remedy = f"give the same {work.items} as before, or choose another folder"
        for at, (old, new) in enumerate(
            zip(rows, [*names, *[None] * (len(rows) - len(names))], strict=True), count + 1
        ):
            if old != new:
                was, now = old[0], "now it is missing"
                if new is not None:
                    was, now = next((a, f"now it is {b!r}") for a, b in zip(old, new, strict=True) if a != b)
                raise OtherItemsError(f"{span}: number {at} was {was!r}, {now}; {remedy}")
        digest = (table.schema.metadata or {}).get(TEXTS_KEY.encode())
        if digest is not None and digest.decode() != _digest(text for item in again for text in work.texts(item)):
            raise OtherItemsError(f"{span}: their texts have changed; {remedy}")
        count += len(rows)
    return count


def _digest(texts: Iterable[str]) -> str:
    """SHA-256 of the texts of a part, stored in the part."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()
