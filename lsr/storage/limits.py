"""Limits for reading files, from the environment, so that a small file cannot take all memory or disk.

LSR_MAX_LINE: bytes of a line or of a file of text; by default 256 MB. LSR_MAX_UNPACKED: decompressed bytes of a .gz or
.npz file; by default 1 GB, or 250 times the compressed size if that is more.
"""

from __future__ import annotations

import os

from lsr.errors import ParameterError

MAX_LINE, MAX_UNPACKED = "LSR_MAX_LINE", "LSR_MAX_UNPACKED"
_LINE = 1 << 28
_UNPACKED, _TIMES = 1 << 30, 250  # text compresses to a tenth; gzip can compress to a thousandth


class UnreadableInputError(ValueError):
    """The content of a file is not read. The message says why, and what to do."""


def longest_line() -> int:
    """The limit in bytes. Raises ParameterError for a setting that is not a number."""
    return _setting(MAX_LINE) or _LINE


def most_unpacked(packed: int | None) -> int:
    """The limit of decompressed bytes for a file of `packed` bytes; None for a stream. Raises ParameterError."""
    return _setting(MAX_UNPACKED) or (1 << 63 if packed is None else max(_UNPACKED, _TIMES * packed))


def check_unpacked(held: int, packed: int | None, what: str = "it") -> None:
    """Raises UnreadableInputError if a compressed file has more decompressed bytes than the limit."""
    most = most_unpacked(packed)
    if held > most:
        raise UnreadableInputError(
            f"{what} decompresses to more than {most} bytes; decompress it yourself, or raise the limit {MAX_UNPACKED}"
        )


def _setting(name: str) -> int | None:
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 1 << 62:
        raise ParameterError(f"{name} is {text[:40]!r}; it must be a whole number of bytes")
    return int(text)
