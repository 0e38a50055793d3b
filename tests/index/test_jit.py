"""Kernels run whatever becomes of the folder that keeps them compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from unittest.mock import patch

import pytest

import lsr
from lsr.index.jit import _Overloads, _sources
from tests.unprivileged import run_python

MODULE = """
import numpy as np
from lsr.index.jit import allocating, kernel

@kernel
def double(values):
    for i in range(len(values)):
        values[i] *= 2

@allocating
def doubled(values):
    result = values.copy()
    double(result)
    return result

print(doubled(np.arange(3)).tolist(), sum(doubled.stats.cache_hits.values()))
"""
COMPILED, LOADED = "[0, 2, 4] 0\n", "[0, 2, 4] 1\n"
VARIABLES = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "module.py").write_text(MODULE)
    return tmp_path


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's kernels have been compiled, and are found."""
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "module.py").write_text(MODULE)
    assert run(folder) == (COMPILED, "")
    assert run(folder) == (LOADED, "")
    return folder


def run(folder: Path, **variables: str) -> tuple[str, str]:
    """What the module prints, and what appears on standard error."""
    result = run_python(["module.py"], folder, VARIABLES, PYTHONPATH=os.getcwd(), **variables)
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [truncate, lambda _: b"", lambda _: b"no pickle"], ids=["half", "empty", "garbage"])
def test_damaged_caches_are_replaced(
    compiled: Path, tmp_path: Path, kind: str, damage: Callable[[bytes], bytes]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(compiled, folder)
    files = list((folder / "__pycache__").glob(f"*.{kind}"))
    assert len(files) == 2
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    assert run(folder) == (COMPILED, "")
    assert run(folder) == (LOADED, "")


def test_kernels_that_cannot_be_kept_are_told_in_one_line(folder: Path) -> None:
    folder.chmod(0o555)
    try:
        output, errors = run(folder, HOME=str(folder / "nowhere"))
    finally:
        folder.chmod(0o755)
    assert output == COMPILED
    assert errors.count("\n") == 1
    assert "NUMBA_CACHE_DIR" in errors


def test_kernels_of_a_read_only_installation_are_used(folder: Path) -> None:
    run(folder)
    cache = folder / "__pycache__"
    cache.chmod(0o555)
    folder.chmod(0o555)
    try:
        assert run(folder, HOME=str(folder / "nowhere")) == (LOADED, "")
    finally:
        folder.chmod(0o755)
        cache.chmod(0o755)


def test_a_cache_that_nobody_may_read_is_left_alone(folder: Path) -> None:
    run(folder)
    cache = folder / "__pycache__"
    cache.chmod(0o000)
    folder.chmod(0o555)
    try:
        output, errors = run(folder, HOME=str(folder / "nowhere"))
    finally:
        folder.chmod(0o755)
        cache.chmod(0o755)
    assert output == COMPILED
    assert errors.count("\n") == 1


@pytest.mark.long
def test_processes_compile_at_once_on_an_empty_cache(folder: Path) -> None:
    cache = folder / "kernels"
    variables = {**os.environ, "PYTHONPATH": os.getcwd(), "NUMBA_CACHE_DIR": str(cache)}
    processes = [
        subprocess.Popen([sys.executable, "module.py"], cwd=folder, env=variables, stdout=PIPE, stderr=PIPE, text=True)
        for _ in range(32)
    ]
    ended = [(*process.communicate(timeout=600), process.returncode) for process in processes]
    assert all(output in (COMPILED, LOADED) and not errors and not code for output, errors, code in ended), ended
    assert sum(output == COMPILED for output, _, _ in ended) > 1, "they did not meet"
    assert run(folder, NUMBA_CACHE_DIR=str(cache)) == (LOADED, "")


def test_an_overload_of_other_types_is_not_taken_for_another(tmp_path: Path) -> None:
    """Two processes at once may give what they compile the same name: Numba counts what the index has by then."""
    one, other = (_Overloads(str(tmp_path), "kernel", "stamp") for _ in range(2))
    with patch.object(other, "_load_index", return_value={}):  # as it was when both began
        one.save("of integers", b"one")
        other.save("of floats", b"other")
    index = one._load_index()
    assert index == {"of floats": "kernel.1.nbc"}
    one._save_index({"of integers": "kernel.1.nbc"})  # the other order of both writes
    assert one.load("of integers") is None
    one.save("of integers", b"one again")
    assert one.load("of integers") == b"one again"


def test_kernels_are_compiled_again_where_others_have_changed(tmp_path: Path) -> None:
    before, after = (_Overloads(str(tmp_path), "kernel", ("own file", sources)) for sources in ("before", "after"))
    before.save("of integers", b"one")
    assert before.load("of integers") == b"one"
    assert after.load("of integers") is None
    names = [name for name, _, _ in _sources()]
    assert {"index/seismic/search/estimates.py", "retrieval/feedback_kernels.py"} <= set(names)


def test_every_kernel_is_in_a_file_that_is_looked_at() -> None:
    package = Path(lsr.__file__).parent
    users = {path for path in package.rglob("*.py") if "lsr.index.jit import" in path.read_text()}
    assert {path.relative_to(package).as_posix() for path in users} <= {name for name, _, _ in _sources()}


def test_kernels_of_two_processes_have_names_of_their_own(folder: Path) -> None:
    """Or a third one, which loads both, links what has the same name: np.argsort then does what np.sort does."""
    program = "from module import doubled; print(next(iter(doubled.overloads.values())).fndesc.mangled_name)"
    names = {
        run_python(
            ["-c", program], folder, VARIABLES, PYTHONPATH=os.getcwd(), NUMBA_CACHE_DIR=str(folder / cache)
        ).stdout
        for cache in ("one", "other")
    }
    assert len(names) == 2
