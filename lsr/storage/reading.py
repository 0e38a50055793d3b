"""Reading input files, also pipes, "-" for standard input, and gzipped files with any suffix."""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO, cast

from lsr.errors import LsrError
from lsr.storage.files import STANDARD, storage_errors
from lsr.storage.limits import MAX_LINE, UnreadableInputError, check_unpacked, longest_line

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

POINTER = "is a Git LFS pointer, not the file itself; run git lfs pull where it was cloned"
_POINTER = b"version https://git-lfs"
_PACKED = b"\x1f\x8b"
_AT_ONCE = 1 << 16  # bytes
_copies: list[TemporaryDirectory[str]] = []  # removed when the process ends
_given: dict[Path, Path] = {}  # opened path -> given path


class LfsPointerError(UnreadableInputError):
    """The file is a pointer of Git LFS, without the content."""

    def __init__(self) -> None:
        super().__init__(POINTER)


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, or of standard input ("-"), decompressed if they are gzipped. A pipe is read once.

    Raises OSError, and UnreadableInputError for a Git LFS pointer and, during reading, for decompressed bytes beyond
    the limit of lsr.storage.limits.
    """
    with _open(path) as file:
        head = file.read(len(_POINTER))  # waits for all bytes; peek would not
        if head == _POINTER:
            raise LfsPointerError
        if file.seekable():
            file.seek(0)
        else:
            file = io.BufferedReader(_Replayed(head, file))
        if head.startswith(_PACKED):
            packed = os.fstat(file.fileno()).st_size if file.seekable() else None
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast(BinaryIO, io.BufferedReader(_Measured(unpacked, packed), _AT_ONCE))
        else:
            yield cast(BinaryIO, file)


def refuse_special(folder: Path, error: type[LsrError]) -> None:
    """Raises `error` for a pipe, a socket or a device in a folder, because opening it would wait for its writer."""
    for path in folder.rglob("*"):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise error(f"{path}: is a pipe or a device, which is not allowed in this folder; remove it")


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file with their ends. Raises UnreadableInputError, with the line, for one that is too long."""
    most = longest_line()
    for number, line in enumerate(iter(lambda: file.readline(most + 1), b""), start=1):
        if len(line) > most:
            raise UnreadableInputError(
                f"line {number} has more than {most} bytes; split it, or raise the limit {MAX_LINE}"
            )
        yield line


def rereadable(path: Path) -> Path:
    """`path`, or a copy of a pipe or of "-", which can be read only once. The copy is removed when the process ends.

    Raises StorageError.
    """
    if path != STANDARD and (path.is_file() or path.is_dir() or not path.exists()):
        return path
    with storage_errors(path):
        folder = TemporaryDirectory(prefix="lsr-")
        copy = Path(folder.name, "stdin" if path == STANDARD else path.name)
        with _open(path) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
    _copies.append(folder)
    _given[copy] = path
    return copy


def open_regular(path: Path) -> io.BufferedReader:
    """A file to read. Raises OSError, also for a device, and for a pipe, which may have no writer."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "is a pipe or a device, not a file", os.fspath(path))
    return file


def anchored(path: Path) -> Path:
    """The absolute path, for files that are opened later, when the working directory may have changed."""
    if not path.is_absolute():
        _given[path.absolute()] = path
    return path.absolute()


def as_given(message: str) -> str:
    """`message` with the given paths instead of those of copies of pipes and of absolute ones."""
    for opened, path in _given.items():
        message = str(path).join(re.split(rf"{re.escape(str(opened))}(?![\w.-])", message))
    return message


def searched_in(path: str | Path) -> str:
    """The end of an error for a missing path: the folder of relative paths; empty for an absolute path."""
    if Path(as_given(str(path))).is_absolute():
        return ""
    return f"; relative paths are looked for in the working directory, {Path.cwd()}"


def is_pointer(path: Path) -> bool:
    """Whether a file is a pointer of Git LFS."""
    try:
        with path.open("rb") as file:
            return file.read(len(_POINTER)) == _POINTER
    except OSError:
        return False  # the reader raises the error


def _open(path: Path) -> io.BufferedReader:
    return os.fdopen(os.dup(0), "rb") if path == STANDARD else path.open("rb")


class _Measured(io.RawIOBase):
    """The decompressed content of a file, up to the limit."""

    def __init__(self, unpacked: gzip.GzipFile, packed: int | None) -> None:
        self._unpacked, self._packed, self._held = unpacked, packed, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = self._unpacked.readinto(buffer)
        self._held += count
        check_unpacked(self._held, self._packed)
        return count


class _Replayed(io.RawIOBase):
    """The first bytes of a pipe, which were already read, and then the rest."""

    def __init__(self, head: bytes, rest: io.BufferedReader) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        if not self._head:
            return self._rest.readinto(view)
        count = min(len(view), len(self._head))
        view[:count], self._head = self._head[:count], self._head[count:]
        return count
