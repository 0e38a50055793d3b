"""Values in their limits, checked where dataclasses and functions meet their users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real

from lsr.errors import LsrError, ParameterError


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


def is_utf8(text: str) -> bool:
    """Whether `text` can be written as UTF-8: it holds no lone surrogate (JSON can smuggle one in)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(name: str, text: object, error: type[LsrError] = ParameterError) -> None:
    """Raises `error` unless `text` is text that UTF-8 can hold. name: for the message, such as "row 3"."""
    if not isinstance(text, str):
        advice = "give text"
        if text is None or str(text) in ("nan", "<NA>", "NaT"):  # as data frames have them
            advice = "a value is missing; leave it out, or give empty text"
        elif isinstance(text, list | tuple):
            advice = "give one text, or several texts to what takes a list"
        raise error(f"{name}: {str(text)[:40]!r} is of type {type(text).__name__}; {advice}")
    if not text.isascii() and not is_utf8(text):
        at = next(i for i, character in enumerate(text) if not is_utf8(character))
        raise error(f"{name}: character {at}, {text[at]!r}, is a lone surrogate: {text[:40]!r} is not valid UTF-8")


def check_named_texts(queries: Mapping[str, str]) -> None:
    """Raises ParameterError, which names the query, unless this is a dict of id -> text."""
    if isinstance(queries, str) or not hasattr(queries, "items"):
        raise ParameterError(
            f"queries are of type {type(queries).__name__}; give a dict of id -> text, or the texts to search_batch"
        )
    for query_id, text in queries.items():
        check_text(f"id {query_id!r} of a query", query_id)
        check_text(f"query {query_id!r}", text)


def checked_texts(texts: Iterable[str], name: str = "row", error: type[LsrError] = ParameterError) -> list[str]:
    """`texts`, a list, an array, or a column of a data frame, as a list.

    Raises `error`, which names the place, counted from 0, unless all are text that UTF-8 can hold.
    """
    if isinstance(texts, str | bytes):
        raise error(f"the texts are a single text, {texts[:40]!r}; give a list of texts: [text]")
    if isinstance(texts, Mapping):
        raise error("the texts are a dict; give a list of texts: list(texts.values())")
    if hasattr(texts, "columns"):
        raise error(f"the texts are a {type(texts).__name__}; give one column of it: table['text']")
    if isinstance(texts, set | frozenset) or not isinstance(texts, Iterable):
        raise error(f"the texts are of type {type(texts).__name__}; give a list of texts")
    checked: list[str] = texts.to_pylist() if hasattr(texts, "to_pylist") else list(texts)
    for place, text in enumerate(checked):
        check_text(f"{name} {place}", text, error)
    return checked
