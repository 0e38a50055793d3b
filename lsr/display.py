"""Objects as a line of text, as a table in a notebook, as records, as JSON and as data frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from textwrap import shorten
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, SupportsIndex, TypeVar, overload

from lsr.extras import need

if TYPE_CHECKING:
    import pandas
    import polars

ROWS_SHOWN = 50  # of a table in a notebook
ITEMS_SHOWN = 3  # of a list in a line
TEXT_SHOWN = 300  # characters


class HasFacts:
    """An object whose repr shows facts, name -> value. Facts that are None, False or empty are not shown."""

    __slots__ = ()

    def _facts(self) -> Mapping[str, object]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(_fact(*each) for each in _given(self._facts()))})"

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, (), _given(self._facts()))


class Tabular:
    """A table of records that all have the same columns."""

    __slots__ = ()
    columns: ClassVar[tuple[str, ...]]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The records as dicts of column -> value."""
        return list(self._records())

    def to_json(self) -> str:
        """The records as a JSON array."""
        return json.dumps(self.to_dicts(), ensure_ascii=False)

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame with a row for each record. Raises MissingExtraError if pandas is not installed."""
        need("a data frame", "pandas")
        frame: pandas.DataFrame = self._to_arrow().to_pandas()
        return frame

    def to_polars(self) -> polars.DataFrame:
        """A data frame with a row for each record. Raises MissingExtraError if polars is not installed."""
        need("a data frame", "polars")
        import polars

        frame: polars.DataFrame = polars.from_arrow(self._to_arrow())
        return frame

    def _to_arrow(self) -> Any:
        import pyarrow as pa

        records = self.to_dicts()
        return pa.table({name: [record[name] for record in records] for name in self.columns})

    def _records(self) -> Iterator[dict[str, Any]]:
        """The records. A notebook shows only the first ones."""
        raise NotImplementedError

    def _count(self) -> int:
        """Number of records."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        count = self._count()
        caption = f"{ROWS_SHOWN} of {count:,} are shown" if count > ROWS_SHOWN else ""
        return html_table(caption, self.columns, (each.values() for each in islice(self._records(), ROWS_SHOWN)))


class Scored(Protocol):
    """A document with its score."""

    @property
    def doc_id(self) -> str: ...
    @property
    def score(self) -> float: ...


T = TypeVar("T", bound=Scored)


class ScoredList(Tabular, list[T]):
    """A list of scored documents, best first. A slice of it is a ScoredList, too."""

    def _count(self) -> int:
        return len(self)

    @property
    def ids(self) -> list[str]:
        """The documents' ids."""
        return [each.doc_id for each in self]

    @property
    def scores(self) -> list[float]:
        """The documents' scores."""
        return [each.score for each in self]

    @overload
    def __getitem__(self, key: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, key: slice) -> Self: ...
    def __getitem__(self, key: SupportsIndex | slice) -> T | Self:
        found = super().__getitem__(key)
        return type(self)(found) if isinstance(key, slice) else found  # type: ignore[arg-type, return-value]

    def __repr__(self) -> str:
        shown = [repr(each) for each in self[:ITEMS_SHOWN]]
        more = [f"... {len(self) - ITEMS_SHOWN} more"] if len(self) > ITEMS_SHOWN else []
        return f"[{', '.join(shown + more)}]"


def html_table(caption: str, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in HTML. All texts are escaped."""
    from html import escape  # only notebooks need it

    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = ("".join(f"<td>{escape(_cell(value))}</td>" for value in row) for row in rows)
    lines = "".join(f"<tr>{row}</tr>" for row in [*([head] if columns else []), *body])
    return f"<table>{f'<caption>{escape(caption)}</caption>' if caption else ''}{lines}</table>"


def size_of(parts: Mapping[str, int]) -> str:
    """The sum of the parts' bytes, with a unit."""
    return f"{sum(parts.values()) / 1e6:,.1f} MB"


def counted(count: int, what: str, several: str | None = None) -> str:
    """A number and a noun: "1 document", "1,000 documents". several: the plural, if it is not `what` with an s."""
    return f"{count:,} {what if count == 1 else several or f'{what}s'}"


def beginning(text: str, width: int) -> str:
    """The beginning of a text, without its line breaks."""
    return shorten(text[: 10 * width], width, placeholder=" ...")


def _given(facts: Mapping[str, object]) -> list[tuple[str, object]]:
    return [each for each in facts.items() if each[1] is not False and each[1] not in (None, "", ())]


def _fact(name: str, value: object) -> str:
    if value is True:
        return name
    if isinstance(value, int):
        return f"{value:,} {name}"
    return _cell(value) if name == "name" else f"{name} {_cell(value)}"


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.6g}"
        case Mapping():
            return ", ".join(f"{name} {_cell(each)}" for name, each in value.items())
        case list() | tuple():
            return ", ".join(map(_cell, value))
    return beginning(str(value), TEXT_SHOWN)
