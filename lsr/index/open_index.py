"""open_index: opens an index of any kind."""

from __future__ import annotations

import os

from lsr.errors import IndexFormatError
from lsr.index.protocol import Index
from lsr.storage.manifest import Verify, read_manifest


def open_index(folder: str | os.PathLike[str], *, verify: Verify = "none") -> Index:
    """The SeismicIndex, ExactIndex or DenseIndex in a folder. Arrays are memory-mapped.

    verify: compare checksums first; see SeismicIndex.open.
    Raises IndexFormatError if the folder has no index, or a damaged or newer one.
    """
    kind = read_manifest(folder).get("kind")
    if kind == "seismic":
        from lsr.index.seismic.seismic_index import SeismicIndex

        return SeismicIndex.open(folder, verify=verify)
    if kind == "exact":
        from lsr.index.inverted.exact_index import ExactIndex

        return ExactIndex.open(folder, verify=verify)
    if kind == "dense":
        from lsr.index.dense.dense_index import DenseIndex  # imports faiss

        return DenseIndex.open(folder, verify=verify)
    raise IndexFormatError(f"{os.fspath(folder)}: unknown kind of index {kind!r}; upgrade lsr")
