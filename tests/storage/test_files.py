"""Writing leaves the old file or the new one: on errors, on Ctrl-C, when killed, and with several writers."""

from __future__ import annotations

import errno
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lsr.errors import StorageError
from lsr.storage import files
from lsr.storage.files import left_aside, lock_folder, replacing_file, replacing_folder, storage_errors
from tests.processes import FULL_DISK, KILLED_IN_WRITE, run_python, start_python

WRITE_FILE = """
import sys
from lsr.storage.files import replacing_file
with replacing_file(sys.argv[1]) as file:
    for _ in range(100):
        file.write(b"n" * 1000)
"""

WRITE_FOLDER = """
import sys
from lsr.storage.files import replacing_folder
with replacing_folder(sys.argv[1], "marker") as folder:
    (folder / "marker").touch()
    (folder / "content").write_bytes(b"n" * 100_000)
"""

KILLED_BEFORE_SYNC = """
import os, signal
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
"""

KILLED_BEFORE_CLEANING = """
import os, shutil, signal
shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
"""


def write_folder(path: Path, content: str) -> None:
    with replacing_folder(path, "marker") as folder:
        (folder / "marker").touch()
        (folder / "content").write_text(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["swap", "rename aside"])
def each_way_to_replace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With, and as if without, a file system that can swap two folders."""
    if request.param == "rename aside":
        monkeypatch.setattr(files, "_exchange", lambda first, second: False)


# One file


def test_file_is_there_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with replacing_file(path) as file:
        file.write(b"content")
        assert not path.exists()
    assert path.read_bytes() == b"content"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_file_survives_what_goes_wrong(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing_file(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_file_behind_a_link_is_replaced_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with replacing_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("process", ["self", "thread-self", "own", "other"])
def test_a_descriptor_is_that_of_the_process_named(tmp_path: Path, process: str) -> None:
    with (tmp_path / "theirs").open("wb") as theirs, (tmp_path / "ours").open("wb") as ours:
        other = subprocess.Popen(["sleep", "60"], stdout=theirs)
        number = {"own": os.getpid(), "other": other.pid}.get(process, process)
        kept = os.dup(1)
        os.dup2(ours.fileno(), 1)
        try:
            with replacing_file(f"/proc/{number}/fd/1") as file:
                file.write(b"content")
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            other.kill()
            other.wait()
    written = {name: (tmp_path / name).read_bytes() for name in ("theirs", "ours")}
    assert written == {"theirs": b"", "ours": b"", ("theirs" if process == "other" else "ours"): b"content"}


def test_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with replacing_file(tmp_path / "file"):
        pass
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("death", [KILLED_IN_WRITE.format(limit=50_000), KILLED_BEFORE_SYNC])
def test_killed_writer_of_a_file(tmp_path: Path, death: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    assert run_python(death + WRITE_FILE, path).returncode < 0
    assert path.read_bytes() == b"old"
    assert len(names(tmp_path)) == 2  # with what the dead one left behind ...
    with replacing_file(path) as file:
        file.write(b"new")
    assert names(tmp_path) == ["file"]  # ... until the next write
    assert path.read_bytes() == b"new"


def test_full_disk_under_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    ended = run_python(FULL_DISK.format(limit=50_000) + WRITE_FILE, path)
    assert f"StorageError: {path}: cannot be written: File too large; free some space" in ended.stderr
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_many_writers_of_a_file(tmp_path: Path) -> None:
    code = """
import sys
from lsr.storage.files import replacing_file
for _ in range(50):
    with replacing_file(sys.argv[1]) as file:
        for _ in range(20):
            file.write(sys.argv[2].encode() * 1000)
