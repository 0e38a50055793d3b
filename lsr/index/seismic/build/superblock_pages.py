"""Pages: codes that distinguish the blocks of a superblock, without reading their documents.

A page has 16 cache lines. A query term reads one of them, by the last four bits of its component. A line has, for up to
21 of the heaviest components in the superblock: a byte with the component's other bits (its tag), after all tags an
unused byte, then two bytes per component with 4-bit codes, one per block of the superblock, the first block's lowest. A
code q stands for q^2 / 225 of the component's largest weight, rounded, and is 0 if a block lacks the component: large
weights, which are few, are less precise than small ones.

Components with equal last twelve bits have the same tag. Components are numbered by descending document frequency, so
nearly all of a page are below 4,096, and one that is taken for another adds little.

Of 1,000,000 rows, a superblock of 16 documents has 445 components, of which a page keeps 312: the best 120 of the
blocks of 400 superblocks have .960 of the true top ten, .957 with 246 components in buckets of half a line, .968 with
twice the memory.
"""

from __future__ import annotations

import numpy as np

from lsr.index.jit import allocating, inlined_kernel, kernel
from lsr.index.seismic.build.summarize import SUPER, node_codes
from lsr.index.seismic.forward import CACHE_LINE, Forward, longest_document
from lsr.storage.arrays import Array, Scalar, read_only

LINES = 16
PAGE = LINES * CACHE_LINE
TAGS = 21  # tags of a line
CODES_AT = TAGS + 1
# Code of a page, for each code of a forward index.
ROOTS = read_only(np.maximum(np.rint(15 * np.sqrt(np.arange(256) / 255)), np.arange(256) > 0).astype(np.uint8))
UNIT = 255 / 15**2  # of a forward index's codes in the square of a page's


@inlined_kernel
def line_of(component: Scalar) -> Scalar:
    """The begin of a component's line in a page."""
    return (np.int64(component) & (LINES - 1)) * CACHE_LINE


@inlined_kernel
def tag_of(component: Scalar) -> Scalar:
    """The tag of a component in a line."""
    return np.uint8((np.int64(component) >> 4) & 255)


@kernel
def put_in_line(line: Array, component: Scalar, codes: Array, filled: Scalar) -> Scalar:
    """Write a component's codes, uint8[SUPER], to a line with `filled` tags; returns the new number of tags."""
    if filled == TAGS:
        return filled
    tag = tag_of(component)
    for i in range(filled):
        if line[i] == tag:  # of a heavier component
            return filled
    packed = np.int64(0)
    for block in range(SUPER):
        packed |= np.int64(ROOTS[codes[block]]) << np.int64(4 * block)
    line[filled] = tag
    line[CODES_AT + 2 * filled] = packed & 255
    line[CODES_AT + 2 * filled + 1] = packed >> 8
    return filled + 1


@allocating
def fill_pages(first: Scalar, last: Scalar, block_size: Scalar, forward: Forward) -> Array:
    """The pages of superblocks first..last, uint8[(last - first) * PAGE]."""
    scale, n_documents = forward.scale, forward.heads.shape[0]
    span = SUPER * block_size
    maxima, sums = np.zeros(scale.size, np.uint8), np.zeros(scale.size, np.int64)
    of_block = np.empty(scale.size, forward.heads.dtype)
    codes, largest = np.zeros((scale.size, SUPER), np.uint8), np.zeros(scale.size, np.uint8)
    longest = longest_document(first * span, min(last * span, n_documents), forward)
    components, codes16 = np.empty(longest, np.int64), np.empty(longest, np.int64)
    touched, weights = np.empty(scale.size, np.int64), np.empty(scale.size, np.float32)
    filled = np.empty(LINES, np.int64)
    pages = np.zeros((last - first) * PAGE, np.uint8)
    for superblock in range(first, last):
        n = 0
        for block in range(SUPER):
            begin = superblock * span + block * block_size
            end = min(begin + block_size, n_documents)
            n_touched = node_codes(begin, end, 0.0, forward, components, codes16, maxima, sums, of_block)
            for component in of_block[:n_touched]:
                if largest[component] == 0:
                    touched[n] = component
                    n += 1
                codes[component, block] = maxima[component]
                largest[component] = max(largest[component], maxima[component])
                maxima[component] = 0
        for i in range(n):
            weights[i] = scale[touched[i]] * np.float32(largest[touched[i]])
        filled[:] = 0
        page = pages[(superblock - first) * PAGE : (superblock - first + 1) * PAGE]
        for i in np.argsort(-weights[:n], kind="mergesort"):
            component = touched[i]
            at = line_of(component)
            number = at // CACHE_LINE
            filled[number] = put_in_line(page[at : at + CACHE_LINE], component, codes[component], filled[number])
        for component in touched[:n]:
            codes[component] = 0
            largest[component] = 0
    return pages
