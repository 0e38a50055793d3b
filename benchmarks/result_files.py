"""Result files: tables as CSV with commit, date and machine, from which docs/site/tables.py writes pages."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lsr.provenance import facts

Row = dict[str, Any]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows, whose columns may differ."""
    known = facts(threads=1)
    source = {"commit": known.get("commit", ""), "date": known["date"], "machine": known["processor"]}
    columns = list(dict.fromkeys(column for row in rows for column in row)) + list(source)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **source} for row in rows)
