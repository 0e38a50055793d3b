"""Vectors of faiss indexes written by other programs.

faiss reads files in C++ and trusts them more than lsr trusts its input. Only files of the two plainest kinds are given
to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss

from lsr.errors import VectorsError
from lsr.index.dense.dense_index import Vectors, faiss_errors, read_within

# First bytes of these files: IndexFlat with inner products, with L2, and of older versions; IndexIVFFlat.
FAISS_KINDS = (b"IxFI", b"IxF2", b"IxFl", b"IwFl")


def iter_faiss(path: Path, rows_at_once: int) -> Iterator[Vectors]:
    """Batches float32[m, dim] in the order in which the vectors were added; at least one. Raises VectorsError.

    The vectors are in memory if faiss cannot map them.
    """
    with faiss_errors(VectorsError):
        index: Any = read_within(path, path.stat().st_size, 0)
        if isinstance(index, faiss.IndexIVFFlat):
            index.make_direct_map(True)  # raises for custom ids, which have no order
        elif not isinstance(index, faiss.IndexFlat):
            raise VectorsError(f"is a faiss {type(index).__name__}; give a flat index, or IVFFlat")
        for first in range(0, max(index.ntotal, 1), rows_at_once):
            yield index.reconstruct_n(first, min(rows_at_once, index.ntotal - first))
