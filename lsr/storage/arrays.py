"""Arrays in a folder, one .npy file each, so that they can be memory-mapped."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from lsr.errors import IndexFormatError
from lsr.storage.files import DAMAGE, storage_errors

# Errors of the process or the machine, which do not mean that a file is damaged.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

Array = npt.NDArray[Any]
Scalar = Any  # inside a kernel: a NumPy number

_MAGIC = b"\x93NUMPY\1\0"  # of version 1.0, which NumPy writes for short headers
_HEADER = re.compile(
    rb"\{'descr': '([<>|][biuf]\d{1,2})', 'fortran_order': (True|False), "
    rb"'shape': \((|\d{1,19},|\d{1,19}(?:, \d{1,19})+)\), \}\s*"
)


def save_arrays(folder: str | os.PathLike[str], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write each array to NAME.npy. Raises StorageError."""
    for name, array in arrays.items():
        path = Path(folder, f"{name}.npy")
        with storage_errors(path), open(path, "wb") as file:
            write_array(file, array)


def write_array(file: BinaryIO, array: npt.NDArray[Any]) -> None:
    """Write an .npy file.

    np.save would leave small arrays in C's buffers, and would not notice a full disk when they are flushed.
    """
    write_header(file, array.dtype, array.shape)
    file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


@contextmanager
def growing_array(
    folder: str | os.PathLike[str], name: str, dtype: npt.DTypeLike, row: tuple[int, ...] = ()
) -> Iterator[Callable[[Array], None]]:
    """A function that appends rows of shape `row` to NAME.npy. The number of rows is known only at the end.

    Raises StorageError.
    """
    path = Path(folder, f"{name}.npy")
    count = 0
    with storage_errors(path), open(path, "wb") as file:
        write_header(file, dtype, (0, *row))

        def append(rows: Array) -> None:
            nonlocal count
            count += len(rows)
            file.write(np.ascontiguousarray(rows, dtype).reshape(-1).view(np.uint8).data)

        yield append
        write_header(file, dtype, (count, *row))


def write_header(file: BinaryIO, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> None:
    """Write or rewrite the header of an .npy file. NumPy reserves room in it for any length of the first axis."""
    file.seek(0)
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)


def load_array(folder: str | os.PathLike[str], name: str) -> npt.NDArray[Any]:
    """The array in NAME.npy, read-only and mapped into memory. Raises IndexFormatError."""
    path = Path(folder, f"{name}.npy")
    try:
        return map_array(path)
    except DAMAGE as error:
        raise damaged(path, error) from error


def map_array(path: Path) -> npt.NDArray[Any]:
    """An .npy file of numbers, read-only and mapped into memory. Raises ValueError, OSError."""
    if path.exists() and not path.is_file():
        raise ValueError("not a file")  # opening a pipe would wait for its writer
    with open(path, "rb") as file:
        dtype, shape, order = _read_header(file)
        return read_only(np.memmap(file, dtype, "r", file.tell(), shape, order))


def _read_header(file: BinaryIO) -> tuple[np.dtype[Any], tuple[int, ...], Literal["C", "F"]]:
    """Read the header of an array of numbers: (type, shape, order). Raises ValueError.

    NumPy's own reader is not thread-safe: it parses headers as Python, where Python 3.11 raises SystemError while
    another thread does so, too.
    """
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("not an .npy file")
    length = int.from_bytes(file.read(2), "little")
    match = _HEADER.fullmatch(file.read(length))
    if match is None:
        raise ValueError("the header is not that of an array of numbers")
    shape = tuple(int(each) for each in match[3].split(b",") if each)
    return np.dtype(match[1].decode()), shape, "F" if match[2] == b"True" else "C"


def damaged(path: Path, error: Exception) -> IndexFormatError:
    """The error to raise if reading a file of an index failed with `error`."""
    if is_exhausted(error):
        return IndexFormatError(
            f"{path}: cannot be opened now ({error}); raise the limits of this process, such as that of open files"
        )
    return IndexFormatError(f"{path}: missing or damaged ({error}); build the index again")


def is_exhausted(error: BaseException) -> bool:
    """Whether an error, or its cause, is of the process or the machine and does not mean that a file is damaged."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in EXHAUSTED


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only view. Mapped files are read-only, too, so Numba compiles a kernel once for both."""
    view = array.view(np.ndarray)
    view.flags.writeable = False
    return view
