"""Checks of arguments, for dataclasses and functions that users call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from lsr.errors import LsrError, ParameterError, RunError

_QUOTED = 60  # characters


def shown(value: object) -> str:
    """A value as messages quote it."""
    quoted = repr(value) if isinstance(value, str | bytes | int | float | None) else str(value)
    return quoted if len(quoted) <= _QUOTED else f"{quoted[:_QUOTED]} ..."


def check_whole(name: str, value: object, least: int = 1, most: int | None = None) -> None:
    """Raises ParameterError unless `value` is a whole number in these limits."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or int(value) < least or (most is not None and int(value) > most):  # type: ignore[call-overload]
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ParameterError(f"{name} is {shown(value)}; it must be a whole number {limits}")


def check_number(name: str, value: object, least: float, most: float) -> None:
    """Raises ParameterError unless `value` is a number in these limits."""
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= value <= most:  # type: ignore[operator]
        raise ParameterError(f"{name} is {shown(value)}; it must be a number from {least:g} to {most:g}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raises ParameterError unless `value` is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ParameterError(f"{name} is {shown(value)}; it must be one of {', '.join(choices)}")


def check_flag(name: str, value: object) -> None:
    """Raises ParameterError unless `value` is True or False."""
    if type(value) is not bool:
        raise ParameterError(f"{name} is {shown(value)}; it must be true or false")


def check_kind(name: str, value: object, kind: type, how: str = "") -> None:
    """Raises ParameterError unless `value` is of this class. how: added to the advice of the message."""
    if not isinstance(value, kind):
        raise ParameterError(f"{name} is of type {type(value).__name__}; give a {kind.__name__}{how}")


def expanded(path: str | os.PathLike[str]) -> Path:
    """`path`, with the user's home in place of `~`. Raises ParameterError for an empty path or one with a NUL
    character.
    """
    given = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(given, str):
        raise ParameterError(f"the path is {shown(path)}, of type {type(path).__name__}; give text or a Path")
    if not given or "\0" in given:
        raise ParameterError(
            f"{given!r} is not a path (it is empty, or has a NUL character); give the name of a file or folder"
        )
    return Path(os.path.expanduser(given))


def check_scores(run: object, name: str = "the run", of: str = "query id -> document id -> score") -> None:
    """Raises ParameterError unless `run` is a dict of dicts, and RunError unless it holds numbers.

    of: the keys and values, for the message.
    """
    if not isinstance(run, Mapping):
        raise ParameterError(f"{name} is of type {type(run).__name__}; give a dict, {of}")
    for key, values in run.items():
        check_text(f"{name}: {shown(key)}", key)
        if not isinstance(values, Mapping):
            raise ParameterError(f"{name}: the value of {key!r} is {shown(values)}; give a dict of dicts, {of}")
        for each, value in values.items():
            number = isinstance(value, Real) and not isinstance(value, bool) and value == value  # not NaN
            if not isinstance(each, str) or not number:
                raise RunError(f"{name}: {key!r} has {shown(each)}: {shown(value)}; give text and a number, {of}")


def is_utf8(text: str) -> bool:
    """Whether `text` can be written as UTF-8. A text from JSON can hold a lone surrogate, which UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(
    name: str, text: object, error: type[LsrError] = ParameterError, many: str = "what takes a list"
) -> None:
    """Raises `error` unless `text` is a string that can be written as UTF-8.

    name: the place, for the message, such as "row 3". many: the function that takes several texts, for the message.
    """
    if not isinstance(text, str):
        advice = "give text"
        if text is None or str(text) in ("nan", "<NA>", "NaT"):  # missing values of data frames
            advice = "a value is missing; leave it out, or give empty text"
        elif isinstance(text, list | tuple):
            advice = f"give one text, or several to {many}"
        raise error(f"{name}: {shown(text)} is of type {type(text).__name__}; {advice}")
    if not text.isascii() and not is_utf8(text):
        at = next(i for i, character in enumerate(text) if not is_utf8(character))
        raise error(
            f"{name}: character {at}, {text[at]!r}, is a lone surrogate: {text[:40]!r} is not valid UTF-8; remove the "
            "character"
        )


def named_texts(queries: Mapping[str, str]) -> dict[str, str]:
    """`queries`, a dict of id -> text or a series of texts by id, as a dict. Raises ParameterError with the query's
    id.
    """
    if isinstance(queries, str | type) or not hasattr(queries, "items"):
        raise ParameterError(
            f"queries are of type {type(queries).__name__}; give a dict of id -> text, or the texts to search_batch"
        )
    for query_id, text in queries.items():
        check_text(f"id {query_id!r} of a query", query_id)
        check_text(f"query {query_id!r}", text)
    return dict(queries.items())


def check_listable(given: object, what: str, error: type[LsrError] = ParameterError) -> None:
    """Raises `error` unless `given` is a list, an array, a column of a data frame, or an iterator of values."""
    if type(given) is list:  # saves 0.5 µs for each of several checks of a query
        return
    if isinstance(given, str | bytes):
        raise error(f"the {what} are a single string, {given[:40]!r}; give a list: [text]")
    if isinstance(given, Mapping):
        raise error(f"the {what} are a dict; give a list: list(the_dict.values())")
    if hasattr(given, "columns"):
        raise error(f"the {what} are a {type(given).__name__}; give one column of it: table['column']")
    if isinstance(given, set | frozenset | type) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) != 1:
        raise error(f"the {what} are of type {type(given).__name__}; give a list")


def listed(given: Iterable[Any], what: str, error: type[LsrError] = ParameterError) -> list[Any]:
    """`given` as a list. Raises `error`, as check_listable does."""
    check_listable(given, what, error)
    to_list = getattr(given, "tolist", getattr(given, "to_pylist", None))  # NumPy's and pandas', or Arrow's
    return list(given) if to_list is None else to_list()


def checked_texts(texts: Iterable[str], name: str = "row", error: type[LsrError] = ParameterError) -> list[str]:
    """`texts`, a list, an array, or a column of a data frame, as a list.

    Raises `error` unless all are strings that can be written as UTF-8. The message names the place, counted from 0.
    """
    checked = listed(texts, "texts", error)
    for place, text in enumerate(checked):
        check_text(f"{name} {place}", text, error)
    return checked
