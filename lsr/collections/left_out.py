"""Warnings about files in a folder whose other files are read."""

from __future__ import annotations

import glob
import shlex
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lsr.display import counted
from lsr.errors import LsrWarning


def warn_of_left_out(folder: Path, why: str, files: Sequence[Path]) -> None:
    """Warn of the number of files of each kind, with the command that adds them. why: the files that are read."""
    kinds = Counter(map(_ending, files))
    said = " and ".join(counted(count, f"{kind} file") for kind, count in kinds.items())
    left, add = ("is left out", "add it by itself") if len(files) == 1 else ("are left out", "add them by themselves")
    command = f"lsr add INDEX {patterns_of(folder, files)}"
    warnings.warn(f"{folder}: {said} {left}, because the folder holds {why}; {add}: {command}", LsrWarning, 2)


def warn_of_passed_over(folder: Path, files: Sequence[Path]) -> None:
    """Warn of the number of files whose names begin with _, and of .json files, with the command that adds them."""
    kinds = Counter("_" * file.name.startswith("_") + f"*{_ending(file)}" for file in files)
    said = " and ".join(counted(count, f"{kind} file") for kind, count in kinds.items())
    left = "is left out; if it holds" if len(files) == 1 else "are left out; if they hold"
    patterns = shlex.join(str(Path(glob.escape(str(folder)), "**", kind)) for kind in kinds)
    warnings.warn(f"{folder}: {said} {left} documents: lsr add INDEX {patterns}", LsrWarning, 2)


def patterns_of(folder: Path, files: Sequence[Path]) -> str:
    """Shell patterns that match these files, one for each kind."""
    patterns = []
    for kind in dict.fromkeys(map(_ending, files)):
        deep = any(file.parent != folder for file in files if _ending(file) == kind)
        patterns.append(str(Path(glob.escape(str(folder)), "**" if deep else "", f"*{kind}")))
    return shlex.join(patterns)


def _ending(file: Path) -> str:
    """The suffix in its original case, with the one before .gz."""
    return "".join(file.suffixes[-2:]) if file.suffix.lower() == ".gz" else file.suffix
