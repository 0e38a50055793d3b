"""A filter in the order of the blocks of an index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lsr.index.jit import kernel
from lsr.index.seismic.build.summarize import Blocks
from lsr.storage.arrays import Array, read_only

# Where fewer blocks than one of so many have nothing that may be found, searches do not ask which: it would take longer
# than to visit some in vain.
FEW_CLOSED = 8

NO_BLOCKS = read_only(np.empty(0, np.float32))


@dataclass(frozen=True)
class MaskedBlocks:
    """documents: uint8[n], 1 for those that may be found. count: of them.

    open: float32[blocks], 1 for blocks that have any; empty if nearly all do.
    """

    documents: Array
    open: Array
    count: int

    @cached_property
    def listed(self) -> Array:
        """uint32[count]: the documents that may be found, rising."""
        return read_only(np.flatnonzero(self.documents.view(bool)).astype(np.uint32))


def mask_blocks(mask: Array, blocks: Blocks) -> MaskedBlocks:
    """mask: bool[n], by row."""
    documents, opened = np.empty(len(blocks.rows), np.uint8), np.empty(len(blocks.offsets) - 1, np.float32)
    n_open = _fill(mask.view(np.uint8), blocks.rows, blocks.offsets, documents, opened)
    count = int(np.count_nonzero(documents))
    nearly_all = (len(opened) - n_open) * FEW_CLOSED <= len(opened)
    return MaskedBlocks(read_only(documents), NO_BLOCKS if nearly_all else read_only(opened), count)


@kernel
def _fill(mask: Array, rows: Array, offsets: Array, documents: Array, opened: Array) -> int:
    """Fill what MaskedBlocks has; returns how many blocks are open."""
    n_open = 0
    for block in range(opened.size):
        some = 0
        for document in range(offsets[np.uint64(block)], offsets[np.uint64(block + 1)]):
            allowed = mask[rows[np.uint64(document)]]
            documents[np.uint64(document)] = allowed
            some |= allowed
        opened[np.uint64(block)] = some
        n_open += some
    return n_open
