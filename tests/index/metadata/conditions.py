"""Random conditions: as SQL, and what they are of a document in Python, by SQL's logic of three values."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Row = dict[str, Any]
Evaluate = Callable[[Row], Any]

TEXTS = ["cs", "math", "O'Neil", "naïve", "", "日本", 'say "x"', "a%b"]
VALUES: dict[str, list[Any]] = {
    "year": [1999, 2019, 2020, 2021],
    "Category": TEXTS,
    'odd "name"': ["x", "y"],
    "flag": [True, False],
    "day": [dt.date(2020, 1, 1), dt.date(2021, 6, 5), dt.date(1969, 7, 20)],
    "number": list(range(-40, 40)),
    "price": [0.5, 1.0, -2.25, 1e300],
}
COMPARE = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Random:
    sql: str
    of: Evaluate


def literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.date):
        return f"date '{value}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def quoted(name: str) -> str:
    return name if name.isidentifier() else '"' + name.replace('"', '""') + '"'


def rows(most: int = 60) -> st.SearchStrategy[list[Row]]:
    row = st.fixed_dictionaries({name: st.one_of(st.none(), st.sampled_from(VALUES[name])) for name in VALUES})
    return st.lists(row, min_size=1, max_size=most)


@st.composite
def simple(draw: st.DrawFn) -> Random:
    name = draw(st.sampled_from(sorted(VALUES)))
    column, a, b = quoted(name), draw(st.sampled_from(VALUES[name])), draw(st.sampled_from(VALUES[name]))
    written = draw(st.sampled_from([column, column.upper()])) if name.isidentifier() else column
    kinds = ["compare", "in", "null", "not null", "between"]
    kinds += ["plus"] if name in ("year", "number") else []
    kinds += ["lower", "prefix", "length"] if name == "Category" else []
    kinds += ["year"] if name == "day" else []
    kind = draw(st.sampled_from(kinds))
    sign = draw(st.sampled_from(sorted(COMPARE)))
    compare = COMPARE[sign]

    def known(of: Callable[[Any], Any]) -> Evaluate:
        return lambda row: None if row[name] is None else of(row[name])

    return {
        "compare": Random(f"{written} {sign} {literal(a)}", known(lambda value: compare(value, a))),
        "in": Random(f"{written} in ({literal(a)}, {literal(b)})", known(lambda value: value in (a, b))),
        "null": Random(f"{written} is null", lambda row: row[name] is None),
        "not null": Random(f"{written} is not null", lambda row: row[name] is not None),
        "between": Random(f"{written} between {literal(a)} and {literal(b)}", known(lambda value: a <= value <= b)),
        "plus": Random(f"{written} * 2 + 1 {sign} 7", known(lambda value: compare(value * 2 + 1, 7))),
        "lower": Random(f"upper({written}) = {literal(str(a).upper())}", known(lambda v: v.upper() == str(a).upper())),
        "prefix": Random(f"starts_with({written}, 'm')", known(lambda value: value.startswith("m"))),
        "length": Random(f"length({written}) {sign} 2", known(lambda value: compare(len(value), 2))),
        "year": Random(f"year({written}) {sign} 2020", known(lambda value: compare(value.year, 2020))),
    }[kind]


def conditions() -> st.SearchStrategy[Random]:
    return st.recursive(simple(), _joined, max_leaves=6)


def _joined(inner: st.SearchStrategy[Random]) -> st.SearchStrategy[Random]:
    def negated(one: Random) -> Random:
        return Random(f"not ({one.sql})", lambda row: None if one.of(row) is None else not one.of(row))

    def both(one: Random, other: Random) -> Random:
        return Random(f"({one.sql}) and {other.sql}", lambda row: _and(one.of(row), other.of(row)))

    def either(one: Random, other: Random) -> Random:
        def of(row: Row) -> Any:
            x, y = one.of(row), other.of(row)
            return True if x is True or y is True else (None if None in (x, y) else False)

        return Random(f"({one.sql} OR ({other.sql}))", of)

    return st.one_of(inner.map(negated), st.builds(both, inner, inner), st.builds(either, inner, inner))


def _and(x: Any, y: Any) -> Any:
    return False if x is False or y is False else (None if None in (x, y) else True)
