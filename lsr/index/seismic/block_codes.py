"""The codes of components in the summary of a block, as a search reads them."""

from __future__ import annotations

import numpy as np

from lsr.index.seismic.build.summarize import DENSE, STEP, SUPER, WINDOW, Blocks, run_length
from lsr.index.seismic.build.superblock_pages import CODES_AT, PAGE, TAGS, UNIT, line_of, tag_of
from lsr.index.seismic.forward import CACHE_LINE
from lsr.storage.arrays import Array


def block_codes(blocks: Blocks, block: int, components: Array) -> list[float]:
    """The codes of internal components of a block, 255 for the largest weight; 0 for missing ones."""
    of_block = _code_of_page if blocks.pages.size else _code_of_run
    return [of_block(blocks, block, component) for component in components.tolist()]


def _code_of_run(blocks: Blocks, block: int, component: int) -> float:
    window, number = divmod(block, WINDOW)
    size = min(blocks.nodes - window * WINDOW, WINDOW)
    at = window * (len(blocks.starts) // (len(blocks.windows) - 1)) + component
    start, stop = (int(blocks.windows[window]) + int(each) for each in blocks.starts[at : at + 2])
    length = run_length(stop - start, size)
    if length == DENSE:
        half = (size + 1) // 2
        byte = int(blocks.stream_bytes[2 * start + number % half])
        return STEP * (byte >> 4 if number >= half else byte & 15)
    place = int(np.searchsorted(blocks.stream[start : start + length], number))
    there = place < length and blocks.stream[start + place] == number
    return STEP * int(blocks.stream_bytes[2 * (start + length) + place]) if there else 0


def _code_of_page(blocks: Blocks, block: int, component: int) -> float:
    superblock, number = divmod(block, SUPER)
    begin = superblock * PAGE + line_of(component)
    line = blocks.pages[begin : begin + CACHE_LINE]
    found = np.flatnonzero(line[:TAGS] == tag_of(component))
    if not len(found):
        return 0
    at = CODES_AT + 2 * int(found[0])
    packed = int(line[at]) | int(line[at + 1]) << 8
    return UNIT * (packed >> 4 * number & 15) ** 2