"""
    path = tmp_path / "file"
    writers = [start_python(code, path, letter) for letter in "abc"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            content = path.read_bytes()
            assert len(content) == 20_000
            seen.add(bytes(set(content)))
    for writer in writers:
        _, errors = writer.communicate()
        assert errors == ""
        assert writer.returncode == 0
    assert seen <= {b"a", b"b", b"c"}
    assert names(tmp_path) == ["file"]


def test_living_writers_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing_file(path) as slow:
        slow.write(b"slow")
        with replacing_file(path) as quick:
            quick.write(b"quick")
        assert path.read_bytes() == b"quick"
    assert path.read_bytes() == b"slow"


def test_special_files_of_others_are_neither_waited_for_nor_removed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".file.tmp-x")
    (tmp_path / ".file.tmp-link").symlink_to(tmp_path)
    done = run_python(WRITE_FILE, tmp_path / "file")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == [".file.tmp-link", ".file.tmp-x", "file"]


@pytest.mark.parametrize(
    "path", ["file/below", "file/below/deeper", "/proc/nothing/can/be/made/here", "/proc/file", "folder", "x" * 300]
)
def test_paths_that_cannot_be_files(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"cannot be written: .*; "), replacing_file(tmp_path / path):
        pass
    assert names(tmp_path) == ["file", "folder"]


def test_storage_errors_keep_the_cause() -> None:
    message = "place: cannot be written: No space left on device; free some"
    with pytest.raises(StorageError, match=message) as raised, storage_errors("place"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert isinstance(raised.value.__cause__, OSError)
    message = "place: cannot be written: 10 requested and 3 written"
    with pytest.raises(StorageError, match=message), storage_errors("place"):
        raise OSError("10 requested and 3 written")  # as numpy says it
    with pytest.raises(StorageError, match="^inner$"), storage_errors("outer"):
        raise StorageError("inner")


# One folder


@pytest.mark.usefixtures("each_way_to_replace")
def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder"
    write_folder(path, "one")
    (path / "of the old one only").touch()
    with replacing_folder(path, "marker") as folder:
        (folder / "marker").touch()
        (folder / "below").mkdir()
        (folder / "below" / "content").write_text("two")
        assert (path / "content").read_text() == "one"
    assert names(path) == ["below", "marker"]
    assert (path / "below" / "content").read_text() == "two"
    assert names(path.parent) == ["folder"]


@pytest.mark.usefixtures("each_way_to_replace")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_folder_survives_what_goes_wrong(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "folder"
    write_folder(path, "old")
    with pytest.raises(error), replacing_folder(path, "marker") as folder:
        (folder / "content").write_text("half")
        raise error
    assert (path / "content").read_text() == "old"
    assert names(tmp_path) == ["folder"]


def test_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder"
    write_folder(path, "old")
    monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    rename = os.rename

    def refuse_the_new_one(source: Path, target: Path) -> None:
        if ".tmp-" in Path(source).name and not Path(target).exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse_the_new_one)
    with pytest.raises(StorageError, match="Input/output error"):
        write_folder(path, "new")
    assert (path / "content").read_text() == "old"
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("death", [KILLED_IN_WRITE.format(limit=50_000), KILLED_BEFORE_SYNC, KILLED_BEFORE_CLEANING])
def test_killed_writer_of_a_folder(tmp_path: Path, death: str) -> None:
    path = tmp_path / "folder"
    write_folder(path, "old")
    assert run_python(death + WRITE_FOLDER, path).returncode < 0
    expected = "n" * 100_000 if death == KILLED_BEFORE_CLEANING else "old"
    assert (path / "content").read_text() == expected
    assert len(names(tmp_path)) == 2
    write_folder(path, "newest")
    assert (path / "content").read_text() == "newest"
    assert names(tmp_path) == ["folder"]


def test_kill_between_two_renames_can_be_undone(tmp_path: Path) -> None:
    # Only where folders cannot be swapped: the old one is aside, nothing removes it, and it can be found.
    path = tmp_path / "folder"
    write_folder(path, "old")
    death = """
import os, signal
from lsr.storage import files
files._exchange = lambda first, second: False
rename = os.rename
def rename_once(source, target):
    if ".old-" in str(target):
        rename(source, target)
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
os.rename = rename_once
"""
    assert run_python(death + WRITE_FOLDER, path).returncode < 0
    assert not path.exists()
    aside = left_aside(path)
    assert aside is not None
    assert (aside / "content").read_text() == "old"
    write_folder(path, "new")
    assert aside.exists()


def test_full_disk_under_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    write_folder(path, "old")
    ended = run_python(FULL_DISK.format(limit=50_000) + WRITE_FOLDER, path)
    assert f"StorageError: {path}: cannot be written: File too large" in ended.stderr
    assert (path / "content").read_text() == "old"
    assert names(tmp_path) == ["folder"]


def test_many_writers_of_a_folder(tmp_path: Path) -> None:
    code = """
import sys
from lsr.storage.files import replacing_folder
for _ in range(30):
    with replacing_folder(sys.argv[1], "marker") as folder:
        (folder / "marker").write_text(sys.argv[2])
        (folder / "content").write_text(sys.argv[2])
"""
    path = tmp_path / "folder"
    writers = [start_python(code, path, letter) for letter in "abc"]
    for writer in writers:
        _, errors = writer.communicate()
        assert errors == ""
        assert writer.returncode == 0
    assert names(tmp_path) == ["folder"]
    assert (path / "content").read_text() == (path / "marker").read_text()


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    write_folder(tmp_path / "folder", "new")
    assert (tmp_path / "folder" / "content").read_text() == "new"


def test_the_users_own_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").touch()
    with pytest.raises(StorageError, match=r"thesis: cannot be replaced: .* did not write .*choose another path"):
        write_folder(tmp_path / "thesis", "new")
    assert names(tmp_path) == ["thesis"]
    assert names(tmp_path / "thesis") == ["chapter1.tex"]


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match="cannot be written"):
            write_folder(path, "new")
    assert (tmp_path / "file").read_text() == "mine"


def test_lock(tmp_path: Path) -> None:
    descriptor = lock_folder(tmp_path)
    with pytest.raises(StorageError, match="another writer has the lock"):
        lock_folder(tmp_path)
    os.close(descriptor)
    os.close(lock_folder(tmp_path))


def test_a_lock_that_is_waited_for(tmp_path: Path) -> None:
    descriptor = lock_folder(tmp_path)
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(lock_folder, tmp_path, wait=True)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.2)
        os.close(descriptor)
        os.close(waiting.result(timeout=30))
