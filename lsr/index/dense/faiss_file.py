"""The vectors of a faiss index that another program wrote.

faiss reads files in C++ and trusts them more than lsr trusts its input: only files of the two plainest kinds reach it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss

from lsr.errors import VectorsError
from lsr.index.dense.dense_index import Vectors, faiss_errors, read_within

# How files of them begin: IndexFlat of inner products, of L2, and as older versions wrote it; IndexIVFFlat.
FAISS_KINDS = (b"IxFI", b"IxF2", b"IxFl", b"IwFl")


def iter_faiss(path: Path, rows_at_once: int) -> Iterator[Vectors]:
    """float32[m, dim] in the order in which they were added, one batch at least. Raises VectorsError.

    The vectors are in memory meanwhile where faiss cannot map them.
    """
    with faiss_errors(VectorsError):
        index: Any = read_within(path, path.stat().st_size, 0)
        if isinstance(index, faiss.IndexIVFFlat):
            index.make_direct_map(True)  # raises for ids of one's own, which are no order
        elif not isinstance(index, faiss.IndexFlat):
            raise VectorsError(f"is a {type(index).__name__}; give a flat index, or IVFFlat")
        for first in range(0, max(index.ntotal, 1), rows_at_once):
            yield index.reconstruct_n(first, min(rows_at_once, index.ntotal - first))
