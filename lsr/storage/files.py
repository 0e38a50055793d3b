"""Atomic writes, and errors of reading and writing files.

A file or folder is written as a hidden sibling, `.NAME.tmp-XXXXXXXX`, made durable, and then replaces the old one in
one step. A reader sees the old or the new content, never a part of it. The writer locks the sibling as long as it
lives, so that the next writer can remove the files of a killed process but not those of a running one.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from safetensors import SafetensorError

from lsr.checks import expanded
from lsr.errors import StorageError

STANDARD = Path("-")  # standard output or input
_DESCRIPTOR = re.compile(r"/dev/std(in|out|err)|(?:/dev|/proc/(?:self|thread-self|(\d+)))/fd/(\d+)")
_TEMPORARY = re.compile(r"\.(.+)\.(?:tmp|old)-[0-9a-f]{16}")
_HELD = 1 << 26  # bytes for a stream that are kept in memory

_ADVICE = {
    errno.ENOSPC: "free some space or write elsewhere",
    errno.EDQUOT: "free some space or write elsewhere",
    errno.EFBIG: "free some space or write elsewhere",
    errno.EACCES: "write where you have permission to",
    errno.EPERM: "write where you have permission to",
    errno.EROFS: "write where you have permission to",
    errno.EMFILE: "raise the limit of this process",
    errno.ENFILE: "raise the limit of this machine",
}

# Errors of json, zipfile, gzip, numpy, pyarrow and safetensors for missing or damaged files. numpy parses headers as
# Python.
DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    SafetensorError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    OverflowError,
    RecursionError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def storage_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an OSError or SafetensorError of the body into a StorageError that names `path`, the cause, and advice.

    A BrokenPipeError is not changed: that nobody reads the output is not an error of writing it.
    """
    try:
        yield
    except (StorageError, BrokenPipeError):
        raise
    except (OSError, SafetensorError) as error:
        # numpy reports a full disk as an OSError without errno ("1000 requested and 300 written"), safetensors as its
        # own error.
        cause = getattr(error, "strerror", None) or f"{error} (is the disk full?)"
        advice = _ADVICE.get(getattr(error, "errno", None) or 0, "choose another path")
        raise StorageError(f"{os.fspath(path)}: cannot be written: {cause}; {advice}") from error


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write. It replaces `path` when the body ends, and is removed if the body fails.

    A pipe, a device, or "-" (standard output) is not replaced: the whole content is written to it when the body ends.
    Missing parent folders are created. Raises StorageError.
    """
    path = str(expanded(path))
    if is_stream(path):
        with storage_errors(path), SpooledTemporaryFile(_HELD) as held:
            yield cast(BinaryIO, held)
            held.seek(0)
            with _open_stream(path) as stream:
                shutil.copyfileobj(held, stream)
        return
    with storage_errors(path):
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise StorageError(f"{path}: cannot be written: a folder has this name; choose another path")
        _make_folders(target.parent)
        remove_stale(target)
        temporary, lock = _create_locked(target, folder=False)
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
            _sync(target.parent)
        finally:
            with suppress(OSError):
                os.unlink(temporary)
            os.close(lock)


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is written directly: a pipe, a device, or an open descriptor, such as "-"."""
    path = str(expanded(path))
    return _descriptor(path) is not None or (
        os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
    )


def refuse_stream(folder: str | os.PathLike[str]) -> None:
    """Raises StorageError if the path of a folder to write is a pipe or "-"."""
    if is_stream(folder):
        raise StorageError(f"{os.fspath(folder)}: is a stream, but a folder will be written; name a folder")


def is_standard_output(path: str | os.PathLike[str]) -> bool:
    return _descriptor(os.fspath(path)) == 1


def _descriptor(path: str) -> int | None:
    """N for /dev/fd/N, its other names and links. Opening such a path by name would truncate a redirected file."""
    if path == str(STANDARD):
        return 1
    for _ in range(40):  # the most links that systems follow
        match = _DESCRIPTOR.fullmatch(os.path.abspath(path))
        if match and match[2] in (None, str(os.getpid())):
            return ("in", "out", "err").index(match[1]) if match[1] else int(match[3])
        if not os.path.islink(path):
            return None
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    return None


def _open_stream(path: str) -> BinaryIO:
    descriptor = _descriptor(path)
    if descriptor is None:
        return open(path, "wb")
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    return os.fdopen(os.dup(descriptor), "wb")


