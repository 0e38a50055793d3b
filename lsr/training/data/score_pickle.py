"""Published scores of cross-encoders, a pickle of {query id: {document id: score}}: read as a stream, never executed.

A pickle is a program. pickletools takes it apart without running it, and only those of its instructions are followed
that make dicts, numbers and texts, and put them together; all others, such as those that import or call something, are
refused. So what would run code, or make an object, is an error. Each query is given as soon as the next one begins:
memory is bounded by one query and by the texts that the pickle may come back to.
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
MOST_DOCUMENTS = 1 << 20  # of one query
MOST_KEPT = 1 << 24  # texts that a pickle may come back to

# Instructions that put a number or a text on the stack, remember what is on top of it, and bring it back.
_PUSHES = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
)
_PUTS = frozenset(("MEMOIZE", "BINPUT", "LONG_BINPUT"))
_GETS = frozenset(("BINGET", "LONG_BINGET"))
_EXPECTED = "expected a pickle of {query id: {document id: score}}, of numbers and texts alone"


def read_score_pickle(path: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Query id and document id -> score of each query, in the order of the file, .pkl or .pkl.gz.

    Ids may be texts or whole numbers. Raises CollectionError, naming the query before, for an instruction that does
    anything but build such dicts, for scores that are not finite, and for a file that is truncated or no pickle.
    """
    path = expanded(path)
    machine = _Machine()
    try:
        with open_binary(path) as file:
            for instruction, argument, _ in pickletools.genops(_Bounded(file)):  # type: ignore[arg-type]
                yield from machine.follow(instruction.name, argument)
    except CollectionError as error:
        raise CollectionError(f"{path}: {machine.place}: {error}") from error
    except DAMAGE as error:  # pickletools raises ValueError for what is no pickle, or is cut off
        raise CollectionError(f"{path}: {machine.place}: cannot be read ({error}); {_EXPECTED}") from error


class _Bounded:
    """A file of which little is read at once, whatever a pickle says of the lengths of its parts."""

    def __init__(self, file: BinaryIO) -> None:
        self._read = file.read

    def read(self, size: int) -> bytes:
        if size > LONGEST_ID:
            raise CollectionError(f"a text or number of {size} bytes is no id; {_EXPECTED}")
        return self._read(size)

    def readline(self) -> NoReturn:
        raise CollectionError(f"it has instructions in text, as those that import have; {_EXPECTED}")


class _Machine:
    """What the instructions of such a pickle work on.

    Its stack holds the dict of all, the id and the dict of a query, and ids and scores of documents. Nothing is kept in
    the dict of all.
    """

    def __init__(self) -> None:
        self.place = "before the first query"
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._kept: dict[int, str] = {}
        self._puts = 0

    def follow(self, name: str, argument: Any) -> Iterator[tuple[str, dict[str, float]]]:
        """One instruction; the queries that are complete with it."""
        if name in _PUSHES:
            self._push(argument)
        elif name in _PUTS:
            self._keep(self._puts if argument is None else argument)
        elif name in _GETS:
            if argument not in self._kept:
                raise _refused(f"comes back to what is no text ({name} {argument})")
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
                raise _refused("is no dict of dicts")
        elif name not in ("PROTO", "FRAME"):
            raise _refused(f"has the instruction {name}, which is not followed")

    def _push(self, value: Any) -> None:
        if not self._stack or len(self._stack) > 2 * MOST_DOCUMENTS:
            raise _refused("is no dict of dicts, or one of more documents than a query has")
        self._stack.append(value)

    def _keep(self, number: int) -> None:
        self._puts += 1
        if self._stack and isinstance(self._stack[-1], str):
            self._kept[number] = self._stack[-1]
            if len(self._kept) > MOST_KEPT:
                raise _refused(f"has more than {MOST_KEPT} texts that it may come back to; write ids as numbers")

    def _begin_dict(self) -> Iterator[tuple[str, dict[str, float]]]:
        """That of all, or of a query, whose id has just come; what came before that is then complete."""
        if len(self._stack) == 4 and self._marks == [1]:
            yield self._query(*self._stack[1:3])
            del self._stack[1:3]
        if len(self._stack) not in (0, 2) or len(self._marks) > 1:
            raise _refused("has dicts in the place of scores or ids")
        self._stack.append({})

    def _set(self, start: int) -> Iterator[tuple[str, dict[str, float]]]:
        """Put the pairs that begin at `start` into the dict before them."""
        if start < 1 or (len(self._stack) - start) % 2 or not isinstance(self._stack[start - 1], dict):
            raise _refused("puts what is no pair into what is no dict")
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
            raise _refused(f"has no dict of documents for the query {query_id!r}")
        self.place = f"after query {query_id!r}"
        return query_id, documents


def _id(value: Any) -> str:
    if type(value) is int:
        return str(value)
    if not isinstance(value, str) or not value:
        raise _refused(f"has an id that is neither text nor a whole number ({type(value).__name__})")
    check_text("an id", value, CollectionError)
    return value


def _score(value: Any) -> float:
    try:
        score = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        score = math.inf
    if not math.isfinite(score):
        raise _refused(f"has a score that is no finite number ({type(value).__name__})")
    return score


def _refused(what: str) -> CollectionError:
    return CollectionError(f"it {what}; {_EXPECTED}")
