"""Files that can be read only once, packed ones, and what Git leaves in place of large ones."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest

from lsr.checks import expanded
from lsr.storage.reading import LfsPointerError, is_pointer, open_binary, rereadable

CONTENT = b"a line that is longer than the head\n" * 9000  # more than a pipe holds


def fifo(folder: Path, content: bytes) -> Path:
    """A named pipe, whose writer sends its first byte alone."""
    path = folder / "fifo"
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            file.write(content[:1])
            file.write(content[1:])

    threading.Thread(target=write, daemon=True).start()
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
@pytest.mark.parametrize("content", [CONTENT, b"", b"x"])
def test_packed_is_what_begins_so(tmp_path: Path, pack, content: bytes) -> None:
    for name in ("file", "file.gz", "file.txt"):
        (tmp_path / name).write_bytes(pack(content))
        with open_binary(tmp_path / name) as file:
            assert file.read() == content


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_a_pipe_is_read_once(tmp_path: Path, pack) -> None:
    with open_binary(fifo(tmp_path, pack(CONTENT))) as file:
        assert file.readline() + file.read() == CONTENT


def test_standard_input(capfd: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.write(writing, CONTENT[:100])
    os.close(writing)
    kept = os.dup(0)
    try:
        os.dup2(reading, 0)
        with open_binary(Path("-")) as file:
            assert file.read() == CONTENT[:100]
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reading)


def test_a_copy_of_a_pipe_can_be_read_again(tmp_path: Path) -> None:
    copy = rereadable(fifo(tmp_path, CONTENT))
    assert (copy.name, copy.read_bytes(), copy.read_bytes()) == ("fifo", CONTENT, CONTENT)
    for path in (tmp_path, copy, tmp_path / "missing"):
        assert rereadable(path) == path


def test_lfs_pointers(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n")
    assert is_pointer(path)
    with (
        pytest.raises(LfsPointerError, match="is a Git LFS pointer, not the file itself; run git lfs"),
        open_binary(path),
    ):
        pass
    path.write_text("version 2")
    assert not is_pointer(path)
    assert not is_pointer(tmp_path / "missing")


def test_the_user_s_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/a")
    assert [str(expanded(path)) for path in ("~/b", Path("~"), "c/~", "-")] == ["/home/a/b", "/home/a", "c/~", "-"]
