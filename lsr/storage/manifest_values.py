"""Values that a manifest must have: each function returns the value, or raises ValueError or TypeError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MOST = 1 << 62  # of whatever is counted


def optional(value: Any, check: Callable[[Any], Any]) -> Any:
    """None, or what `check` returns."""
    return None if value is None else check(value)


def whole(value: Any, least: int = 0) -> int:
    """A whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _MOST:
        raise ValueError(f"number {value!r}")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise TypeError(f"{value!r}, neither true nor false,")
    return value


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r}, which is not a string,")
    return value
