"""Counts and origin of stored vectors, and errors of reading them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsr.errors import VectorsError
from lsr.storage.files import DAMAGE
from lsr.storage.limits import UnreadableInputError
from lsr.storage.reading import POINTER, is_pointer
from lsr.vectors.normalize import RowName


@dataclass(frozen=True, slots=True)
class VectorsInfo:
    """Counts and origin of stored vectors.

    rows, nnz, dim: numbers of rows, stored weights and components.
    encoder: the description of the encoder, if it was stored.
    vocabulary_hash: Vocabulary.hash of the tokens of the components, if they were stored.
    """

    rows: int
    nnz: int
    dim: int
    encoder: dict[str, Any] | None
    vocabulary_hash: str | None


@contextmanager
def reading_errors(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Turn errors that a damaged or foreign file causes in the body into a VectorsError that begins with `path`."""
    try:
        yield
    except OSError as error:
        raise VectorsError(f"{path}: cannot be read: {error.strerror or error}; expected {what}") from error
    except DAMAGE as error:  # includes VectorsError
        if is_pointer(Path(path)):
            raise VectorsError(f"{path}: {POINTER}") from error
        if isinstance(error, VectorsError):
            raise VectorsError(f"{path}: {error}") from error.__cause__
        if isinstance(error, UnreadableInputError):
            raise VectorsError(f"{path}: {error}") from error
        cause = str(error) or type(error).__name__
        raise VectorsError(f"{path}: truncated, damaged or foreign ({cause}); expected {what}") from error


def row_names(first_row: int) -> RowName:
    """A function that names the rows of a batch, which starts at `first_row` of the file."""
    return lambda row: f"row {first_row + row}"


def as_json(encoder: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """`encoder` after a round trip through JSON, for comparisons. Raises VectorsError if it cannot be JSON."""
    if encoder is None:
        return None
    try:
        content: dict[str, Any] = json.loads(json.dumps(dict(encoder), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise VectorsError(
            f"the description of the encoder is not JSON ({error}); use text, finite numbers, lists and dicts"
        ) from error
    return content
