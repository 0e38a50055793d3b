"""Published scores of cross-encoders, a pickle of {query id: {document id: score}}: read as a stream, never executed.

A pickle is a program. pickletools parses it without running it. Only those instructions are followed that make and
combine dicts, numbers and texts; all others, such as those that import or call something, are refused. So a pickle that
would run code, or make an object, is an error. Each query is returned as soon as the next one begins: memory is bounded
by one query and by the texts that the pickle can refer to again.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from lsr.checks import check_text, expanded
from lsr.errors import CollectionError
from lsr.storage.files import DAMAGE
from lsr.storage.reading import open_binary

LONGEST_ID = 4096  # bytes: longer ones are not ids
MOST_DOCUMENTS = 1 << 20  # documents of one query
MOST_KEPT = 1 << 24  # texts that a pickle can refer to again

# Instructions that put a number or a text on the stack, store the top of the stack, and load it again.
_PUSHES = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
)
_PUTS = frozenset(("MEMOIZE", "BINPUT", "LONG_BINPUT"))
_GETS = frozenset(("BINGET", "LONG_BINGET"))
_EXPECTED = "expected a pickle of {query id: {document id: score}} with only numbers and texts"


def read_score_pickle(path: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """(query id, {document id: score}) of each query, in the order of the file, .pkl or .pkl.gz.

    Ids can be texts or whole numbers. Raises CollectionError, which names the query before, for an instruction that
    does not build such dicts, for scores that are not finite, and for a file that is truncated or not a pickle.
    """
    path = expanded(path)
    machine = _Machine()
    try:
        with open_binary(path) as file:
            for instruction, argument, _ in pickletools.genops(_Bounded(file)):  # type: ignore[arg-type]
                yield from machine.follow(instruction.name, argument)
    except CollectionError as error:
        raise CollectionError(f"{path}: {machine.place}: {error}") from error
    except DAMAGE as error:  # pickletools raises ValueError for files that are truncated or not pickles
        raise CollectionError(f"{path}: {machine.place}: cannot be read ({error}); {_EXPECTED}") from error


class _Bounded:
    """A file that is read in small parts, for any lengths that a pickle states."""

    def __init__(self, file: BinaryIO) -> None:
        self._read = file.read

    def read(self, size: int) -> bytes:
        if size > LONGEST_ID:
            raise CollectionError(f"a text or number of {size} bytes cannot be an id; {_EXPECTED}")
        return self._read(size)

    def readline(self) -> NoReturn:
        raise CollectionError(f"it has instructions in text form, such as imports; {_EXPECTED}")


class _Machine:
    """The machine that follows the instructions of such a pickle.

    Its stack has the outer dict, the id and the dict of a query, and ids and scores of documents. The outer dict stays
    empty.
    """

    def __init__(self) -> None:
        self.place = "before the first query"
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._kept: dict[int, str] = {}
        self._puts = 0

    def follow(self, name: str, argument: Any) -> Iterator[tuple[str, dict[str, float]]]:
        """Follow one instruction; yields the queries that are complete with it."""
        if name in _PUSHES:
            self._push(argument)
        elif name in _PUTS:
            self._keep(self._puts if argument is None else argument)
        elif name in _GETS:
            if argument not in self._kept:
                raise _refused(f"refers to a value that is not a text ({name} {argument})")
            self._push(self._kept[argument])
        elif name == "EMPTY_DICT":
            yield from self._begin_dict()
        elif name == "MARK":
            self._marks.append(len(self._stack))
        elif name in ("SETITEM", "SETITEMS"):
            start = len(self._stack) - 2 if name == "SETITEM" else self._marks.pop() if self._marks else 0
            yield from self._set(start)
        elif name == "STOP":
            if self._stack != [{}] or self._marks:
                raise _refused("is not a dict of dicts")
        elif name not in ("PROTO", "FRAME"):
            raise _refused(f"has the instruction {name}, which is not allowed")

    def _push(self, value: Any) -> None:
        if not self._stack or len(self._stack) > 2 * MOST_DOCUMENTS:
            raise _refused("is not a dict of dicts, or has too many documents for a query")
        self._stack.append(value)

    def _keep(self, number: int) -> None:
        self._puts += 1
        if self._stack and isinstance(self._stack[-1], str):
            self._kept[number] = self._stack[-1]
            if len(self._kept) > MOST_KEPT:
                raise _refused(f"stores more than {MOST_KEPT} texts for later use; write ids as numbers")

    def _begin_dict(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Begin the outer dict, or that of a query, after its id. The query before is then complete."""
        if len(self._stack) == 4 and self._marks == [1]:
            yield self._query(*self._stack[1:3])
            del self._stack[1:3]
        if len(self._stack) not in (0, 2) or len(self._marks) > 1:
            raise _refused("has dicts instead of scores or ids")
        self._stack.append({})

    def _set(self, start: int) -> Iterator[tuple[str, dict[str, float]]]:
        """Put the pairs from `start` into the dict before them."""
        if start < 1 or (len(self._stack) - start) % 2 or not isinstance(self._stack[start - 1], dict):
            raise _refused("puts something other than pairs into a dict, or pairs into another object")
        target, pairs = self._stack[start - 1], self._stack[start:]
        del self._stack[start:]
        for name, value in zip(pairs[::2], pairs[1::2], strict=True):
            if start == 1:
                yield self._query(name, value)
            else:
                target[_id(name)] = _score(value)

    def _query(self, name: Any, documents: Any) -> tuple[str, dict[str, float]]:
        query_id = _id(name)
        if not isinstance(documents, dict) or not documents:
            raise _refused(f"has no dict of documents for query {query_id!r}")
        self.place = f"after query {query_id!r}"
        return query_id, documents


def _id(value: Any) -> str:
    if type(value) is int:
        return str(value)
    if not isinstance(value, str) or not value:
        raise _refused(f"has an id that is neither a text nor a whole number ({type(value).__name__})")
    check_text("an id", value, CollectionError)
    return value


def _score(value: Any) -> float:
    try:
        score = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        score = math.inf
    if not math.isfinite(score):
        raise _refused(f"has a score that is not a finite number ({type(value).__name__})")
    return score


def _refused(what: str) -> CollectionError:
    return CollectionError(f"it {what}; {_EXPECTED}")
