"""CSV and TSV files. The types of their columns are found in one pass."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lsr.batched import batched
from lsr.collections.column_roles import TEXT_NAMES, AskedColumns, ColumnRoles
from lsr.collections.lines import read_lines
from lsr.collections.sources import Place
from lsr.collections.tables_as_documents import BATCH_ROWS
from lsr.collections.written_types import TypesOfText, values_of
from lsr.errors import CollectionError
from lsr.storage.limits import longest_line

if TYPE_CHECKING:
    import pyarrow as pa

_DELIMITERS = ",;\t|"


class _Scan(NamedTuple):
    """The result of one pass over the file."""

    schema: pa.Schema
    types: list[str]
    rows: int
    quoted: bool


class DelimitedTable:
    """A file of delimited rows, with the names of the columns in the first row.

    The delimiter is a tab in .tsv files, else the most frequent of comma, semicolon, tab and bar in the first row.
    Cells are quoted as in RFC 4180. A .tsv file that is not valid that way has no quotes.

    The type of a column is the first of these that all its cells have, as Arrow writes them: int64, double, bool,
    date32, timestamp[us], string. Empty cells are null. Numbers with leading zeros, such as postal codes, are strings.
    """

    def __init__(self, path: Path, asked: AskedColumns) -> None:
        self.name = path.name
        self.where = str(path)
        self._path = path
        self._asked = asked
        self._tabs = path.name.removesuffix(".gz").endswith((".tsv", ".tab"))

    def names(self) -> list[str]:
        """The names of the columns. A column without a name has a number."""
        return self._names(next(self._rows(quoted=True), (1, []))[1])

    def count(self) -> int | None:
        return self._scan.rows

    def schema(self) -> pa.Schema:
        return self._scan.schema

    def batches(self) -> Iterator[tuple[Iterable[Place], pa.RecordBatch]]:
        import pyarrow as pa

        schema, types = self._scan.schema, self._scan.types
        for numbers, columns in self._steps(self._scan.quoted):
            arrays = [
                pa.array(values_of(cells, kind), field.type)
                for cells, kind, field in zip(columns, types, schema, strict=True)
            ]
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            yield [Place(self.where, number) for number in numbers], batch

    @cached_property
    def _scan(self) -> _Scan:
        try:
            return self._scanned(quoted=True)
        except CollectionError:
            if not self._tabs:
                raise
        return self._scanned(quoted=False)

    def _scanned(self, quoted: bool) -> _Scan:
        import pyarrow as pa

        names = self._names(next(self._rows(quoted), (1, []))[1])
        roles = ColumnRoles.among(names, self._asked, self.where)
        types, rows = TypesOfText(len(names), {at for at, name in enumerate(names) if name in roles}), 0
        for numbers, columns in self._steps(quoted):
            rows += len(numbers)
            types.see(columns)
        found = types.found()
        return _Scan(pa.schema(list(zip(names, map(_arrow_type, found), strict=True))), found, rows, quoted)

    def _names(self, header: list[str]) -> list[str]:
        names = [cell.strip() or f"column_{number}" for number, cell in enumerate(header, start=1)]
        if not names:
            raise CollectionError(f"{self.where}: is empty; its first row must name its columns")
        if len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise CollectionError(f"{self.where}:1: two columns have the name {repeated!r}; rename one of them")
        return names

    def _steps(self, quoted: bool) -> Iterator[tuple[list[int], list[tuple[str, ...]]]]:
        """The cells of some rows, by column, and the last line of each row."""
        rows = self._rows(quoted)
        width = len(next(rows, (1, []))[1])
        for some in batched(rows, BATCH_ROWS):
            for number, cells in some:
                if len(cells) != width:
                    raise CollectionError(
                        f"{self.where}:{number}: {len(cells)} cells, but the first row has {width}; put quotes around "
                        "cells with delimiters"
                    )
            yield [number for number, _ in some], list(zip(*(cells for _, cells in some), strict=True))

    def _rows(self, quoted: bool) -> Iterator[tuple[int, list[str]]]:
        csv.field_size_limit(max(csv.field_size_limit(), min(longest_line(), sys.maxsize)))
        delimiter = "\t" if self._tabs else self._delimiter
        reader = csv.reader(
            self._lines(),
            delimiter=delimiter,
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            strict=True,
        )
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
        except csv.Error as cause:
            raise CollectionError(
                f"{self.where}:{reader.line_num}: the row cannot be read ({cause}); double the quotes in a cell, and "
                "put quotes around it"
            ) from cause

    def _lines(self) -> Iterator[str]:
        """The lines of the file, with blank lines inside cells, so that line numbers are correct."""
        for _, line in read_lines(self._path, CollectionError, whole=True):
            yield line

    @cached_property
    def _delimiter(self) -> str:
        first = next(self._lines(), "")
        return max(_DELIMITERS, key=first.count)


def names_columns(line: str) -> bool:
    """Whether the first line of a file with tabs names columns, one of them of texts. MS MARCO's files have none."""
    return any(cell.strip().strip('"').lower() in TEXT_NAMES for cell in line.split("\t"))


def _arrow_type(name: str) -> pa.DataType:
    import pyarrow as pa

    return pa.timestamp("us") if name == "timestamp[us]" else pa.type_for_alias(name)
