"""Removing unused files from an index of segments."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from lsr.errors import LsrError
from lsr.index.segments.commit import OURS, Commit, generation_file, generation_of, read_commit
from lsr.index.segments.generation import lock_generation
from lsr.storage.files import remove_temporaries
from lsr.storage.manifest import MANIFEST
from lsr.storage.steps import reached


def named_by(commit: Commit) -> set[str]:
    """The files and folders in an index's folder that a commit needs."""
    named = {each.name for each in commit.segments} | {name.split("/")[0] for name in commit.files}
    return named | ({commit.encoder_folder} if commit.encoder_folder else set())


def clean_up(folder: Path, current: Commit, spared: Collection[str] = ()) -> None:
    """Remove generations that no process holds, and all files that no remaining generation names, except `spared`.

    Only the writer may call it. Files that cannot be removed now are removed by a later call. If a held generation is
    damaged, nothing is removed.
    """
    with suppress(OSError):
        names = os.listdir(folder)
        needed = named_by(current) | {*spared}
        for number in {generation_of(name) for name in names} - {None, current.generation}:
            assert number is not None
            path = folder / generation_file(number)
            lock = lock_generation(path, fcntl.LOCK_EX)
            if lock is not None:
                try:
                    path.unlink()
                finally:
                    os.close(lock)
            elif path.exists():
                try:
                    needed |= named_by(read_commit(folder, number))
                except LsrError:
                    return
        reached("cleanup:after-generations")
        for name in sorted(names):
            if OURS.fullmatch(name) and name not in needed:
                _remove(folder / name)
                reached("cleanup:after-file")
        remove_temporaries(folder, lambda name: name == MANIFEST or bool(OURS.fullmatch(name) or generation_of(name)))


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
