"""OpenedVectors: what a format is read as."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from lsr.collections.sources import Document
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary


class OpenedVectors(NamedTuple):
    """Vectors of a file, which are read once.

    vocabulary: the tokens of the components; None where these have numbers alone. total: rows, None if only reading
    them all would tell. documents: reads their texts and metadata, of those that have any.
    """

    dim: int
    vocabulary: Vocabulary | None
    total: int | None
    batches: Iterator[SparseVectors]
    documents: Callable[[], Iterator[Document]] | None = None


# Opens a path. The folder is for what has to be put in another order.
Read = Callable[[Path, Path], AbstractContextManager[OpenedVectors]]
