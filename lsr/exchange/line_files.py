"""Files of lines, gzipped if their names end in .gz."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lsr.storage.files import replacing_file

_AT_ONCE = 1 << 20  # characters written together


@contextmanager
def replacing_lines(path: Path) -> Iterator[Callable[[str], None]]:
    """A function that writes a line, given without its end, to a file that replaces `path`. Raises StorageError."""
    with replacing_file(path) as file:
        held: list[str] = []
        size = 0
        # Without name and time in the header, so that equal indexes give equal files.
        packed = gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) if path.suffix == ".gz" else None

        def flush() -> None:
            (packed or file).write("".join(held).encode())
            held.clear()

        def write(line: str) -> None:
            nonlocal size
            held.append(f"{line}\n")
            size += len(line)
            if size > _AT_ONCE:
                flush()
                size = 0

        yield write
        flush()
        if packed is not None:
            packed.close()
