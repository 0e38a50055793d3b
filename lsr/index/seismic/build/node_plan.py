"""NodePlan: whether nodes are blocks or superblocks, and the steps in which they are summarized."""

from __future__ import annotations

from typing import NamedTuple

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.build.summarize import MEAN_SHARE, SUPER, summarize_nodes
from lsr.index.seismic.build.superblock_pages import fill_pages
from lsr.index.seismic.forward import Forward
from lsr.storage.arrays import Array

# From this number of blocks, superblocks are estimated, and their pages are read.
SUPERBLOCKS_FROM = 3 << 18

# Least share of a superblock's mass that its summary keeps: superblocks need more components to differ.
SUPER_ENERGY = 0.8

# Done at once by one thread: pages of an index on disk stay in memory until it is finished.
SLICE = 1024  # documents that are summarized
PAGES_AT_ONCE = 64


class NodePlan(NamedTuple):
    """The plan of nodes.

    energy: share of a node's mass that its summary keeps. paged: whether nodes are superblocks with pages.
    """

    documents: int
    block_size: int
    energy: float
    paged: bool

    @classmethod
    def of(cls, documents: int, config: IndexConfig) -> NodePlan:
        paged = documents >= SUPERBLOCKS_FROM * config.block_size
        energy = max(config.summary_energy, SUPER_ENERGY) if paged else config.summary_energy
        return cls(documents, config.block_size, energy, paged)

    @property
    def span(self) -> int:
        """The number of documents of a node."""
        return self.block_size * (SUPER if self.paged else 1)

    @property
    def nodes(self) -> int:
        """The number of nodes."""
        return -(-self.documents // self.span)

    @property
    def unit(self) -> str:
        """The name of nodes, for a progress bar."""
        return "superblocks" if self.paged else "blocks"

    def summarize(
        self, first: int, last: int, window: int, forward: Forward, n_frequent: int
    ) -> tuple[Array, Array, Array]:
        """See summarize_nodes."""
        mean_share = MEAN_SHARE if self.paged else 0.0
        return summarize_nodes(first, last, window, self.span, mean_share, forward, self.energy, n_frequent)  # type: ignore[no-any-return]

    def slices(self, first: int, last: int) -> list[tuple[int, int]]:
        """Nodes first..last in steps of about SLICE documents."""
        step = max(SLICE // self.span, 1)
        return [(begin, min(begin + step, last)) for begin in range(first, last, step)]

    @property
    def page_firsts(self) -> range:
        """The first superblock of each group of pages that are filled at once."""
        return range(0, self.nodes if self.paged else 0, PAGES_AT_ONCE)

    def pages(self, first: int, forward: Forward) -> Array:
        """The pages of PAGES_AT_ONCE superblocks, or fewer at the end: uint8."""
        return fill_pages(first, min(first + PAGES_AT_ONCE, self.nodes), self.block_size, forward)  # type: ignore[no-any-return]
