"""Values in their limits, checked where dataclasses and functions meet their users."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

from lsr.errors import ParameterError


def check_whole(name: str, value: object, least: int = 1, most: int | None = None) -> None:
    """Raises ParameterError unless `value` is a whole number in these limits."""
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or int(value) < least or (most is not None and int(value) > most):  # type: ignore[call-overload]
        raise ParameterError(f"{name} is {value!r}; it must be a whole number {limits}")


def check_number(name: str, value: object, least: float, most: float) -> None:
    """Raises ParameterError unless `value` is a number in these limits."""
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= float(value) <= most:
        raise ParameterError(f"{name} is {value!r}; it must be a number from {least:g} to {most:g}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raises ParameterError unless `value` is one of `choices`."""
    if value not in choices:
        raise ParameterError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
