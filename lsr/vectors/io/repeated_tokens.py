"""Lines of an id, a tab, and tokens between blanks, each repeated by its weight: Anserini's pseudo-queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lsr.errors import VectorsError
from lsr.vectors.io.token_records import TokenRecord, numbered_lines

WHAT = "lines of an id, a tab, and tokens, each repeated by its weight"


def records(path: Path) -> Iterator[TokenRecord]:
    """The lines of a file. Raises VectorsError."""
    for line, text in numbered_lines(path, WHAT):
        row_id, tab, tokens = text.partition("\t")
        if not tab or not row_id:
            raise VectorsError(f"{path}:{line}: has no tab after the id; expected {WHAT}")
        yield TokenRecord(f"{path}:{line}", row_id, Counter(tokens.split()).items())
