"""Text files, line by line, with errors that name the line."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

from lsr.errors import CollectionError, LsrError
from lsr.storage.limits import UnreadableInputError
from lsr.storage.reading import bounded_lines, open_binary, searched_in
from lsr.storage.recognize import kind_of_binary, what_is


def read_lines(path: Path, error: type[LsrError], whole: bool = False) -> Iterator[tuple[int, str]]:
    """(number from 1, text without line end) of each non-blank line of a UTF-8 file.

    whole: also blank lines, and all lines with their ends. One line is in memory at a time. Raises `error` for a file
        that cannot be read, a damaged .gz, content beyond the limits of lsr.storage.limits, and bytes that are not
        UTF-8, with the line.
    """
    number = 0
    try:
        with open_binary(path) as file:
            for number, raw in enumerate(bounded_lines(file), start=1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as cause:
                    if kind := kind_of_binary(path):
                        raise error(f"{path}: is {kind}, not text; give a text file") from cause
                    raise error(
                        f"{path}:{number}: byte {cause.start + 1} of the line is not UTF-8 ({cause.reason}); "
                        f"convert the file to UTF-8"
                    ) from cause
                if whole:
                    yield number, line
                elif line.strip():
                    yield number, line.rstrip("\r\n")
    except UnreadableInputError as cause:
        raise error(f"{path}: {cause}") from cause
    except IsADirectoryError as cause:
        raise error(f"{path}: is {what_is(path)}, not a file; give the file") from cause
    except FileNotFoundError as cause:
        raise error(f"{path}: there is no such file; check the path{searched_in(path)}") from cause
    except (EOFError, gzip.BadGzipFile, zlib.error) as cause:
        raise error(
            f"{path}:{number + 1}: the .gz file is damaged or truncated ({cause}); download or copy it again"
        ) from cause
    except OSError as cause:
        raise error(
            f"{path}: cannot be read ({cause.strerror or cause}); check the path and its permissions"
        ) from cause


def count_lines(path: Path) -> int | None:
    """The number of non-blank lines of a file; None if it cannot be read. Fast, because nothing is decoded."""
    try:
        with open_binary(path) as file:
            return sum(1 for line in bounded_lines(file) if not line.isspace())
    except (OSError, EOFError, zlib.error, MemoryError, UnreadableInputError):
        return None


def file_digest(path: Path) -> str:
    """SHA-256 of the stored bytes of a file. Raises CollectionError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as cause:
        raise CollectionError(
            f"{path}: cannot be read ({cause.strerror or cause}); check the path and its permissions"
        ) from cause
