"""StringColumn: memory-mapped strings, decoded one at a time."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from lsr.errors import IndexFormatError, ParameterError, VectorsError
from lsr.storage.arrays import load_array, write_header
from lsr.storage.files import storage_errors

if TYPE_CHECKING:
    import pyarrow as pa

STRINGS_PER_WRITE = 4096


class StringColumn:
    """Strings as two arrays: their concatenated UTF-8 bytes (uint8), and the begin of each string (int64[n + 1])."""

    def __init__(self, text: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> None:
        self._text = text
        self._offsets = offsets

    @staticmethod
    def write(folder: Path, name: str, strings: Iterable[str]) -> int:
        """Write NAME.text.npy and NAME.offsets.npy, with few strings in memory; returns the number of strings.

        Raises StorageError, and VectorsError for a string that is not valid Unicode.
        """
        count = size = 0
        text_path, offsets_path = _paths(folder, name)
        with storage_errors(folder), open(text_path, "wb") as text, open(offsets_path, "wb") as offsets:
            write_header(text, np.uint8, (0,))
            write_header(offsets, np.int64, (0,))
            ends = [0]
            for string in strings:
                try:
                    encoded = string.encode()
                except UnicodeEncodeError:
                    raise VectorsError(
                        f"{name} {count}: {string[:40]!r} has a lone surrogate; it must be valid Unicode"
                    ) from None
                text.write(encoded)
                count += 1
                size += len(encoded)
                ends.append(size)
                if len(ends) == STRINGS_PER_WRITE:
                    offsets.write(np.array(ends, np.int64).tobytes())
                    ends = []
            offsets.write(np.array(ends, np.int64).tobytes())
            # The lengths are known only at the end.
            write_header(text, np.uint8, (size,))
            write_header(offsets, np.int64, (count + 1,))
        return count

    @classmethod
    def open(cls, folder: str | os.PathLike[str], name: str) -> Self:
        """Open strings written by `write`. Raises IndexFormatError."""
        text = load_array(Path(folder), f"{name}.text")
        offsets = load_array(Path(folder), f"{name}.offsets")
        fits = text.dtype == np.uint8 and offsets.dtype == np.int64 and text.ndim == offsets.ndim == 1
        if not fits or not len(offsets) or offsets[0] != 0 or offsets[-1] != len(text):
            raise IndexFormatError(f"{folder}: the strings {name} are damaged; build the index again")
        return cls(text, offsets)

    def check(self) -> None:
        """Read all strings. Raises IndexFormatError unless each is valid Unicode."""
        text, offsets = self._text, self._offsets
        if (np.diff(offsets) < 0).any():
            raise IndexFormatError("the offsets of strings do not ascend; build the index again")
        begins = offsets[:-1]
        if ((text[begins[begins < len(text)]] & 0xC0) == 0x80).any():
            raise IndexFormatError("a string begins within a character; build the index again")
        for first in range(0, len(self), STRINGS_PER_WRITE):
            some = offsets[first : first + STRINGS_PER_WRITE + 1]
            try:
                text[some[0] : some[-1]].tobytes().decode()
            except UnicodeDecodeError as error:
                raise IndexFormatError(
                    f"the strings from {first} are damaged ({error}); build the index again"
                ) from None

    @property
    def nbytes(self) -> int:
        return self._text.nbytes + self._offsets.nbytes

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, i: int) -> str:
        """String i. Raises ParameterError if there is none, and IndexFormatError if the file is damaged."""
        if not 0 <= i < len(self):
            raise ParameterError(f"row {i} does not exist; there are {len(self)} rows")
        try:
            return self._bytes(i).decode()
        except UnicodeDecodeError as error:
            raise IndexFormatError(f"string {i} is damaged ({error}); build the index again") from None

    def _bytes(self, i: int) -> bytes:
        encoded: bytes = self._text[self._offsets[i] : self._offsets[i + 1]].tobytes()
        return encoded

    def equals(self, other: StringColumn | Collection[str]) -> bool:
        """Whether both have the same strings. Two columns are compared without decoding."""
        if not isinstance(other, StringColumn):
            return len(self) == len(other) and all(ours == theirs for ours, theirs in zip(self, other, strict=True))
        return np.array_equal(self._offsets, other._offsets) and np.array_equal(self._text, other._text)

    def as_arrow(self) -> pa.LargeStringArray:
        """The strings as an Arrow array, without copying. Raises IndexFormatError if a file is damaged."""
        import pyarrow as pa

        buffers = [None, pa.py_buffer(self._offsets), pa.py_buffer(self._text)]
        strings = pa.Array.from_buffers(pa.large_string(), len(self), buffers)
        try:
            strings.validate(full=True)
        except pa.ArrowException as error:
            raise IndexFormatError(f"strings are damaged ({error}); build the index again") from error
        return strings

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.text.npy", folder / f"{name}.offsets.npy"
