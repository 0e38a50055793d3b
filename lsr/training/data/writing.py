"""Writing training records to a file that is complete or absent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from lsr.checks import expanded
from lsr.errors import ParameterError
from lsr.storage.files import is_stream, replacing_file


class MinedRecord(NamedTuple):
    """A record for IdRecords. scores: first of the positives, then of the negatives; None without a teacher."""

    query_id: str
    positive_ids: list[str]
    negative_ids: list[str]
    scores: list[float] | None


Write = Callable[[Sequence[MinedRecord]], None]


@contextmanager
def record_writer(path: str | Path, scored: bool) -> Iterator[Write]:
    """A function that adds records to `path`, a .jsonl[.gz] or .parquet file that appears when the body ends.

    Standard output ("-") and pipes get JSON lines.

    scored: whether records have scores. Raises ParameterError for another kind of file, StorageError.
    """
    path = expanded(path)
    if not path.name.endswith((".jsonl", ".jsonl.gz", ".parquet")) and not is_stream(path):
        raise ParameterError(f"{path}: unknown kind of file; its name must end with .jsonl, .jsonl.gz or .parquet")
    with replacing_file(path) as file:
        if path.suffix == ".parquet":
            with _parquet_writer(file, scored) as write:
                yield write
        elif path.suffix == ".gz":
            # Without name and time in the header, so that equal records give equal files.
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                yield _line_writer(cast("BinaryIO", packed))
        else:
            yield _line_writer(file)


def _line_writer(file: BinaryIO) -> Write:
    def write(records: Sequence[MinedRecord]) -> None:
        for record in records:
            content = {name: value for name, value in record._asdict().items() if value is not None}
            file.write(json.dumps(content, ensure_ascii=False).encode() + b"\n")

    return write


@contextmanager
def _parquet_writer(file: BinaryIO, scored: bool) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = pa.list_(pa.string())
    columns = {"query_id": pa.string(), "positive_ids": ids, "negative_ids": ids}
    if scored:
        columns["scores"] = pa.list_(pa.float64())
    schema = pa.schema(list(columns.items()))
    with pq.ParquetWriter(file, schema) as writer:

        def write(records: Sequence[MinedRecord]) -> None:
            rows = [record._asdict() for record in records]
            writer.write_table(pa.table({name: [row[name] for row in rows] for name in columns}, schema))

        yield write
