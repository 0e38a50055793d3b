"""Files of training records: JSON lines, Parquet, and tables of tab-separated columns, read as streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lsr.checks import expanded
from lsr.collections.lines import count_lines, read_lines
from lsr.collections.sources import Place, jsonl_records
from lsr.errors import CollectionError
from lsr.storage.files import DAMAGE
from lsr.storage.reading import POINTER, anchored, is_pointer, rereadable, searched_in
from lsr.storage.recognize import beginning

Record = dict[str, Any]

JSONL, TSV, PARQUET = ".jsonl", ".tsv", ".parquet"
ROWS_AT_ONCE = 256
ACCEPTED = "give a .jsonl[.gz], .tsv[.gz] or .parquet file, or a folder of such parts of one kind"

_PAIR, _TRIPLE, _SCORED_TRIPLE = 2, 3, 5  # numbers of columns


def parts_of(path: str | Path) -> list[Path]:
    """The files at `path`: the file itself, or those of a folder, by name. Raises CollectionError."""
    path = anchored(rereadable(expanded(path)))
    if path.is_dir():
        parts = [each for each in sorted(path.iterdir()) if _kind(each) and not each.name.startswith(".")]
        if len({_kind(part) for part in parts}) != 1:
            raise CollectionError(f"{path}: has no training records, or several kinds of files; {ACCEPTED}")
        return parts
    if not path.is_file():
        raise CollectionError(f"{path}: there is no such file or folder; {ACCEPTED}{searched_in(path)}")
    if not _kind_of(path):
        raise CollectionError(f"{path}: unknown kind of file; {ACCEPTED}")
    return [path]


def read_records(parts: list[Path], ids: bool) -> Iterator[tuple[Place, Record]]:
    """Every record with its line, or row, counted from 1, without null values.

    ids: whether the columns of a table have ids, not texts. Raises CollectionError.
    """
    for part in parts:
        kind = _kind_of(part)
        if kind == TSV:
            yield from _table(part, ids)
        else:
            for place, record in _parquet(part) if kind == PARQUET else jsonl_records(part):
                yield place, {name: value for name, value in record.items() if value is not None}


def count_records(parts: list[Path]) -> int | None:
    """The number of records, for progress bars; None if it is unknown."""
    counts = [_parquet_rows(part) if _kind_of(part) == PARQUET else count_lines(part) for part in parts]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _kind(path: Path) -> str | None:
    suffix = Path(path.name.removesuffix(".gz")).suffix
    known = (PARQUET,) if path.suffix == PARQUET else (JSONL, TSV)
    return suffix if suffix in known else None


def _kind_of(path: Path) -> str | None:
    """The kind of a file with another name, by its first bytes; None if it is unknown."""
    if kind := _kind(path):
        return kind
    head = beginning(path)
    if head.startswith(b"PAR1"):
        return PARQUET
    return JSONL if head.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"{") else TSV if b"\t" in head else None


def _table(path: Path, ids: bool) -> Iterator[tuple[Place, Record]]:
    query = "query_id" if ids else "query"
    for number, line in read_lines(path, CollectionError):
        place = Place(str(path), number)
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) == _PAIR:
            yield place, {query: cells[0], "positive": cells[1]}
        elif len(cells) == _TRIPLE:
            yield place, {query: cells[0], "positive": cells[1], "negative": cells[2]}
        elif len(cells) == _SCORED_TRIPLE:
            try:
                scores = [float(cell) for cell in cells[:2]]
            except ValueError as cause:
                raise CollectionError(
                    f"{place}: {cause}; with five columns, the first two are the scores of positive and negative"
                ) from cause
            yield place, {query: cells[2], "positive": cells[3], "negative": cells[4], "scores": scores}
        else:
            raise CollectionError(
                f"{place}: {len(cells)} columns; expected tab-separated columns: query, positive, optionally a "
                "negative; with five columns, the scores of positive and negative first"
            )


def _parquet(path: Path) -> Iterator[tuple[Place, Record]]:
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE):
                for record in batch.to_pylist():
                    number += 1
                    yield Place(str(path), number), record
    except DAMAGE as cause:
        if is_pointer(path):
            raise CollectionError(f"{path}: {POINTER}") from cause
        raise CollectionError(
            f"{path}:{number + 1}: is not Parquet, or is damaged ({cause}); write it again"
        ) from cause


def _parquet_rows(path: Path) -> int | None:
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except DAMAGE:
        return None
