"""Folders of text files. Each file is a document, and its id is its path below the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from copy import copy
from datetime import UTC, datetime
from pathlib import Path

from lsr.collections.pages import read_page
from lsr.collections.sources import Document, Place
from lsr.errors import CollectionError
from lsr.storage.recognize import is_output


class PagePlace(Place):
    """The place of a document that is a whole file."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.where


class Pages:
    """Files as documents. The id of a file is its path below `below`, with slashes.

    shown: `below` as it was given. alone: the file is the only source, and its folder was not given. partial: the files
        are a part of a folder that was given to `within`.

    Metadata: path, the path of the file as given; modified, the time of its last change, in UTC, without a time zone;
    and the front matter of Markdown, except for these two names.
    """

    schema = None
    partial = False
    has_columns = False

    def __init__(self, name: str, below: Path, paths: Sequence[Path], shown: Path, alone: bool = False) -> None:
        self.name = name
        self._shown = shown
        self._start = below
        self._below = below
        self._paths = paths
        self._alone = alone

    @property
    def folders(self) -> list[str]:
        """The absolute path of the folder below which paths are ids; none for a single file."""
        return [] if self._alone else [os.path.abspath(self._below)]

    def within(self, folders: Sequence[str]) -> Pages:
        """The same files. Files in one of these folders have ids below the nearest of them."""
        start = Path(os.path.abspath(self._start))
        around = [each for each in map(Path, folders) if start.is_relative_to(each)]
        if not around:
            return self
        same = copy(self)
        same._below = max(around, key=lambda each: len(each.parts))
        same.partial = self._alone or same._below != start
        return same

    def count(self) -> int | None:
        return len(self._paths)

    def documents(self) -> Iterator[tuple[Place, Document]]:
        for path in self._paths:
            page = read_page(path)
            doc_id = self._id_of(path)
            try:
                doc_id.encode()
                modified = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
            except UnicodeEncodeError as cause:
                raise CollectionError(f"{os.fsencode(path)!r}: the name of the file is not UTF-8; rename it") from cause
            except (OSError, ValueError, OverflowError) as cause:
                raise CollectionError(
                    f"{path}: the time of its last change cannot be read ({cause}); check the file"
                ) from cause
            metadata = {**page.metadata, "path": str(self._shown / path.relative_to(self._start)), "modified": modified}
            yield PagePlace(str(path), 0), Document(doc_id, page.title or path.stem, page.text, metadata)

    def _id_of(self, path: Path) -> str:
        if self._below == self._start:
            return path.relative_to(self._start).as_posix()
        return Path(os.path.abspath(path)).relative_to(self._below).as_posix()


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and its subfolders, without hidden ones, in the order of their paths.

    Subfolders that lsr wrote are skipped. A folder with several links is read once. Raises CollectionError for a folder
    that cannot be read.
    """

    def refuse(cause: OSError) -> None:
        raise CollectionError(f"{cause.filename}: cannot be read ({cause.strerror}); check its permissions") from cause

    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        state = os.stat(parent)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(each for each in folders if each[0] != "." and not is_output(Path(parent, each)))
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda path: path.parts)
