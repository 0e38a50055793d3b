"""Twins of lsr/index/seismic/build/superblock_pages.py: a page is a list of lines, a line {tag: codes of blocks}."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
import numpy.typing as npt

from lsr.index.seismic.build.summarize import SUPER
from lsr.index.seismic.build.superblock_pages import LINES, TAGS
from tests.naive.forward import Document
from tests.naive.summarize import node_codes

Page = list[dict[int, list[int]]]


def root_code(code: int) -> int:
    """The code of 4 bits of one of 8, above zero if that is."""
    return max(round(15 * sqrt(code / 255)), min(code, 1))


def place_of(component: int) -> tuple[int, int]:
    """(line, tag): the lowest four bits, and the eight above them."""
    return component % 16, component // 16 % 256


def fill_page(blocks: Sequence[Sequence[Document]], scale: Sequence[np.float32]) -> Page:
    """The page of a superblock, of its blocks' documents, by falling weight of components, equal ones as they are met.

    A tag that a heavier component has, and what finds its line full, are left out.
    """
    codes = [node_codes(documents, 0.0) for documents in blocks]
    largest: dict[int, int] = {}
    for block in codes:
        for component, code in block.items():
            largest[component] = max(largest.get(component, 0), code)
    page: Page = [{} for _ in range(LINES)]
    for component in sorted(largest, key=lambda each: -(scale[each] * np.float32(largest[each]))):
        number, tag = place_of(component)
        if len(page[number]) < TAGS and tag not in page[number]:
            page[number][tag] = [root_code(block.get(component, 0)) for block in codes]
    return page


def fill_pages(documents: Sequence[Document], block_size: int, scale: Sequence[np.float32]) -> list[Page]:
    """The pages of all superblocks; of the last one some blocks may be empty."""
    blocks = [documents[begin : begin + block_size] for begin in range(0, len(documents), block_size)]
    return [fill_page([*four, *[()] * (SUPER - len(four))], scale) for four in _fours(blocks)]


def _fours(blocks: Sequence[Sequence[Document]]) -> list[Sequence[Sequence[Document]]]:
    return [blocks[begin : begin + SUPER] for begin in range(0, len(blocks), SUPER)]


def read_page(text: bytes) -> Page:
    """What the 1,024 bytes of a page hold; a tag without any code is none."""
    page: Page = []
    for begin in range(0, len(text), 64):
        line = text[begin : begin + 64]
        packed = [int.from_bytes(line[22 + 2 * at : 24 + 2 * at], "little") for at in range(21)]
        used = [(tag, each) for tag, each in zip(line, packed, strict=False) if each]
        assert len(dict(used)) == len(used)
        page.append({tag: [each >> 4 * block & 15 for block in range(4)] for tag, each in used})
    return page


def read_pages(pages: npt.NDArray[np.uint8]) -> list[Page]:
    """What all pages hold."""
    return [read_page(text.tobytes()) for text in pages.reshape(-1, 1024)]


def codes_of(page: Page, component: int) -> list[int]:
    """The codes of a component, or of what is taken for it, of each block."""
    number, tag = place_of(component)
    return page[number].get(tag, [0] * SUPER)
