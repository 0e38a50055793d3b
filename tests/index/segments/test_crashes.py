"""Writers of an index of segments are killed, and their system calls fail; nothing that was committed is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import REPOSITORY


def run_module(*arguments: object) -> str:
    """What a module of these tests prints: in a process of its own, which forks, and has no threads."""
    command = [sys.executable, "-m", *map(str, arguments)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=3000, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_killed_writer_leaves_the_index_before_or_after(tmp_path: Path) -> None:
    kinds = "add", "delete", "merge", "replacement"
    some = "--kills", 12, "--seed", 5, "--kinds", *kinds, "--folder", tmp_path / "kills"
    said = run_module("tests.index.segments.kills", *some)
    assert int(said.split()[0]) >= 12, said


@pytest.mark.long
def test_five_hundred_kills(tmp_path: Path) -> None:
    print(run_module("tests.index.segments.kills", "--kills", 500, "--seed", 1, "--folder", tmp_path / "kills"))


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.long
def test_an_io_fault_is_an_error_and_loses_nothing() -> None:
    said = run_module("tests.index.segments.faults", "--every", 9, "--kinds", "add", "several commits", "merge")
    assert all("refused" in line for line in said.splitlines() if line.startswith("ENOSPC of write"))


@pytest.mark.long
def test_readers_and_a_writer_live_together() -> None:
    print(run_module("tests.index.segments.living_readers", "--seconds", 20))


@pytest.mark.long
def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        print(run_module("tests.index.segments.full_disk", tmp_path))
    finally:
        subprocess.run(["umount", tmp_path], check=True)
