"""Reading one array: what is wrong with the machine is not told as damage, and nothing waits for a pipe."""

from __future__ import annotations

import os
import resource
from pathlib import Path

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
