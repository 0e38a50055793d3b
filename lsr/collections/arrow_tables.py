"""Arrow tables: Parquet and Arrow files, Hugging Face datasets, data frames of pandas and polars."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsr.checks import shown
from lsr.collections.records_as_documents import RowPlace
from lsr.collections.sources import Place
from lsr.collections.tables_as_documents import BATCH_ROWS
from lsr.errors import CollectionError
from lsr.storage.files import DAMAGE
from lsr.storage.reading import open_regular

if TYPE_CHECKING:
    import pyarrow as pa

STATE, SPLITS = "state.json", "dataset_dict.json"  # files that save_to_disk of datasets writes
_LARGEST_JSON = 1 << 26  # bytes


class ArrowFiles:
    """Parquet and Arrow files, one after another. Their columns must have compatible types; a file can lack some."""

    def __init__(self, name: str, where: str, paths: Sequence[Path]) -> None:
        self.name = name
        self.where = where
        self._paths = paths

    def names(self) -> list[str]:
        return list(self.schema().names)

    def schema(self) -> pa.Schema:
        return self._schema

    @cached_property
    def _schema(self) -> pa.Schema:
        return joined_schema([(str(path), _schema_of(path)) for path in self._paths])

    def count(self) -> int | None:
        import pyarrow.parquet as pq

        if not all(_is_parquet(path) for path in self._paths):
            return None
        rows = 0
        for path in self._paths:
            with _damage(path), open_regular(path) as file:
                rows += pq.ParquetFile(file).metadata.num_rows
        return rows

    def batches(self) -> Iterator[tuple[Iterable[Place], pa.RecordBatch]]:
        for path in self._paths:
            row = 0
            for batch in _read(path):
                with _damage(path):
                    batch.validate(full=True)
                    batch = _widened(batch, self._schema)
                yield (RowPlace(str(path), row + at) for at in range(len(batch))), batch
                row += len(batch)


class ArrowObject:
    """A table in memory, or a source of its batches. open: returns a new iterator over tables or batches."""

    def __init__(self, name: str, schema: pa.Schema, rows: int | None, open: Callable[[], Iterator[Any]]) -> None:
        self.name = self.where = name
        self._schema = schema
        self._rows = rows
        self._open = open

    def names(self) -> list[str]:
        return list(self.schema().names)

    def schema(self) -> pa.Schema:
        return self._schema

    def count(self) -> int | None:
        return self._rows

    def batches(self) -> Iterator[tuple[Iterable[Place], pa.RecordBatch]]:
        import pyarrow as pa

        row = 0
        for given in self._open():
            whole = given if isinstance(given, pa.Table) else pa.Table.from_batches([given])
            for batch in whole.to_batches(max_chunksize=BATCH_ROWS):
                yield (RowPlace(self.name, row + at) for at in range(len(batch))), batch
                row += len(batch)


def is_table(source: object) -> bool:
    """Whether `source` is a data frame, an Arrow table or reader, or a Hugging Face dataset."""
    arrow = hasattr(source, "__arrow_c_stream__") and (hasattr(source, "columns") or hasattr(source, "schema"))
    arrow = arrow or (hasattr(source, "__arrow_c_array__") and hasattr(source, "schema"))
    return arrow or _is_frame(source) or _is_dataset(source) or hasattr(source, "collect_schema")


def table_of(source: Any) -> ArrowObject:
    """A source that is_table accepts. Only data frames of pandas are copied. Raises CollectionError."""
    import pyarrow as pa

    name = f"the {type(source).__name__}"
    if _is_dataset(source):
        batches = source.with_format("arrow")
        return ArrowObject(name, source.features.arrow_schema, len(source), lambda: batches.iter(BATCH_ROWS))
    if hasattr(source, "collect_schema") and hasattr(source, "collect"):
        raise CollectionError(f"{name} is a query plan without rows; give the result of its collect()")
    try:
        if _is_frame(source):
            named = any(each is not None for each in source.index.names)
            table = pa.Table.from_pandas(source, preserve_index=named).replace_schema_metadata(None)
        elif isinstance(source, pa.Table | pa.RecordBatch):
            table = source if isinstance(source, pa.Table) else pa.Table.from_batches([source])
        else:
            table = pa.table(source)
    except (pa.ArrowException, TypeError, ValueError) as cause:
        raise CollectionError(
            f"{name}: cannot be converted to an Arrow table ({shown(' '.join(map(str, cause.args)))}); give each "
            "column values of one type"
        ) from cause
    return ArrowObject(name, table.schema, len(table), lambda: iter([table]))


def dataset_on_disk(folder: Path) -> ArrowFiles | None:
    """The dataset in a folder that save_to_disk of datasets wrote; None for another folder. Raises CollectionError."""
    if (folder / SPLITS).is_file():
        found = _json(folder / SPLITS).get("splits")
        splits = [str(each) for each in found] if isinstance(found, list) else []
        first = splits[0] if splits else "SPLIT"
        raise CollectionError(
            f"{folder}: has the splits {', '.join(splits) or '?'} of a dataset; give one of them: {folder / first}"
        )
    if not (folder / STATE).is_file():
        return None
    files = _json(folder / STATE).get("_data_files")
    if not isinstance(files, list):
        return None
    try:
        paths = [folder / os.path.basename(each["filename"]) for each in files]
    except (TypeError, KeyError) as cause:
        raise CollectionError(f"{folder / STATE}: is damaged; save the dataset again") from cause
    return ArrowFiles(folder.absolute().name, str(folder), paths)


def joined_schema(schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
    """One schema with the columns of all schemas. Raises CollectionError for types that are not compatible."""
    import pyarrow as pa

    joined: pa.Schema = pa.schema([])
    for name, schema in schemas:
        bare = pa.schema([field.remove_metadata() for field in schema])
        if len(set(bare.names)) < len(bare.names):
            return schema  # the reader raises the error
        try:
            joined = pa.unify_schemas([joined, bare], promote_options="permissive")
        except pa.ArrowException:
            first, second = next((joined.field(field.name), field) for field in bare if not _go_together(joined, field))
            raise CollectionError(
                f"{name}: the column {first.name!r} has type {second.type}, but type {first.type} in earlier files; "
                "use one type, or index the files separately"
            ) from None
    return joined


def _go_together(schema: pa.Schema, field: pa.Field) -> bool:
    import pyarrow as pa

    if field.name not in schema.names:
        return True
    try:
        pa.unify_schemas([pa.schema([schema.field(field.name)]), pa.schema([field])], promote_options="permissive")
    except pa.ArrowException:
        return False
    return True


def _widened(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch with the schema of all files. Missing columns are null."""
    import pyarrow as pa

    if batch.schema.names == schema.names and all(a.type == b.type for a, b in zip(batch.schema, schema, strict=True)):
        return batch
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in batch.schema.names
        else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _is_frame(source: object) -> bool:
    return type(source).__module__.startswith("pandas.") and type(source).__name__ == "DataFrame"


