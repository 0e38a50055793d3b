"""Filters in the order of blocks: which documents may be found, and which nodes have any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.seismic.build.summarize import SUPER, Blocks
from lsr.index.seismic.build.superblock_pages import PAGE
from lsr.index.seismic.search.masked_blocks import FEW_CLOSED, mask_blocks
from lsr.storage.arrays import Array


def blocks_of(rows: Array, block_size: int, superblocks: bool) -> Blocks:
    """Blocks without summaries."""
    positions = np.argsort(rows).astype(np.uint32)
    none = np.zeros(1, np.int64), np.empty(0, np.uint32), np.empty(0, np.uint16)
    n_superblocks = -(-len(rows) // (SUPER * block_size))
    pages = np.zeros(n_superblocks * PAGE if superblocks else 0, np.uint8)
    return Blocks.of([rows.astype(np.uint32), positions, *none, pages], block_size, 0)


@given(
    n=st.integers(0, 150),
    block_size=st.sampled_from([1, 3, 4, 255]),
    share=st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]),
    superblocks=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=200)
def test_masked_blocks(n: int, block_size: int, share: float, superblocks: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, mask = rng.permutation(n), rng.random(n) < share
    blocks = blocks_of(rows, block_size, superblocks)
    masked = mask_blocks(mask, blocks)
    assert masked.documents.tolist() == mask[rows].tolist()
    assert masked.count == mask.sum()
    assert masked.listed.tolist() == [document for document in range(n) if mask[rows[document]]]

    of_node = SUPER if superblocks and n else 1
    bits = [0] * blocks.nodes
    for document in masked.listed.tolist():
        block = document // block_size
        bits[block // of_node] |= 1 << block % of_node
    closed = sum(each != 2**of_node - 1 for each in bits)
    assert masked.open.tolist() == ([] if closed * FEW_CLOSED <= len(bits) else bits)


@pytest.mark.parametrize(("closed", "asked"), [(0, False), (4, False), (5, True)])
@pytest.mark.parametrize("superblocks", [False, True])
def test_few_closed_nodes_are_visited_in_vain(closed: int, asked: bool, superblocks: bool) -> None:
    # Of 32 nodes of one document or four, some of which lack a document.
    size = SUPER if superblocks else 1
    mask = np.arange(32 * size) % size > 0 if superblocks else np.zeros(32, bool)
    mask[: (32 - closed) * size] = True
    masked = mask_blocks(mask, blocks_of(np.arange(32 * size), 1, superblocks))
    assert bool(len(masked.open)) == asked
