"""A TOML table as a frozen dataclass: unknown keys are errors that name the nearest known one."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from lsr.errors import LsrError, ParameterError

Config = TypeVar("Config")


def from_table(kind: type[Config], table: Mapping[str, Any], where: str) -> Config:
    """The dataclass `kind` from a table; where: dotted name of the table, for errors. Raises ParameterError."""
    known: dict[str, Field[Any]] = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for key in table:
        if key not in known:
            near = get_close_matches(key.lower(), known, n=1, cutoff=0.5)
            raise ParameterError(
                f"{_dotted(where, key)} is unknown; "
                + (f"perhaps {near[0]}? There are " if near else "there are ")
                + ", ".join(known)
            )
    values = {key: _value(hints[key], value, _dotted(where, key)) for key, value in table.items()}
    for name, each in known.items():
        if name not in values and each.default is MISSING and each.default_factory is MISSING:
            raise ParameterError(f"{_dotted(where, name)} is missing; add it")
    try:
        return kind(**values)
    except LsrError as error:
        raise ParameterError(f"[{where}] {error}" if where else str(error)) from error


def _value(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotation has it: tables as dataclasses, arrays as tuples, whole numbers as floats."""
    origin, choices = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for choice in sorted(choices, key=_rank):
            if _fits(choice, value):
                return _value(choice, value, where)
    elif _fits(hint, value):
        if is_dataclass(hint):
            return from_table(hint, value, where)  # type: ignore[arg-type]
        if origin is tuple:
            return tuple(_value(choices[0], each, f"{where}[{at}]") for at, each in enumerate(value))
        return float(value) if hint is float else value
    raise ParameterError(f"{where} is {value!r}; it must be {_named(hint)}")


def _rank(choice: Any) -> bool:
    return choice is float  # a whole number is one before it is a float


def _fits(hint: Any, value: Any) -> bool:
    if is_dataclass(hint):
        return isinstance(value, dict)
    if get_origin(hint) is tuple:
        return isinstance(value, list)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and isinstance(value, hint)


def _named(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_named(choice) for choice in get_args(hint) if choice is not type(None))
    if get_origin(hint) is tuple:
        return f"a list of {_named(get_args(hint)[0])}"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return "a table" if is_dataclass(hint) else names.get(hint, str(hint))


def _dotted(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
