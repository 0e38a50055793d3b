"""A filter in the order of the blocks of an index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lsr.index.jit import kernel
from lsr.index.seismic.build.summarize import Blocks
from lsr.storage.arrays import Array, read_only

# Where fewer nodes than one of so many have nothing that may be found, searches do not ask which: it would take longer
# than to visit some in vain.
FEW_CLOSED = 8

NO_NODES = read_only(np.empty(0, np.uint8))


@dataclass(frozen=True)
class MaskedBlocks:
    """documents: uint8[n], 1 for those that may be found. count: of them.

    open: uint8[nodes], a bit for each block of a node that has any, the first block's lowest; empty if nearly all do.
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
    documents, opened = np.empty(len(blocks.rows), np.uint8), np.zeros(blocks.nodes, np.uint8)
    _fill(mask.view(np.uint8), blocks.rows, blocks.block_size, blocks.span // blocks.block_size, documents, opened)
    count = int(np.count_nonzero(documents))
    every = (1 << blocks.span // blocks.block_size) - 1
    nearly_all = int(np.count_nonzero(opened != every)) * FEW_CLOSED <= len(opened)
    return MaskedBlocks(read_only(documents), NO_NODES if nearly_all else read_only(opened), count)


@kernel
def _fill(mask: Array, rows: Array, block_size: int, node_blocks: int, documents: Array, opened: Array) -> None:
    """Fill what MaskedBlocks has."""
    for document in range(rows.size):
        allowed = mask[rows[np.uint64(document)]]
        documents[np.uint64(document)] = allowed
        block = document // block_size
        opened[block // node_blocks] |= np.uint8(allowed << (block % node_blocks))
