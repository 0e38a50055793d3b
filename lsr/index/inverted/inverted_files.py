"""Posting lists on disk: their arrays, and checks before kernels read them."""

from __future__ import annotations

import numpy as np

from lsr.index.array_checks import rises
from lsr.index.index_folder import IndexFolder
from lsr.index.inverted.inverted_engine import InvertedEngine, ListsOfRows
from lsr.index.inverted.inverted_kernels import Inverted


def open_inverted(stored: IndexFolder, prefix: str = "", with_rows: bool = True) -> InvertedEngine:
    """The engine of the posting lists in a folder. Raises IndexFormatError.

    prefix: of the names of their files. with_rows: whether the lists of each row are stored, too.
    """
    inverted = Inverted(*(stored.array(f"{prefix}{name}") for name in Inverted._fields))
    documents, dim = stored.number("documents"), stored.number("dim")
    components, starts, rows, weights = inverted
    # Rows are checked list by list, when a search first needs them; lists of rows are checked when they are read.
    stored.check(
        [array.dtype for array in inverted] == [np.uint32, np.int64, np.uint32, np.float32]
        and all(array.ndim == 1 for array in inverted)
        and len(starts) == len(components) + 1
        and len(rows) == len(weights)
        and rises(starts, len(rows), strictly=True)
        and bool((components[1:] > components[:-1]).all())
        and (not len(components) or int(components[-1]) < dim),
        "posting lists",
    )
    if not with_rows:  # an earlier format, for few documents
        stored.check(documents >= 0 and (not len(rows) or int(rows.max()) < documents), "documents and posting lists")
        return InvertedEngine(inverted, documents, dim)
    indptr, lists = of_rows = ListsOfRows(stored.array("indptr"), stored.array("lists"))
    stored.check(
        documents >= 0
        and indptr.dtype == np.int64
        and indptr.shape == (documents + 1,)
        and lists.dtype in (np.uint16, np.uint32)
        and lists.shape == rows.shape
        and rises(indptr, len(lists)),
    )
    return InvertedEngine(inverted, documents, dim, of_rows)
