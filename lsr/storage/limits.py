"""What reading may take, however small the file is that it comes from: settings of the environment.

LSR_MAX_LINE: bytes of a line, or of a page; by default 256 MB. LSR_MAX_UNPACKED: bytes that a packed file, a .gz or an
.npz, may hold; by default 1 GB, or 250 times its size if that is more.
"""

from __future__ import annotations

import os

from lsr.errors import ParameterError

MAX_LINE, MAX_UNPACKED = "LSR_MAX_LINE", "LSR_MAX_UNPACKED"
_LINE = 1 << 28
_UNPACKED, _TIMES = 1 << 30, 250  # text is packed to a tenth; gzip can pack to a thousandth


class UnreadableInputError(ValueError):
    """A file whose content will not be read; the message says why, and what to do."""


def longest_line() -> int:
    """Bytes. Raises ParameterError for a setting that is no number."""
    return _setting(MAX_LINE) or _LINE


def most_unpacked(packed: int | None) -> int:
    """Bytes that a packed file of so many may hold; None for a stream, which has no size. Raises ParameterError."""
    return _setting(MAX_UNPACKED) or (1 << 63 if packed is None else max(_UNPACKED, _TIMES * packed))


def check_unpacked(held: int, packed: int | None, what: str = "it") -> None:
    """Raises UnreadableInputError where a packed file holds more than it may."""
    most = most_unpacked(packed)
    if held > most:
        raise UnreadableInputError(
            f"{what} unpacks to more than {most} bytes; unpack it yourself, or allow more by {MAX_UNPACKED}"
        )


def _setting(name: str) -> int | None:
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 1 << 62:
        raise ParameterError(f"{name} is {text[:40]!r}; it must be a whole number of bytes")
    return int(text)
