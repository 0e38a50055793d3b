"""TOML files as frozen dataclasses, checked by their annotations. Errors name the file and the key."""

from __future__ import annotations

import json
import re
import tomllib
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import wraps
from importlib.resources import as_file
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar, cast, dataclass_transform, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from lsr.errors import LsrError, ParameterError
from lsr.spelling import RENAMED
from lsr.storage.limits import UnreadableInputError
from lsr.storage.reading import open_binary
from lsr.storage.recognize import CONFIGURATION, kind_of_file, what_is

Table = TypeVar("Table")

# Words of pydantic -> words of TOML.
WORDS = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid array": "a list",
    "an object": "a table",
    "a valid dictionary": "a table",
}


@dataclass_transform(frozen_default=True)
def table(kind: type[Table]) -> type[Table]:
    """Class decorator: a frozen dataclass that raises ParameterError for values that do not fit its annotations."""
    strict = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    checked = dataclass(kind, frozen=True, config=strict)
    initialize: Callable[..., None] = checked.__init__

    @wraps(initialize)
    def checking(self: Table, *values: Any, **named: Any) -> None:
        try:
            initialize(self, *values, **named)
        except ValidationError as error:
            raise ParameterError(said(checked, error)) from None

    setattr(checked, "__init__", checking)  # noqa: B010 (mypy refuses an assignment to a method)
    return cast(type[Table], checked)


def read_toml(path: Traversable, kind: type[Table]) -> Table:
    """A TOML file as a class made by `table`. Raises ParameterError, which names file and key."""
    try:
        with as_file(path) as opened, open_binary(opened) as file:
            content = tomllib.loads(file.read().decode("utf-8-sig"))
        # pydantic's JSON mode turns lists into tuples and whole numbers into floats, and converts nothing else.
        return TypeAdapter(kind).validate_json(json.dumps(content, default=str))
    except (OSError, EOFError, zlib.error) as error:  # of the file, or of the compressed data
        reason = f"is {what_is(path)}" if isinstance(path, Path) and path.is_dir() else getattr(error, "strerror", None)
        raise ParameterError(f"{path}: cannot be read ({reason or error}); give the path of a TOML file") from error
    except UnreadableInputError as error:
        raise ParameterError(f"{path}: {error}") from error
    except ValidationError as error:
        raise ParameterError(f"{path}: {said(kind, error)}") from None
    except LsrError as error:
        raise ParameterError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, deeply nested brackets
        other = kind_of_file(path) if isinstance(path, Path) else None
        advice = "correct it" if other in (None, CONFIGURATION) else f"it seems to be {other}"
        raise ParameterError(f"{path}: is not valid TOML ({error}); {advice}") from error


def said(kind: type, error: ValidationError, words: Mapping[str, str] = WORDS) -> str:
    """The first mistake, as one line. Unknown keys come first, because they explain missing keys.

    kind: the class, made by `table`, that the file describes. words: of pydantic -> of the format.
    """
    mistakes = error.errors(include_url=False)
    first = min(mistakes, key=lambda mistake: mistake["type"] != "unexpected_keyword_argument")
    *table_place, key = first["loc"] or ("",)
    place = _dotted(first["loc"])
    match first["type"]:
        case "unexpected_keyword_argument":
            known = _keys(kind, table_place)
            if key in RENAMED:
                return f"{place} is now called {RENAMED[str(key)]}; rename it"
            near = get_close_matches(str(key).lower(), known, n=1, cutoff=0.5)
            return f"{place} is unknown; {f'perhaps {near[0]}? There' if near else 'there'} are {', '.join(known)}"
        case "missing":
            return f"{place} is missing; add it"
        case "value_error":
            return f"[{place}] {first['ctx']['error']}" if place else str(first["ctx"]["error"])
    must = first["msg"].removeprefix("Input should ")
    for theirs, ours in words.items():
        must = must.replace(theirs, ours)
    return f"{place} is {_shown(first['input'])}; it must {must}"


def _keys(kind: Any, place: list[int | str]) -> list[str]:
    """The keys of the table at `place`. Empty for lists and for tables with free names."""
    for part in place:
        hints = get_type_hints(kind)
        if part in hints:
            kind = next(_tables(hints[str(part)]), kind)
    return [each.name for each in fields(kind)]


def _tables(hint: Any) -> Iterator[Any]:
    if is_dataclass(hint):
        yield hint
    for part in get_args(hint):
        yield from _tables(part)


def _dotted(place: tuple[int | str, ...]) -> str:
    return re.sub(r"\.\[", "[", ".".join(f"[{part}]" if isinstance(part, int) else part for part in place))


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 100 else f"{shown[:100]} ..."