@contextmanager
def replacing_folder(path: str | os.PathLike[str], marker: str) -> Iterator[Path]:
    """An empty folder to fill. It replaces `path` when the body ends, and is removed if the body fails.

    An existing folder is replaced only if it is empty or has a file named `marker`: folders that lsr did not write are
    never removed. Raises StorageError.
    """
    path = expanded(path)
    with storage_errors(path):
        target = Path(os.path.realpath(path))
        refuse_foreign(target, marker)
        _make_folders(target.parent)
        remove_stale(target)
        temporary, lock = _create_locked(target, folder=True)
        try:
            yield temporary
            sync_tree(temporary)
            refuse_foreign(target, marker)
            _take_place(temporary, target)
            _sync(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # the failed or the replaced folder
            os.close(lock)


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """An empty folder next to `target`, which need not exist. Removed at the end, or by a later writer."""
    with storage_errors(target):
        temporary, lock = _create_locked(target, folder=True)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


def own_folder(folder: Path, marker: str, what: str) -> int:
    """Create `folder` if it does not exist, and lock it; returns a descriptor like lock_folder.

    Raises StorageError if it has files but no `marker`, so that it is no `what`, and what lock_folder raises.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(folder)
        try:
            ours = (marker, f".{marker}.tmp-")  # files of a writer that was killed before it wrote the marker
            if not (folder / marker).exists() and not all(each.name.startswith(ours) for each in folder.iterdir()):
                raise StorageError(f"{folder}: is not empty and has no {what}; choose another folder")
        except BaseException:
            os.close(lock)
            raise
        return lock


def lock_folder(folder: Path, *, wait: bool = False) -> int:
    """A descriptor with the exclusive lock on `folder`, until it is closed or the process ends.

    If another process has the lock, waits, or raises StorageError.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StorageError(
            f"{folder}: another writer has the lock: another process, or a searcher of this process with uncommitted "
            "changes; wait for it, commit or roll back, or choose another path"
        ) from None
    except OSError:
        pass  # a file system without locks: the user must avoid two writers at once
    return descriptor


def left_aside(path: str | os.PathLike[str]) -> Path | None:
    """The old folder, if a writer was killed during a replacement on a file system that cannot swap folders."""
    target = Path(os.path.realpath(path))
    return next(iter(_siblings(target, "old")), None)


def _make_folders(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # a file has this name
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error


def link_tree(old: Path, new: Path, but: str | None = None) -> None:
    """Link a file, or a folder with everything except the name `but`, or copy it where links are not possible."""
    if old.is_dir():
        new.mkdir(parents=True, exist_ok=True)
        for each in old.iterdir():
            if each.name != but:
                link_tree(each, new / each.name)
        return
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(old, new)
    except OSError:
        shutil.copy2(old, new)


def remove_temporaries(folder: Path, ours: Callable[[str], bool]) -> None:
    """Remove temporary files and folders of killed writers in `folder`, whose names are `ours`."""
    with suppress(OSError):
        for name in os.listdir(folder):
            match = _TEMPORARY.fullmatch(name)
            if match is not None and ours(match[1]):
                _remove_unlocked(folder / name)


def sync_tree(path: Path) -> None:
    """Make a file, or a folder with its content, durable."""
    for folder, _, names in os.walk(path):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder))
    if not path.is_dir():
        _sync(path)


def _siblings(target: Path, kind: str) -> list[Path]:
    prefix = f".{target.name}.{kind}-"
    with suppress(OSError), os.scandir(target.parent) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.name.startswith(prefix))
    return []


def _create_locked(target: Path, *, folder: bool) -> tuple[Path, int]:
    while True:
        temporary = target.with_name(f".{target.name}.tmp-{secrets.token_hex(8)}")
        if folder:
            temporary.mkdir()
        else:
            temporary.touch(exist_ok=False)
        with suppress(FileNotFoundError):
            descriptor = os.open(temporary, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if temporary.exists():
                return temporary, descriptor
            # Another writer removed it as stale before it was locked: create another one.
            os.close(descriptor)


def remove_stale(target: Path) -> None:
    """Remove temporary files of killed writers next to `target`."""
    for sibling in _siblings(target, "tmp"):
        _remove_unlocked(sibling)


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a FIFO would wait for a writer
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                shutil.rmtree(path)
            elif stat.S_ISREG(mode):
                path.unlink()
        finally:
            os.close(descriptor)


def refuse_foreign(target: Path, marker: str) -> None:
    """Raises StorageError if `replacing_folder` would not replace `target`. Call it before long work."""
    if not target.exists():
        return
    if not target.is_dir():
        raise StorageError(f"{target}: cannot be written: a file has this name; choose another path")
    if not (target / marker).exists() and any(target.iterdir()):
        raise StorageError(
            f"{target}: cannot be replaced: the folder has files that lsr did not write (there is no {marker}); choose "
            "another path"
        )


def _take_place(temporary: Path, target: Path) -> None:
    try:
        os.rename(temporary, target)  # nothing is there, or an empty folder
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    if _exchange(temporary, target):
        return
    aside = target.with_name(temporary.name.replace(".tmp-", ".old-"))
    os.rename(target, aside)
    try:
        os.rename(temporary, target)
    except BaseException:
        os.rename(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step; False if the system or the file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(first), os.fsencode(second)
    if sys.platform == "linux" and hasattr(libc, "renameat2"):
        at_working_folder, rename_exchange = -100, 2
        failed = libc.renameat2(at_working_folder, paths[0], at_working_folder, paths[1], rename_exchange)
    elif sys.platform == "darwin":
        rename_swap = 2
        failed = libc.renamex_np(*paths, rename_swap)
    else:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV):
        return False
    raise OSError(number, os.strerror(number), os.fspath(second))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
