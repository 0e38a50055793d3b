"""Folders of numbered parts, each complete or absent: what long work writes, and goes on with after a kill."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lsr.errors import StorageError
from lsr.storage.files import lock_folder, storage_errors


def part_path(folder: Path, number: int) -> Path:
    """Where a part is, counted from 0."""
    return folder / f"part-{number:05d}.parquet"


@contextmanager
def own_parts(folder: Path) -> Iterator[None]:
    """`folder`, made where there is none, for this process alone.

    Raises StorageError where it holds anything but parts, or another process writes there.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if not path.name.startswith((".", "part-")):
                raise StorageError(f"{folder}: there is {path.name} in it, which is not ours; choose an empty folder")
        lock = lock_folder(folder)
    try:
        yield
    finally:
        os.close(lock)


def remove_parts(folder: Path, first: int) -> None:
    """Remove part number `first` and those after it: damaged ones, and what was written after them.

    Raises StorageError.
    """
    with storage_errors(folder):
        while part_path(folder, first).exists():
            part_path(folder, first).unlink()
            first += 1
