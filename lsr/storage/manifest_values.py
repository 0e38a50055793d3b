"""Checks of values in manifests. Each function returns the value, or raises ValueError or TypeError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MOST = 1 << 62  # largest count


def optional(value: Any, check: Callable[[Any], Any]) -> Any:
    """None, or what `check` returns."""
    return None if value is None else check(value)


def whole(value: Any, least: int = 0) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _MOST:
        raise ValueError(f"{value!r} is not a whole number of at least {least}")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value
