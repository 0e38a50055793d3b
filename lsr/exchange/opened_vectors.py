"""OpenedVectors: the vectors read from a format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from lsr.collections.sources import Document
from lsr.vectors.sparse_vectors import SparseVectors
from lsr.vectors.vocabulary import Vocabulary


class OpenedVectors(NamedTuple):
    """The vectors of a file. `batches` can be read once.

    vocabulary: the tokens of the components; None if components have only numbers.
    total: the number of rows; None if it is unknown before all are read.
    documents: reads the texts and metadata, if the file has any.
    """

    dim: int
    vocabulary: Vocabulary | None
    total: int | None
    batches: Iterator[SparseVectors]
    documents: Callable[[], Iterator[Document]] | None = None


# (path, folder): open the path. The folder is for temporary files, which formats that are not sorted by row need.
Read = Callable[[Path, Path], AbstractContextManager[OpenedVectors]]
