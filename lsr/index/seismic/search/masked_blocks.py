"""A filter in the order of the blocks of an index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lsr.index.jit import kernel
from lsr.index.seismic.build.summarize import Blocks
from lsr.storage.arrays import Array, read_only

# If fewer nodes than one in this many have no allowed document, searches do not check this: it would take longer than
# to visit them in vain.
FEW_CLOSED = 8

NO_NODES = read_only(np.empty(0, np.uint8))


@dataclass(frozen=True)
class MaskedBlocks:
    """A filter by document and block. documents: uint8[n], 1 for allowed ones. count: of them.

    open: uint8[nodes], a bit per block of a node with an allowed document, the first block's lowest; empty if nearly
        all have one.
    """

    documents: Array
    open: Array
    count: int

    @cached_property
    def listed(self) -> Array:
        """uint32[count]: the allowed documents, ascending."""
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
    """Fill the arrays of MaskedBlocks."""
    for document in range(rows.size):
        allowed = mask[rows[np.uint64(document)]]
        documents[np.uint64(document)] = allowed
        block = document // block_size
        opened[block // node_blocks] |= np.uint8(allowed << (block % node_blocks))
