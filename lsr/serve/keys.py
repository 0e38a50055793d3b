"""The keys of requests: their sources, and their comparison."""

from __future__ import annotations

import hmac
import os
import warnings
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Literal

from lsr.errors import LsrWarning, ParameterError

SHORTEST = 16  # characters of a key

Purpose = Literal["read", "write"]


def keys_for(purpose: Purpose, file: Path | None) -> tuple[str, ...]:
    """The keys in a file, separated by white space. file: None for the variable LSR_READ_KEYS or LSR_WRITE_KEYS.

    Raises ParameterError for a file that cannot be read or has no keys, and for short keys. Warns if other users can
    read the file.
    """
    if file is None:
        where, text = variable(purpose), os.environ.get(variable(purpose), "")
    else:
        where = str(file)
        try:
            text, mode = file.read_text("utf-8"), file.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise ParameterError(f"{file}: the keys cannot be read ({error}); use a file in UTF-8") from None
        if mode & 0o077:
            warnings.warn(f"{file}: other users can read the keys; run chmod 600 {file}", LsrWarning, stacklevel=2)
    keys = tuple(text.split())
    if file is not None and not keys:
        raise ParameterError(f"{where} has no keys; write one key per line")
    if any(len(key) < SHORTEST for key in keys):
        raise ParameterError(
            f"{where} has a key with fewer than {SHORTEST} characters; make a longer one, for example with "
            "python -c 'import secrets; print(secrets.token_hex())'"
        )
    return keys


def variable(purpose: Purpose) -> str:
    """The environment variable of the keys."""
    return f"LSR_{purpose.upper()}_KEYS"


class Keys:
    """Keys, stored as digests."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [sha256(key.encode()).digest() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def has(self, given: bytes) -> bool:
        """Whether the key is one of these. The time of the comparison reveals nothing about the keys."""
        digest = sha256(given).digest()
        return sum(hmac.compare_digest(digest, each) for each in self._digests) > 0
