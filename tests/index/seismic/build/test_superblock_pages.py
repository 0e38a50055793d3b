"""Pages: what they say of the blocks of superblocks, against twins, and which collections have them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsr.index.parameters import IndexConfig
from lsr.index.seismic.block_codes import block_codes
from lsr.index.seismic.build import node_plan
from lsr.index.seismic.build.in_memory import build_blocks
from lsr.index.seismic.build.node_plan import PAGES_AT_ONCE, NodePlan
from lsr.index.seismic.build.summarize import SUPER
from lsr.index.seismic.build.superblock_pages import (
    CODES_AT,
    LINES,
    PAGE,
    ROOTS,
    TAGS,
    UNIT,
    fill_pages,
    line_of,
    put_in_line,
    tag_of,
)
from lsr.index.seismic.forward import CACHE_LINE, Forward
from lsr.vectors.sparse_vectors import SparseVectors
from tests.index.samples import NARROW, WIDE, make_forward, nodes_are, vectors_and_queries, zipf_vectors
from tests.naive import superblock_pages as naive
from tests.naive.forward import read_documents
from tests.naive.summarize import read_runs
from tests.strategies import from_pairs

Drawn = tuple[SparseVectors, SparseVectors]

both_layouts = pytest.mark.parametrize("compact", [False, True], ids=["fast", "compact"])
both_widths = pytest.mark.parametrize("dtype", [NARROW, WIDE])


def in_order(pages: list[naive.Page]) -> list[list[list[tuple[int, list[int]]]]]:
    """With the order of what is in a line."""
    return [[list(line.items()) for line in page] for page in pages]


def check_pages(forward: Forward, block_size: int) -> list[naive.Page]:
    """The pages, in one go and in two."""
    expected = naive.fill_pages(read_documents(forward), block_size, list(forward.scale))
    n = len(expected)
    pages = fill_pages(0, n, block_size, forward)
    assert (pages.dtype, len(pages)) == (np.uint8, n * PAGE)
    assert in_order(naive.read_pages(pages)) == in_order(expected)
    assert not pages.reshape(n, LINES, CACHE_LINE)[:, :, TAGS].any()
    parts = [fill_pages(first, last, block_size, forward) for first, last in ((0, n // 2), (n // 2, n))]
    assert np.array_equal(np.concatenate(parts), pages)
    return expected


# Codes and places


def test_codes_of_pages() -> None:
    assert ROOTS.tolist() == [naive.root_code(code) for code in range(256)]
    assert (ROOTS[0], ROOTS[1], ROOTS[255]) == (0, 1, 15)
    assert UNIT * 15**2 == 255
    # Off by a step of roots at most, that is by less the smaller the code.
    assert all(abs(np.sqrt(UNIT) * ROOTS[code] - np.sqrt(code)) <= np.sqrt(UNIT) for code in range(256))


@given(component=st.one_of(st.integers(0, 70_000), st.integers(0, 2**32 - 1)))
def test_places(component: int) -> None:
    for dtype in (np.uint32, np.int64):
        assert (line_of(dtype(component)) // CACHE_LINE, tag_of(dtype(component))) == naive.place_of(component)
    assert line_of(np.uint32(component)) % CACHE_LINE == 0


CODES = st.lists(st.integers(0, 255), min_size=SUPER, max_size=SUPER).filter(any)


@given(put=st.lists(st.tuples(st.integers(0, 1 << 14), CODES), max_size=40))
def test_a_line_is_filled(put: list[tuple[int, list[int]]]) -> None:
    line, filled, expected = np.zeros(CACHE_LINE, np.uint8), 0, {}
    for component, codes in put:
        tag = naive.place_of(component)[1]
        if tag not in expected and len(expected) < TAGS:
            expected[tag] = [naive.root_code(code) for code in codes]
        filled = put_in_line(line, component, np.array(codes, np.uint8), filled)
        assert filled == len(expected)
    assert list(naive.read_page(line.tobytes())[0].items()) == list(expected.items())


def test_a_full_line_ends_with_its_last_codes() -> None:
    line, filled = np.zeros(CACHE_LINE, np.uint8), 0
    for component in range(0, 16 * 30, 16):
        filled = put_in_line(line, component, np.array([255, 0, 64, 1], np.uint8), filled)
    assert filled == TAGS == 21
    assert line[:TAGS].tolist() == list(range(21))
    # The first block's code is the lowest.
    assert line[CODES_AT:].tolist() == [0x0F, 0x18] * 21


# Pages


@both_layouts
@both_widths
@given(drawn=vectors_and_queries(max_rows=120), block_size=st.sampled_from([1, 3, 4, 255]))
@settings(max_examples=40)
def test_pages(drawn: Drawn, block_size: int, dtype: type[np.unsignedinteger], compact: bool) -> None:
    check_pages(make_forward(drawn[0], dtype, compact)[0], block_size)


@both_layouts
@both_widths
def test_pages_of_long_documents(passages: SparseVectors, dtype: type[np.unsignedinteger], compact: bool) -> None:
    pages = check_pages(make_forward(passages[:150], dtype, compact)[0], 4)
    assert {len(line) for page in pages for line in page} == {TAGS}


def test_pages_of_short_documents(packages: SparseVectors) -> None:
    # Of four of them, so that some lines are full, and some are not.
    pages = check_pages(make_forward(packages[:400])[0], 1)
    filled = [len(line) for page in pages for line in page]
    assert min(filled) < TAGS == max(filled)


@pytest.mark.parametrize("documents", [0, 1, 3, 4, 15, 16, 17, 31, 33])
def test_the_last_superblock_may_be_incomplete(documents: int) -> None:
    forward, _ = make_forward(zipf_vectors(documents, documents, 40, 5, 8))
    pages = check_pages(forward, 4)
    assert len(pages) == -(-documents // 16)
    if pages:
        blocks = -(-documents // 4) - SUPER * (len(pages) - 1)
        codes = [codes for line in pages[-1] for codes in line.values()]
        assert all(not any(each[blocks:]) for each in codes)


@both_widths
def test_components_that_share_a_tag(dtype: type[np.unsignedinteger]) -> None:
    # 8,200 components, each in one document, so that they are numbered as they are: 3 and 4,099 share a tag, 3 and 19
    # a line. The heavier one has the tag.
    rows = [[(3, 1.0), (19, 1.0), (4099, 2.0)], [(component, 1.0) for component in range(8200)]]
    forward, components = make_forward(from_pairs([[], *rows, [(4099, 2.0), (3, 4.0)]], 8200), dtype)
    internal = {external: at for at, external in enumerate(components.external.tolist())}
    page = check_pages(forward, 1)[0]
    assert naive.place_of(internal[3]) != naive.place_of(internal[19])
    # Heavier by scale: weight 4, and twice 2.
    assert naive.codes_of(page, internal[3]) == [0, naive.root_code(64), naive.root_code(64), 15]
    shared = [component for component in range(8200) if naive.place_of(component) == naive.place_of(internal[3])]
    assert len(shared) > 1
    assert all(naive.codes_of(page, component) == naive.codes_of(page, internal[3]) for component in shared)


@pytest.mark.parametrize("weight", [2.0**-149, 1e-38, float(np.finfo(np.float32).max)])
def test_pages_of_weights_of_all_sizes(weight: float) -> None:
    sizes = [weight, 1e-30, 1.0, 1e30]
    rows = [[(component, sizes[(row + component) % 4]) for component in range(row % 40)] for row in range(100)]
    check_pages(make_forward(from_pairs(rows, 40))[0], 4)


def test_equal_weights_stay_in_the_order_in_which_they_are_met() -> None:
    # 70 components of a line, of which there is room for 21.
    rows = [[(16 * at, 1.0) for at in range(first, first + 35)] for first in (35, 0)]
    filler = [[(component, 1.0) for component in range(1120)]]
    forward, _ = make_forward(from_pairs(rows + filler, 1120))
    check_pages(forward, 1)


# What a summary or a page says of a component


@given(
    drawn=vectors_and_queries(max_rows=120, min_rows=1), block_size=st.sampled_from([1, 4]), superblocks=st.booleans()
)
@settings(max_examples=30)
def test_codes_of_blocks(drawn: Drawn, block_size: int, superblocks: bool) -> None:
    forward, components = make_forward(drawn[0])
    config = IndexConfig(block_size=block_size, summary_energy=0.5)
    rows = np.arange(len(drawn[0]), dtype=np.uint32)
    with ThreadPoolExecutor(1) as executor, nodes_are(superblocks):
        blocks = build_blocks(rows, forward, 10, config, executor, False)
    assert bool(len(blocks.pages)) == superblocks
    runs, pages = read_runs(blocks), naive.read_pages(blocks.pages)
    asked = np.arange(len(components.external))
    for block in range(-(-len(rows) // block_size)):
        if superblocks:
            squares = [naive.codes_of(pages[block // SUPER], each)[block % SUPER] ** 2 for each in asked.tolist()]
            expected = [UNIT * square for square in squares]
        else:
            expected = [17 * dict(runs.get(each, [])).get(block, 0) for each in asked.tolist()]
        assert block_codes(blocks, block, asked) == expected


# Which collections have pages


@pytest.mark.parametrize("block_size", [1, 4, 255])
def test_large_collections_have_superblocks(block_size: int) -> None:
    config, first = IndexConfig(block_size=block_size), 3 * block_size << 18
    below, above = NodePlan.of(first - 1, config), NodePlan.of(first, config)
    assert (below.paged, below.span, below.nodes, below.unit) == (
        False,
        block_size,
        -(-(first - 1) // block_size),
        "blocks",
    )
    assert (above.paged, above.span, above.nodes, above.unit) == (True, 4 * block_size, 3 << 16, "superblocks")
    assert NodePlan.of(first + 1, config).nodes == (3 << 16) + 1
    assert not list(below.page_firsts)
    assert list(above.page_firsts) == list(range(0, 3 << 16, PAGES_AT_ONCE))


@pytest.mark.parametrize(("asked", "of_blocks", "of_superblocks"), [(0.5, 0.5, 0.8), (0.9, 0.9, 0.9)])
def test_superblocks_keep_more_energy(asked: float, of_blocks: float, of_superblocks: float) -> None:
    config = IndexConfig(summary_energy=asked)
    for superblocks, energy in ((False, of_blocks), (True, of_superblocks)):
        with nodes_are(superblocks):
            assert NodePlan.of(1000, config).energy == energy


def test_pages_filled_in_several_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    forward, _ = make_forward(zipf_vectors(3, 203, 40, 5, 8))
    rows = np.arange(203, dtype=np.uint32)
    monkeypatch.setattr(node_plan, "PAGES_AT_ONCE", 5)
    with ThreadPoolExecutor(2) as executor, nodes_are(True):
        blocks = build_blocks(rows, forward, 0, IndexConfig(), executor, False)
    assert np.array_equal(blocks.pages, fill_pages(0, 13, 4, forward))
