"""Reading one array: what is wrong with the machine is not told as damage, and nothing waits for a pipe."""

from __future__ import annotations

import gc
import os
import resource
from pathlib import Path
from threading import Thread
from time import sleep

import numpy as np
import pytest

from lsr.errors import IndexFormatError, StorageError
from lsr.storage.arrays import load_array, save_arrays
from tests.processes import full_disk


def test_too_many_open_files(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.arange(3))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        with pytest.raises(IndexFormatError, match=r"Too many open files.*raise the limit") as raised:
            load_array(tmp_path, "rows")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.close(lowest)
    assert "build the index again" not in str(raised.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.npy")
    with pytest.raises(IndexFormatError, match="not a file"):
        load_array(tmp_path, "rows")


def test_an_array_that_fits_in_a_buffer_is_not_lost_on_a_full_disk(tmp_path: Path) -> None:
    with full_disk(130), pytest.raises(StorageError):
        save_arrays(tmp_path, {"small": np.arange(20)})


def test_threads_read_while_garbage_is_collected(tmp_path: Path) -> None:
    """In Python 3.11, NumPy's reader raises SystemError where a finalizer lets another thread read meanwhile."""
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    save_arrays(tmp_path, {"rows": array})
    failed: list[BaseException] = []

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            sleep(1e-5)

    def read() -> None:
        try:
            for _ in range(300):
                Cycle()
                np.testing.assert_array_equal(load_array(tmp_path, "rows"), array)
        except BaseException as error:
            failed.append(error)

    before = gc.get_threshold()
    gc.set_threshold(10)
    try:
        threads = [Thread(target=read) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        gc.set_threshold(*before)
    assert not failed


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f2", ">f4"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3), (2, 3, 4)])
def test_any_array_of_numbers(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    for each in (array, np.asfortranarray(array)):
        np.save(tmp_path / "rows.npy", each)
        read = load_array(tmp_path, "rows")
        np.testing.assert_array_equal(read, each)
        assert (read.dtype, read.flags.c_contiguous) == (each.dtype, each.flags.c_contiguous)


def test_headers_that_no_array_of_numbers_has(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "fields.npy", np.zeros(2, [("a", "i4")]))
    for content in (b"", b"\x93NUMPY", b"\x93NUMPY\1\0\xff\xff{", b"PK\3\4" + bytes(99)):
        (tmp_path / "other.npy").write_bytes(content)
        for name in ("objects", "fields", "other"):
            with pytest.raises(IndexFormatError, match="missing or damaged"):
                load_array(tmp_path, name)