def _is_dataset(source: object) -> bool:
    return type(source).__module__.startswith("datasets.") and type(source).__name__ == "Dataset"


def _is_parquet(path: Path) -> bool:
    with _damage(path), open_regular(path) as file:
        return file.read(4) == b"PAR1"


def _schema_of(path: Path) -> pa.Schema:
    import pyarrow.parquet as pq

    with _damage(path), open_regular(path) as file:
        if _is_parquet(path):
            schema = pq.ParquetFile(file).schema_arrow
        else:
            with _opened(file) as reader:
                schema = reader.schema
        for field in schema:
            _read_names(field)
        return schema


def _read_names(field: pa.Field) -> None:
    """Raises UnicodeDecodeError for a damaged name here, not at its first use."""
    _ = field.name
    for at in range(field.type.num_fields):
        _read_names(field.type.field(at))


def _read(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with _damage(path), open_regular(path) as file:
        if _is_parquet(path):
            yield from pq.ParquetFile(file, buffer_size=1 << 20).iter_batches(batch_size=BATCH_ROWS)
            return
        with _opened(file) as reader:
            for batch in reader if hasattr(reader, "read_next_batch") else _each(reader):
                for first in range(0, len(batch), BATCH_ROWS):
                    yield batch.slice(first, BATCH_ROWS)


def _opened(file: Any) -> Any:
    """An opened Arrow file: a stream of batches, as datasets writes it, or a file with a footer."""
    import pyarrow as pa

    begins = file.read(6)
    file.seek(0)
    return pa.ipc.open_file(file) if begins == b"ARROW1" else pa.ipc.open_stream(file)


def _each(reader: Any) -> Iterator[pa.RecordBatch]:
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)


def _json(path: Path) -> dict[str, Any]:
    with _damage(path), open_regular(path) as file:
        content = json.loads(file.read(_LARGEST_JSON))
        return content if isinstance(content, dict) else {}


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except CollectionError:
        raise
    except DAMAGE as cause:
        reason = getattr(cause, "strerror", None) or shown(" ".join(str(cause).split())) or type(cause).__name__
        raise CollectionError(f"{path}: cannot be read, or is damaged ({reason}); check the file") from cause
