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
    """(number from 1, text without its line end) of every line of a UTF-8 file that is not blank.

    whole: blank lines, too, and every line with its end. Streams: one line is in memory at a time. Raises `error` for a
    file that cannot be read, a damaged .gz, what is more than lsr.storage.limits allows and, naming the line, bytes
    that are not UTF-8.
    """
    number = 0
    try:
        with open_binary(path) as file:
            for number, raw in enumerate(bounded_lines(file), start=1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as cause:
                    if kind := kind_of_binary(path):
                        raise error(f"{path}: is {kind}, and text is wanted; give a text file") from cause
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
        raise error(f"{path}: is {what_is(path)}, and a file is wanted; give the file") from cause
    except FileNotFoundError as cause:
        raise error(f"{path}: there is no such file; check the path{searched_in(path)}") from cause
    except (EOFError, gzip.BadGzipFile, zlib.error) as cause:
        raise error(f"{path}:{number + 1}: the .gz file is damaged or cut short ({cause}); fetch it again") from cause
    except OSError as cause:
        raise error(
            f"{path}: cannot be read ({cause.strerror or cause}); check the path and its permissions"
        ) from cause


def count_lines(path: Path) -> int | None:
    """How many lines that are not blank a file has; None where it cannot be read. Decodes nothing, so it is quick."""
    try:
        with open_binary(path) as file:
            return sum(1 for line in bounded_lines(file) if not line.isspace())
    except (OSError, EOFError, zlib.error, MemoryError, UnreadableInputError):
        return None


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as it lies there. Raises CollectionError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as cause:
        raise CollectionError(
            f"{path}: cannot be read ({cause.strerror or cause}); check the path and its permissions"
        ) from cause
