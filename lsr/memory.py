"""How much memory there is, and amounts of it as people write them."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import psutil

from lsr.errors import ParameterError

_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]b)?", re.IGNORECASE)
# Of the container, by the second version of control groups and by the first, whose "no limit" is a large number.
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def parse_size(text: str) -> int:
    """Bytes: of "4GB", "1.5 gb", "500MB" or a plain number. Raises ParameterError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ParameterError(f"{text!r} is no amount of memory; write one like 4GB or 500MB")
    return int(float(match[1]) * _UNITS[(match[2] or "").lower()])


def machine_memory() -> int:
    """Bytes that the machine has, or the container if it may use fewer."""
    total = int(psutil.virtual_memory().total)
    for limit in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # there is no limit
            total = min(total, int(limit.read_text()))
    return total
