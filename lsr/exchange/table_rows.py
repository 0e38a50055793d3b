"""Rows of Parquet files, and of folders of them, as written by datasets and Milvus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lsr.collections.arrow_tables import ArrowFiles, dataset_on_disk
from lsr.errors import CollectionError, VectorsError
from lsr.storage.reading import anchored


class TableRows:
    """The rows of a Parquet file, a folder of Parquet files, or a folder of datasets' save_to_disk.

    what: the expected contents, for messages. required: columns that the file must have. others: columns to read if
        the file has them. Raises VectorsError.
    """

    def __init__(self, path: Path, what: str, required: Sequence[str], others: Sequence[str]) -> None:
        self._what = what
        with self._errors(path):
            self._files = _files(anchored(path))
            self.columns = [name for name in (*required, *others) if name in self._files.names()]
            for name in required:
                if name not in self.columns:
                    raise VectorsError(f"{path}: has no column {name!r}; expected {what}")
        self._path = path

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(place, column -> value) of each row."""
        batches = self._files.batches()
        while True:
            with self._errors(self._path):
                found = next(batches, None)
            if found is None:
                return
            places, batch = found
            for place, record in zip(places, batch.select(self.columns).to_pylist(), strict=True):
                yield str(place), record

    @contextmanager
    def _errors(self, path: Path) -> Iterator[None]:
        try:
            yield
        except CollectionError as error:
            raise VectorsError(f"{error}; expected {self._what}") from error.__cause__
        except OSError as error:
            raise VectorsError(f"{path}: cannot be read: {error.strerror}; expected {self._what}") from error


def _files(path: Path) -> ArrowFiles:
    if not path.is_dir():
        return ArrowFiles(path.name, str(path), [path])
    saved = dataset_on_disk(path)
    if saved is not None:
        return saved
    paths = sorted(each for each in path.rglob("*.parquet") if each.is_file() and each.name[0] != ".")
    if not paths:
        raise CollectionError(f"{path}: has no Parquet files")
    return ArrowFiles(path.name, str(path), paths)
