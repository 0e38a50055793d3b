"""Files with tokens (JSON lines or repeated tokens), and folders of such files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lsr.storage.recognize import beginning, has_repeated_tokens, json_files
from lsr.vectors.io import jsonl, repeated_tokens, token_records
from lsr.vectors.io.token_records import TokenRecord
from lsr.vectors.io.vectors_info import VectorsInfo
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary


def records(path: Path) -> Iterator[TokenRecord]:
    """The lines of a file, or of all files of a folder, by name. Raises VectorsError."""
    for file in json_files(path) if path.is_dir() else [path]:
        repeated = has_repeated_tokens(beginning(file))
        yield from (repeated_tokens if repeated else jsonl).records(file)


def read_info(path: Path, vocabulary: Vocabulary | None = None) -> VectorsInfo:
    return token_records.read_info(partial(records, path), vocabulary)


def read_vocabulary(path: Path) -> Vocabulary:
    return token_records.read_vocabulary(partial(records, path))


def read(path: Path, vocabulary: Vocabulary | None) -> SparseVectors:
    return token_records.read(partial(records, path), vocabulary)


def iterate(path: Path, rows: int, vocabulary: Vocabulary | None) -> Iterator[SparseVectors]:
    return token_records.iterate(partial(records, path), rows, vocabulary)
